//! A look at an SQL database, for `worker doctor`: which engine's, and what their looks have in common.

use std::sync::Arc;
use std::time::Duration;

use super::dialect::{MysqlSurvey, PostgresSurvey, SqliteSurvey};
use super::options::{MysqlOptions, PostgresOptions, SqlOptions, SqliteOptions};
use crate::store::port::survey::{Index, SqlSurvey};

/// Payloads larger than this are not looked at, in bytes.
pub(super) const SAMPLE_LARGEST: usize = 256 << 10;
/// Questions whose median tells the round trip.
pub(super) const PINGS: usize = 7;

/// A look at an SQLite file, which is opened with each question.
#[must_use]
pub fn survey_sqlite(sqlite: &SqliteOptions, options: &SqlOptions) -> Arc<dyn SqlSurvey> {
    Arc::new(SqliteSurvey::new(
        &sqlite.path,
        sqlite.busy_timeout,
        &options.tables,
    ))
}

/// A look at a MySQL or MariaDB database.
#[must_use]
pub fn survey_mysql(mysql: &MysqlOptions, options: &SqlOptions) -> Arc<dyn SqlSurvey> {
    Arc::new(MysqlSurvey::new(mysql, &options.tables))
}

/// A look at a PostgreSQL database.
#[must_use]
pub fn survey_postgres(postgres: &PostgresOptions, options: &SqlOptions) -> Arc<dyn SqlSurvey> {
    Arc::new(PostgresSurvey::new(postgres, &options.tables))
}

/// The one in the middle.
pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Indexes from rows of (index, whether it is unique, column), index by index and in the order of columns.
pub(super) fn grouped(parts: impl IntoIterator<Item = (String, bool, String)>) -> Vec<Index> {
    let mut indexes: Vec<(String, Index)> = Vec::new();
    for (name, unique, column) in parts {
        match indexes.last_mut() {
            Some((last, index)) if *last == name => index.columns.push(column),
            _ => {
                let columns = vec![column];
                indexes.push((name, Index { columns, unique }));
            }
        }
    }
    indexes.into_iter().map(|(_, index)| index).collect()
}
