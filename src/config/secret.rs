//! Text that must not appear in logs, errors or on the terminal.

use std::fmt;

/// A password or key: neither its `Debug` nor its `Display` form shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// What is shown in the place of a secret.
pub(crate) const MASK: &str = "********";

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, not copied. For the call that hands it to a driver, and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_form_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "******** ******** Some(********)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }
}
