//! One thing that is wrong, or will be.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Jobs are lost, run twice, or do not run. The exit code is 1.
    Error,
    /// It will hurt under conditions that do occur.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its stable name, for machines.
    pub code: &'static str,
    /// How bad it can be, the usual severity first.
    pub severities: &'static [Severity],
    /// What it finds, in a few words.
    pub finds: &'static str,
    /// Why that hurts.
    pub why: &'static str,
}

/// One thing that is wrong, or will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of its kind.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a variable, a server, a table, a queue.
    pub subject: String,
    /// What is wrong with it: goes on after the subject.
    pub what: String,
    /// Why that hurts.
    pub why: String,
    /// What to type, or to change.
    pub fix: String,
}

impl Check {
    /// A finding of this kind.
    pub(super) fn found(
        &self,
        subject: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding {
            code: self.code,
            severity: self.severities.first().copied().unwrap_or(Severity::Error),
            subject: subject.into(),
            what: what.into(),
            why: self.why.to_owned(),
            fix: fix.into(),
        }
    }
}

impl Finding {
    /// The same, as bad as this.
    pub(super) fn at(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
}
