//! The example against servers of its own: one task in each store, under the queue's name.

use std::process::Command;

use harness::{PostgresDatabase, RedisOptions, RedisServer, SqliteDatabase};
use sqlx::Row;

const DATA: &str = r#"{"sleepMs":100}"#;

#[track_caller]
fn produce(store: &str, url: &str) {
    let mut producer = Command::new(env!("CARGO_BIN_EXE_producer"));
    producer.args([store, url]);
    harness::run_to_end("producer", producer, b"").success();
}

#[test]
fn redis() {
    let server = RedisServer::start(RedisOptions::default());
    let redis = server.redis().db(3);
    produce("redis", &format!("{}/3", server.redis().url()));
    let data: Vec<String> = redis.query(&["HVALS", "worker-demo-slow:data"]);
    assert_eq!(data, [DATA]);
}

#[test]
fn postgres() {
    let database = PostgresDatabase::empty();
    produce("postgres", &database.url().replacen("pgsql:", "postgres:", 1));
    let tasks = database.rows(
        "select convert_from(job, 'UTF8') from apalis.jobs where job_type = 'worker-demo-slow'",
        |row| row.get::<String, _>(0),
    );
    assert_eq!(tasks, [DATA]);
}

#[test]
fn sqlite() {
    let file = SqliteDatabase::empty();
    produce("sqlite", &format!("sqlite:{}", file.path().display()));
    let tasks = file.rows(
        "select cast(job as text), max_attempts from Jobs where job_type = 'worker-demo-slow'",
        |row| (row.get::<String, _>(0), row.get::<i64, _>(1)),
    );
    assert_eq!(tasks, [(DATA.to_owned(), 5)]);
}
