//! What operators ask of the table of jobs, and its making.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::mysql::MySqlRow;

use super::claim::bytes;
use super::error::exists;
use super::names::{NOW, Names, schema_and_name};
use super::session::Session;
use super::text::{binary, exactly, text};
use super::verb::{LONG, Verb};
use crate::store::port::{Depth, QueueName};
use crate::store::sql::migrate::Migration;
use crate::store::sql::names::TableName;

/// How long the making of a table or an index may take.
const MAKING: Duration = Duration::from_secs(3600);

/// Rows of one name that are looked through for names that the collation takes for the same.
const ALIKE: u32 = 10_000;

/// Counts the rows of queues.
pub(super) struct CountJobs {
    pub(super) names: Arc<Names>,
    pub(super) queues: Vec<QueueName>,
}

#[async_trait::async_trait]
impl Verb for CountJobs {
    type Out = Vec<Depth>;

    fn action(&self) -> String {
        "count jobs".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        LONG
    }

    async fn run(&self, session: &mut Session) -> Result<Vec<Depth>, sqlx::Error> {
        let counts: Vec<String> = self.queues.iter().map(|queue| self.count(queue)).collect();
        if counts.is_empty() {
            return Ok(Vec::new());
        }
        let rows = session.rows(counts.join("; ")).await?;
        self.queues
            .iter()
            .zip(&rows)
            .map(|(queue, row)| depth(queue, row))
            .collect()
    }
}

impl CountJobs {
    fn count(&self, queue: &QueueName) -> String {
        let (due, lapsed) = (self.names.due(), self.names.lapsed());
        format!(
            "select count(if({due}, 1, null)), \
                 count(if(reserved_at is null and available_at > {NOW}, 1, null)), \
                 count(if(reserved_at is not null and not ({lapsed}), 1, null)), \
                 max(if({due}, {NOW} - cast(available_at as signed), null)) \
             from {} where {}",
            self.names.jobs,
            exactly("queue", queue.as_str())
        )
    }
}

fn depth(queue: &QueueName, row: &MySqlRow) -> Result<Depth, sqlx::Error> {
    let number = |place: usize| row.try_get_unchecked::<Option<i64>, _>(place);
    let count = |place| Ok::<_, sqlx::Error>(number(place)?.unwrap_or(0).unsigned_abs());
    Ok(Depth {
        queue: queue.clone(),
        pending: count(0)?,
        delayed: count(1)?,
        reserved: count(2)?,
        oldest_s: number(3)?.map(|age| u64::try_from(age).unwrap_or(0)),
    })
}

/// Lists the queues that hold rows.
pub(super) struct Queues {
    pub(super) names: Arc<Names>,
}

#[async_trait::async_trait]
impl Verb for Queues {
    type Out = Vec<QueueName>;

    fn action(&self) -> String {
        "list queues".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        LONG
    }

    /// First the names that the collation tells apart, which steps from one to the next in the index; then
    /// those that it does not, among the first rows of each.
    async fn run(&self, session: &mut Session) -> Result<Vec<QueueName>, sqlx::Error> {
        let jobs = &self.names.jobs;
        let rows = session
            .rows(format!(
                "select cast(convert(queue using utf8mb4) as binary) from {jobs} group by queue"
            ))
            .await?;
        let alike = |row: &MySqlRow| {
            Ok(format!(
                "select distinct cast(convert(queue using utf8mb4) as binary) \
                 from (select queue from {jobs} where queue = {} limit {ALIKE}) as alike",
                text(bytes(row, 0)?)
            ))
        };
        let queries: Vec<String> = rows.iter().map(alike).collect::<Result<_, sqlx::Error>>()?;
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let rows = session.rows(queries.join("; ")).await?;
        let name = |row: &MySqlRow| Ok(QueueName::new(&String::from_utf8_lossy(&bytes(row, 0)?)));
        let mut names: Vec<QueueName> = rows.iter().map(name).collect::<Result<_, sqlx::Error>>()?;
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

/// Deletes rows of a queue.
pub(super) struct Clear {
    pub(super) names: Arc<Names>,
    pub(super) queue: QueueName,
    pub(super) limit: u32,
}

#[async_trait::async_trait]
impl Verb for Clear {
    type Out = u64;

    fn action(&self) -> String {
        format!("clear queue {:?}", self.queue)
    }

    fn patience(&self) -> Duration {
        LONG
    }

    async fn run(&self, session: &mut Session) -> Result<u64, sqlx::Error> {
        let queue = exactly("queue", self.queue.as_str());
        let sql = format!(
            "delete from {} where {queue} limit {}",
            self.names.jobs, self.limit
        );
        session.execute(sql).await
    }
}

/// Reads from the table of jobs.
pub(super) struct Ping {
    pub(super) names: Arc<Names>,
}

#[async_trait::async_trait]
impl Verb for Ping {
    type Out = ();

    fn action(&self) -> String {
        "reach the database".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        let sql = format!("select 1 from {} limit 1", self.names.jobs);
        session.rows(sql).await.map(drop)
    }
}

/// The files of `migrations/mysql`.
pub(super) static MIGRATIONS: &[Migration] = &[
    file(
        "0001_jobs",
        "jobs",
        include_str!("../../../../../migrations/mysql/0001_jobs.sql"),
    ),
    file(
        "0002_failed_jobs",
        "failed_jobs",
        include_str!("../../../../../migrations/mysql/0002_failed_jobs.sql"),
    ),
    file(
        "0003_job_batches",
        "job_batches",
        include_str!("../../../../../migrations/mysql/0003_job_batches.sql"),
    ),
    file(
        "0004_cache",
        "cache",
        include_str!("../../../../../migrations/mysql/0004_cache.sql"),
    ),
    file(
        "0005_cache_locks",
        "cache_locks",
        include_str!("../../../../../migrations/mysql/0005_cache_locks.sql"),
    ),
    file(
        "0006_sessions",
        "sessions",
        include_str!("../../../../../migrations/mysql/0006_sessions.sql"),
    ),
    file(
        "0007_worker_markers",
        "worker_markers",
        include_str!("../../../../../migrations/mysql/0007_worker_markers.sql"),
    ),
    file(
        "0008_worker_processes",
        "worker_processes",
        include_str!("../../../../../migrations/mysql/0008_worker_processes.sql"),
    ),
];

const fn file(name: &'static str, table: &'static str, sql: &'static str) -> Migration {
    Migration { name, table, sql }
}

/// Makes a table unless it is there.
pub(super) struct Migrate {
    name: &'static str,
    table: TableName,
    sql: String,
}

impl Migrate {
    pub(super) fn new(migration: &Migration, names: &Names) -> Self {
        let table = names.tables.named(migration.table);
        Self {
            name: migration.name,
            sql: migration.sql_for(&table, '`'),
            table,
        }
    }
}

#[async_trait::async_trait]
impl Verb for Migrate {
    type Out = bool;

    fn action(&self) -> String {
        format!("migrate {}", self.name)
    }

    fn patience(&self) -> Duration {
        MAKING
    }

    async fn run(&self, session: &mut Session) -> Result<bool, sqlx::Error> {
        let (schema, table) = schema_and_name(&self.table);
        let there = format!(
            "select 1 from information_schema.tables where table_schema = {schema} and table_name = {table}"
        );
        if !session.rows(there).await?.is_empty() {
            return Ok(false);
        }
        // A file of ours, with a checked table name in place of the default one.
        made(session.execute(self.sql.clone()).await)
    }
}

/// Whether something was made; not when someone else made it at the same time.
fn made(done: Result<u64, sqlx::Error>) -> Result<bool, sqlx::Error> {
    match done {
        Ok(_) => Ok(true),
        Err(error) if exists(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The index's name, as Laravel would form it; a server takes 64 characters at most, and names of indexes
/// belong to their table.
fn index_name(jobs: &TableName) -> String {
    let name = format!("{}_queue_available_at_id_index", jobs.index_prefix());
    if name.chars().count() <= 64 {
        name
    } else {
        "worker_queue_available_at_id_index".to_owned()
    }
}

/// Makes the index by which the first rows of a queue are found without reading the others.
pub(super) struct Index {
    pub(super) names: Arc<Names>,
}

#[async_trait::async_trait]
impl Verb for Index {
    type Out = bool;

    fn action(&self) -> String {
        "make the index of the table of jobs".to_owned()
    }

    fn patience(&self) -> Duration {
        MAKING
    }

    async fn run(&self, session: &mut Session) -> Result<bool, sqlx::Error> {
        let jobs = &self.names.tables.jobs;
        let (schema, table) = schema_and_name(jobs);
        let name = index_name(jobs);
        let there = format!(
            "select 1 from information_schema.statistics where table_schema = {schema} \
             and table_name = {table} and index_name = convert({} using utf8)",
            binary(&name)
        );
        if !session.rows(there).await?.is_empty() {
            return Ok(false);
        }
        // Refused, rather than done by a copy under lock, where the server cannot do it beside writers.
        let make = format!(
            "alter table {} add index `{name}` (queue, available_at, id), algorithm = inplace, lock = none",
            self.names.jobs
        );
        made(session.execute(make).await)
    }
}
