//! Failed jobs: the dead letters of the field, Laravel's `failed_jobs`.

use std::fmt;

use bytes::Bytes;

use super::queue::{NewJob, QueueName};
use crate::store::Error;

/// A failure to be recorded, idempotent by `uuid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedJob {
    /// The payload's uuid, or one derived from where the job lay when it has none.
    pub uuid: String,
    /// The connection's name, as in the application's `config/queue.php`.
    pub connection: String,
    /// The queue it failed on.
    pub queue: QueueName,
    /// The payload as it lay in the queue before the last attempt was counted.
    pub payload: Bytes,
    /// The exception as PHP would print it.
    pub exception: String,
}

/// One row of `failed_jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// The table's own number.
    pub id: i64,
    /// The uuid; `None` for rows that a `database` failer wrote without one.
    pub uuid: Option<String>,
    /// The connection's name.
    pub connection: String,
    /// The queue it failed on.
    pub queue: QueueName,
    /// The payload column, unwrapped to the exact bytes when they were kept in a wrapper.
    pub payload: Bytes,
    /// The exception column.
    pub exception: String,
    /// When it failed, as the database writes it, such as `2026-11-23 14:46:47`, in the application's time zone.
    pub failed_at: String,
}

/// How a person names a failure: by uuid or by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedId {
    /// The payload's uuid.
    Uuid(String),
    /// The table's own number.
    Number(i64),
}

impl fmt::Display for FailedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => f.write_str(uuid),
            Self::Number(id) => write!(f, "{id}"),
        }
    }
}

/// Which failures are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedFilter {
    /// All of them.
    All,
    /// Those of one queue.
    Queue(QueueName),
    /// Those with a number in this range, both ends included.
    Range(i64, i64),
    /// This one.
    Id(FailedId),
}

/// A failed row and the job that it becomes again.
#[derive(Debug, Clone)]
pub struct Retry {
    /// The row's number in `failed_jobs`.
    pub id: i64,
    /// The job to push.
    pub job: NewJob,
}

/// What became of a [`Retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// The job is back on its queue and the row is gone.
    Pushed,
    /// The row was gone already: someone else retried or forgot it. Nothing was pushed.
    Gone,
}

/// Where failures are kept.
#[async_trait::async_trait]
pub trait FailedJobs: Send + Sync + fmt::Debug {
    /// Writes failures; a uuid that is there already has its row updated. Empties are never written: the
    /// uuid is always set.
    ///
    /// # Errors
    /// When the store cannot be asked or refuses (no table, full disk). Repeating the call is safe.
    async fn record(&self, failures: &[FailedJob]) -> Result<(), Error>;

    /// The rows that match, newest first, at most `limit`, payloads included.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn list(&self, filter: &FailedFilter, limit: u32) -> Result<Vec<FailedRow>, Error>;

    /// Pushes a job and removes its row in one transaction, when the queue's table lives in this same
    /// database; `None` when it does not, and nothing was done.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn retry(&self, retry: &Retry) -> Result<Option<Retried>, Error>;

    /// Removes the matching rows; returns how many.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn forget(&self, filter: &FailedFilter) -> Result<u64, Error>;

    /// Removes rows older than `hours` (zero: all), in bounded batches; returns how many.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn flush(&self, hours: u32) -> Result<u64, Error>;

    /// Removes rows strictly older than `hours`, in bounded batches, as `queue:prune-failed` does; returns how
    /// many, or `None` when failures are kept nowhere.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn prune(&self, hours: u32) -> Result<Option<u64>, Error>;
}
