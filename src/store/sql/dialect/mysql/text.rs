//! Values as they stand in SQL texts.
//!
//! Several statements travel in one text, which saves round trips and leaves no place for bound values. So
//! values are written as literals that cannot be taken for SQL whatever `sql_mode` says: digits, and texts in
//! hexadecimal.

/// A text as a literal of the connection's character set.
pub(super) fn text(value: impl AsRef<[u8]>) -> String {
    format!("_utf8mb4 {}", binary(value))
}

/// Bytes as a literal.
pub(super) fn binary(value: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let value = value.as_ref();
    let mut literal = String::with_capacity(value.len() * 2 + 3);
    literal.push_str("x'");
    for byte in value {
        literal.push(char::from(DIGITS[usize::from(byte >> 4)]));
        literal.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    literal.push('\'');
    literal
}

/// Numbers separated by commas; `null` when there are none, which is in no list.
pub(super) fn numbers(values: impl IntoIterator<Item = i64>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() {
        return "null".to_owned();
    }
    values.join(",")
}

/// The condition that `column` holds exactly this text.
///
/// Collations take `Mail` and `mail`, or `mail` and `mail `, for the same; the first comparison is theirs and
/// finds the rows by an index, the second looks at the bytes.
pub(super) fn exactly(column: &str, value: &str) -> String {
    format!(
        "({column} = {} and cast(convert({column} using utf8mb4) as binary) = {})",
        text(value),
        binary(value)
    )
}

#[cfg(test)]
mod tests {
    use super::{exactly, numbers, text};

    #[test]
    fn nothing_breaks_out_of_a_literal() {
        assert_eq!(text("a'\\"), "_utf8mb4 x'61275c'");
        assert_eq!(text(""), "_utf8mb4 x''");
        assert_eq!(numbers([1, -2, 30]), "1,-2,30");
        assert_eq!(numbers([]), "null");
        assert_eq!(
            exactly("queue", "é"),
            "(queue = _utf8mb4 x'c3a9' and cast(convert(queue using utf8mb4) as binary) = x'c3a9')"
        );
    }
}
