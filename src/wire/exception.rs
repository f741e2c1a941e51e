//! The text of `failed_jobs.exception`: what `(string) $exception` is in PHP.

use std::fmt;

/// A failure in the form of a PHP exception, so that lists and pages made for Laravel can show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    class: String,
    message: String,
    file: String,
    line: u32,
    trace: Vec<String>,
    previous: Option<Box<Self>>,
    text: Option<String>,
}

impl Exception {
    /// An exception of this class, thrown by the worker itself; see [`Exception::at`].
    #[must_use]
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            message: message.into(),
            file: "worker".to_owned(),
            line: 0,
            trace: Vec::new(),
            previous: None,
            text: None,
        }
    }

    /// An exception that PHP has written out itself: `text` is what `(string) $exception` was there.
    #[must_use]
    pub fn recorded(class: impl Into<String>, message: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::new(class, message)
        }
    }

    /// The job had no attempt or no time left when it was reserved.
    #[must_use]
    pub fn max_attempts_exceeded(job: &str) -> Self {
        Self::new(
            "Illuminate\\Queue\\MaxAttemptsExceededException",
            format!("{job} has been attempted too many times."),
        )
    }

    /// The job ran longer than its timeout.
    #[must_use]
    pub fn timeout_exceeded(job: &str) -> Self {
        Self::new(
            "Illuminate\\Queue\\TimeoutExceededException",
            format!("{job} has timed out."),
        )
    }

    /// The job failed itself without saying why.
    #[must_use]
    pub fn manually_failed() -> Self {
        Self::new("Illuminate\\Queue\\ManuallyFailedException", "")
    }

    /// Says where it was thrown; without it, in `worker:0`.
    #[must_use]
    pub fn at(self, file: impl Into<String>, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
            ..self
        }
    }

    /// Adds one call to the trace, innermost first.
    #[must_use]
    pub fn called_from(mut self, frame: impl Into<String>) -> Self {
        self.trace.push(frame.into());
        self
    }

    /// Names its cause.
    #[must_use]
    pub fn caused_by(self, previous: Self) -> Self {
        Self {
            previous: Some(Box::new(previous)),
            ..self
        }
    }

    /// The PHP class.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The message alone.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    fn fmt_one(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.class)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        write!(f, " in {}:{}\nStack trace:\n", self.file, self.line)?;
        for (index, frame) in self.trace.iter().enumerate() {
            writeln!(f, "#{index} {frame}")?;
        }
        write!(f, "#{} {{main}}", self.trace.len())
    }
}

/// As PHP writes it: the first cause first, each later one after `Next`.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        let mut chain = vec![self];
        while let Some(previous) = chain.last().and_then(|last| last.previous.as_deref()) {
            chain.push(previous);
        }
        for (index, exception) in chain.into_iter().rev().enumerate() {
            if index > 0 {
                f.write_str("\n\nNext ")?;
            }
            exception.fmt_one(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with PHP 8.2's `(string) new Exception("", 0, new LogicException("in"))`.
    #[test]
    fn has_the_shape_of_php() {
        let inner = Exception::new("LogicException", "in").at("/tmp/f.php", 4);
        let outer = Exception::new("Exception", "")
            .at("/tmp/f.php", 4)
            .called_from("/a.php(7): f()");
        assert_eq!(
            outer.caused_by(inner).to_string(),
            concat!(
                "LogicException: in in /tmp/f.php:4\nStack trace:\n#0 {main}\n\n",
                "Next Exception in /tmp/f.php:4\nStack trace:\n#0 /a.php(7): f()\n#1 {main}"
            )
        );
    }
}
