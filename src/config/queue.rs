//! The queue connections.

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, Database, Problem};

/// One of Laravel's queue connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConnection {
    /// Its name, as written into `failed_jobs.connection` and into the keys of pauses: `redis`, `database`, `high`, …
    pub name: String,
    /// Where its jobs are.
    pub kind: QueueKind,
}

/// Where the jobs of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueKind {
    /// Lists of the Redis server in [`Config::redis`].
    Redis {
        /// Number of the database.
        db: u32,
        /// Queue of a job that names none.
        queue: String,
        /// After how long a PHP worker takes a reserved job for abandoned.
        retry_after: Duration,
    },
    /// The table `jobs` of an SQL database of the application. It is never created by being opened.
    Database {
        /// The database.
        database: Database,
        /// Name of the table (`DB_QUEUE_TABLE`), default `jobs`.
        table: String,
        /// Queue of a job that names none.
        queue: String,
        /// After how long a reserved job is taken for abandoned, by PHP workers and by this one.
        retry_after: Duration,
    },
    /// An SQLite file of the worker's own, created and migrated on first use. Only when nothing at all is
    /// configured: no `.env`, no `artisan`, and no `QUEUE_`, `DB_` or `REDIS_` variable.
    Embedded {
        /// The file: `WORKER_DATABASE`, default `worker.sqlite` in the working directory.
        path: PathBuf,
        /// Queue of a job that names none: `default`.
        queue: String,
        /// As for the SQL queue: 90 s.
        retry_after: Duration,
    },
    /// Jobs run where they are dispatched (`sync`, `deferred`, `null`): there is nothing to consume.
    Sync,
}

impl Config {
    /// The queue connection `name`, for the CONNECTION argument of `worker work redis`.
    ///
    /// # Errors
    /// When the worker does not know it, or its SQL database is not configured.
    pub fn connection(&self, name: &str) -> Result<QueueConnection, Problem> {
        if name == self.queue.name {
            return Ok(self.queue.clone());
        }
        Err(Problem::new(
            "QUEUE_CONNECTION",
            "unknown connection",
            "redis, database, sync",
        ))
    }
}
