//! The tables as they are named in SQL texts.

use super::text::binary;
use crate::store::sql::names::{TableName, Tables};
use crate::store::sql::options::SqlOptions;
use crate::store::sql::queue::whole_seconds;

/// Quoted names of tables, and what else stands in many texts.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) tables: Tables,
    pub(super) jobs: String,
    pub(super) failed_jobs: String,
    pub(super) cache: String,
    pub(super) markers: String,
    pub(super) processes: String,
    pub(super) retry_after_s: i64,
}

/// The database's clock in whole seconds. Signed, since MySQL refuses a difference below zero of unsigned
/// numbers, as its own would be.
pub(super) const NOW: &str = "cast(unix_timestamp() as signed)";

/// The latest second that Laravel's columns hold.
pub(super) const LATEST: i64 = 4_294_967_295;

impl Names {
    pub(super) fn new(options: &SqlOptions) -> Self {
        let tables = options.tables.clone();
        Self {
            jobs: tables.jobs.quoted('`'),
            failed_jobs: tables.failed_jobs.quoted('`'),
            cache: tables.cache.quoted('`'),
            markers: tables.markers.quoted('`'),
            processes: tables.processes.quoted('`'),
            retry_after_s: whole_seconds(options.retry_after),
            tables,
        }
    }

    /// The condition that nobody holds a row or its reservation is over.
    pub(super) fn unheld(&self) -> String {
        let lapsed = self.lapsed();
        format!("(reserved_at is null or {lapsed})")
    }

    /// The condition that a row can be claimed.
    pub(super) fn due(&self) -> String {
        let lapsed = self.lapsed();
        format!("((reserved_at is null and available_at <= {NOW}) or {lapsed})")
    }

    /// The condition that the reservation of a row is over.
    pub(super) fn lapsed(&self) -> String {
        format!("reserved_at <= {NOW} - {}", self.retry_after_s)
    }
}

/// The schema and the name of a table as `information_schema` has them, as SQL.
pub(super) fn schema_and_name(table: &TableName) -> (String, String) {
    match table.as_str().split_once('.') {
        Some((schema, name)) => (literal(schema), literal(name)),
        None => ("database()".to_owned(), literal(table.as_str())),
    }
}

fn literal(name: &str) -> String {
    format!("convert({} using utf8)", binary(name))
}
