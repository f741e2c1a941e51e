//! What a table cannot hold as it is, in a form that it can.
//!
//! Older applications have tables whose character set knows no characters of four bytes (`utf8`). A server
//! that is not strict cuts a text before the first one; ours refuses it, and we write it in another form: in
//! JSON the escape of such a character means the same, so a payload stays what it is, and PHP can still read
//! it. What is no JSON goes into the base64 wrapper. An exception is read by people; there the character's
//! number takes its place.

use std::borrow::Cow;

use super::error::number;
use crate::wire::raw;

/// Characters that a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Characters {
    All,
    /// Those of three bytes at most.
    Basic,
    Ascii,
}

/// How rows are written; more and more plainly as the server refuses.
#[derive(Debug, Clone)]
pub(super) struct Form {
    characters: Characters,
    /// Whether a long exception is cut.
    pub(super) is_cut: bool,
    /// Whether the server's time is taken, since its time zone has no such hour (in spring it skips one).
    pub(super) has_own_time: bool,
    /// Whether the table of failures has a column `uuid`.
    pub(super) has_uuid: bool,
}

/// What a column `TEXT` holds, in bytes, with room for a remark.
const SHORT: usize = 65_000;

const BAD_STRING: u16 = 1300;
const BAD_VALUE: u16 = 1366;
/// What MySQL 8 and later say in place of the two above.
const NO_CONVERSION: [u16; 2] = [3854, 3988];
const BAD_TIME: u16 = 1292;
const TOO_LONG: u16 = 1406;
const NO_COLUMN: u16 = 1054;

impl Default for Form {
    fn default() -> Self {
        Self {
            characters: Characters::All,
            is_cut: false,
            has_own_time: false,
            has_uuid: true,
        }
    }
}

impl Form {
    /// Becomes the next form to try after the server has refused this one.
    ///
    /// # Errors
    /// The error, when another form would be refused for the same reason.
    pub(super) fn adapt(&mut self, error: sqlx::Error) -> Result<(), sqlx::Error> {
        let said = error.as_database_error().map_or("", |error| error.message());
        match number(&error) {
            Some(number)
                if (matches!(number, BAD_VALUE | BAD_STRING) || NO_CONVERSION.contains(&number))
                    && self.characters != Characters::Ascii =>
            {
                self.characters = match self.characters {
                    Characters::All => Characters::Basic,
                    Characters::Basic | Characters::Ascii => Characters::Ascii,
                };
            }
            Some(TOO_LONG) if !self.is_cut && said.contains("exception") => self.is_cut = true,
            Some(BAD_TIME) if !self.has_own_time && said.contains("failed_at") => self.has_own_time = true,
            Some(NO_COLUMN) if self.has_uuid && said.contains("uuid") => self.has_uuid = false,
            _ => return Err(error),
        }
        Ok(())
    }

    /// A payload in this form.
    pub(super) fn json<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.chars().all(|c| self.holds(c)) {
            return Cow::Borrowed(text);
        }
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
            return Cow::Owned(raw::wrap(text.as_bytes()));
        }
        self.replaced(text, |out, c| {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str("\\u");
                out.extend([12, 8, 4, 0].map(|shift| hexadecimal(*unit >> shift)));
            }
        })
    }

    /// An exception in this form.
    pub(super) fn prose<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = self.replaced(text, |out, c| out.extend(c.escape_unicode()));
        if !self.is_cut || text.len() <= SHORT {
            return text;
        }
        let (kept, _) = text.split_at(text.floor_char_boundary(SHORT));
        Cow::Owned(format!("{kept}\n(cut: the column exception is too short)"))
    }

    fn holds(&self, c: char) -> bool {
        match self.characters {
            Characters::All => true,
            Characters::Basic => c.len_utf8() < 4,
            Characters::Ascii => c.is_ascii(),
        }
    }

    fn replaced<'a>(&self, text: &'a str, replace: impl Fn(&mut String, char)) -> Cow<'a, str> {
        if text.chars().all(|c| self.holds(c)) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() * 2);
        for c in text.chars() {
            if self.holds(c) {
                out.push(c);
            } else {
                replace(&mut out, c);
            }
        }
        Cow::Owned(out)
    }
}

/// The last four bits as a digit.
fn hexadecimal(bits: u16) -> char {
    char::from_digit(u32::from(bits & 15), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::{Characters, Form};

    #[test]
    fn what_a_table_lacks_is_written_otherwise() {
        let form = |characters| Form {
            characters,
            ..Form::default()
        };
        let json = "{\"a\":\"Скопје \u{1F600}\"}";
        for (characters, expected) in [
            (Characters::All, json),
            (Characters::Basic, "{\"a\":\"Скопје \\ud83d\\ude00\"}"),
        ] {
            let form = form(characters);
            assert_eq!(form.json(json), expected);
            let read: serde_json::Value = serde_json::from_str(&form.json(json)).unwrap();
            assert_eq!(read["a"], "Скопје \u{1F600}");
        }
        assert!(form(Characters::Ascii).json(json).is_ascii());
        assert_eq!(form(Characters::Basic).json("no JSON, Скопје"), "no JSON, Скопје");
        assert_eq!(
            crate::wire::raw::from_text(&form(Characters::Basic).json("no JSON \u{1F600}")),
            "no JSON \u{1F600}".as_bytes()
        );
        assert_eq!(form(Characters::Basic).prose("é \u{1F600}"), "é \\u{1f600}");
    }

    #[test]
    fn long_exceptions_are_cut_between_characters() {
        let form = Form {
            is_cut: true,
            ..Form::default()
        };
        let cut = form.prose(&"é".repeat(40_000)).into_owned();
        assert!(cut.len() < 65_535 && cut.ends_with("too short)"));
        assert_eq!(form.prose("short"), "short");
    }
}
