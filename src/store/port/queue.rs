//! The queue: reserve, renew, settle, push, wait, and what an operator asks of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::aside::{Aside, AsideEnd, OnceJob, Waiting};
use super::failed::FailedJob;
use crate::store::Error;

/// The name of a queue as the application says it (`einvoice`), without prefix or braces.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// A queue's name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Proof of one reservation. Opaque: only the driver that made it reads it.
///
/// A receipt stays valid while its reservation is held, however often the lease is renewed.
#[derive(Clone)]
pub struct Receipt(Arc<dyn Any + Send + Sync>);

impl Receipt {
    /// Wraps what a driver needs to find its reservation again.
    pub fn new(inner: impl Any + Send + Sync) -> Self {
        Self(Arc::new(inner))
    }

    /// What the driver put in, or `None` when another driver made this receipt.
    #[must_use]
    pub fn read<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// A job taken from a queue and held under a lease.
#[derive(Debug, Clone)]
pub struct Reserved {
    /// The queue it was taken from.
    pub queue: QueueName,
    /// The payload as it lay in the queue, byte for byte, before this attempt was counted.
    pub payload: Bytes,
    /// The number of this attempt: 1 on the first run. A payload that cannot be read counts as 1.
    pub attempts: u32,
    /// The number of its row, where jobs are rows.
    pub row: Option<i64>,
    /// Proof of the reservation.
    pub receipt: Receipt,
}

/// Whether a receipt was still good when the store looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    /// The reservation was ours and the verb was carried out.
    Yes,
    /// The reservation had lapsed, or someone else holds the job now. Nothing was touched.
    Lost,
}

/// What happens to a reserved job.
#[derive(Debug, Clone)]
pub enum Settle {
    /// It is done: remove it.
    Delete,
    /// Give it back, available again after `delay`; its attempt stays counted.
    Release {
        /// Time until it is available again; zero means at once.
        delay: Duration,
    },
    /// Give it back as it was before it was reserved, its attempt not counted. Without a delay it goes to
    /// the head of its queue.
    Refund {
        /// Time until it is available again.
        delay: Option<Duration>,
    },
    /// Record the failure, then remove the job. Only for a store whose [`Queue::records_failures`] says
    /// yes; there both happen in one transaction.
    Fail(Box<FailedJob>),
    /// It has failed for good, and that is recorded already: end it. A store that keeps ended jobs marks it
    /// as failed, any other removes it.
    Failed(Box<FailedJob>),
}

/// One reservation and what becomes of it.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The queue the job was reserved from.
    pub queue: QueueName,
    /// Proof of the reservation.
    pub receipt: Receipt,
    /// What becomes of it.
    pub settle: Settle,
}

/// A job to be put on a queue.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The queue it goes to.
    pub queue: QueueName,
    /// The payload text, complete for this store (see [`Queue::carries_attempts`]).
    pub payload: Bytes,
    /// `None`: available at once, at the tail. `Some`: after this delay, as Laravel's `later`, zero included.
    pub delay: Option<Duration>,
}

/// How many jobs a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The queue.
    pub queue: QueueName,
    /// Jobs available now.
    pub pending: u64,
    /// Jobs whose time has not come.
    pub delayed: u64,
    /// Jobs being worked, by anyone.
    pub reserved: u64,
    /// Age in seconds of the oldest available job, when the store or its payload tells.
    pub oldest_s: Option<u64>,
}

/// A connection in Laravel's sense: an engine that keeps queues of jobs.
///
/// Every verb is batch-first, since a round trip is the unit of cost. Leases, due times and delays are
/// computed with the store's clock. Errors say by their kind whether the call may have been executed.
/// All verbs may be called from many tasks at once; dropping a returned future leaves the store consistent.
#[async_trait::async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Takes up to `max` available jobs, from the first of `queues` first, and holds them for `lease`.
    ///
    /// Delayed jobs that are due and reservations that have lapsed become available first, in bounded
    /// batches. Counts the attempt. A batch ends early when its payloads are large together. Returns an
    /// empty list when nothing is available.
    ///
    /// # Errors
    /// When the store cannot be asked; after [`Kind::Lost`](crate::store::Kind::Lost) jobs may have been
    /// reserved, and come back by themselves when the lease ends.
    async fn reserve(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Vec<Reserved>, Error>;

    /// Extends each reservation to end `lease` from now; one answer per receipt, in order.
    ///
    /// # Errors
    /// When the store cannot be asked; repeating the call is safe.
    async fn renew(&self, receipts: &[(QueueName, Receipt)], lease: Duration) -> Result<Vec<Held>, Error>;

    /// Writes what becomes of each reservation; one answer per settlement, in order.
    ///
    /// # Errors
    /// When the store cannot be asked. Repeating anything but refunds is safe, but a repeated one
    /// that answers [`Held::Lost`] may have been carried out the first time. Refunds must not be repeated
    /// after an ambiguous error: they make the old bytes current again.
    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Held>, Error>;

    /// Puts jobs on their queues, in order; all of one call or none where the engine can promise it.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn push(&self, jobs: &[NewJob]) -> Result<(), Error>;

    /// Puts each job on its queue, in order, unless its marker says that this was done before, and sets the
    /// marker in the same step. Says of each whether it was pushed now. A marker is kept for a week, unless
    /// it is dropped.
    ///
    /// # Errors
    /// When the store cannot be asked; repeating the call with the same markers is safe.
    async fn push_once(&self, jobs: &[OnceJob]) -> Result<Vec<bool>, Error>;

    /// Forgets markers of [`Queue::push_once`].
    ///
    /// # Errors
    /// When the store cannot be asked; repeating the call is safe.
    async fn drop_markers(&self, markers: &[String]) -> Result<(), Error>;

    /// Sets up to `max` jobs that wait in `queue` aside, so that nobody takes them for `hold`, and counts no
    /// attempt. A batch ends early when its payloads are large together.
    ///
    /// Unless [`Queue::end_aside`] ends it, this ends by itself: after `hold` what was available is available
    /// again, what was to become due within it is due, and what is due later was never touched. Those set
    /// aside already come only when they are asked for ([`Waiting::Left`]), and their hold begins anew.
    ///
    /// # Errors
    /// When the store cannot be asked; jobs may have been set aside all the same.
    async fn set_aside(
        &self,
        queue: &QueueName,
        which: Waiting,
        max: usize,
        hold: Duration,
    ) -> Result<Vec<Aside>, Error>;

    /// Ends what [`Queue::set_aside`] began; one answer per receipt, in order. A receipt outlives a hold that
    /// begins anew. [`Held::Lost`]: the hold was
    /// over and the job was taken or changed by someone else, and nothing was touched.
    ///
    /// # Errors
    /// When the store cannot be asked. Repeating is safe, but a repeated one that answers [`Held::Lost`] may
    /// have been carried out the first time.
    async fn end_aside(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        end: AsideEnd,
    ) -> Result<Vec<Held>, Error>;

    /// Returns when one of `queues` may hold an available job, or after `at_most`. Waking for nothing is
    /// allowed; not waking is not, beyond a second for due times.
    ///
    /// Any number of waits share one connection. Cancellation safe.
    ///
    /// # Errors
    /// When the store cannot be watched.
    async fn wait(&self, queues: &[QueueName], at_most: Duration) -> Result<(), Error>;

    /// How many jobs each of `queues` holds.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error>;

    /// The names of all queues that hold anything, sorted.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn queues(&self) -> Result<Vec<QueueName>, Error>;

    /// Removes every job of a queue, reserved ones included, as `queue:clear` does; returns how many.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn clear(&self, queue: &QueueName) -> Result<u64, Error>;

    /// Answers when the store does. Used at start and by readiness.
    ///
    /// # Errors
    /// When it does not.
    async fn ping(&self) -> Result<(), Error>;

    /// Whether payloads carry `id` and `attempts` members here (Redis) or columns do (SQL).
    fn carries_attempts(&self) -> bool;

    /// Whether [`Settle::Fail`] is taken, because failures are kept in the same database.
    fn records_failures(&self) -> bool;

    /// Whether jobs are meant for workers in Rust: string jobs with JSON data rather than PHP objects.
    fn takes_tasks(&self) -> bool {
        false
    }
}
