//! Failures in a table: as Laravel keeps them, and as old applications do.

use std::time::Duration;

use bytes::Bytes;
use harness::SqliteDatabase;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use worker::clock::{Clock, SystemClock};
use worker::store::Kind;
use worker::store::port::{
    FailedFilter, FailedId, FailedJob, FailedJobs, Held, NewJob, Queue, QueueName, Retried, Retry, Settle,
};
use worker::store::sql::{Database, NullFailed, SqlFailed, SqlOptions, SqlQueue, SqliteOptions};

use super::table::on_every_table;
use super::{MAIL, fixture, new_job, settle, take};
use crate::store::engine::open_sqlite;

fn failure(uuid: &str, queue: &str) -> FailedJob {
    FailedJob {
        uuid: uuid.to_owned(),
        connection: "redis".to_owned(),
        queue: QueueName::new(queue),
        payload: Bytes::from(format!("{{\"uuid\":\"{uuid}\"}}")),
        exception: "RuntimeException: грешка\nStack".to_owned(),
    }
}

/// Tables without a unique uuid, or without the column, take failures once as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_tables_are_served() {
    for change in [
        "drop index failed_jobs_uuid_unique",
        "drop index failed_jobs_uuid_unique; alter table failed_jobs drop column uuid",
    ] {
        let file = SqliteDatabase::temp();
        file.execute(change);
        let failed = SqlFailed::new(&open_sqlite(&file.path()).await);
        for _ in 0..2 {
            failed
                .record(&[failure("u1", "q"), failure("u2", "q")])
                .await
                .expect("record");
        }
        let rows = failed.list(&FailedFilter::All, 10).await.expect("list");
        assert_eq!(rows.len(), 2);
        let has_uuid = rows[0].uuid.is_some();
        let uuid = FailedFilter::Id(FailedId::Uuid("u1".to_owned()));
        assert_eq!(
            failed.list(&uuid, 10).await.expect("list").len(),
            usize::from(has_uuid)
        );
        assert_eq!(failed.forget(&uuid).await.expect("forget"), u64::from(has_uuid));
        let number = FailedFilter::Id(FailedId::Number(rows[0].id));
        assert_eq!(failed.forget(&number).await.expect("forget"), 1);
    }
}

/// Bytes that are no text are kept in a wrapper and come back exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_kept() {
    let (file, db, queue) = fixture().await;
    let payloads: [&[u8]; 4] = [b"\xff\xfe\0", b"a\0b", b"", b"{\"worker:base64\":\"AA==\"}"];
    for (number, bytes) in payloads.iter().enumerate() {
        queue.push(&[new_job(*bytes)]).await.expect("push");
        let job = take(&queue, 1).await.remove(0);
        let failure = FailedJob {
            payload: job.payload.clone(),
            ..failure(&format!("u{number}"), MAIL)
        };
        assert_eq!(
            settle(&queue, &job, Settle::Fail(Box::new(failure))).await,
            Held::Yes
        );
    }
    assert!(file.failed_jobs()[0].payload.starts_with('{'));
    let rows = SqlFailed::new(&db)
        .list(&FailedFilter::All, 9)
        .await
        .expect("list");
    for (row, bytes) in rows.iter().rev().zip(payloads) {
        assert_eq!(row.payload.as_ref(), bytes);
    }
}

/// A page of failures that was read before someone else retried them is not believed: the marker of that
/// retry is gone by then, the row too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_read_before_another_retry_is_not_pushed_again() {
    let (jobs, failures) = (SqliteDatabase::temp(), SqliteDatabase::temp());
    let open =
        |file: &SqliteDatabase| Database::sqlite(SqliteOptions::new(file.path()), SqlOptions::default());
    let queue_db = open(&jobs).await.expect("open");
    worker::store::sql::migrate(&queue_db).await.expect("migrate");
    let failed = SqlFailed::new(&open(&failures).await.expect("open"));
    failed.record(&[failure("u1", "einvoice")]).await.expect("record");
    let row = failed.list(&FailedFilter::All, 1).await.expect("list").remove(0);
    let retrier = worker::failed::Retrier {
        failed: std::sync::Arc::new(failed),
        queue: std::sync::Arc::new(SqlQueue::new(&queue_db)),
        clock: std::sync::Arc::new(SystemClock),
    };
    let first = retrier.retry(&row).await.expect("retry");
    assert!(matches!(first, worker::failed::Outcome::Pushed), "{first:?}");
    let second = retrier.retry(&row).await.expect("retry");
    assert!(matches!(second, worker::failed::Outcome::Gone), "{second:?}");
    assert_eq!(jobs.jobs().len(), 1);
}

on_every_table! {
    /// A row is as Laravel writes it, in the application's time, and a second record updates it.
    async fn rows_are_laravels(table: &Table) {
        let file = &table.database;
        let options = SqlOptions {
            timezone: TimeZone::get("Europe/Skopje").expect("a zone"),
            ..SqlOptions::default()
        };
        let failed = SqlFailed::new(&table.open(options).await);
        failed.record(&[failure("u1", "einvoice")]).await.expect("record");
        let row = file.failed_jobs().remove(0);
        assert_eq!(
            (
                row.connection.as_str(),
                row.queue.as_str(),
                row.payload.as_str(),
                row.exception.as_str()
            ),
            (
                "redis",
                "einvoice",
                "{\"uuid\":\"u1\"}",
                "RuntimeException: грешка\nStack"
            )
        );
        let there = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &row.failed_at).expect("a time");
        let utc = TimeZone::UTC.to_datetime(Timestamp::from_second(SystemClock.unix_s()).expect("a time"));
        let ahead = there.duration_since(utc).as_secs() + 5;
        assert!((1..=2).contains(&(ahead / 3600)), "{}", row.failed_at);
        let again = FailedJob {
            exception: "other".to_owned(),
            ..failure("u1", "einvoice")
        };
        failed.record(&[again, failure("u2", "q")]).await.expect("record");
        let rows = file.failed_jobs();
        assert_eq!(
            (rows.len(), rows[0].uuid.as_str(), rows[0].exception.as_str()),
            (2, "u1", "other")
        );
        assert!(
            rows[0].id > row.id,
            "a retry under way must not take the new failure for the old one"
        );
    }

    /// Rows are found by what a person names, the newest first.
    async fn rows_are_found(table: &Table) {
        let (file, db) = (&table.database, &table.db);
        let failed = SqlFailed::with_jobs(db);
        for number in 1..=5 {
            let queue = if number % 2 == 0 { "even" } else { "odd" };
            failed
                .record(&[failure(&format!("u{number}"), queue)])
                .await
                .expect("record");
        }
        let ids = async |filter: FailedFilter, limit| {
            let rows = failed.list(&filter, limit).await.expect("list");
            rows.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(FailedFilter::All, 3).await, [5, 4, 3]);
        assert_eq!(ids(FailedFilter::Queue(QueueName::new("even")), 9).await, [4, 2]);
        assert_eq!(ids(FailedFilter::Range(2, 3), 9).await, [3, 2]);
        assert_eq!(
            ids(FailedFilter::Id(FailedId::Uuid("u5".to_owned())), 9).await,
            [5]
        );
        assert_eq!(ids(FailedFilter::Id(FailedId::Number(1)), 9).await, [1]);
        let even = FailedFilter::Queue(QueueName::new("even"));
        assert_eq!(failed.forget(&even).await.expect("forget"), 2);
        let then = Timestamp::from_second(SystemClock.unix_s() - 3 * 3600).expect("a time");
        let then = then.strftime("%Y-%m-%d %H:%M:%S");
        file.execute(&format!("update failed_jobs set failed_at = '{then}' where id = 1"));
        assert_eq!(failed.flush(4).await.expect("flush"), 0);
        assert_eq!(failed.flush(2).await.expect("flush"), 1);
        assert_eq!(failed.flush(0).await.expect("flush"), 2);
        assert!(file.failed_jobs().is_empty());
    }

    /// More rows than one batch holds are removed all the same.
    async fn many_rows_are_flushed(table: &Table) {
        let (file, db) = (&table.database, &table.db);
        let rows: Vec<String> = (0..2500).map(|i| format!("('u{i}', 'c', 'q', '{{}}', 'e')")).collect();
        let columns = "uuid, connection, queue, payload, exception";
        file.execute(&format!("insert into failed_jobs ({columns}) values {}", rows.join(",")));
        assert_eq!(SqlFailed::new(db).flush(0).await.expect("flush"), 2500);
    }

    /// A retry moves the row into the queue, once, however many ask for it.
    async fn a_retry_moves_once(table: &Table) {
        let (file, db, queue) = (&table.database, &table.db, &table.queue);
        let failed = SqlFailed::with_jobs(db);
        failed.record(&[failure("u1", MAIL)]).await.expect("record");
        let retry = Retry {
            id: 1,
            job: NewJob {
                delay: Some(Duration::ZERO),
                ..new_job("again")
            },
        };
        assert_eq!(SqlFailed::new(db).retry(&retry).await.expect("retry"), None);
        let mut answers = Vec::new();
        for driver in [failed.clone(), failed] {
            answers.push(driver.retry(&retry).await.expect("retry"));
        }
        assert_eq!(answers, [Some(Retried::Pushed), Some(Retried::Gone)]);
        assert_eq!((file.jobs().len(), file.failed_jobs().len()), (1, 0));
        assert_eq!(take(queue, 2).await.remove(0).payload, "again");
    }

    /// The null driver takes everything and keeps nothing; a missing table is named.
    async fn nowhere_and_no_table(table: &Table) {
        NullFailed.record(&[failure("u", "q")]).await.expect("record");
        assert!(
            NullFailed
                .list(&FailedFilter::All, 1)
                .await
                .expect("list")
                .is_empty()
        );
        let failed = SqlFailed::new(&table.bare);
        let error = failed.record(&[failure("u", "q")]).await.expect_err("no table");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("worker migrate"), "{error}");
        let queue = SqlQueue::new(&table.bare);
        assert!(!queue.records_failures());
    }
}
