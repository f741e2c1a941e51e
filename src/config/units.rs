//! Durations and lists as they are written in variables, flags and `worker.toml`. Pure.

use std::time::Duration;

/// The longest duration that can be set: one year.
const LONGEST_MS: u64 = 365 * 24 * 3600 * 1000;

/// Reads `60`, `0.5`, `500ms`, `90s`, `2m`, `1h` or `1d`; a bare number is seconds. `None` for anything else, and for
/// more than a year.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole_ms = whole.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    let fraction_ms = fraction.parse::<u64>().ok()?.checked_mul(unit_ms)? / scale;
    let total = whole_ms.checked_add(fraction_ms)?;
    (total <= LONGEST_MS).then(|| Duration::from_millis(total))
}

/// Writes a duration in seconds: `60 s`, `0.5 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// Writes a time limit: `60 s`, or `none`.
pub(super) fn limit(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "none".to_owned(), seconds)
}

/// Reads a time limit: a duration, of which 0 is none.
pub(super) fn read_limit(text: &str) -> Option<Option<Duration>> {
    duration(text).map(|limit| (!limit.is_zero()).then_some(limit))
}

/// Reads Laravel's backoff: whole seconds, or several separated by commas.
pub(super) fn backoff(text: &str) -> Option<Vec<u64>> {
    text.split(',')
        .map(|part| part.trim().parse().ok().filter(|s| *s <= LONGEST_MS / 1000))
        .collect()
}

/// Writes a backoff: `60, 300 s`, or nothing.
pub(super) fn show_backoff(backoff: &[u64]) -> String {
    if backoff.is_empty() {
        return "0 s".to_owned();
    }
    let parts: Vec<_> = backoff.iter().map(u64::to_string).collect();
    format!("{} s", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("60"), Some(60_000));
        assert_eq!(ms("0.5"), Some(500));
        assert_eq!(ms("1.5m"), Some(90_000));
        assert_eq!(ms("90s"), Some(90_000));
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("1h"), Some(3_600_000));
        assert_eq!(ms("365d"), Some(31_536_000_000));
        for bad in [
            "",
            "s",
            "12moons",
            "-1",
            "1.",
            ".5",
            "1.2.3",
            "1 s",
            "366d",
            "99999999999999999999",
            "1e3",
            "é",
        ] {
            assert_eq!(ms(bad), None, "{bad}");
        }
        assert_eq!(seconds(Duration::from_millis(500)), "0.5 s");
        assert_eq!(read_limit("0"), Some(None));
    }

    #[test]
    fn backoffs() {
        assert_eq!(backoff("60, 300,900"), Some(vec![60, 300, 900]));
        assert_eq!(backoff("60,"), None);
        assert_eq!(backoff("-1"), None);
        assert_eq!(show_backoff(&[60, 300]), "60, 300 s");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}", number in "[0-9.]{0,30}(ms|s|m|h|d)?") {
            drop((duration(&text), duration(&number), backoff(&text)));
        }
    }
}
