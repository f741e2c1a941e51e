//! A PHP file that returns one array, as `var_export` writes it: scalars by dotted key. Pure.
//!
//! Made for Laravel's `bootstrap/cache/config.php`. What is no scalar (objects, calls, joined strings) is passed over.

use std::collections::BTreeMap;

/// Arrays inside arrays, at most.
const DEPTH: usize = 64;

/// The scalars of the array that `text` returns, by keys joined with dots; `None` is PHP's null, `true` is `1` and
/// `false` nothing, as PHP makes text of them. Only keys that `wanted` takes are kept.
///
/// `None` when the text is no such file, or nested too deeply.
pub(super) fn scalars(text: &str, wanted: &dyn Fn(&str) -> bool) -> Option<BTreeMap<String, Option<String>>> {
    let start = text.find("return")? + "return".len();
    let mut reader = Reader {
        text: text.as_bytes(),
        at: start,
    };
    let mut found = BTreeMap::new();
    let mut open = Vec::new();
    reader.array_start()?;
    open.push((String::new(), 0_u64));
    while let Some((path, index)) = open.last_mut() {
        reader.skip_space();
        match reader.peek()? {
            b')' | b']' => {
                reader.at += 1;
                open.pop();
                continue;
            }
            b',' => {
                reader.at += 1;
                continue;
            }
            _ => {}
        }
        let mut value = reader.item();
        let key = match &value {
            Item::Scalar(Some(key)) if reader.arrow() => {
                let key = key.clone();
                value = reader.item();
                key
            }
            _ => {
                *index += 1;
                (*index - 1).to_string()
            }
        };
        let full = if path.is_empty() {
            key
        } else {
            format!("{path}.{key}")
        };
        match value {
            Item::Array if open.len() >= DEPTH => return None,
            Item::Array => open.push((full, 0)),
            Item::Scalar(value) if wanted(&full) => drop(found.insert(full, value)),
            Item::Scalar(_) | Item::Other => {}
        }
    }
    Some(found)
}

enum Item {
    Array,
    Scalar(Option<String>),
    Other,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Steps over the beginning of an array, if one begins here.
    fn array_start(&mut self) -> Option<()> {
        self.skip_space();
        let before = self.at;
        if self.word("array") {
            self.skip_space();
            if self.peek() == Some(b'(') {
                self.at += 1;
                return Some(());
            }
        } else if self.peek() == Some(b'[') {
            self.at += 1;
            return Some(());
        }
        self.at = before;
        None
    }

    /// Steps over a word in any case, if it stands here alone.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let here = rest
            .get(..word.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()));
        let after = rest.get(word.len()).copied().unwrap_or(b' ');
        let alone = here && !(after.is_ascii_alphanumeric() || matches!(after, b'_' | b'\\'));
        if alone {
            self.at += word.len();
        }
        alone
    }

    /// Steps over `=>`, if it stands here.
    fn arrow(&mut self) -> bool {
        self.skip_space();
        let here = self.rest().starts_with(b"=>");
        if here {
            self.at += 2;
        }
        here
    }

    /// Reads a key or a value, and stands behind it.
    fn item(&mut self) -> Item {
        if self.array_start().is_some() {
            return Item::Array;
        }
        self.skip_space();
        let scalar = self.scalar();
        self.skip_space();
        match (scalar, self.peek()) {
            (Some(scalar), Some(b',' | b')' | b']')) => Item::Scalar(scalar),
            (Some(scalar), Some(b'=')) if self.rest().starts_with(b"=>") => Item::Scalar(scalar),
            _ => {
                self.skip_expression();
                Item::Other
            }
        }
    }

    fn scalar(&mut self) -> Option<Option<String>> {
        for (word, value) in [("true", Some("1")), ("false", Some("")), ("null", None)] {
            if self.word(word) {
                return Some(value.map(str::to_owned));
            }
        }
        match self.peek()? {
            b'\'' => self.quoted().map(Some),
            b'0'..=b'9' | b'-' => {
                let number =
                    |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
                let length = self.rest().iter().take_while(|byte| number(byte)).count();
                let digits = self.rest().get(..length)?;
                let text = String::from_utf8_lossy(digits).into_owned();
                self.at += length;
                Some(Some(text))
            }
            _ => None,
        }
    }

    /// Reads a string in single quotes, in which only `\\` and `\'` are escapes.
    fn quoted(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut at = self.at + 1;
        loop {
            match (*self.text.get(at)?, self.text.get(at + 1)) {
                (b'\'', _) => break,
                (b'\\', Some(next @ (b'\\' | b'\''))) => {
                    bytes.push(*next);
                    at += 2;
                }
                (byte, _) => {
                    bytes.push(byte);
                    at += 1;
                }
            }
        }
        self.at = at + 1;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Steps over anything else, up to the comma or bracket that ends it.
    fn skip_expression(&mut self) {
        let mut depth = 0_u32;
        while let Some(byte) = self.peek() {
            match byte {
                b',' | b')' | b']' if depth == 0 => return,
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth -= 1,
                b'\'' => {
                    if self.quoted().is_none() {
                        self.at = self.text.len();
                    }
                    continue;
                }
                b'"' => {
                    self.skip_double_quoted();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn skip_double_quoted(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> BTreeMap<String, Option<String>> {
        scalars(text, &|_| true).unwrap_or_default()
    }

    #[test]
    fn as_var_export_writes_it() {
        let text = r"<?php return array (
  'queue' =>
  array (
    'default' => 'redis',
    'connections' =>
    array (
      'redis' =>
      array (
        'retry_after' => 90,
        'block_for' => NULL,
        'after_commit' => false,
      ),
    ),
  ),
  'view' => array ( 'paths' => array ( 0 => '/a\'b\\c', 1 => 'd' ), ),
  'odd' => \Foo\Bar::__set_state(array('x' => ')')),
  'joined' => 'a' . '' . 'b',
  'after' => true,
);";
        let found = all(text);
        let get = |key: &str| found.get(key).cloned().flatten();
        assert_eq!(get("queue.default").as_deref(), Some("redis"));
        assert_eq!(get("queue.connections.redis.retry_after").as_deref(), Some("90"));
        assert_eq!(found.get("queue.connections.redis.block_for"), Some(&None));
        assert_eq!(get("queue.connections.redis.after_commit").as_deref(), Some(""));
        assert_eq!(get("view.paths.0").as_deref(), Some("/a'b\\c"));
        assert_eq!(get("view.paths.1").as_deref(), Some("d"));
        assert_eq!(get("after").as_deref(), Some("1"));
        assert!(
            !found.contains_key("odd") && !found.contains_key("joined"),
            "{found:?}"
        );
    }

    #[test]
    fn short_arrays_and_wishes() {
        let text = "<?php\n\nreturn ['a' => ['b' => '1'], 'c', 'd' => 2.5];";
        assert_eq!(all(text).len(), 3);
        let some = scalars(text, &|key| key == "a.b").unwrap_or_default();
        assert_eq!(some.keys().collect::<Vec<_>>(), ["a.b"]);
        for broken in [
            "",
            "<?php return 5;",
            "<?php return array ( 'a' => 'b'",
            "<?php return array ('a",
        ] {
            assert_eq!(scalars(broken, &|_| true), None, "{broken}");
        }
        assert_eq!(scalars(&format!("return {}", "[".repeat(1000)), &|_| true), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"(?s)[\['"\]a(),=>\\ 1.-]{0,60}"#) {
            drop(scalars(&format!("return [{text}"), &|_| true));
        }
    }
}
