//! The table of failures.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::{FailedLine, FailedRecord, FailedWhich, JobRecord};
use super::Shared;
use super::error::Failure;
use super::jobs::text;
use super::pool::{Session, Use};
use super::statements::{NOW, PgQuery, Sql};
use crate::store::port::FailedId;

/// What the table's column for uuids is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UuidColumn {
    /// There is none: the table is of the old `database` failer.
    Missing,
    /// A text, as Laravel makes it.
    Text,
    /// PostgreSQL's own type.
    Native,
}

/// What was found out about the table; nothing while it is not there.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<UuidColumn>>);

impl Known {
    /// What the column is.
    async fn uuid(&self, db: &Shared, session: &mut Session) -> Result<UuidColumn, Failure> {
        if let Some(column) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(column);
        }
        let query = Sql::new(format!(
            "select (select atttypid::regtype::text from pg_attribute \
             where attrelid = '{}'::regclass and attname = 'uuid' and not attisdropped)",
            table(db)
        ));
        let rows = session.fetch_all(query.query()).await?;
        let found: Option<String> = match rows.first() {
            Some(row) => row.try_get(0)?,
            None => None,
        };
        let column = match found.as_deref() {
            None => UuidColumn::Missing,
            Some("uuid") => UuidColumn::Native,
            Some(_) => UuidColumn::Text,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(column);
        Ok(column)
    }

    /// Forgets it: the table was changed.
    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl UuidColumn {
    fn cast(self) -> &'static str {
        match self {
            Self::Native => "::uuid",
            Self::Text | Self::Missing => "",
        }
    }
}

fn table(db: &Shared) -> String {
    db.sql.tables.failed_jobs.quoted('"')
}

/// Writes failures.
pub(super) async fn record(db: &Shared, failures: &[FailedRecord]) -> Result<(), Failure> {
    let mut session = db.pool.open(Use::Keep).await?;
    session.begin().await?;
    write(db, &mut session, &failures.iter().collect::<Vec<_>>()).await?;
    session.close().await
}

/// Writes failures inside a transaction: in place of what is recorded of their uuids; the column need not be
/// unique. A table without it has rows known by their payload.
///
/// Each row is a new one with a new number: a `retry` under way means the row that it read, and must neither
/// remove this failure nor take its own marker for it.
pub(super) async fn write(
    db: &Shared,
    session: &mut Session,
    records: &[&FailedRecord],
) -> Result<(), Failure> {
    let column = db.failures.uuid(db, session).await?;
    let table = table(db);
    let cast = column.cast();
    let known_by = match column {
        UuidColumn::Missing => "f.payload = r.payload and f.connection = r.connection and f.queue = r.queue",
        UuidColumn::Text | UuidColumn::Native => &format!("f.uuid = r.uuid{cast}"),
    };
    let given = "unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) with ordinality \
        as r(uuid, connection, queue, payload, exception, failed_at, place)";
    let delete = format!("delete from {table} as f using {given} where {known_by}");
    let columns = "connection, queue, payload, exception, failed_at";
    let values = "r.connection, r.queue, r.payload, r.exception, r.failed_at::timestamp";
    let uuid = match column {
        UuidColumn::Missing => ("", String::new()),
        UuidColumn::Text | UuidColumn::Native => ("uuid, ", format!("r.uuid{cast}, ")),
    };
    let insert = format!(
        "insert into {table} ({}{columns}) select {}{values} from {given} order by r.place",
        uuid.0, uuid.1
    );
    for text in [delete, insert] {
        let done = session.execute(bind(Sql::new(text).query(), records)).await;
        if done.as_ref().is_err_and(Failure::lacks_column) {
            db.failures.forget();
        }
        done?;
    }
    Ok(())
}

/// Of several failures with one uuid the last one counts.
fn bind(query: PgQuery, records: &[&FailedRecord]) -> PgQuery {
    let last = (records.iter().enumerate())
        .filter(|(place, record)| !records[place + 1..].iter().any(|later| later.uuid == record.uuid))
        .map(|(_, record)| *record);
    let records: Vec<&FailedRecord> = last.collect();
    let column = |of: fn(&FailedRecord) -> &String| -> Vec<String> {
        records.iter().map(|record| of(record).clone()).collect()
    };
    query
        .bind(column(|record| &record.uuid))
        .bind(column(|record| &record.connection))
        .bind(column(|record| &record.queue))
        .bind(column(|record| &record.payload))
        .bind(column(|record| &record.exception))
        .bind(column(|record| &record.failed_at))
}

/// A condition on $1 and $2, which are texts.
fn condition(which: &FailedWhich, uuid: UuidColumn) -> (String, [Option<String>; 2]) {
    let one = |sql: &str, value: String| (sql.to_owned(), [Some(value), None]);
    match which {
        FailedWhich::All => ("true".to_owned(), [None, None]),
        FailedWhich::Queue(queue) => one("queue = $1", queue.clone()),
        FailedWhich::Range(from, to) => {
            let sql = "id between $1::bigint and $2::bigint";
            (sql.to_owned(), [Some(from.to_string()), Some(to.to_string())])
        }
        FailedWhich::Id(FailedId::Number(id)) => one("id = $1::bigint", id.to_string()),
        FailedWhich::Until(time) => one("failed_at <= $1::timestamp", time.clone()),
        FailedWhich::Id(FailedId::Uuid(wanted)) => match uuid {
            // A table without the column holds no uuid, so not this one.
            UuidColumn::Missing => ("false".to_owned(), [None, None]),
            UuidColumn::Text => one("uuid = $1", wanted.clone()),
            UuidColumn::Native => one("uuid::text = lower($1)", wanted.clone()),
        },
    }
}

/// $3 is the number of rows at most; $1 and $2 are there whether the condition names them or not.
fn conditional(sql: &str, values: [Option<String>; 2], limit: u32) -> PgQuery {
    let [first, second] = values;
    let given = "with given as (select $1::text, $2::text) ";
    let query = Sql::new(format!("{given}{sql} limit $3")).query();
    query.bind(first).bind(second).bind(i64::from(limit))
}

/// Reads failures, the newest first.
pub(super) async fn list(db: &Shared, which: &FailedWhich, limit: u32) -> Result<Vec<FailedLine>, Failure> {
    let mut session = db.pool.open(Use::Take).await?;
    let uuid = db.failures.uuid(db, &mut session).await?;
    let (condition, values) = condition(which, uuid);
    let column = match uuid {
        UuidColumn::Missing => "null::text",
        UuidColumn::Text | UuidColumn::Native => "uuid::text",
    };
    let sql = format!(
        "select id::bigint, {column}, connection, queue, payload::text, exception, \
         to_char(failed_at, 'YYYY-MM-DD HH24:MI:SS') from {} where {condition} order by id desc",
        table(db)
    );
    let rows = session.fetch_all(conditional(&sql, values, limit)).await;
    if rows.as_ref().is_err_and(Failure::lacks_column) {
        db.failures.forget();
    }
    let rows = rows?;
    session.close().await?;
    Ok(rows.iter().map(line).collect::<Result<_, _>>()?)
}

fn line(row: &PgRow) -> Result<FailedLine, sqlx::Error> {
    let bytes = |place: usize| -> Result<&[u8], sqlx::Error> {
        Ok(row
            .try_get_unchecked::<Option<&[u8]>, _>(place)?
            .unwrap_or_default())
    };
    let text = |place: usize| bytes(place).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Ok(FailedLine {
        id: row.try_get(0)?,
        uuid: row.try_get(1)?,
        connection: text(2)?,
        queue: text(3)?,
        payload: Bytes::copy_from_slice(bytes(4)?),
        exception: text(5)?,
        failed_at: text(6)?,
    })
}

/// Deletes failures.
pub(super) async fn forget(db: &Shared, which: &FailedWhich, limit: u32) -> Result<u64, Failure> {
    let mut session = db.pool.open(Use::Take).await?;
    let uuid = db.failures.uuid(db, &mut session).await?;
    let (condition, values) = condition(which, uuid);
    let [first, second] = values;
    let table = table(db);
    let query = Sql::new(format!(
        "with given as (select $1::text, $2::text) \
         delete from {table} where id in (select id from {table} where {condition} limit $3)"
    ));
    let query = query.query().bind(first).bind(second).bind(i64::from(limit));
    let forgotten = session.execute(query).await;
    if forgotten.as_ref().is_err_and(Failure::lacks_column) {
        db.failures.forget();
    }
    let forgotten = forgotten?;
    session.close().await?;
    Ok(forgotten)
}

/// Turns a failure into a job again.
pub(super) async fn retry(db: &Shared, failure: i64, job: &JobRecord) -> Result<bool, Failure> {
    let jobs = db.sql.tables.jobs.quoted('"');
    let query = Sql::new(format!(
        "with gone as (delete from {} where id = $4 returning 1) \
         insert into {jobs} (queue, payload, attempts, reserved_at, available_at, created_at) \
         select $1::text, $2::text, 0, null, least({NOW} + $3::bigint, 2147483647), {NOW} from gone",
        table(db)
    ));
    let query = (query.query())
        .bind(job.queue.as_str().to_owned())
        .bind(text(job)?.to_owned())
        .bind(job.delay_s)
        .bind(failure);
    Ok(db.pool.execute(Use::Keep, query).await? > 0)
}
