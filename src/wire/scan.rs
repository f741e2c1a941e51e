//! A JSON reader that finds where things are and copies nothing.
//!
//! It accepts exactly what PHP's `json_decode` accepts (RFC 8259, UTF-8, paired surrogates), in one
//! pass and without recursion, so neither depth nor size can exhaust the stack.

use std::borrow::Cow;

use super::Error;

/// What kind of JSON value stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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
pub(super) struct Raw {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

impl Raw {
    /// The value's own text, without quotes and still escaped.
    pub(super) fn text(self, of: &[u8]) -> &str {
        of.get(self.start..self.end)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// The text of a string, escapes resolved.
    pub(super) fn unescaped(self, of: &[u8]) -> Cow<'_, str> {
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
    pub(super) const fn span(self) -> std::ops::Range<usize> {
        match self.kind {
            Kind::String { .. } => self.start.saturating_sub(1)..self.end.saturating_add(1),
            Kind::Number | Kind::True | Kind::False | Kind::Null | Kind::Array | Kind::Object => {
                self.start..self.end
            }
        }
    }
}

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Open brackets around the place, `true` for an object. Kept between values to save allocations.
    open: Vec<bool>,
}

impl<'a> Scanner<'a> {
    /// Stands at the start of `text`, which must be UTF-8 throughout.
    pub(super) fn new(text: &'a [u8]) -> Result<Self, Error> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self {
                text,
                at: 0,
                open: Vec::new(),
            }),
            Err(error) => Err(Error::json(error.valid_up_to(), "not valid UTF-8")),
        }
    }

    /// Reads the top-level object of a text that holds nothing else, giving each member to `member`.
    pub(super) fn document<F>(mut self, member: F) -> Result<(), Error>
    where
        F: FnMut(&mut Self, Raw) -> Result<(), Error>,
    {
        self.skip_space();
        if self.peek() != Some(b'{') {
            return Err(self.error("expected an object"));
        }
        self.object(member)?;
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.error("expected the end of the text"));
        }
        Ok(())
    }

    /// Reads an object, standing at its `{`. `member` gets each key and must read the value.
    pub(super) fn object<F>(&mut self, mut member: F) -> Result<Raw, Error>
    where
        F: FnMut(&mut Self, Raw) -> Result<(), Error>,
    {
        let start = self.at;
        self.bump();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.bump();
            return Ok(Raw {
                start,
                end: self.at,
                kind: Kind::Object,
            });
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.bump(),
                Some(b'}') => {
                    self.bump();
                    return Ok(Raw {
                        start,
                        end: self.at,
                        kind: Kind::Object,
                    });
                }
                _ => return Err(self.error("expected `,` or `}`")),
            }
        }
    }

    /// Whether an object comes next; moves to it over white space.
    pub(super) fn at_object(&mut self) -> bool {
        self.skip_space();
        self.peek() == Some(b'{')
    }

    /// Reads one value of any kind, however deep.
    pub(super) fn value(&mut self) -> Result<Raw, Error> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'[') => self.container(Kind::Array),
            Some(b'{') => self.container(Kind::Object),
            _ => self.scalar(),
        }
    }

    /// Skips an array or object with an explicit stack in place of recursion.
    fn container(&mut self, kind: Kind) -> Result<Raw, Error> {
        let start = self.at;
        self.open.clear();
        loop {
            // Here a value is due.
            self.skip_space();
            match self.peek() {
                Some(b'{') => {
                    self.bump();
                    self.skip_space();
                    self.open.push(true);
                    if self.peek() != Some(b'}') {
                        self.key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.bump();
                    self.skip_space();
                    self.open.push(false);
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                _ => {
                    self.scalar()?;
                }
            }
            if self.close()? {
                return Ok(Raw {
                    start,
                    end: self.at,
                    kind,
                });
            }
        }
    }

    /// After a value: closes what ends here, up to the next value due. True when nothing is open.
    fn close(&mut self) -> Result<bool, Error> {
        while let Some(&object) = self.open.last() {
            self.skip_space();
            match (self.peek(), object) {
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.bump();
                    self.open.pop();
                }
                (Some(b','), true) => {
                    self.bump();
                    self.key()?;
                    return Ok(false);
                }
                (Some(b','), false) => {
                    self.bump();
                    return Ok(false);
                }
                (_, true) => return Err(self.error("expected `,` or `}`")),
                (_, false) => return Err(self.error("expected `,` or `]`")),
            }
        }
        Ok(true)
    }

    /// Reads a key and its colon.
    fn key(&mut self) -> Result<Raw, Error> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a member's name"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected `:`"));
        }
        self.bump();
        Ok(key)
    }

    /// Reads a string, standing at its opening quote.
    fn string(&mut self) -> Result<Raw, Error> {
        self.bump();
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            self.at = self.at.saturating_add(plain.unwrap_or(rest.len()));
            match self.peek() {
                Some(b'"') => {
                    let end = self.at;
                    self.bump();
                    return Ok(Raw {
                        start,
                        end,
                        kind: Kind::String { escaped },
                    });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("control character in a string")),
                None => return Err(self.error("unfinished string")),
            }
        }
    }

    /// Passes one escape sequence, standing at its backslash.
    fn escape(&mut self) -> Result<(), Error> {
        let begin = self.at;
        self.bump();
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.bump(),
            Some(b'u') => {
                self.bump();
                let unit = self.hex4()?;
                if (0xDC00..0xE000).contains(&unit) {
                    return Err(Error::json(begin, "unpaired surrogate in an escape"));
                }
                if (0xD800..0xDC00).contains(&unit) {
                    let low = self.text.get(self.at..self.at.saturating_add(2)) == Some(b"\\u");
                    self.at = self.at.saturating_add(2);
                    if !low || !(0xDC00..0xE000).contains(&self.hex4()?) {
                        return Err(Error::json(begin, "unpaired surrogate in an escape"));
                    }
                }
            }
            _ => return Err(Error::json(begin, "unknown escape in a string")),
        }
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, Error> {
        let digits = self
            .text
            .get(self.at..self.at.saturating_add(4))
            .and_then(parse_hex4);
        let unit = digits.ok_or_else(|| self.error("expected four hexadecimal digits"))?;
        self.at = self.at.saturating_add(4);
        Ok(unit)
    }

    fn scalar(&mut self) -> Result<Raw, Error> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b't') => self.word(b"true", Kind::True)?,
            Some(b'f') => self.word(b"false", Kind::False)?,
            Some(b'n') => self.word(b"null", Kind::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.error("expected a value")),
            None => return Err(self.error("unfinished text")),
        };
        Ok(Raw {
            start,
            end: self.at,
            kind,
        })
    }

    /// One of the three words, in lower case only, as PHP since version 7 wants them.
    fn word(&mut self, word: &'static [u8], kind: Kind) -> Result<Kind, Error> {
        let end = self.at.saturating_add(word.len());
        match self.text.get(self.at..end) {
            Some(found) if found == word => {
                self.at = end;
                Ok(kind)
            }
            _ => Err(self.error("expected a value")),
        }
    }

    fn number(&mut self) -> Result<Kind, Error> {
        if self.peek() == Some(b'-') {
            self.bump();
        }
        match self.peek() {
            Some(b'0') => self.bump(),
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.bump();
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.bump();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.bump();
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.error("expected a digit"));
        }
        self.at = self.at.saturating_add(count);
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.bump();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn bump(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn error(&self, reason: &'static str) -> Error {
        Error::json(self.at.min(self.text.len()), reason)
    }
}

fn parse_hex4(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Resolves the escapes of a string that a [`Scanner`] has already accepted.
fn unescape(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scans a whole text as one value.
    fn scan(text: &[u8]) -> Result<Raw, Error> {
        let mut scanner = Scanner::new(text)?;
        let raw = scanner.value()?;
        scanner.skip_space();
        if scanner.at < text.len() {
            return Err(scanner.error("expected the end of the text"));
        }
        Ok(raw)
    }

    #[test]
    fn says_where_it_stumbles() {
        let offset = |text: &[u8]| scan(text).unwrap_err().offset();
        assert_eq!(offset(b""), Some(0));
        assert_eq!(offset(b"[1,]"), Some(3));
        assert_eq!(offset(b"{\"a\" 1}"), Some(5));
        assert_eq!(offset(b"\"a\x01\""), Some(2));
        assert_eq!(offset(b"\"a\\x\""), Some(2));
        assert_eq!(offset(b"\"\\ud800\""), Some(1));
        assert_eq!(offset(b"01"), Some(1));
        assert_eq!(offset(b"[1.]"), Some(3));
        assert_eq!(offset(b"\xff"), Some(0));
        assert_eq!(offset(b"{}x"), Some(2));
    }

    #[test]
    fn resolves_escapes() {
        let text = br#""a\\\"\/\b\f\n\r\t\u0000\u00e9\ud83e\uddfe\\\\z""#;
        let raw = scan(text).unwrap();
        assert_eq!(raw.unescaped(text), "a\\\"/\u{8}\u{c}\n\r\t\0é🧾\\\\z");
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(scan(deep.as_bytes()).unwrap().end, 200_000);
        assert!(scan("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}",:0-9eE.\\u+ntrfalse \-]{0,24}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            if let Err(error) = &theirs
                && error.to_string().contains("number out of range")
            {
                return Ok(());
            }
            prop_assert_eq!(scan(text.as_bytes()).is_ok(), theirs.is_ok(), "{}", text);
        }

        #[test]
        fn strings_come_back(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let raw = scan(json.as_bytes()).unwrap();
            prop_assert_eq!(raw.unescaped(json.as_bytes()), text);
        }

        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(scan(&bytes));
        }
    }
}
