//! What can go wrong in a store, by what the caller can do about it.

use std::fmt;

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The store is busy or momentarily unable: the same call may succeed later. Nothing was changed.
    Transient,
    /// The connection went away or did not answer in time. The call may or may not have been executed.
    Lost,
    /// Someone else holds what the call wanted (a lock, a row). Nothing was changed.
    Conflict,
    /// What the store holds cannot be understood.
    Corrupt,
    /// The store understood and refused: a missing table, a missing right, a wrong password. Waiting does
    /// not help until a person acts, but the call may be repeated without harm.
    Refused,
}

/// A verb of a port that failed. Displays as a fragment that fits "failed to …" and names the thing;
/// carries no payload and no credentials.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    action: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// An error of `kind` met while doing `action`, such as `reserve from queue "mail"`.
    pub fn new(
        kind: Kind,
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            action: action.into(),
            source: source.into(),
        }
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the call may have been executed although it failed.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.kind == Kind::Lost
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}
