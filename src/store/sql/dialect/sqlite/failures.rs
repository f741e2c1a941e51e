//! The table of failures.

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqlitePool};

use super::super::{FailedLine, FailedRecord, FailedWhich, JobRecord};
use super::jobs::insert;
use super::statements::{SqliteQuery, Statements};
use super::work::{Context, Write};
use crate::store::port::FailedId;

/// Writes failures.
pub(super) struct Record(pub(super) Vec<FailedRecord>);

#[async_trait::async_trait]
impl Write for Record {
    type Out = ();

    fn action(&self) -> String {
        format!("record {} failed jobs", self.0.len())
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        for record in &self.0 {
            upsert(cx, record).await?;
        }
        Ok(())
    }
}

/// Writes the failure in place of what is recorded of this uuid; the column need not be unique. A table
/// without the column (of the old `database` failer) has the row known by its payload.
///
/// The row is a new one with a new number: a `retry` under way means the row that it read, and must neither
/// remove this failure nor take its own marker for it.
pub(super) async fn upsert(cx: &mut Context<'_>, record: &FailedRecord) -> Result<(), sqlx::Error> {
    let table = cx.sql.tables.failed_jobs.quoted('"');
    if cx.heads.failures_have_uuid.is_none() {
        cx.heads.failures_have_uuid = has_uuid(cx).await?;
    }
    let has_uuid = cx.heads.failures_have_uuid.unwrap_or(true);
    let known_by = if has_uuid {
        "uuid = ?1"
    } else {
        "payload = ?4 and connection = ?2 and queue = ?3"
    };
    let delete = format!("delete from {table} where {known_by}");
    bind(query(delete), record).execute(&mut *cx.connection).await?;
    let columns = "connection, queue, payload, exception, failed_at";
    let insert = match has_uuid {
        true => format!("insert into {table} (uuid, {columns}) values (?1, ?2, ?3, ?4, ?5, ?6)"),
        false => format!("insert into {table} ({columns}) values (?2, ?3, ?4, ?5, ?6)"),
    };
    bind(query(insert), record)
        .execute(&mut *cx.connection)
        .await
        .map(drop)
}

/// Whether the table has the column; `None` while there is no table, which says nothing of a later one.
async fn has_uuid(cx: &mut Context<'_>) -> Result<Option<bool>, sqlx::Error> {
    let columns = "select max(name = 'uuid' collate nocase) from pragma_table_info(?1)";
    let table = cx.sql.tables.failed_jobs.as_str().to_owned();
    let row = sqlx::query(columns)
        .bind(table)
        .fetch_one(&mut *cx.connection)
        .await?;
    Ok(row.try_get_unchecked::<Option<i64>, _>(0)?.map(|found| found > 0))
}

fn query(sql: String) -> SqliteQuery {
    // Holds nothing from outside but checked and quoted table names.
    sqlx::query(AssertSqlSafe(sql))
}

fn bind(query: SqliteQuery, record: &FailedRecord) -> SqliteQuery {
    let FailedRecord {
        uuid,
        connection,
        queue,
        payload,
        exception,
        failed_at,
    } = record.clone();
    query
        .bind(uuid)
        .bind(connection)
        .bind(queue)
        .bind(payload)
        .bind(exception)
        .bind(failed_at)
}

/// A condition with ?1 and ?2, and their values.
fn condition(which: &FailedWhich) -> (&'static str, SqliteValue, SqliteValue) {
    use SqliteValue::{Null, Number, Text};
    match which {
        FailedWhich::All => ("true", Null, Null),
        FailedWhich::Queue(queue) => ("queue = ?1", Text(queue.clone()), Null),
        FailedWhich::Range(from, to) => ("id between ?1 and ?2", Number(*from), Number(*to)),
        FailedWhich::Id(FailedId::Number(id)) => ("id = ?1", Number(*id), Null),
        FailedWhich::Id(FailedId::Uuid(uuid)) => ("uuid = ?1", Text(uuid.clone()), Null),
        FailedWhich::Until(time) => ("failed_at <= ?1", Text(time.clone()), Null),
        FailedWhich::Before(time) => ("failed_at < ?1", Text(time.clone()), Null),
    }
}

enum SqliteValue {
    Null,
    Number(i64),
    Text(String),
}

impl SqliteValue {
    fn bind(self, query: SqliteQuery) -> SqliteQuery {
        match self {
            Self::Null => query.bind(None::<i64>),
            Self::Number(number) => query.bind(number),
            Self::Text(text) => query.bind(text),
        }
    }
}

/// Reads failures, the newest first.
pub(super) async fn list(
    readers: &SqlitePool,
    sql: &Statements,
    which: &FailedWhich,
    limit: u32,
) -> Result<Vec<FailedLine>, sqlx::Error> {
    let table = sql.tables.failed_jobs.quoted('"');
    let (condition, first, second) = condition(which);
    let text = format!("select * from {table} where {condition} order by id desc limit ?3");
    let rows = second
        .bind(first.bind(query(text)))
        .bind(limit)
        .fetch_all(readers)
        .await;
    match rows {
        Ok(rows) => rows.iter().map(line).collect(),
        // A table without the column holds no uuid, so not this one.
        Err(e) if lacks_uuid(&e) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn lacks_uuid(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|e| e.message() == "no such column: uuid")
}

fn line(row: &SqliteRow) -> Result<FailedLine, sqlx::Error> {
    let bytes = |name: &str| -> Result<Vec<u8>, sqlx::Error> {
        Ok(row
            .try_get_unchecked::<Option<Vec<u8>>, _>(name)?
            .unwrap_or_default())
    };
    let text = |name: &str| bytes(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let uuid = match row.try_get_unchecked::<Option<String>, _>("uuid") {
        Err(sqlx::Error::ColumnNotFound(_)) => None,
        read => read?,
    };
    Ok(FailedLine {
        id: row.try_get_unchecked("id")?,
        uuid,
        connection: text("connection")?,
        queue: text("queue")?,
        payload: Bytes::from(bytes("payload")?),
        exception: text("exception")?,
        failed_at: text("failed_at")?,
    })
}

/// Deletes failures.
pub(super) struct Forget {
    pub(super) which: FailedWhich,
    pub(super) limit: u32,
}

#[async_trait::async_trait]
impl Write for Forget {
    type Out = u64;

    fn action(&self) -> String {
        "forget failed jobs".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<u64, sqlx::Error> {
        let table = cx.sql.tables.failed_jobs.quoted('"');
        let (condition, first, second) = condition(&self.which);
        let text =
            format!("delete from {table} where id in (select id from {table} where {condition} limit ?3)");
        let forget = second.bind(first.bind(query(text))).bind(self.limit);
        match forget.execute(&mut *cx.connection).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(e) if lacks_uuid(&e) => Ok(0),
            Err(e) => Err(e),
        }
    }
}

/// Turns a failure into a job again.
pub(super) struct Retry {
    pub(super) failure: i64,
    pub(super) job: JobRecord,
}

#[async_trait::async_trait]
impl Write for Retry {
    type Out = bool;

    fn action(&self) -> String {
        format!("retry failed job {}", self.failure)
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<bool, sqlx::Error> {
        let table = cx.sql.tables.failed_jobs.quoted('"');
        let delete = format!("delete from {table} where id = ?1");
        let deleted = query(delete)
            .bind(self.failure)
            .execute(&mut *cx.connection)
            .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        insert(cx, std::slice::from_ref(&self.job)).await?;
        Ok(true)
    }
}
