//! What is wrong, or odd, with the settings.

use std::fmt;

/// One wrong setting. It says where the value stands, never the value, which could be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, the key of `worker.toml`, or the file.
    pub name: String,
    /// Where its value was found, such as `environment` or `.env, line 3`; empty if it was nowhere.
    pub place: String,
    /// What is wrong with it: goes on after the name, such as `is not a duration`.
    pub what: String,
    /// What is allowed, with units; may be empty.
    pub allowed: String,
}

impl Problem {
    /// A problem with `name` that belongs to no place.
    pub fn new(name: impl Into<String>, what: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            place: String::new(),
            what: what.into(),
            allowed: allowed.into(),
        }
    }

    pub(super) fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = place.to_string();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.place.is_empty() {
            write!(f, " ({})", self.place)?;
        }
        write!(f, " {}", self.what)?;
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
    /// One problem per line, after a line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "invalid configuration, {} problem{plural}:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Something legal that may surprise: said once at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The variable it is about.
    pub name: String,
    /// What happens: goes on after the name.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_place_form_and_what_is_allowed() {
        let lease = Problem::new("WORKER_LEASE", "is not a duration", "seconds such as 60").at("environment");
        let problems = Problems(vec![lease, Problem::new("DB_CONNECTION", "is not set", "")]);
        assert_eq!(
            problems.to_string(),
            "invalid configuration, 2 problems:\n  WORKER_LEASE (environment) is not a duration; allowed: seconds \
             such as 60\n  DB_CONNECTION is not set"
        );
    }
}
