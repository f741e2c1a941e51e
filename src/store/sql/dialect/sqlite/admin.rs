//! What operators ask of the table of jobs, and its making.

use sqlx::{AssertSqlSafe, Row, SqlitePool};

use super::statements::Statements;
use super::work::{Context, Write};
use crate::store::port::{Depth, QueueName};
use crate::store::sql::migrate::Migration;

/// How many rows each queue holds.
pub(super) async fn depth(
    readers: &SqlitePool,
    sql: &Statements,
    queues: &[QueueName],
) -> Result<Vec<Depth>, sqlx::Error> {
    let mut connection = readers.acquire().await?;
    let mut depths = Vec::with_capacity(queues.len());
    for queue in queues {
        let counted = sql
            .depth
            .query()
            .bind(queue.as_str().to_owned())
            .bind(sql.retry_after_s);
        let row = counted.fetch_one(&mut *connection).await?;
        let count = |place: usize| -> Result<u64, sqlx::Error> {
            Ok(u64::try_from(row.try_get_unchecked::<i64, _>(place)?).unwrap_or(0))
        };
        let oldest: Option<i64> = row.try_get_unchecked(3)?;
        depths.push(Depth {
            queue: queue.clone(),
            pending: count(0)?,
            delayed: count(1)?,
            reserved: count(2)?,
            oldest_s: oldest.map(|age| u64::try_from(age).unwrap_or(0)),
        });
    }
    Ok(depths)
}

/// The queues that hold rows, sorted by bytes.
pub(super) async fn queues(readers: &SqlitePool, sql: &Statements) -> Result<Vec<QueueName>, sqlx::Error> {
    let rows = sql.queues.query().fetch_all(readers).await?;
    let name = |row: &sqlx::sqlite::SqliteRow| {
        let name: Vec<u8> = row.try_get_unchecked(0)?;
        Ok(QueueName::new(&String::from_utf8_lossy(&name)))
    };
    rows.iter().map(name).collect()
}

/// Reads from the table of jobs.
pub(super) async fn ping(readers: &SqlitePool, sql: &Statements) -> Result<(), sqlx::Error> {
    sql.ping.query().fetch_optional(readers).await.map(drop)
}

/// Deletes rows of a queue.
pub(super) struct Clear {
    pub(super) queue: QueueName,
    pub(super) limit: u32,
}

#[async_trait::async_trait]
impl Write for Clear {
    type Out = u64;

    fn action(&self) -> String {
        format!("clear queue {:?}", self.queue)
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<u64, sqlx::Error> {
        let clear = cx
            .sql
            .clear
            .query()
            .bind(self.queue.as_str().to_owned())
            .bind(self.limit);
        let cleared = clear.execute(&mut *cx.connection).await?.rows_affected();
        cx.heads.forget_all();
        Ok(cleared)
    }
}

/// The files of `migrations/sqlite`.
pub(super) static MIGRATIONS: &[Migration] = &[
    file(
        "0001_jobs",
        "jobs",
        include_str!("../../../../../migrations/sqlite/0001_jobs.sql"),
    ),
    file(
        "0002_failed_jobs",
        "failed_jobs",
        include_str!("../../../../../migrations/sqlite/0002_failed_jobs.sql"),
    ),
    file(
        "0003_job_batches",
        "job_batches",
        include_str!("../../../../../migrations/sqlite/0003_job_batches.sql"),
    ),
    file(
        "0004_cache",
        "cache",
        include_str!("../../../../../migrations/sqlite/0004_cache.sql"),
    ),
    file(
        "0005_cache_locks",
        "cache_locks",
        include_str!("../../../../../migrations/sqlite/0005_cache_locks.sql"),
    ),
    file(
        "0006_sessions",
        "sessions",
        include_str!("../../../../../migrations/sqlite/0006_sessions.sql"),
    ),
    file(
        "0007_worker_markers",
        "worker_markers",
        include_str!("../../../../../migrations/sqlite/0007_worker_markers.sql"),
    ),
    file(
        "0008_worker_processes",
        "worker_processes",
        include_str!("../../../../../migrations/sqlite/0008_worker_processes.sql"),
    ),
];

const fn file(name: &'static str, table: &'static str, sql: &'static str) -> Migration {
    Migration { name, table, sql }
}

/// Makes a table unless it is there.
pub(super) struct Migrate {
    name: &'static str,
    table: String,
    sql: String,
}

impl Migrate {
    pub(super) fn new(migration: &Migration, sql: &Statements) -> Self {
        let table = sql.tables.named(migration.table);
        Self {
            name: migration.name,
            sql: migration.sql_for(&table),
            table: table.as_str().to_owned(),
        }
    }
}

#[async_trait::async_trait]
impl Write for Migrate {
    type Out = bool;

    fn action(&self) -> String {
        format!("migrate {}", self.name)
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<bool, sqlx::Error> {
        let there =
            "select count(*) from sqlite_master where type in ('table', 'view') and name = ?1 collate nocase";
        let row = sqlx::query(there)
            .bind(self.table.clone())
            .fetch_one(&mut *cx.connection)
            .await?;
        if row.try_get_unchecked::<i64, _>(0)? > 0 {
            return Ok(false);
        }
        // A file of ours, with a checked table name in place of the default one.
        sqlx::raw_sql(AssertSqlSafe(self.sql.clone()))
            .execute(&mut *cx.connection)
            .await?;
        cx.heads.forget_all();
        Ok(true)
    }
}

/// Makes the index by which the first rows of a queue are found without reading the others.
pub(super) struct Index;

#[async_trait::async_trait]
impl Write for Index {
    type Out = bool;

    fn action(&self) -> String {
        "make the index of the table of jobs".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<bool, sqlx::Error> {
        let jobs = &cx.sql.tables.jobs;
        let name = format!("{}_queue_available_at_id_index", jobs.index_prefix());
        let there = "select count(*) from sqlite_master where type = 'index' and name = ?1 collate nocase";
        let row = sqlx::query(there)
            .bind(name.clone())
            .fetch_one(&mut *cx.connection)
            .await?;
        if row.try_get_unchecked::<i64, _>(0)? > 0 {
            return Ok(false);
        }
        // Holds nothing from outside but checked and quoted table names.
        let make = format!(
            "create index \"{name}\" on {} (queue, available_at, id)",
            jobs.quoted('"')
        );
        sqlx::query(AssertSqlSafe(make))
            .execute(&mut *cx.connection)
            .await?;
        Ok(true)
    }
}
