//! Who runs a job: code in this process, or PHP beside it.
//!
//! A runner takes a payload and says whether it can run it. This room knows nothing of queues or stores.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use worker_jobs::Attempt;

use crate::wire::{Exception, Payload};

pub mod native;
pub mod php;
pub mod router;
pub mod seats;

use self::seats::Seats;

/// How long a job's `failed` may take, in general.
const FAILED_LIMIT: Duration = Duration::from_secs(30);

/// How a run ended, as far as the runner can tell.
#[derive(Debug)]
pub enum Ended {
    /// The job came to an end of its own.
    As(worker_jobs::Outcome),
    /// It ended in an error.
    Error(worker_jobs::JobError),
    /// The framework ran it and has applied tries, backoff and limits by itself.
    Decided(Decided),
    /// The process that ran it ended before the job did.
    Died(Exception),
}

/// What the framework decided on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It is done.
    Deleted,
    /// It is tried again after this time.
    Released {
        /// Time until it is available again.
        after: Duration,
        /// What was thrown, if that is why.
        exception: Option<Exception>,
    },
    /// It has failed for good, and was told so.
    Failed {
        /// Why.
        exception: Exception,
    },
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
    /// The job is for PHP, and PHP cannot run at present.
    NoPhp {
        /// The class.
        class: String,
    },
    /// The job is for PHP, and no process has come free for it.
    Busy,
    /// The command cannot be read, or does not fit the job.
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

/// A job that is to be run.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its payload.
    pub payload: &'a Payload,
    /// This run of it.
    pub attempt: Attempt,
    /// The connection that it came from.
    pub connection: &'a str,
    /// The number of its row, where jobs are rows.
    pub row: Option<i64>,
    /// How many tries it has where its payload says nothing.
    pub tries: u32,
    /// Waits before the next attempt, in seconds, where its payload says nothing.
    pub backoff: &'a [u64],
    /// How long this run may take.
    pub limit: Option<Duration>,
}

/// A job that is ready to run.
pub trait Work: Send + Sync {
    /// Whether the framework runs it in a process of its own: it then needs a seat, and its tries and
    /// backoff are applied there.
    fn is_in_framework(&self) -> bool {
        false
    }

    /// Waits until the job can begin, no longer than this; its time limit starts then. Cancellation safe.
    ///
    /// # Errors
    /// When it cannot begin.
    fn ready(&self, _patience: Duration) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Runs it. Dropping the future stops it at its next await; a process is killed.
    fn run(&self) -> BoxFuture<'_, Ended>;

    /// Tells it that it has failed for good.
    fn failed<'a>(&'a self, exception: &'a Exception) -> BoxFuture<'a, ()>;

    /// How long [`Work::failed`] may take.
    fn failed_limit(&self) -> Duration {
        FAILED_LIMIT
    }
}

/// Runs jobs of the classes that it knows.
pub trait Runner: Send + Sync + fmt::Debug {
    /// Makes a job ready to run.
    ///
    /// # Errors
    /// When this runner does not take it.
    fn prepare(&self, request: Request<'_>) -> Result<Box<dyn Work>, Refusal>;

    /// The seats that jobs in the framework share; `None` when nothing runs there.
    fn seats(&self) -> Option<&Arc<Seats>> {
        None
    }
}
