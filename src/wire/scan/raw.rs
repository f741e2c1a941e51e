//! Where a value stands, and what its text means.

use std::borrow::Cow;

/// What kind of JSON value stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum Kind {
    /// Any string; `escaped` when it holds a backslash.
    String {
        escaped: bool,
    },
    Number,
    True,
    False,
    Null,
    Array,
    Object,
}

/// Where one JSON value stands. For strings the quotes are not part of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) struct Raw {
    pub(in crate::wire) start: usize,
    pub(in crate::wire) end: usize,
    pub(in crate::wire) kind: Kind,
}

impl Raw {
    /// The value's own text, without quotes and still escaped.
    pub(in crate::wire) fn text(self, of: &str) -> &str {
        of.get(self.start..self.end).unwrap_or_default()
    }

    /// The text of a string, escapes resolved.
    pub(in crate::wire) fn unescaped(self, of: &str) -> Cow<'_, str> {
        let text = self.text(of);
        match self.kind {
            Kind::String { escaped: true } => Cow::Owned(unescape(text)),
            Kind::String { escaped: false }
            | Kind::Number
            | Kind::True
            | Kind::False
            | Kind::Null
            | Kind::Array
            | Kind::Object => Cow::Borrowed(text),
        }
    }

    /// The whole range of the value, quotes included.
    pub(in crate::wire) const fn span(self) -> std::ops::Range<usize> {
        match self.kind {
            Kind::String { .. } => self.start.saturating_sub(1)..self.end.saturating_add(1),
            Kind::Number | Kind::True | Kind::False | Kind::Null | Kind::Array | Kind::Object => {
                self.start..self.end
            }
        }
    }
}

pub(super) fn parse_hex4(digits: &[u8]) -> Option<u32> {
    let digit = |value: u32, &byte: &u8| Some(value << 4 | char::from(byte).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}

/// Resolves the escapes of a string that a [`Scanner`](super::Scanner) has already accepted.
pub(in crate::wire) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pieces = text.split('\\');
    out.push_str(pieces.next().unwrap_or_default());
    let mut high = None;
    while let Some(piece) = pieces.next() {
        let mut chars = piece.chars();
        match chars.next() {
            // An escaped backslash splits into an empty piece, then the text after it.
            None => {
                out.push('\\');
                out.push_str(pieces.next().unwrap_or_default());
                continue;
            }
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let unit = chars
                    .as_str()
                    .as_bytes()
                    .get(..4)
                    .and_then(parse_hex4)
                    .unwrap_or(0xFFFD);
                chars = chars.as_str().get(4..).unwrap_or_default().chars();
                match (high.take(), unit) {
                    (None, 0xD800..0xDC00) => high = Some(unit),
                    (Some(first), _) => out.push(join_surrogates(first, unit)),
                    (None, _) => out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
            Some(other) => out.push(other),
        }
        out.push_str(chars.as_str());
    }
    out
}

fn join_surrogates(high: u32, low: u32) -> char {
    let high = high.wrapping_sub(0xD800) & 0x3FF;
    let low = low.wrapping_sub(0xDC00) & 0x3FF;
    char::from_u32((high << 10 | low).saturating_add(0x10000)).unwrap_or(char::REPLACEMENT_CHARACTER)
}
