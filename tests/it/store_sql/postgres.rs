//! What is particular to PostgreSQL: announcements, poolers, connections that break, its tables and its limits.

mod announce;
mod faults;
mod pooler;
mod said;
mod tables;
mod tls;
mod workers;

use std::time::{Duration, Instant};

use harness::PostgresDatabase;
use worker::store::port::{Queue, QueueName, Reserved};
use worker::store::sql::{Database, PostgresOptions, SqlOptions, SqlQueue};

use super::{LEASE, MAIL};
use crate::store::engine::{SOON, postgres_options};

/// A database with Laravel's tables and ours, and a driver on it.
async fn fixture() -> (PostgresDatabase, SqlQueue) {
    let database = PostgresDatabase::temp();
    let db = open(&postgres_options(&database));
    worker::store::sql::migrate(&db).await.expect("migrate");
    (database, SqlQueue::with_failures(&db))
}

/// Opens a database as a worker that looks rarely by itself.
fn open(options: &PostgresOptions) -> Database {
    let sleep = Duration::from_secs(600);
    let rarely = SqlOptions {
        sleep,
        ..SqlOptions::default()
    };
    Database::postgres(options, rarely)
}

/// Inserts a job as another process does, PHP for one.
fn insert(database: &PostgresDatabase, payload: &str) {
    database.execute(&format!(
        "insert into jobs (queue, payload, attempts, available_at, created_at) \
         select '{MAIL}', '{payload}', 0, t, t from (select floor(extract(epoch from now()))::int as t) as n"
    ));
}

/// Takes the next job as a lane does, waiting as long as it must; how long that took.
async fn next(queue: &SqlQueue) -> (Reserved, Duration) {
    let names = [QueueName::new(MAIL)];
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < SOON + LEASE, "no job came");
        // A worker tries again after an error, too.
        if let Ok(mut jobs) = queue.reserve(&names, 1, LEASE).await
            && let Some(job) = jobs.pop()
        {
            return (job, start.elapsed());
        }
        if queue.wait(&names, SOON).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
