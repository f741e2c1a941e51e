//! The tables are Laravel's own, and those of an application are left alone.

use std::collections::BTreeMap;

use harness::{Scratch, SqliteDatabase};
use sqlx::Row;
use worker::store::Kind;
use worker::store::port::{NewJob, Queue, QueueName};
use worker::store::sql::{
    Announce, Database, Made, SqlOptions, SqlQueue, SqliteOptions, TableName, Tables, announce, index,
    migrate,
};

use super::recording;
use crate::store::engine::open_sqlite;

const OURS: [&str; 2] = ["worker_markers", "worker_processes"];

/// Definitions of tables and indexes by name.
fn definitions(file: &SqliteDatabase) -> BTreeMap<String, String> {
    let sql = "select name, sql from sqlite_master where sql is not null and name not like 'sqlite_%'";
    file.rows(sql, |row| (row.get(0), row.get(1)))
        .into_iter()
        .collect()
}

/// An empty file gets what Laravel 12's migrations make, word for word, and our two tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_laravels() {
    let file = SqliteDatabase::empty();
    let db = open_sqlite(&file.path()).await;
    let steps = migrate(&db).await.expect("migrate");
    assert!(steps.iter().all(|step| step.made == Made::Created));
    assert_eq!((steps.len(), steps[0].name), (8, "0001_jobs"));
    let mut made = definitions(&file);
    for ours in OURS {
        assert!(made.remove(ours).is_some(), "{ours}");
    }
    let recorded = recording("12.67.0/database/ddl-sqlite.json");
    let mut expected = BTreeMap::new();
    for things in recorded["tables"].as_object().expect("tables").values() {
        for thing in things.as_array().expect("things") {
            if let (Some(name), Some(sql)) = (thing["name"].as_str(), thing["sql"].as_str()) {
                expected.insert(name.to_owned(), sql.to_owned());
            }
        }
    }
    let plain = |all: &BTreeMap<String, String>| -> Vec<String> {
        all.values().map(|sql| sql.to_lowercase()).collect()
    };
    assert_eq!(plain(&made), plain(&expected));
    let again = migrate(&db).await.expect("migrate");
    assert!(again.iter().all(|step| step.made == Made::Exists));
}

/// An application of Laravel 8 keeps its tables, its rows and nothing else but ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_is_left_alone() {
    let file = SqliteDatabase::temp();
    file.execute(
        "insert into jobs (queue, payload, attempts, available_at, created_at) values ('q', '{}', 0, 0, 0)",
    );
    let before = definitions(&file);
    let steps = migrate(&open_sqlite(&file.path()).await).await.expect("migrate");
    let created: Vec<&str> = steps
        .iter()
        .filter(|step| step.made == Made::Created)
        .map(|step| step.name)
        .collect();
    assert_eq!(created, ["0007_worker_markers", "0008_worker_processes"]);
    let mut after = definitions(&file);
    after.retain(|name, _| !OURS.contains(&name.as_str()));
    assert_eq!((after, file.jobs().len()), (before, 1));
    assert_eq!(
        file.rows("pragma journal_mode", |row| row.get::<String, _>(0)),
        ["delete"],
        "an application's file keeps its journal"
    );
}

/// A missing file is made with its directory; our own has a write-ahead log, and odd names are quoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_file_is_made() {
    let dir = Scratch::new();
    let path = dir.join("state/worker.sqlite");
    let options = SqlOptions {
        tables: Tables {
            jobs: TableName::new("odd-jobs").expect("a name"),
            ..Tables::default()
        },
        ..SqlOptions::default()
    };
    let db = Database::sqlite(SqliteOptions::own(&path), options)
        .await
        .expect("open");
    assert_eq!(migrate(&db).await.expect("migrate").len(), 8);
    assert!(dir.join("state/worker.sqlite-wal").exists());
    let queue = SqlQueue::new(&db);
    let job = NewJob {
        queue: QueueName::new("q"),
        payload: "{}".into(),
        delay: None,
    };
    queue.push(&[job]).await.expect("push");
    assert_eq!(queue.queues().await.expect("queues"), [QueueName::new("q")]);
}

/// The index is made once, under the name that Laravel would give it, and serves the worker's order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_serves_the_order() {
    let file = SqliteDatabase::temp();
    let db = open_sqlite(&file.path()).await;
    let mut made = Vec::new();
    for _ in 0..2 {
        made.push(index(&db).await.expect("index").made);
    }
    assert_eq!(made, [Made::Created, Made::Exists]);
    let plan = file.rows(
        "explain query plan select * from jobs where queue = 'q' and reserved_at is null order by available_at, id",
        |row| row.get::<String, _>("detail"),
    );
    let used = "SEARCH jobs USING INDEX jobs_queue_available_at_id_index (queue=?)";
    assert_eq!(plan, [used]);
}

/// SQLite cannot announce new jobs, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_announced() {
    let file = SqliteDatabase::temp();
    let error = announce(&open_sqlite(&file.path()).await, Announce::Yes).await;
    assert_eq!(error.expect_err("refused").kind(), Kind::Refused);
}
