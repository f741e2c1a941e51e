//! Who runs a job: code in this process today, PHP beside it later.
//!
//! A runner takes a payload and says whether it can run it. This room knows nothing of queues or stores.

use std::fmt;

use futures_util::future::BoxFuture;
use worker_jobs::Attempt;

use crate::wire::Payload;

pub mod native;

/// How a run ended, as far as the runner can tell.
#[derive(Debug)]
pub enum Ended {
    /// The job came to an end of its own.
    As(worker_jobs::Outcome),
    /// It ended in an error.
    Error(worker_jobs::JobError),
}

/// Why a runner does not take a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No runner knows this class.
    Unknown {
        /// The class, or the handler of a string job.
        class: String,
    },
    /// The class is known, but the job carries what only the framework can finish.
    NeedsFramework {
        /// The class.
        class: String,
        /// What it carries: a chain, a batch, a lock.
        what: &'static str,
    },
    /// The command cannot be read, or does not fit the job.
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

/// A job that is ready to run.
pub trait Work: Send + Sync {
    /// Runs it. Dropping the future stops it at its next await.
    fn run(&self) -> BoxFuture<'_, Ended>;

    /// Tells it that it has failed for good.
    fn failed<'a>(&'a self, error: &'a str) -> BoxFuture<'a, ()>;
}

/// Runs jobs of the classes that it knows.
pub trait Runner: Send + Sync + fmt::Debug {
    /// Makes a job ready to run.
    ///
    /// # Errors
    /// When this runner does not take it.
    fn prepare(&self, payload: &Payload, attempt: Attempt) -> Result<Box<dyn Work>, Refusal>;
}
