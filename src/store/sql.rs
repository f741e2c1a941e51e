//! Queues, failures, signals and presence in the tables of an SQL database.
//!
//! A [`Database`] is one connection of the application's `config/database.php`; the drivers of the ports
//! are made from it: [`SqlQueue`], [`SqlFailed`], [`SqlBatches`], [`SqlCache`], [`SqlPresence`]. What all engines have in
//! common (leases, receipts, filters, wrapping of bytes that are no text) is here; what differs is behind
//! the `dialect` seam, in one file per engine. Nothing outside `dialect/` writes SQL.

mod aside;
mod batches;
mod cache;
mod database;
pub(in crate::store) mod dialect;
mod failed;
mod migrate;
mod names;
mod options;
mod presence;
mod queue;
mod receipt;
mod survey;

pub use batches::SqlBatches;
pub use cache::SqlCache;
pub use database::Database;
pub use failed::{NullFailed, SqlFailed};
pub use migrate::{Announce, Made, Step, announce, index, migrate, migrate_without_jobs};
pub use names::{TableName, Tables};
pub use options::{MysqlOptions, PostgresOptions, SqlOptions, SqliteOptions};
pub use presence::SqlPresence;
pub use queue::SqlQueue;
pub(in crate::store) use queue::rounds;
pub use survey::{survey_mysql, survey_postgres, survey_sqlite};
