//! What is particular to SQL tables: PHP workers beside us, failures, the cache, and making the tables.

mod batches;
mod cache;
mod claim;
mod failed;
mod leases;
mod migrate;
mod mysql;
mod neighbours;
mod postgres;
pub(crate) mod table;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use harness::SqliteDatabase;
use worker::store::port::{Held, NewJob, Queue, QueueName, Reserved, Settle, Settlement};
use worker::store::sql::{Database, SqlQueue};

use crate::store::engine::open_sqlite;

const MAIL: &str = "mail";
const LEASE: Duration = Duration::from_secs(60);

/// A file with Laravel's tables and ours, and a driver on it.
async fn fixture() -> (SqliteDatabase, Database, SqlQueue) {
    let file = SqliteDatabase::temp();
    let db = open_sqlite(&file.path()).await;
    worker::store::sql::migrate(&db).await.expect("migrate");
    let queue = SqlQueue::with_failures(&db);
    (file, db, queue)
}

fn new_job(payload: impl Into<Bytes>) -> NewJob {
    NewJob {
        queue: QueueName::new(MAIL),
        payload: payload.into(),
        delay: None,
    }
}

async fn push(queue: &SqlQueue, payloads: &[&str]) {
    let jobs: Vec<NewJob> = payloads.iter().map(|text| new_job((*text).to_owned())).collect();
    queue.push(&jobs).await.expect("push");
}

async fn take(queue: &SqlQueue, max: usize) -> Vec<Reserved> {
    let names = [QueueName::new(MAIL)];
    queue.reserve(&names, max, LEASE).await.expect("reserve")
}

async fn settle(queue: &SqlQueue, job: &Reserved, settle: Settle) -> Held {
    let settlement = Settlement {
        queue: job.queue.clone(),
        receipt: job.receipt.clone(),
        settle,
    };
    queue.settle(&[settlement]).await.expect("settle")[0]
}

/// A recording of what real Laravel did.
fn recording(path: &str) -> serde_json::Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/laravel")
        .join(path);
    let text = std::fs::read_to_string(&file).expect("the recording is there");
    serde_json::from_str(&text).expect("a recording is JSON")
}
