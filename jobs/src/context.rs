//! What a job knows of its own run.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::dispatch::{Dispatch, DispatchError, Dispatcher};

/// How often the log hears of one job's progress, at most.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What a job last said of its progress: per cent done, and a word on what it is doing.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    last: Option<(u8, String)>,
    logged: Option<Instant>,
}

impl Progress {
    /// The last thing said, if any.
    #[must_use]
    pub fn get(&self) -> Option<(u8, String)> {
        self.said().last.clone()
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it for who asks, and logs it unless the log heard of this job a moment ago.
    fn set(&self, percent: u8, what: &str) {
        let percent = percent.min(100);
        let mut said = self.said();
        said.last = Some((percent, what.to_owned()));
        if said.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            said.logged = Some(Instant::now());
            drop(said);
            tracing::info!(progress_percent = percent, "Progress {percent} %: {what}");
        }
    }
}

/// One run of one job, as the worker describes it.
#[derive(Clone)]
pub struct Attempt {
    /// The payload's uuid.
    pub uuid: String,
    /// The number of this run: 1 on the first.
    pub number: u32,
    /// The queue it came from.
    pub queue: String,
    /// When the attempt will be stopped; `None` without a time limit.
    pub deadline: Option<Instant>,
    /// Cancelled when the attempt should end: out of time, lost to another worker, or the worker stops.
    pub cancellation: CancellationToken,
    /// Where progress is written.
    pub progress: Progress,
    /// How further jobs are dispatched.
    pub dispatcher: Arc<dyn Dispatcher>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("uuid", &self.uuid)
            .field("number", &self.number)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// A run of a job together with the resources that the job declared.
#[derive(Debug)]
pub struct JobContext<R> {
    attempt: Attempt,
    resources: R,
}

impl<R> JobContext<R> {
    /// Puts an attempt and its resources together. The worker does this; tests of jobs may.
    pub fn new(attempt: Attempt, resources: R) -> Self {
        Self { attempt, resources }
    }

    /// The payload's uuid: the same on every attempt, and a good idempotency key.
    pub fn uuid(&self) -> &str {
        &self.attempt.uuid
    }

    /// The number of this run: 1 on the first.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// The queue the job came from.
    pub fn queue(&self) -> &str {
        &self.attempt.queue
    }

    /// When the attempt will be stopped; `None` without a time limit.
    pub fn deadline(&self) -> Option<Instant> {
        self.attempt.deadline
    }

    /// Cancelled when the attempt should end.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.attempt.cancellation
    }

    /// What the job declared to need.
    pub fn resources(&self) -> &R {
        &self.resources
    }

    /// Says how far the job is, in per cent (0 to 100), and what it is doing. Shown by `worker status`, and
    /// logged at most once a second: keep personal data out of it.
    pub fn progress(&self, percent: u8, what: &str) {
        self.attempt.progress.set(percent, what);
    }

    /// Pushes a further job; returns its uuid. It is on its queue when this returns, also when the present
    /// job fails later.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn dispatch(&self, dispatch: Dispatch) -> Result<String, DispatchError> {
        let mut uuids = self.dispatch_all(vec![dispatch]).await?;
        Ok(uuids.pop().unwrap_or_default())
    }

    /// Pushes further jobs in one step, in order: all of them or none. Returns their uuids.
    ///
    /// # Errors
    /// When the store does not take them.
    pub async fn dispatch_all(&self, dispatches: Vec<Dispatch>) -> Result<Vec<String>, DispatchError> {
        self.attempt.dispatcher.dispatch(dispatches).await
    }
}
