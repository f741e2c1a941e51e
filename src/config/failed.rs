//! Where failed jobs are recorded.

use super::{Database, Problem};

/// Laravel's failed-job store (`QUEUE_FAILED_DRIVER`, default `database-uuids`).
#[derive(Debug, Clone, PartialEq)]
pub enum FailedStore {
    /// A table; the payload's uuid is always written, also for the driver `database`.
    Database {
        /// The database: that of `DB_CONNECTION`.
        database: Database,
        /// Name of the table: `failed_jobs`.
        table: String,
    },
    /// `null`: failures are logged, not recorded.
    Null,
    /// The store cannot be used (`file`, `dynamodb`, an SQL server we do not speak to, or none configured). Legal for
    /// commands that record nothing; the others must refuse to start with this problem.
    Unavailable(Problem),
}
