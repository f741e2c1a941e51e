//! A text for bytes that are none, so that a failed job's payload survives in a text column.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The wrapper. Its one key is ours: no framework writes it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapper<'a> {
    #[serde(rename = "worker:base64")]
    bytes: &'a str,
}

/// Wraps bytes as `{"worker:base64":"…"}`.
#[must_use]
pub fn wrap(bytes: &[u8]) -> String {
    // Neither the key nor base64 holds anything to be escaped.
    serde_json::to_string(&Wrapper {
        bytes: &STANDARD.encode(bytes),
    })
    .unwrap_or_default()
}

/// The exact bytes given to [`wrap`]; `None` for any other text.
#[must_use]
pub fn unwrap(text: &str) -> Option<Vec<u8>> {
    let wrapper: Wrapper<'_> = serde_json::from_str(text).ok()?;
    STANDARD.decode(wrapper.bytes).ok()
}

/// The text to store for these bytes: themselves where a text column keeps them as they are, else
/// wrapped. PostgreSQL's text cannot hold NUL.
#[must_use]
pub fn to_text(bytes: &[u8], nul: Nul) -> String {
    match std::str::from_utf8(bytes) {
        // A text that looks like a wrapper is wrapped too, or it would come back as something else.
        Ok(text) if (nul == Nul::Fits || !text.contains('\0')) && unwrap(text).is_none() => text.to_owned(),
        _ => wrap(bytes),
    }
}

/// The bytes that a text from [`to_text`] stands for.
#[must_use]
pub fn from_text(text: &str) -> Vec<u8> {
    unwrap(text).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Whether a store's text columns can hold NUL characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nul {
    /// They can: SQLite, MySQL, MariaDB, Redis.
    Fits,
    /// They cannot: PostgreSQL.
    Refused,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_its_own() {
        assert_eq!(wrap(b"\xff\0"), "{\"worker:base64\":\"/wA=\"}");
        assert_eq!(unwrap("{\"worker:base64\":\"/wA=\"}").unwrap(), b"\xff\0");
        for other in [
            "",
            "{}",
            "{\"worker:base64\":\"%\"}",
            "{\"worker:base64\":\"\",\"job\":\"x\"}",
            "\"/wA=\"",
        ] {
            assert_eq!(unwrap(other), None, "{other}");
        }
        assert_eq!(to_text(b"{\"job\":1}", Nul::Refused), "{\"job\":1}");
        assert_eq!(to_text(b"a\0", Nul::Fits), "a\0");
        assert_ne!(to_text(b"a\0", Nul::Refused), "a\0");
    }

    proptest! {
        #[test]
        fn comes_back(bytes in prop::collection::vec(any::<u8>(), 0..40), wraps in 0..3_usize) {
            prop_assert_eq!(unwrap(&wrap(&bytes)).unwrap(), bytes.clone());
            let bytes = (0..wraps).fold(bytes, |bytes, _| wrap(&bytes).into_bytes());
            for nul in [Nul::Fits, Nul::Refused] {
                prop_assert_eq!(from_text(&to_text(&bytes, nul)), bytes.clone());
            }
        }
    }
}
