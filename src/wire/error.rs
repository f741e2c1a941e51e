//! What can be wrong with bytes from outside.

use std::fmt::Display;

use serde::de::{Expected, Unexpected};

/// Why some bytes could not be read or written.
///
/// Messages are lower-case fragments that fit "failed to …". They name offsets and members, never the
/// contents of a payload; only [`Error::Field`] may carry words of a job's own `Deserialize` code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not the JSON that PHP's `json_decode` would accept.
    #[error("read JSON at byte {offset}: {reason}")]
    Json {
        /// Bytes from the start of the text.
        offset: usize,
        /// What was expected there.
        reason: &'static str,
    },
    /// A member of the payload is missing or of the wrong type.
    #[error("read member `{member}` at byte {offset}: {reason}")]
    Member {
        /// Its name; `data.command` for one inside `data`.
        member: &'static str,
        /// Where its value begins, in bytes; the end of the text when the member is missing.
        offset: usize,
        /// What was expected of it.
        reason: &'static str,
    },
    /// The text is not a PHP-serialized value within our limits.
    #[error("read PHP value at byte {offset} of its text: {reason}")]
    Php {
        /// Bytes from the start of the serialized text (not of the payload around it).
        offset: usize,
        /// What was expected there.
        reason: &'static str,
    },
    /// A PHP value does not fit the Rust type, or JSON does not fit a PHP value.
    #[error("convert PHP value: {0}")]
    Field(String),
    /// An encryption key or cipher name cannot be used.
    #[error("use encryption key: {0}")]
    Key(&'static str),
    /// An encrypted text could not be opened with the keys at hand.
    #[error("decrypt: {0}")]
    Decrypt(&'static str),
}

impl Error {
    /// The byte offset of the fault, where there is one. See the variants for what it counts from.
    #[must_use]
    pub const fn offset(&self) -> Option<usize> {
        match self {
            Self::Json { offset, .. } | Self::Member { offset, .. } | Self::Php { offset, .. } => {
                Some(*offset)
            }
            Self::Field(_) | Self::Key(_) | Self::Decrypt(_) => None,
        }
    }

    pub(super) const fn json(offset: usize, reason: &'static str) -> Self {
        Self::Json { offset, reason }
    }

    pub(super) const fn php(offset: usize, reason: &'static str) -> Self {
        Self::Php { offset, reason }
    }

    /// Words for a value of an unexpected kind, without the value itself.
    fn kind(found: Unexpected<'_>) -> &'static str {
        match found {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
            Unexpected::Float(_) => "a float",
            Unexpected::Char(_) | Unexpected::Str(_) => "a string",
            Unexpected::Bytes(_) => "a string that is not UTF-8",
            Unexpected::Unit | Unexpected::Option => "null",
            Unexpected::Seq => "a list",
            Unexpected::Map => "an array with keys or an object",
            Unexpected::NewtypeStruct
            | Unexpected::Enum
            | Unexpected::UnitVariant
            | Unexpected::NewtypeVariant
            | Unexpected::TupleVariant
            | Unexpected::StructVariant
            | Unexpected::Other(_) => "something else",
        }
    }
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::Field(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Field(format!("expected {expected}, found {}", Self::kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Field(format!(
            "expected {expected}, found {} of another value",
            Self::kind(found)
        ))
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Field(format!(
            "unknown variant, expected one of {}",
            expected.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::Error as _;

    use super::*;

    #[test]
    fn serde_messages_do_not_quote_values() {
        let found = Unexpected::Str("secret");
        for error in [
            Error::invalid_type(found, &"an integer"),
            Error::invalid_value(found, &"an integer"),
            Error::unknown_variant("secret", &["a", "b"]),
        ] {
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
