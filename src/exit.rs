//! Exit codes: part of the contract with init systems and scripts.

use std::fmt;
use std::process::ExitCode;

/// Why the process ended, as its caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Stopped as asked, or done.
    Done,
    /// An unexpected error; a second signal forced the end; `doctor` found errors; `forget` or `retry-batch` found
    /// nothing; `clear` was refused; `monitor --fail` alerts; `move` was stopped, or a job may run on both sides.
    Error,
    /// The memory limit was reached (the number is Laravel's).
    Memory,
    /// The input of `inspect` or `dispatch --raw` cannot be read, or a payload that `move` met.
    Unreadable,
    /// A store was not reachable within the start-up limit.
    Unreachable,
    /// The configuration is invalid.
    Config,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Memory => 12,
            Self::Unreadable => 65,
            Self::Unreachable => 69,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that knows its exit code. Attached to an `anyhow` error by whoever meets it.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What the person reads.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
