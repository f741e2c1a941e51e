//! What a store looks like to somebody who asks only questions: the facts behind `worker doctor`.
//!
//! Every verb reads, and changes nothing. Each makes a connection of its own and asks a bounded number of questions, so
//! that a store that is half broken answers those that it can. Verbs may be dropped at any time.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::presence::Process;
use super::queue::QueueName;
use crate::store::Error;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Redis, or a server that calls itself so.
    Redis,
    /// SQLite, which is part of this program.
    Sqlite,
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// PostgreSQL.
    Postgres,
}

impl Product {
    /// Its name, as its makers write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Sqlite => "SQLite",
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A server, as it describes itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// What it is.
    pub product: Product,
    /// Its version as it says it, such as `10.11.6-MariaDB`.
    pub version: String,
    /// The median time of several questions and answers that cost it nothing.
    pub round_trip: Duration,
    /// Milliseconds by which its clock is ahead of this host's, to within half a round trip; `None` where both are one.
    pub ahead_ms: Option<i64>,
    /// Whether it takes no writes: a replica, or a database that was opened for reading.
    pub read_only: bool,
    /// What only Redis has.
    pub redis: Option<RedisState>,
}

impl Server {
    /// The first three numbers of the version; those that are absent count as 0.
    #[must_use]
    pub fn numbers(&self) -> [u32; 3] {
        let start = self.version.find(|c: char| c.is_ascii_digit());
        let rest = start
            .and_then(|start| self.version.get(start..))
            .unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let digits = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let mut parts = digits.split('.').map(|part| part.parse().unwrap_or(0));
        std::array::from_fn(|_| parts.next().unwrap_or(0))
    }
}

/// How a Redis server keeps data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisState {
    /// `standalone`, `cluster` or `sentinel`.
    pub mode: String,
    /// What it throws away when memory is full, such as `noeviction`; `None` when it does not say.
    pub policy: Option<String>,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that may be used; 0 is no limit.
    pub limit: u64,
    /// Whether each write goes to a file (AOF).
    pub append_only: bool,
    /// Whether snapshots are made now and then; `None` when the user may not ask.
    pub snapshots: Option<bool>,
    /// Whether the last write to the disk failed, after which the server may refuse writes.
    pub save_failed: bool,
}

/// What is asked about queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Queues to look at, besides those that are found.
    pub queues: Vec<QueueName>,
    /// Jobs that have waited for longer than this count as old.
    pub old: Duration,
    /// What is added to the `reserved_at` of a row to tell when its reservation ends.
    pub retry_after: Duration,
}

impl Ask {
    /// The queues that were found, and those that were asked about and hold nothing.
    pub(in crate::store) fn complete(&self, mut found: Vec<QueueState>) -> Vec<QueueState> {
        let known: Vec<_> = found.iter().map(|state| state.queue.clone()).collect();
        let others = self.queues.iter().filter(|queue| !known.contains(queue));
        found.extend(others.map(QueueState::empty));
        found
    }
}

/// Queues examined, at most.
pub const QUEUES_MOST: usize = 200;
/// Payloads looked at from each end of a queue, at most.
pub const SAMPLE_MOST: usize = 50;
/// Bytes of payloads taken from one queue, about.
pub const SAMPLE_BYTES: usize = 4 << 20;

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub queue: QueueName,
    /// Jobs that are available now.
    pub pending: u64,
    /// Jobs whose time has not come.
    pub delayed: u64,
    /// Jobs that somebody holds.
    pub reserved: u64,
    /// Jobs whose reservation is over and that nobody has taken again.
    pub lapsed: u64,
    /// Seconds since the first of these reservations ended.
    pub lapsed_s: Option<u64>,
    /// Seconds for which the oldest available job has waited, where the store or its payload tells.
    pub oldest_s: Option<u64>,
    /// Available jobs that have waited for longer than was asked about.
    pub old: u64,
    /// Whether `old` is only the least number: not every job was looked at, or not every payload tells its age.
    pub old_at_least: bool,
    /// Some of its payloads, from both ends.
    pub samples: Vec<Bytes>,
}

impl QueueState {
    /// A queue without jobs.
    #[must_use]
    pub fn empty(queue: &QueueName) -> Self {
        Self {
            queue: queue.clone(),
            pending: 0,
            delayed: 0,
            reserved: 0,
            lapsed: 0,
            lapsed_s: None,
            oldest_s: None,
            old: 0,
            old_at_least: false,
            samples: Vec::new(),
        }
    }
}

/// Where the queues of an application lie in a Redis server, when it is not where they are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Places other than the configured one.
    pub places: Vec<Place>,
    /// Keys that were looked at.
    pub keys: u64,
    /// Whether that were all.
    pub complete: bool,
}

/// Queues under one prefix in one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The database's number.
    pub db: u32,
    /// What stands before `queues:`.
    pub prefix: String,
    /// The queues, sorted.
    pub queues: Vec<String>,
    /// Jobs in all of them, in any state.
    pub jobs: u64,
}

/// A table that the worker or Laravel needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// What it is for: Laravel's default name, such as `failed_jobs`, or one of ours.
    pub role: &'static str,
    /// Its configured name.
    pub name: String,
    /// Its columns in their order; `None` when there is no such table.
    pub columns: Option<Vec<Column>>,
    /// Its indexes, the primary key included.
    pub indexes: Vec<Index>,
}

impl TableState {
    /// The column of this name, in any case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        let columns = self.columns.as_ref()?;
        columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in the database's words.
    pub declared: String,
    /// What it holds.
    pub holds: Holds,
    /// Whether it may be null.
    pub nullable: bool,
    /// Its character set, where each column has its own.
    pub charset: Option<String>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Whole numbers up to this one.
    Integer(u64),
    /// Text of so many bytes (or characters, for short ones) at most; `None` is as good as no limit.
    Text(Option<u64>),
    /// A point in time.
    Time,
    /// Something else.
    Other,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its columns in order.
    pub columns: Vec<String>,
    /// Whether no two rows may have the same values.
    pub unique: bool,
}

/// The table of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// Rows in it.
    pub rows: u64,
    /// Rows without a uuid: null or empty.
    pub without_uuid: u64,
    /// Uuids that more than one row has, the empty one aside.
    pub duplicates: u64,
}

/// Looks at a store that may hold queues.
#[async_trait::async_trait]
pub trait Survey: Send + Sync + fmt::Debug {
    /// What the server is, how far away it is, and what its clock says.
    ///
    /// # Errors
    /// When it cannot be reached, or does not let us in.
    async fn server(&self) -> Result<Server, Error>;

    /// The queues that were asked about and those that hold jobs, by name; [`QUEUES_MOST`] at most.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn queues(&self, ask: &Ask) -> Result<Vec<QueueState>, Error>;

    /// The worker processes that live; `None` where there is no place to say so.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn processes(&self) -> Result<Option<Vec<Process>>, Error>;
}

/// Looks at an SQL database.
#[async_trait::async_trait]
pub trait SqlSurvey: Survey {
    /// The tables that Laravel's queues, failures and cache need, and those of our own.
    ///
    /// # Errors
    /// When the database cannot be asked.
    async fn tables(&self) -> Result<Vec<TableState>, Error>;

    /// The table of failures.
    ///
    /// # Errors
    /// When the database cannot be asked, or has no such table.
    async fn failures(&self) -> Result<Failures, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_three_numbers() {
        let numbers = |version: &str| {
            let server = Server {
                product: Product::Mariadb,
                version: version.to_owned(),
                round_trip: Duration::ZERO,
                ahead_ms: None,
                read_only: false,
                redis: None,
            };
            server.numbers()
        };
        assert_eq!(numbers("10.11.6-MariaDB-1"), [10, 11, 6]);
        assert_eq!(numbers("15.3 (Debian 15.3-1)"), [15, 3, 0]);
        assert_eq!(numbers("8.0.1"), [8, 0, 1]);
        assert_eq!(numbers("devel"), [0, 0, 0]);
    }
}
