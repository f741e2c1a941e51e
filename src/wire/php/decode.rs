//! The reader: bounded in depth, size, and number of values.

use super::value::{Float, Key, Object, Value};
use crate::wire::Error;

/// Arrays and objects within each other, at most. (PHP's own limit is 4096.)
pub const MAX_DEPTH: usize = 512;

/// Values in one text, at most; the bound of the memory that a text can claim.
pub const MAX_VALUES: usize = 1_000_000;

/// Bytes of one text, at most: 64 MiB.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Reads one serialized value that fills the whole text.
///
/// Accepts what `unserialize` accepts, except the `S:` strings that PHP itself never writes, integers
/// beyond 64 bits, and anything after the value.
///
/// # Errors
/// [`Error::Php`] with the offset of the first byte that does not fit, or of a limit passed.
pub fn decode(text: &[u8]) -> Result<Value, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::php(0, "longer than 64 MiB"));
    }
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        values: 0,
        slots: 0,
    };
    let value = reader.value()?;
    if reader.at < text.len() {
        return Err(Error::php(reader.at, "expected the end of the text"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    values: usize,
    /// Values that a reference may name, counted as PHP does.
    slots: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Value, Error> {
        self.values = self.values.saturating_add(1);
        if self.values > MAX_VALUES {
            return Err(self.error("more than a million values"));
        }
        let kind = self.peek();
        if kind == Some(b'R') {
            self.expect(b"R:")?;
            return self.reference(true);
        }
        self.slots = self.slots.saturating_add(1);
        match kind {
            Some(b'N') => self.expect(b"N;").map(|()| Value::Null),
            Some(b'b') => self.bool(),
            Some(b'i') => self
                .expect(b"i:")
                .and_then(|()| self.integer(b';'))
                .map(Value::Int),
            Some(b'd') => self.float(),
            Some(b's') => self
                .expect(b"s:")
                .and_then(|()| self.string())
                .map(|s| Value::String(s.to_vec())),
            Some(b'a') => self.expect(b"a:").and_then(|()| self.pairs()).map(Value::Array),
            Some(b'O') => self.object(),
            Some(b'E') => self.case(),
            Some(b'C') => self.custom(),
            Some(b'r') => {
                self.expect(b"r:")?;
                self.reference(false)
            }
            Some(_) => Err(self.error("unknown type of value")),
            None => Err(self.error("unfinished value")),
        }
    }

    fn bool(&mut self) -> Result<Value, Error> {
        self.expect(b"b:")?;
        let value = match self.peek() {
            Some(b'0') => false,
            Some(b'1') => true,
            _ => return Err(self.error("expected 0 or 1")),
        };
        self.at = self.at.saturating_add(1);
        self.expect(b";")?;
        Ok(Value::Bool(value))
    }

    fn float(&mut self) -> Result<Value, Error> {
        self.expect(b"d:")?;
        let start = self.at;
        // The longest float that PHP writes has 24 characters; a hand-written one may have more.
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest.iter().take(1024).position(|&byte| byte == b';');
        let text = length.and_then(|length| std::str::from_utf8(rest.get(..length)?).ok());
        let float = text
            .and_then(Float::parse)
            .ok_or(Error::php(start, "expected a float"))?;
        self.at = start.saturating_add(float.text().len()).saturating_add(1);
        Ok(Value::Float(float))
    }

    fn reference(&mut self, alias: bool) -> Result<Value, Error> {
        let start = self.at;
        let slot = self.length(b';')?;
        // `r:` counts as a value itself, and cannot mean itself.
        let known = if alias {
            self.slots
        } else {
            self.slots.saturating_sub(1)
        };
        if slot == 0 || slot > known {
            return Err(Error::php(
                start,
                "reference to a value that does not come before it",
            ));
        }
        Ok(Value::Reference { slot, alias })
    }

    fn object(&mut self) -> Result<Value, Error> {
        self.expect(b"O:")?;
        let class = self.class()?;
        self.expect(b":")?;
        Ok(Value::Object(Object {
            class,
            properties: self.pairs()?,
        }))
    }

    fn case(&mut self) -> Result<Value, Error> {
        self.expect(b"E:")?;
        let start = self.at;
        let full = self.class()?;
        self.expect(b";")?;
        match full.split_once(':') {
            Some((class, case)) => Ok(Value::Enum {
                class: class.to_owned(),
                case: case.to_owned(),
            }),
            None => Err(Error::php(start, "expected `Class:Case`")),
        }
    }

    fn custom(&mut self) -> Result<Value, Error> {
        self.expect(b"C:")?;
        let class = self.class()?;
        self.expect(b":")?;
        let length = self.length(b':')?;
        self.expect(b"{")?;
        let data = self.take(length)?.to_vec();
        self.expect(b"}")?;
        Ok(Value::Custom { class, data })
    }

    /// `len:"name"`, for the name of a class.
    fn class(&mut self) -> Result<String, Error> {
        let start = self.at;
        let length = self.length(b':')?;
        self.expect(b"\"")?;
        let name = std::str::from_utf8(self.take(length)?);
        let name = name
            .map_err(|_| Error::php(start, "class name is not UTF-8"))?
            .to_owned();
        self.expect(b"\"")?;
        Ok(name)
    }

    /// `n:{key;value…}`, for arrays and objects.
    fn pairs(&mut self) -> Result<Vec<(Key, Value)>, Error> {
        let count = self.length(b':')?;
        self.expect(b"{")?;
        if self.depth >= MAX_DEPTH {
            return Err(self.error("more than 512 levels deep"));
        }
        self.depth = self.depth.saturating_add(1);
        // The count is a claim; memory is given as values really come.
        let mut pairs = Vec::with_capacity(count.min(32));
        for _ in 0..count {
            let key = match self.peek() {
                Some(b'i') => self
                    .expect(b"i:")
                    .and_then(|()| self.integer(b';'))
                    .map(Key::Int)?,
                Some(b's') => self
                    .expect(b"s:")
                    .and_then(|()| self.string())
                    .map(|s| Key::String(s.to_vec()))?,
                _ => return Err(self.error("expected a key")),
            };
            pairs.push((key, self.value()?));
        }
        self.depth = self.depth.saturating_sub(1);
        self.expect(b"}")?;
        Ok(pairs)
    }

    /// `len:"bytes";`
    fn string(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length(b':')?;
        self.expect(b"\"")?;
        let bytes = self.take(length)?;
        self.expect(b"\";")?;
        Ok(bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let end = self.at.saturating_add(length);
        let bytes = self
            .text
            .get(self.at..end)
            .ok_or_else(|| self.error("length beyond the end of the text"))?;
        self.at = end;
        Ok(bytes)
    }

    /// Digits up to `until`, as a length, count, or slot.
    fn length(&mut self, until: u8) -> Result<usize, Error> {
        let start = self.at;
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.error("expected a number"));
        }
        let value = self.integer(until)?;
        usize::try_from(value).map_err(|_| Error::php(start, "number out of range"))
    }

    /// An optional sign and digits up to `until`.
    fn integer(&mut self, until: u8) -> Result<i64, Error> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        if matches!(self.peek(), Some(b'-' | b'+')) {
            self.at = self.at.saturating_add(1);
        }
        let first = self.at;
        let mut value = Some(0_i64);
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let digit = i64::from(digit.wrapping_sub(b'0'));
            let tens = value.and_then(|value| value.checked_mul(10));
            value = tens.and_then(|tens| {
                if negative {
                    tens.checked_sub(digit)
                } else {
                    tens.checked_add(digit)
                }
            });
            self.at = self.at.saturating_add(1);
        }
        if self.at == first {
            return Err(self.error("expected a digit"));
        }
        let value = value.ok_or(Error::php(start, "number out of range"))?;
        self.expect(&[until])?;
        Ok(value)
    }

    fn expect(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for &byte in bytes {
            if self.peek() != Some(byte) {
                return Err(self.error(expectation(byte)));
            }
            self.at = self.at.saturating_add(1);
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn error(&self, reason: &'static str) -> Error {
        Error::php(self.at.min(self.text.len()), reason)
    }
}

const fn expectation(byte: u8) -> &'static str {
    match byte {
        b':' => "expected `:`",
        b';' => "expected `;`",
        b'"' => "expected `\"`",
        b'{' => "expected `{`",
        b'}' => "expected `}`",
        _ => "expected another type of value",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::php::encode;

    /// Each was tried with PHP 8.2's `unserialize`.
    #[test]
    fn takes_what_php_takes() {
        for good in [
            "N;",
            "i:+5;",
            "i:007;",
            "i:-9223372036854775808;",
            "d:.5;",
            "d:5.;",
            "d:1e5;",
            "d:-.5e-3;",
            "d:NAN;",
            "a:01:{i:0;i:1;}",
            "s:01:\"a\";",
            "O:8:\"stdClass\":1:{i:0;i:1;}",
            "a:1:{i:0;R:1;}",
            "a:2:{i:0;O:1:\"A\":0:{}i:1;r:2;}",
            "C:1:\"A\":3:{};}}",
        ] {
            assert!(decode(good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn says_where_it_stumbles() {
        for (bad, offset) in [
            ("", 0),
            ("x", 0),
            ("i:5", 3),
            ("i:;", 2),
            ("i:99999999999999999999;", 2),
            ("b:2;", 2),
            ("d:inf;", 2),
            ("d:1_0;", 2),
            ("s:3:\"abc\"", 9),
            ("s:9:\"abc\";", 5),
            ("s:+1:\"a\";", 2),
            ("a:-1:{}", 2),
            ("a:1:{d:1;i:1;}", 5),
            ("a:1:{i:0;R:3;}", 11),
            ("a:1:{i:0;r:2;}", 11),
            ("a:2:{i:0;i:1;}", 13),
            ("O:+8:\"stdClass\":0:{}", 2),
            ("E:1:\"A\";", 2),
            ("N;x", 2),
        ] {
            assert_eq!(
                decode(bad.as_bytes()).unwrap_err().offset(),
                Some(offset),
                "{bad}"
            );
        }
    }

    #[test]
    fn depth_is_bounded_and_claims_cost_nothing() {
        let nested = |depth: usize| "a:1:{i:0;".repeat(depth) + "N;" + &"}".repeat(depth);
        assert!(decode(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(decode(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(decode(nested(1_000_000).as_bytes()).is_err());
        assert!(decode(b"a:9223372036854775807:{").is_err());
        assert!(decode("a:99999999:{i:0;".repeat(400).as_bytes()).is_err());
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let many = format!("a:{MAX_VALUES}:{{{}}}", "i:0;N;".repeat(MAX_VALUES));
        assert!(decode(many.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(decode(&bytes));
        }

        #[test]
        fn survives_nearly_right_texts(text in r#"([aOsidbNErRC]:?[0-9]{0,3}[:;]?["{};]{0,3}){0,12}"#) {
            if let Ok(value) = decode(text.as_bytes()) {
                drop(encode(&value));
            }
        }
    }
}
