//! What is wrong, or odd, with the settings.

use std::fmt;

/// One wrong setting. Never holds the value, which could be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, flag or key of `worker.toml`.
    pub name: String,
    /// What is wrong with it, a lower-case fragment.
    pub what: String,
    /// What is allowed; may be empty.
    pub allowed: String,
}

impl Problem {
    /// A problem with `name`.
    pub fn new(name: impl Into<String>, what: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)?;
        if self.allowed.is_empty() {
            Ok(())
        } else {
            write!(f, "; allowed: {}", self.allowed)
        }
    }
}

impl std::error::Error for Problem {}

/// All wrong settings of one start, never empty. The process exits with 78.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid configuration:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Something legal that will surprise: said once at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The variable it is about.
    pub name: String,
    /// What happens, a lower-case fragment.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)
    }
}
