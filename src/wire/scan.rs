//! A JSON reader that finds where things are and copies nothing.
//!
//! It accepts exactly what PHP's `json_decode` accepts (RFC 8259, UTF-8, paired surrogates), in one
//! pass and without recursion, so neither depth nor size can exhaust the stack.

mod raw;

use super::Error;
use raw::parse_hex4;

pub(super) use raw::{Kind, Raw, unescape};

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Open brackets around the place, `true` for an object. Kept between values to save allocations.
    open: Vec<bool>,
}

impl<'a> Scanner<'a> {
    /// Stands at the start of `text`.
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            open: Vec::new(),
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
            self.at = self.at.saturating_add(plain_run(self.rest()));
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
                    let low = self.rest().starts_with(b"\\u");
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
        let digits = self.rest().get(..4).and_then(parse_hex4);
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
        if !self.rest().starts_with(word) {
            return Err(self.error("expected a value"));
        }
        self.at = self.at.saturating_add(word.len());
        Ok(kind)
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
        let count = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
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
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn bump(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn error(&self, reason: &'static str) -> Error {
        Error::json(self.at.min(self.text.len()), reason)
    }
}

/// How many bytes stand before the next quote, backslash, or control character; eight at a time.
fn plain_run(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const fn below(word: u64, limit: u8) -> u64 {
        // The lowest byte marked is right; those above it may be marked by its borrow.
        word.wrapping_sub(ONES.wrapping_mul(limit as u64)) & !word & HIGHS
    }
    let (words, tail) = text.as_chunks::<8>();
    let mut run = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quotes = below(word ^ ONES.wrapping_mul(b'"' as u64), 1);
        let backslashes = below(word ^ ONES.wrapping_mul(b'\\' as u64), 1);
        let found = quotes | backslashes | below(word, 0x20);
        if found != 0 {
            return run.saturating_add(usize::try_from(found.trailing_zeros() / 8).unwrap_or(0));
        }
        run = run.saturating_add(8);
    }
    let special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    run.saturating_add(tail.iter().position(special).unwrap_or(tail.len()))
}

/// The text as UTF-8, which JSON must be.
pub(super) fn utf8(text: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(text).map_err(|error| Error::json(error.valid_up_to(), "not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scans a whole text as one value.
    fn scan(text: &[u8]) -> Result<Raw, Error> {
        let mut scanner = Scanner::new(utf8(text)?);
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
        assert_eq!(
            raw.unescaped(std::str::from_utf8(text).unwrap()),
            "a\\\"/\u{8}\u{c}\n\r\t\0é🧾\\\\z"
        );
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(scan(deep.as_bytes()).unwrap().end, 200_000);
        assert!(scan("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn runs_end_where_they_should(bytes in prop::collection::vec(prop_oneof![any::<u8>(), b' '..=b'#'], 0..32)) {
            let special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
            prop_assert_eq!(plain_run(&bytes), bytes.iter().position(special).unwrap_or(bytes.len()));
        }

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
            prop_assert_eq!(raw.unescaped(&json), text);
        }

        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(scan(&bytes));
        }
    }
}
