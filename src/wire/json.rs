//! JSON text exactly as Laravel writes payloads.
//!
//! That is PHP's `json_encode` with `JSON_UNESCAPED_UNICODE`: slashes escaped, U+2028 and U+2029
//! escaped, other control characters as `\u00xx`, floats in PHP's notation without a zero fraction.

use serde_json::Value;

use super::number;

/// Writes a value as Laravel would.
///
/// Integers above 2^63 - 1 become floats, as they are for PHP.
#[must_use]
pub fn encode(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

pub(super) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => out.push_str(&integer.to_string()),
            None => out.push_str(&number::float(number.as_f64().unwrap_or_default(), 'e')),
        },
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, item)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
    }
}

/// Writes a string with its quotes.
pub(super) fn write_string(text: &str, out: &mut String) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    out.reserve(text.len().saturating_add(2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            '\0'..'\u{20}' => {
                out.push_str("\\u00");
                out.push(if u32::from(c) < 16 { '0' } else { '1' });
                out.push(
                    HEX.into_iter()
                        .nth(usize::from(u32::from(c).to_le_bytes()[0] & 15))
                        .unwrap_or('0'),
                );
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Compared with PHP 8.2: `json_encode($value, JSON_UNESCAPED_UNICODE)`.
    #[test]
    fn writes_what_php_writes() {
        let value = json!({
            "a/b": "Скопје/„“\u{2028}\u{2029}\u{0}\u{1f}\u{7f}\"\\\u{8}\u{c}\n\r\t",
            "n": [1, -0.1, 1.0, 1e25, 9_007_199_254_740_993_i64, u64::MAX, null, true, false],
            "e": [[], {}],
        });
        let expected = concat!(
            "{\"a\\/b\":\"Скопје\\/„“\\u2028\\u2029\\u0000\\u001f\u{7f}\\\"\\\\\\b\\f\\n\\r\\t\",",
            "\"n\":[1,-0.1,1,1.0e+25,9007199254740993,1.8446744073709552e+19,null,true,false],",
            "\"e\":[[],{}]}"
        );
        assert_eq!(encode(&value), expected);
    }

    proptest! {
        #[test]
        fn strings_come_back(text in any::<String>()) {
            let back: String = serde_json::from_str(&encode(&Value::String(text.clone()))).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
