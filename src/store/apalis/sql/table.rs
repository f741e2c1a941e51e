//! The seam between what both SQL layouts share and what each engine does in its own way.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use crate::store::Error;
use crate::store::port::{AsideEnd, Depth, QueueName, Waiting};
use crate::wire::task::Task;

/// What is done when a table is looked for.
pub(super) const REACH: &str = "reach apalis' tables";

/// A request for tasks of one queue.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) queue: QueueName,
    pub(super) worker: String,
    pub(super) max: i64,
    /// Bytes of data at most, save for the first task.
    pub(super) max_bytes: i64,
    pub(super) lease_s: f64,
}

/// A task that was claimed, with the attempts that ended before.
#[derive(Debug)]
pub(super) struct TaskRow {
    pub(super) task: Task,
    pub(super) attempts: i32,
}

/// How a held task is told from all others, and from itself in other hands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hold {
    pub(super) id: String,
    pub(super) worker: String,
    pub(super) attempts: i32,
}

/// What becomes of a held task.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It is done.
    Done,
    /// It has failed for good: with its attempts used up `Failed`, else `Killed`, which no stock worker takes
    /// up again. With what is said of it, as JSON.
    Failed(String),
    /// It is free again.
    Free {
        /// Whether its attempt counts.
        counted: bool,
        /// Seconds until it is available; `None` leaves it at its place.
        delay_s: Option<f64>,
    },
}

/// A task to be added.
#[derive(Debug)]
pub(super) struct NewTask {
    pub(super) queue: QueueName,
    pub(super) task: Task,
    pub(super) delay_s: f64,
    /// Written as the key against doubles.
    pub(super) marker: Option<String>,
    pub(super) attempts: u32,
}

/// A request to set tasks of one queue aside.
#[derive(Debug)]
pub(super) struct AsideAsk {
    pub(super) queue: QueueName,
    /// The name under which tasks of the queue are set aside.
    pub(super) worker: String,
    pub(super) which: Waiting,
    pub(super) max: i64,
    /// Bytes of data at most, save for the first task.
    pub(super) max_bytes: i64,
    pub(super) hold_s: f64,
}

/// A task that was set aside.
#[derive(Debug)]
pub(super) struct AsideRow {
    pub(super) row: TaskRow,
    /// Seconds until it is due, rounded up; none or less when it is available.
    pub(super) delay_s: i64,
}

/// What the table says of a queue.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) queue: QueueName,
    /// Time until it has something to give, if that is known and within a second.
    pub(super) after: Option<Duration>,
}

/// One engine's tables of tasks and workers. Times are the database's. Dropping a returned future leaves the
/// tables consistent.
#[async_trait::async_trait]
pub(super) trait Table: Send + Sync + fmt::Debug {
    /// Takes due tasks, by priority, time and id: those that wait, and those that failed on a stock worker
    /// and have attempts left.
    async fn claim(&self, claim: &Claim) -> Result<Vec<TaskRow>, Error>;

    /// Moves the ends of leases that are still ours, never back; the ids of those.
    async fn renew(&self, holds: &[&Hold], lease_s: f64) -> Result<HashSet<String>, Error>;

    /// Carries out what becomes of tasks that are still ours; the ids of those. No id occurs twice.
    async fn settle(&self, batch: &[(&Hold, &Fate)]) -> Result<HashSet<String>, Error>;

    /// Adds tasks, all or none, in order; says of each whether its marker was new.
    async fn push(&self, tasks: &[NewTask]) -> Result<Vec<bool>, Error>;

    /// Forgets markers, of this queue or of any.
    async fn unmark(&self, queue: Option<&QueueName>, markers: &[String]) -> Result<(), Error>;

    /// Sets tasks aside: `Queued` under a name of ours that no worker has, until `lock_at`.
    async fn set_aside(&self, ask: &AsideAsk) -> Result<Vec<AsideRow>, Error>;

    /// Ends that for tasks that still are; the ids of those.
    async fn end_aside(&self, worker: &str, ids: &[String], end: AsideEnd) -> Result<HashSet<String>, Error>;

    /// Makes the worker of a queue known, and gives back some of what workers held that are silent for longer
    /// than the stock settings allow; how many. Rows of dead workers of ours go.
    async fn beat(&self, worker: &str, queue: &QueueName) -> Result<u64, Error>;

    /// Gives back some of what workers of ours hold past their leases.
    async fn lapse(&self, queue: &QueueName) -> Result<(), Error>;

    /// Which of the queues have something to give, now or within a second.
    async fn ready(&self, queues: &[QueueName]) -> Result<Vec<Ready>, Error>;

    /// Returns when something may have come, or when this is to be asked anew anyway. Cancellation safe.
    async fn news(&self);

    /// Counts the tasks of a queue that are not ended.
    async fn depth(&self, queue: &QueueName) -> Result<Depth, Error>;

    /// The queues with tasks that are not ended, sorted by bytes.
    async fn queues(&self) -> Result<Vec<QueueName>, Error>;

    /// Deletes up to `limit` tasks that are not ended; how many.
    async fn clear(&self, queue: &QueueName, limit: i64) -> Result<u64, Error>;

    /// Reads something from the table of tasks; what the database says when it is not there, or is another of
    /// its name.
    async fn ping(&self) -> Result<Option<String>, Error>;

    /// The name of the table of tasks.
    fn name(&self) -> &'static str;
}
