//! The contract between a job and whoever runs it.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::context::JobContext;
use crate::resources::FromResources;

/// A unit of work that answers to a PHP class.
///
/// Running is at least once: a worker that dies mid-way leaves the job to another, so `handle` must bear
/// being run again.
pub trait Job: DeserializeOwned + Send + Sync + 'static {
    /// The PHP class whose payloads this job takes, without a leading backslash.
    const CLASS: &'static str;

    /// Other names that it goes by: those of queues, or of job types, that Rust producers write. Compared
    /// without case, as the class.
    const NAMES: &'static [&'static str] = &[];

    /// What the job needs of the outside world; `()` for nothing. Checked when the worker starts.
    type Resources: FromResources;

    /// Does the work.
    ///
    /// The future is dropped a moment after the job's time limit, or when the worker loses the job to
    /// another; code that never awaits cannot be stopped, so long computations belong into
    /// `tokio::task::spawn_blocking` with a look at [`JobContext::cancellation`].
    ///
    /// # Errors
    /// An error is retried as the payload's tries and backoff say.
    fn handle(
        &self,
        job: &JobContext<Self::Resources>,
    ) -> impl Future<Output = Result<Outcome, JobError>> + Send;

    /// Called once the job has failed for good, before the failure is recorded. Has thirty seconds. After a
    /// crash it may be called a second time.
    fn failed(&self, job: &JobContext<Self::Resources>, error: &str) -> impl Future<Output = ()> + Send {
        let _ = (job, error);
        std::future::ready(())
    }
}

/// How an attempt ended when it did not end in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done.
    Done,
    /// Try again later. The attempt stays counted, as with Laravel's `release`.
    Release {
        /// Time until the job is available again.
        after: Duration,
    },
    /// Give up at once, whatever tries are left, as with Laravel's `fail`.
    Fail {
        /// Why, for the person who reads the failed job.
        reason: String,
    },
}

/// An error of a job: what happened, with its causes. Any error type converts with `?`.
///
/// Its text ends in the failed job's record and in the log: keep credentials and personal data out of it.
pub struct JobError {
    source: Box<dyn std::error::Error + Send + Sync>,
    retry_after: Option<Duration>,
}

impl JobError {
    /// An error that is only a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            source: message.into().into(),
            retry_after: None,
        }
    }

    /// Asks that the next attempt, if there is one, comes after this time instead of the payload's backoff:
    /// what a service said with `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// The wait that was asked for.
    #[must_use]
    pub fn wanted_delay(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self {
            source: Box::new(error),
            retry_after: None,
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}
