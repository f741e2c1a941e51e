//! Tables of older applications that do not hold every character, every length, or every hour.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use harness::MariadbServer;
use sqlx::{Executor, Row};
use worker::clock::Clock;
use worker::store::Kind;
use worker::store::port::{
    FailedFilter, FailedJob, FailedJobs, FailedRow, Held, Queue, QueueName, Retried, Retry, Settle,
};
use worker::store::sql::{Database, SqlFailed, SqlOptions};

use super::fixture;
use crate::store::engine::mysql_options;
use crate::store_sql::{MAIL, new_job, settle, take};

/// Laravel's payload has its characters unescaped.
const EMOJI: &str = "{\"uuid\":\"u1\",\"data\":{\"subject\":\"Фактура \u{1F9FE}\"}}";

fn failure(payload: &[u8], exception: &str) -> FailedJob {
    FailedJob {
        uuid: "u1".to_owned(),
        connection: "database".to_owned(),
        queue: QueueName::new(MAIL),
        payload: Bytes::copy_from_slice(payload),
        exception: exception.to_owned(),
    }
}

async fn only_failure(db: &Database) -> FailedRow {
    let mut rows = SqlFailed::new(db)
        .list(&FailedFilter::All, 9)
        .await
        .expect("list");
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// In tables of three-byte characters a payload keeps its meaning, an exception stays readable, and nothing is
/// cut, whatever the server's own mode is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_byte_tables_lose_nothing() {
    let (database, db, queue) = fixture().await;
    database.execute(
        "alter table jobs convert to character set utf8 collate utf8_unicode_ci; \
         alter table failed_jobs convert to character set utf8 collate utf8_unicode_ci",
    );
    queue.push(&[new_job(EMOJI)]).await.expect("push");
    let job = take(&queue, 1).await.remove(0);
    assert_eq!(json(&job.payload), json(EMOJI.as_bytes()));
    assert!(job.payload.windows(6).any(|part| part == b"\\ud83e"));
    let failed = Settle::Fail(Box::new(failure(EMOJI.as_bytes(), "Пад \u{1F4A5} in mail")));
    assert_eq!(settle(&queue, &job, failed).await, Held::Yes);
    let row = only_failure(&db).await;
    assert_eq!(json(&row.payload), json(EMOJI.as_bytes()));
    assert_eq!(row.exception, "Пад \\u{1f4a5} in mail");
    let retry = Retry {
        id: row.id,
        job: new_job(row.payload),
    };
    let retried = SqlFailed::with_jobs(&db).retry(&retry).await.expect("retry");
    assert_eq!(retried, Some(Retried::Pushed));
    assert_eq!(json(&take(&queue, 1).await[0].payload), json(EMOJI.as_bytes()));

    let odd = "no JSON \u{1F4A5}".as_bytes();
    SqlFailed::new(&db)
        .record(&[failure(odd, "E")])
        .await
        .expect("record");
    assert_eq!(only_failure(&db).await.payload, odd);
}

/// A table of one character set knows still fewer; there even Cyrillic is escaped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latin_tables_lose_nothing() {
    let (database, db, queue) = fixture().await;
    database.execute(
        "alter table jobs convert to character set latin1; alter table failed_jobs convert to character set latin1",
    );
    queue.push(&[new_job(EMOJI)]).await.expect("push");
    let job = take(&queue, 1).await.remove(0);
    assert_eq!(json(&job.payload), json(EMOJI.as_bytes()));
    let failed = Settle::Fail(Box::new(failure(EMOJI.as_bytes(), "Пад é")));
    assert_eq!(settle(&queue, &job, failed).await, Held::Yes);
    assert_eq!(json(&only_failure(&db).await.payload), json(EMOJI.as_bytes()));
}

/// A payload that a lenient connection cut is given as it lies there, and can be failed with its bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_payload_is_given() {
    let (database, db, queue) = fixture().await;
    database.execute("alter table jobs convert to character set utf8 collate utf8_unicode_ci");
    let mut php = database.connect().await.expect("connect");
    php.execute("set session sql_mode = ''")
        .await
        .expect("a lenient mode");
    let insert =
        "insert into jobs (queue, payload, attempts, available_at, created_at) values (?, ?, 0, 0, 0)";
    let cut = sqlx::query(insert).bind(MAIL).bind(EMOJI).execute(&mut php).await;
    // MySQL 8 refuses in every mode; there the row is one that an older server cut.
    if cut.is_err_and(|error| error.to_string().contains("impossible for parameter")) {
        let (before, _) = EMOJI
            .split_once('\u{1F9FE}')
            .expect("the payload holds a receipt");
        let again = sqlx::query(insert)
            .bind(MAIL)
            .bind(before)
            .execute(&mut php)
            .await;
        again.expect("plain text is taken");
    }
    let job = take(&queue, 1).await.remove(0);
    assert!(job.payload.len() < EMOJI.len(), "the server has cut it");
    let failed = Settle::Fail(Box::new(failure(&job.payload, "unreadable")));
    assert_eq!(settle(&queue, &job, failed).await, Held::Yes);
    assert_eq!(only_failure(&db).await.payload, job.payload);
}

/// Bytes that no text column holds are refused with a word on why, and the failed row stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text_are_kept_as_failures() {
    let (_database, db, queue) = fixture().await;
    let bytes: &[u8] = b"\xff\xfe\0secret";
    let failed = SqlFailed::with_jobs(&db);
    failed.record(&[failure(bytes, "E")]).await.expect("record");
    let row = only_failure(&db).await;
    assert_eq!(row.payload.as_ref(), bytes);
    let retry = Retry {
        id: row.id,
        job: new_job(row.payload),
    };
    let error = failed.retry(&retry).await.expect_err("no text");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(
        error.to_string().contains("does not hold such characters"),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(only_failure(&db).await.id, retry.id);
    assert!(take(&queue, 1).await.is_empty());
}

/// An exception that is too long for its column is cut with a word on it; a payload never is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_columns_are_named() {
    let (database, db, _queue) = fixture().await;
    database.execute("alter table failed_jobs modify exception text not null, modify payload text not null");
    let failed = SqlFailed::new(&db);
    let long = "грешка\n".repeat(10_000);
    failed.record(&[failure(b"{}", &long)]).await.expect("record");
    let row = only_failure(&db).await;
    assert!(row.exception.starts_with("грешка\nгрешка") && row.exception.ends_with("too short)"));
    let large = format!("\"{}\"", "x".repeat(70_000));
    let error = failed
        .record(&[failure(large.as_bytes(), "E")])
        .await
        .expect_err("too long");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("make the column longer"), "{error}");
}

/// 2:30 in UTC on the morning on which Europe's clocks go from 2 to 3.
#[derive(Debug)]
struct Spring;

impl Clock for Spring {
    fn now(&self) -> Duration {
        Duration::from_secs(1_774_751_400)
    }
}

/// The hour that the server's time zone skips in spring is one that the application's may have: the failure is
/// written all the same, with the server's time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_that_the_server_skips_is_written() {
    let server = MariadbServer::start(&[]);
    let mut zones = Command::new("mariadb-tzinfo-to-sql");
    zones.args(["/usr/share/zoneinfo/Europe/Skopje", "Europe/Skopje"]);
    let zones = harness::run_to_end("mariadb-tzinfo-to-sql", zones, b"")
        .success()
        .to_owned();
    let database = server.database();
    database.execute(&format!("use mysql; {zones}"));
    database.execute("set global time_zone = 'Europe/Skopje'");
    let options = SqlOptions {
        clock: std::sync::Arc::new(Spring),
        ..SqlOptions::default()
    };
    let db = Database::mysql(&mysql_options(&database), options);
    let failed = SqlFailed::new(&db);
    failed.record(&[failure(b"{}", "E")]).await.expect("record");
    let age = database.rows(
        "select abs(timestampdiff(second, failed_at, now())) from failed_jobs",
        |row| row.get::<i64, _>(0),
    );
    assert!(age[0] < 600, "{age:?}");
}
