//! A look at an SQL database, for `worker doctor`: which engine's.

use std::sync::Arc;

use super::dialect::SqliteSurvey;
use super::options::{SqlOptions, SqliteOptions};
use crate::store::port::survey::SqlSurvey;

/// A look at an SQLite file, which is opened with each question.
#[must_use]
pub fn survey_sqlite(sqlite: &SqliteOptions, options: &SqlOptions) -> Arc<dyn SqlSurvey> {
    Arc::new(SqliteSurvey::new(
        &sqlite.path,
        sqlite.busy_timeout,
        &options.tables,
    ))
}
