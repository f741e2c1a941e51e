//! Numbers as PHP reads them from text.

/// A whole number from the text of a JSON number or a PHP numeric string; `None` for anything else.
///
/// Floats count when they have no fraction and lie within 64 bits: `3`, `3.0`, `3e2`.
pub(super) fn integer(text: &str) -> Option<i64> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(value);
    }
    if !text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        return None;
    }
    let value = text.parse::<f64>().ok()?;
    if value.fract() != 0.0 {
        None
    } else {
        from_float(value)
    }
}

/// PHP's `(int)` of a text: its leading number, else 0; a fraction is cut off.
pub(super) fn cast(text: &str) -> i64 {
    let text = text.trim_start();
    if let Ok(value) = text.trim_end().parse::<i64>() {
        return value;
    }
    let numeric = |end: usize| text.get(..end).and_then(|head| head.parse::<f64>().ok());
    let head = text
        .bytes()
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    // At most a few characters are not part of the number ("5e", "5-"); look at no more than 400.
    let longest = head.take(400).count();
    let value = (1..=longest).rev().find_map(numeric).unwrap_or(0.0);
    from_float(value.trunc()).unwrap_or(0)
}

/// The integer that a float without fraction stands for.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn from_float(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (-LIMIT..LIMIT).contains(&value).then_some(value as i64)
}

/// A float in PHP's notation (`serialize_precision = -1`), with `e` as the sign of the exponent.
///
/// The shortest digits that give the same float back, plain between 1.0e-4 and 1.0e+17; for INF and NAN
/// see the callers.
pub(super) fn float(value: f64, e: char) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or(0);
    if value == 0.0 || (-4..17).contains(&exponent) {
        return format!("{value}");
    }
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{dot}{e}{sign}{}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, value) in [
            ("3", 3),
            ("-5", -5),
            ("3.0", 3),
            ("3e2", 300),
            ("+7", 7),
            ("1.0E+3", 1000),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in ["", "x", "1.5", "1e300", "inf", "NaN", "1x", "0x10", "--1"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    /// What PHP 8.2 answers to `(int) $text`.
    #[test]
    fn casts_as_php_does() {
        for (text, value) in [
            ("60", 60),
            (" 60", 60),
            ("60 ", 60),
            ("60s", 60),
            ("1.9", 1),
            ("-1.9", -1),
            ("1e3", 1000),
            ("5e", 5),
            ("", 0),
            ("x", 0),
            ("null", 0),
            ("-", 0),
        ] {
            assert_eq!(cast(text), value, "{text}");
        }
    }

    /// What PHP 8.2 writes for these floats.
    #[test]
    fn floats_as_php_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (5.0, "5"),
            (0.1, "0.1"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1e17, "1.0E+17"),
            (12_345_678_901_234_567.0, "12345678901234568"),
            (0.0001, "0.0001"),
            (0.000_01, "1.0E-5"),
            (1.5e-5, "1.5E-5"),
            (1.2345e25, "1.2345E+25"),
            (5e-324, "5.0E-324"),
            (f64::MAX, "1.7976931348623157E+308"),
            (100_000.5, "100000.5"),
            (-1e-10, "-1.0E-10"),
        ] {
            assert_eq!(float(value, 'E'), text);
        }
    }
}
