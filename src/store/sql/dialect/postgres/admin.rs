//! What operators ask of the table of jobs, and its making.

use std::time::Duration;

use sqlx::Row;

use super::Shared;
use super::error::Failure;
use super::pool::{Session, Use};
use super::statements::Sql;
use crate::store::port::{Depth, QueueName};
use crate::store::sql::migrate::Migration;

/// How often a statement is tried again at once when another transaction was in its way.
const COLLISIONS: usize = 5;

/// Bytes from which on an index is worth while.
const LARGE: i64 = 8 << 20;

/// How long `migrate --indexes` waits for another one that makes the same index, look by look.
const INDEX_LOOKS: usize = 600;
const INDEX_LOOK: Duration = Duration::from_secs(1);

/// How many rows each queue holds.
pub(super) async fn depth(db: &Shared, queues: &[QueueName]) -> Result<Vec<Depth>, Failure> {
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let query = db.sql.depth.query().bind(names).bind(db.sql.retry_after_s);
    let rows = db.pool.fetch_all(Use::Take, query).await?;
    let empty = |queue: &QueueName| Depth {
        queue: queue.clone(),
        pending: 0,
        delayed: 0,
        reserved: 0,
        oldest_s: None,
    };
    let mut depths: Vec<Depth> = queues.iter().map(empty).collect();
    for row in &rows {
        let place: i64 = row.try_get(0)?;
        let count = |column: usize| -> Result<u64, sqlx::Error> {
            Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
        };
        let oldest: Option<i64> = row.try_get(4)?;
        if let Some(depth) = usize::try_from(place - 1).ok().and_then(|at| depths.get_mut(at)) {
            depth.pending = count(1)?;
            depth.delayed = count(2)?;
            depth.reserved = count(3)?;
            depth.oldest_s = oldest.map(|age| u64::try_from(age).unwrap_or(0));
        }
    }
    Ok(depths)
}

/// The queues that hold rows, sorted by bytes.
pub(super) async fn queues(db: &Shared) -> Result<Vec<QueueName>, Failure> {
    let rows = db.pool.fetch_all(Use::Take, db.sql.queues.query()).await?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        let name: &[u8] = row.try_get_unchecked(0)?;
        names.push(QueueName::new(&String::from_utf8_lossy(name)));
    }
    names.sort_unstable();
    Ok(names)
}

/// Deletes rows of a queue.
pub(super) async fn clear(db: &Shared, queue: &QueueName, limit: u32) -> Result<u64, Failure> {
    let mut collisions = 0;
    loop {
        let query = db.sql.clear.query().bind(queue.as_str().to_owned());
        match db.pool.execute(Use::Take, query.bind(i64::from(limit))).await {
            Err(failure) if failure.is_collision() && collisions < COLLISIONS => collisions += 1,
            outcome => return outcome,
        }
    }
}

/// Reads from the table of jobs.
pub(super) async fn ping(db: &Shared) -> Result<(), Failure> {
    let rows = db.pool.fetch_all(Use::Keep, db.sql.ping.query()).await;
    rows.map(drop)
}

/// The files of `migrations/postgres`.
pub(super) static MIGRATIONS: &[Migration] = &[
    file(
        "0001_jobs",
        "jobs",
        include_str!("../../../../../migrations/postgres/0001_jobs.sql"),
    ),
    file(
        "0002_failed_jobs",
        "failed_jobs",
        include_str!("../../../../../migrations/postgres/0002_failed_jobs.sql"),
    ),
    file(
        "0003_job_batches",
        "job_batches",
        include_str!("../../../../../migrations/postgres/0003_job_batches.sql"),
    ),
    file(
        "0004_cache",
        "cache",
        include_str!("../../../../../migrations/postgres/0004_cache.sql"),
    ),
    file(
        "0005_cache_locks",
        "cache_locks",
        include_str!("../../../../../migrations/postgres/0005_cache_locks.sql"),
    ),
    file(
        "0006_sessions",
        "sessions",
        include_str!("../../../../../migrations/postgres/0006_sessions.sql"),
    ),
    file(
        "0007_worker_markers",
        "worker_markers",
        include_str!("../../../../../migrations/postgres/0007_worker_markers.sql"),
    ),
    file(
        "0008_worker_processes",
        "worker_processes",
        include_str!("../../../../../migrations/postgres/0008_worker_processes.sql"),
    ),
];

const fn file(name: &'static str, table: &'static str, sql: &'static str) -> Migration {
    Migration { name, table, sql }
}

/// Makes a table unless it is there.
pub(super) async fn migrate(db: &Shared, migration: &Migration) -> Result<bool, Failure> {
    let table = db.sql.tables.named(migration.table);
    let mut session = db.pool.open(Use::Take).await?;
    session.begin().await?;
    // Two that migrate at once do it one after the other.
    session
        .raw("select pg_advisory_xact_lock(hashtext('worker migrate'))")
        .await?;
    let there = Sql::new("select to_regclass($1) is not null".to_owned());
    let rows = session.fetch_all(there.query().bind(table.quoted('"'))).await?;
    let exists = rows.first().map_or(Ok(false), |row| row.try_get(0))?;
    if !exists {
        session.raw(&migration.sql_for(&table, '"')).await?;
    }
    session.close().await?;
    Ok(!exists)
}

/// Makes the index on (queue, `available_at`, id), without holding up writers.
pub(super) async fn index_jobs(db: &Shared) -> Result<bool, Failure> {
    // It cannot be done in a transaction, and takes as long as it takes.
    let mut session = db.pool.open_bare(Use::Take).await?;
    if !db.pool.door().is_pooled() {
        session.raw("set lock_timeout to 0").await?;
        wait_for_others(&mut session).await?;
    }
    let table = &db.sql.tables.jobs;
    let quoted = table.quoted('"');
    let name = format!("{}_queue_available_at_id_index", table.index_prefix());
    let found = session.raw(&existing(&quoted)).await?;
    let mut broken = Vec::new();
    for row in &found {
        if row.try_get::<bool, _>(1)? {
            return Ok(false);
        }
        broken.push(row.try_get::<String, _>(0)?);
    }
    // What an interrupted run left: of no use, and kept up to date all the same.
    for leftover in broken {
        session
            .raw(&format!("drop index concurrently if exists {leftover}"))
            .await?;
    }
    session
        .raw(&format!(
            "create index concurrently if not exists \"{name}\" on {quoted} (queue, available_at, id)"
        ))
        .await?;
    // The session goes, and with it its settings and its lock.
    Ok(true)
}

/// Whether the table is large and has no whole index on (queue, `available_at`, id).
pub(super) async fn wants_index(db: &Shared) -> Result<bool, Failure> {
    let table = db.sql.tables.jobs.quoted('"');
    let mut session = db.pool.open(Use::Take).await?;
    let found = session.raw(&existing(&table)).await?;
    let size = session
        .raw(&format!("select pg_relation_size('{table}')"))
        .await?;
    session.close().await?;
    let whole = found.iter().map(|row| row.try_get::<bool, _>(1));
    let has_index = whole.collect::<Result<Vec<bool>, _>>()?.contains(&true);
    let is_large = match size.first() {
        Some(row) => row.try_get::<i64, _>(0)? >= LARGE,
        None => false,
    };
    Ok(is_large && !has_index)
}

/// Indexes on these columns, in this order, and whether they are whole.
fn existing(table: &str) -> String {
    format!(
        "select i.indexrelid::regclass::text, i.indisvalid from pg_index as i \
         where i.indrelid = '{table}'::regclass and i.indpred is null and (\
            select array_agg(a.attname::text order by k.place) \
            from unnest(i.indkey::int2[]) with ordinality as k(attnum, place) \
            join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum\
         )[1:3] = array['queue', 'available_at', 'id']"
    )
}

/// Waits until nobody else makes the index. Not by waiting for a lock: the server would take that for a
/// transaction that it must wait for in turn.
async fn wait_for_others(session: &mut Session) -> Result<(), Failure> {
    for _ in 0..INDEX_LOOKS {
        let sql = "select pg_try_advisory_lock(hashtext('worker migrate --indexes'))";
        let rows = session.raw(sql).await?;
        if rows.first().map_or(Ok(true), |row| row.try_get(0))? {
            break;
        }
        tokio::time::sleep(INDEX_LOOK).await;
    }
    Ok(())
}
