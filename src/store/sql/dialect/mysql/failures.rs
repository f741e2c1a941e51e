//! The table of failures.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Row};

use super::super::{FailedLine, FailedRecord, FailedWhich, JobRecord};
use super::error::lacks_column;
use super::form::Form;
use super::insert::insert;
use super::names::Names;
use super::session::Session;
use super::text::{exactly, text};
use super::verb::{LONG, Verb};
use crate::store::port::FailedId;

/// Writes the failure in place of what is recorded of this uuid, in whatever form the table can hold it; the
/// caller has a transaction around it. A table without the column (of the old `database` failer) has the row
/// known by its payload.
///
/// The row is a new one with a new number: a `retry` under way means the row that it read, and must neither
/// remove this failure nor take its own marker for it.
pub(super) async fn upsert(
    session: &mut Session,
    table: &str,
    record: &FailedRecord,
) -> Result<(), sqlx::Error> {
    let mut form = Form::default();
    loop {
        match try_upsert(session, table, record, &form).await {
            Ok(()) => return Ok(()),
            Err(error) => form.adapt(error)?,
        }
    }
}

async fn try_upsert(
    session: &mut Session,
    table: &str,
    record: &FailedRecord,
    form: &Form,
) -> Result<(), sqlx::Error> {
    let payload = form.json(&record.payload).into_owned();
    let (known_by, value) = if form.has_uuid {
        ("`uuid` = ?".to_owned(), record.uuid.clone().into_bytes())
    } else {
        let queue = exactly("`queue`", &record.queue);
        let known_by = format!("{queue} and cast(convert(`payload` using utf8mb4) as binary) = ?");
        (known_by, payload.clone().into_bytes())
    };
    let delete = format!("delete from {table} where {known_by}");
    sqlx::query(AssertSqlSafe(delete))
        .bind(value)
        .execute(session.connection())
        .await?;
    let (first, mark) = if form.has_uuid {
        ("`uuid`, ", "?, ")
    } else {
        ("", "")
    };
    let failed_at = if form.has_own_time {
        "current_timestamp"
    } else {
        "?"
    };
    let insert = sqlx::query(AssertSqlSafe(format!(
        "insert into {table} ({first}`connection`, `queue`, `payload`, `exception`, `failed_at`) \
         values ({mark}?, ?, ?, ?, {failed_at})"
    )));
    let mut insert = match form.has_uuid {
        true => insert.bind(record.uuid.clone()),
        false => insert,
    };
    insert = insert
        .bind(record.connection.clone())
        .bind(record.queue.clone())
        .bind(payload)
        .bind(form.prose(&record.exception).into_owned());
    if !form.has_own_time {
        insert = insert.bind(record.failed_at.clone());
    }
    insert.execute(session.connection()).await.map(drop)
}

/// Writes failures.
pub(super) struct Record {
    pub(super) names: Arc<Names>,
    pub(super) failures: Vec<FailedRecord>,
}

#[async_trait::async_trait]
impl Verb for Record {
    type Out = ();

    fn action(&self) -> String {
        format!("record {} failed jobs", self.failures.len())
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        session.execute("start transaction".to_owned()).await?;
        for record in &self.failures {
            upsert(session, &self.names.failed_jobs, record).await?;
        }
        session.execute("commit".to_owned()).await.map(drop)
    }
}

/// The condition that a row is meant.
fn condition(which: &FailedWhich) -> String {
    match which {
        FailedWhich::All => "true".to_owned(),
        FailedWhich::Queue(queue) => exactly("`queue`", queue),
        FailedWhich::Range(from, to) => format!("id between {from} and {to}"),
        FailedWhich::Id(FailedId::Number(id)) => format!("id = {id}"),
        FailedWhich::Id(FailedId::Uuid(uuid)) => format!("`uuid` = {}", text(uuid)),
        FailedWhich::Until(time) => format!("`failed_at` <= {}", text(time)),
        FailedWhich::Before(time) => format!("`failed_at` < {}", text(time)),
    }
}

/// Reads failures, the newest first.
pub(super) struct List {
    pub(super) names: Arc<Names>,
    pub(super) which: FailedWhich,
    pub(super) limit: u32,
}

#[async_trait::async_trait]
impl Verb for List {
    type Out = Vec<FailedLine>;

    fn action(&self) -> String {
        "list failed jobs".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn patience(&self) -> std::time::Duration {
        LONG
    }

    async fn run(&self, session: &mut Session) -> Result<Vec<FailedLine>, sqlx::Error> {
        let sql = format!(
            "select * from {} where {} order by id desc limit {}",
            self.names.failed_jobs,
            condition(&self.which),
            self.limit
        );
        match session.rows(sql).await {
            Ok(rows) => rows.iter().map(line).collect(),
            // A table without the column holds no uuid, so not this one.
            Err(error) if lacks_uuid(&self.which, &error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn lacks_uuid(which: &FailedWhich, error: &sqlx::Error) -> bool {
    matches!(which, FailedWhich::Id(FailedId::Uuid(_))) && lacks_column(error)
}

fn line(row: &MySqlRow) -> Result<FailedLine, sqlx::Error> {
    let bytes = |name: &str| -> Result<&[u8], sqlx::Error> {
        Ok(row
            .try_get_unchecked::<Option<&[u8]>, _>(name)?
            .unwrap_or_default())
    };
    let text = |name: &str| bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let uuid = match row.try_get_unchecked::<Option<&[u8]>, _>("uuid") {
        Err(sqlx::Error::ColumnNotFound(_)) => None,
        read => read?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
    };
    Ok(FailedLine {
        id: row.try_get_unchecked("id")?,
        uuid,
        connection: text("connection")?,
        queue: text("queue")?,
        payload: Bytes::copy_from_slice(bytes("payload")?),
        exception: text("exception")?,
        failed_at: text("failed_at")?,
    })
}

/// Deletes failures.
pub(super) struct Forget {
    pub(super) names: Arc<Names>,
    pub(super) which: FailedWhich,
    pub(super) limit: u32,
}

#[async_trait::async_trait]
impl Verb for Forget {
    type Out = u64;

    fn action(&self) -> String {
        "forget failed jobs".to_owned()
    }

    fn patience(&self) -> std::time::Duration {
        LONG
    }

    async fn run(&self, session: &mut Session) -> Result<u64, sqlx::Error> {
        let table = &self.names.failed_jobs;
        let sql = format!(
            "delete from {table} where {} limit {}",
            condition(&self.which),
            self.limit
        );
        match session.execute(sql).await {
            Err(error) if lacks_uuid(&self.which, &error) => Ok(0),
            done => done,
        }
    }
}

/// Turns a failure into a job again.
pub(super) struct Retry {
    pub(super) names: Arc<Names>,
    pub(super) failure: i64,
    pub(super) job: JobRecord,
}

#[async_trait::async_trait]
impl Verb for Retry {
    type Out = bool;

    fn action(&self) -> String {
        format!("retry failed job {}", self.failure)
    }

    async fn run(&self, session: &mut Session) -> Result<bool, sqlx::Error> {
        let Names {
            jobs, failed_jobs, ..
        } = &*self.names;
        let delete = format!(
            "start transaction; delete from {failed_jobs} where id = {}",
            self.failure
        );
        if session.execute(delete).await? == 0 {
            session.execute("rollback".to_owned()).await?;
            return Ok(false);
        }
        insert(session, jobs, std::slice::from_ref(&self.job)).await?;
        session.execute("commit".to_owned()).await?;
        Ok(true)
    }
}
