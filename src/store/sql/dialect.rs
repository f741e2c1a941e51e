//! The seam between what all SQL engines share and what each does in its own way.
//!
//! The verbs are coarse, one per round trip, so that every engine can write them natively: PostgreSQL with
//! arrays and one statement, MySQL with a short transaction, SQLite through its one writer. Above the seam
//! are lease arithmetic, receipts, chunking and the meaning of filters; below it is SQL and nothing else.
//! Table names and `retry_after` are given to a dialect when it is opened.
//!
//! A new engine is one file here that implements [`Dialect`], its folder of migrations, and one
//! constructor on [`Database`](super::Database).

mod mysql;
pub(in crate::store) mod postgres;
pub(in crate::store) mod sqlite;

use std::fmt;

use bytes::Bytes;

pub(super) use mysql::{Mysql, MysqlSurvey};
pub(super) use postgres::{Postgres, PostgresSurvey};
pub(super) use sqlite::{Sqlite, SqliteSurvey};

use super::migrate::{Announce, Migration};
use crate::store::port::{AsideEnd, Depth, FailedId, PruneBatches, QueueName, Waiting};
use crate::store::{Error, Kind};
use crate::wire::raw::Nul;

/// A request for jobs.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// The queues, first one first.
    pub(super) queues: Vec<QueueName>,
    /// How many rows at most.
    pub(super) max: usize,
    /// How many bytes of payload at most, save for the first row.
    pub(super) max_bytes: u64,
    /// How long the rows are held, whole seconds, 1 or more.
    pub(super) lease_s: i64,
}

/// A row that was claimed.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) queue: QueueName,
    pub(super) payload: Bytes,
    pub(super) hold: Hold,
}

/// How a held row is told from all others, and from itself in other hands: `id` and `attempts` as they
/// are, `reserved_at` not below this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hold {
    pub(super) id: i64,
    pub(super) attempts: i64,
    pub(super) reserved_at: i64,
}

/// What becomes of a held row.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// The row goes.
    Delete,
    /// The row is free again.
    Free {
        /// Whether its attempt is taken back.
        uncount: bool,
        /// Seconds from now until it is available; `None` leaves `available_at` as it was, so that it
        /// stands before all that became due later.
        delay_s: Option<i64>,
    },
    /// The failure is recorded and the row goes, in one transaction.
    Fail(Box<FailedRecord>),
}

/// A row for the table of jobs.
#[derive(Debug, Clone)]
pub(super) struct JobRecord {
    pub(super) queue: QueueName,
    pub(super) payload: Bytes,
    /// Seconds from now until it is available.
    pub(super) delay_s: i64,
    /// Attempts counted so far.
    pub(super) attempts: u32,
}

/// Days for which a marker is kept unless it is dropped.
pub(super) const MARKER_DAYS: i64 = 7;

/// A job that is inserted once.
#[derive(Debug, Clone)]
pub(super) struct OnceRecord {
    pub(super) marker: String,
    pub(super) job: JobRecord,
}

/// A request to set rows aside.
#[derive(Debug, Clone)]
pub(super) struct AsideAsk {
    pub(super) queue: QueueName,
    pub(super) which: Waiting,
    /// How many rows at most.
    pub(super) max: usize,
    /// How many bytes of payload at most, save for the first row.
    pub(super) max_bytes: u64,
    /// How long they are held, whole seconds, 1 or more.
    pub(super) hold_s: i64,
}

/// A row that was set aside.
#[derive(Debug)]
pub(super) struct AsideLine {
    pub(super) hold: AsideHold,
    pub(super) payload: Bytes,
    /// Whole seconds from now until it is due; zero or less when it is.
    pub(super) delay_s: i64,
}

/// How a row that is set aside is told from one that someone took since: these columns as they are, or
/// `reserved_at` later, when it was held anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AsideHold {
    pub(super) id: i64,
    pub(super) attempts: i64,
    pub(super) available_at: i64,
    /// `None`: null.
    pub(super) reserved_at: Option<i64>,
}

/// The beginning of the markers of rows of this table of jobs that are set aside; the row's id, a colon and
/// its attempts follow. Taking a row counts an attempt, so then the marker no longer means it.
pub(super) fn aside_marker(jobs: &str) -> String {
    format!("aside:{jobs}:")
}

/// A row for the table of failures. Texts are such as the database keeps (see [`Dialect::nul`]).
#[derive(Debug, Clone)]
pub(super) struct FailedRecord {
    pub(super) uuid: String,
    pub(super) connection: String,
    pub(super) queue: String,
    pub(super) payload: String,
    pub(super) exception: String,
    pub(super) failed_at: String,
}

/// A row read from the table of failures.
#[derive(Debug)]
pub(super) struct FailedLine {
    pub(super) id: i64,
    pub(super) uuid: Option<String>,
    pub(super) connection: String,
    pub(super) queue: String,
    pub(super) payload: Bytes,
    pub(super) exception: String,
    pub(super) failed_at: String,
}

/// Which rows of the table of failures are meant.
#[derive(Debug, Clone)]
pub(super) enum FailedWhich {
    All,
    Queue(String),
    Range(i64, i64),
    Id(FailedId),
    /// Failed at this time (as text in the application's zone) or before.
    Until(String),
    /// Failed before this time (as text in the application's zone).
    Before(String),
}

/// An entry of the cache table.
#[derive(Debug)]
pub(super) struct CacheLine {
    pub(super) key: String,
    pub(super) value: Bytes,
}

/// Seconds that a cached value lives, and the last second that the column can say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lives {
    pub(super) ttl_s: i64,
    pub(super) latest: i64,
}

/// One engine. All times are taken from the database's clock in whole seconds; a reservation is over when
/// `reserved_at <= now - retry_after`.
///
/// Errors carry what the caller can do about them; [`Kind::Lost`] means that the
/// verb may have been carried out. Dropping a returned future leaves the tables consistent.
#[async_trait::async_trait]
pub(super) trait Dialect: Send + Sync + fmt::Debug {
    /// Takes rows that are free and due, or whose reservation is over, by (queue in the order given,
    /// `available_at`, `id`): attempts + 1, `reserved_at = now + lease - retry_after`.
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, Error>;

    /// Sets `reserved_at = now + lease - retry_after` where the row is held, never lower than it is.
    /// Answers with what stands there now, `None` where it is not held; in order.
    async fn renew(&self, holds: Vec<Hold>, lease_s: i64) -> Result<Vec<Option<i64>>, Error>;

    /// Carries out what becomes of rows that are held; answers per row, in order, whether it was. No id
    /// occurs twice.
    async fn settle(&self, batch: Vec<(Hold, Fate)>) -> Result<Vec<bool>, Error>;

    /// Inserts jobs, all or none, ids in the order given.
    async fn push(&self, jobs: Vec<JobRecord>) -> Result<(), Error>;

    /// For each, in order: inserts the marker and the job, unless the marker is there; says of each whether it
    /// did. All in one transaction. Markers older than [`MARKER_DAYS`] are removed first.
    async fn push_once(&self, jobs: Vec<OnceRecord>) -> Result<Vec<bool>, Error>;

    /// Removes markers.
    async fn drop_markers(&self, markers: Vec<String>) -> Result<(), Error>;

    /// Sets rows of a queue aside, in one transaction, in the order (`available_at`, `id`).
    ///
    /// Each row that it answers with gets the marker of [`aside_marker`]. One that is due before the hold is
    /// over also gets `reserved_at = now + hold - retry_after`, its attempts and `available_at` as they are, so
    /// that workers take it for held; one that is due later stays as it is. Which rows:
    /// - [`Waiting::Ready`]: free and due, or its reservation is over.
    /// - [`Waiting::Delayed`]: free and not due, without such a marker.
    /// - [`Waiting::Left`]: with such a marker, and held, or free and not due. All of them: neither `max` nor
    ///   `max_bytes` counts. Markers whose row is gone, or was taken since, are removed.
    async fn set_aside(&self, ask: AsideAsk) -> Result<Vec<AsideLine>, Error>;

    /// Deletes rows that are set aside, or frees them (`reserved_at = null`), in one transaction, and removes
    /// their markers; answers per row, in order, whether it stood as [`AsideHold`] says. No id occurs twice.
    async fn end_aside(&self, rows: Vec<AsideHold>, end: AsideEnd) -> Result<Vec<bool>, Error>;

    /// Returns when one of `queues` may hold a row to claim. Cancellation safe.
    async fn wait(&self, queues: &[QueueName]) -> Result<(), Error>;

    /// Counts the rows of each queue: free and due or over; free and not due; held.
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error>;

    /// The distinct queues, sorted by bytes.
    async fn queues(&self) -> Result<Vec<QueueName>, Error>;

    /// Deletes up to `limit` rows of a queue; returns how many.
    async fn clear(&self, queue: &QueueName, limit: u32) -> Result<u64, Error>;

    /// Reads something from the table of jobs.
    async fn ping(&self) -> Result<(), Error>;

    /// Whether text columns can hold NUL characters.
    fn nul(&self) -> Nul;

    /// Writes failures, one row per uuid: an existing row is updated.
    async fn record(&self, failures: Vec<FailedRecord>) -> Result<(), Error>;

    /// Reads failures, highest id first.
    async fn failures(&self, which: &FailedWhich, limit: u32) -> Result<Vec<FailedLine>, Error>;

    /// Deletes up to `limit` failures; returns how many.
    async fn forget(&self, which: &FailedWhich, limit: u32) -> Result<u64, Error>;

    /// The column `failed_job_ids` of a batch; `None` when there is no such batch.
    async fn batch_failures(&self, batch: &str) -> Result<Option<String>, Error>;

    /// Deletes up to `limit` batches that are strictly older than the Unix time `before`, by the column that
    /// [`PruneBatches`] says; returns how many.
    async fn prune_batches(&self, which: PruneBatches, before: i64, limit: u32) -> Result<u64, Error>;

    /// Deletes the failure with this id and inserts the job, when the failure was there; says whether.
    async fn retry(&self, failure: i64, job: JobRecord) -> Result<bool, Error>;

    /// The unexpired entries of the cache among `keys`.
    async fn cached(&self, keys: &[String]) -> Result<Vec<CacheLine>, Error>;

    /// Writes the same value under each of `keys`; the keys live for `lives`.
    async fn cache(&self, keys: &[String], value: &[u8], lives: Lives) -> Result<(), Error>;

    /// Removes keys from the cache.
    async fn uncache(&self, keys: &[String]) -> Result<(), Error>;

    /// Adds one to the greatest number under those of `keys` that live (`i:…;`) and writes the sum under all
    /// of them, keeping its expiration; without one it writes 1, which lives for `lives`. Something else
    /// than a number is [`Kind::Refused`].
    async fn increment(&self, keys: &[String], lives: Lives) -> Result<i64, Error>;

    /// Writes what a process says of itself; it expires after `ttl_s`. Expired ones are removed.
    async fn beat(&self, id: &str, beat: &str, ttl_s: i64) -> Result<(), Error>;

    /// Removes what a process said.
    async fn leave(&self, id: &str) -> Result<(), Error>;

    /// What unexpired processes said, by id.
    async fn beats(&self) -> Result<Vec<String>, Error>;

    /// The engine's migrations, in order.
    fn migrations(&self) -> &'static [Migration];

    /// Makes what a migration makes unless its table exists; says whether it did.
    async fn migrate(&self, migration: &Migration) -> Result<bool, Error>;

    /// Makes the index on (queue, `available_at`, id) of the table of jobs, by which rows are claimed, unless
    /// it is there; says whether it did. Others go on writing meanwhile where the engine can do that.
    async fn index_jobs(&self) -> Result<bool, Error>;

    /// Has the database tell waiting workers of new jobs from now on, or no longer; says whether that was
    /// otherwise before. Refused by an engine that cannot do that, or whose workers hear of jobs anyway.
    async fn announce(&self, announce: Announce) -> Result<bool, Error> {
        let (Announce::Yes | Announce::No) = announce;
        let reason = "only PostgreSQL can tell waiting workers of new jobs";
        Err(Error::new(
            Kind::Refused,
            "change how new jobs are announced",
            reason,
        ))
    }
}
