//! Other processes on the same file: writers in the way, a full disk, and PHP's own worker.

use std::time::Duration;

use harness::SqliteDatabase;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::task::JoinSet;
use worker::store::Kind;
use worker::store::port::{Held, Queue, QueueName, Settle};
use worker::store::sql::{Database, SqlOptions, SqlQueue, SqliteOptions};

use super::{MAIL, fixture, new_job, push, settle, take};
use crate::store::engine::{open_sqlite, until};

async fn other(file: &SqliteDatabase) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file.path());
    SqliteConnection::connect_with(&options).await.expect("open")
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.expect("run");
}

/// A writer in the way is waited for up to the busy timeout; then the call may be repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_writer_is_waited_for() {
    let (file, _db, queue) = fixture().await;
    push(&queue, &["a"]).await;
    let impatient = SqliteOptions {
        busy_timeout: Duration::from_millis(100),
        ..SqliteOptions::new(file.path())
    };
    let impatient = Database::sqlite(impatient, SqlOptions::default())
        .await
        .expect("open");
    let impatient = SqlQueue::new(&impatient);
    let mut blocker = other(&file).await;
    run(&mut blocker, "begin immediate").await;
    let error = impatient.push(&[new_job("b")]).await.expect_err("busy");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    assert!(error.to_string().contains("busy timeout"), "{error}");

    let mut pushing = JoinSet::new();
    let patient = queue.clone();
    pushing.spawn(async move { push(&patient, &["c"]).await });
    assert!(
        tokio::time::timeout(Duration::from_millis(100), pushing.join_next())
            .await
            .is_err()
    );
    run(&mut blocker, "commit").await;
    pushing.join_next().await.expect("a task").expect("it ends well");
    assert_eq!(file.jobs().len(), 2);
}

/// Writers of several processes at once never upset each other: locks are asked for before reading.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_get_along() {
    let (file, _db, _queue) = fixture().await;
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let queue = SqlQueue::new(&open_sqlite(&file.path()).await);
        writers.spawn(async move {
            for _ in 0..25 {
                push(&queue, &["a"]).await;
                for job in take(&queue, 1).await {
                    assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes);
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("it ends well");
    }
}

/// A push of several jobs is all or none, and what was refused leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_push_leaves_nothing() {
    let (file, _db, queue) = fixture().await;
    push(&queue, &["a"]).await;
    file.execute(
        "create trigger bad before insert on jobs when new.payload = 'bad' \
         begin select raise(abort, 'no'); end",
    );
    let error = queue
        .push(&[new_job("ok"), new_job("bad")])
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(file.jobs().len(), 1);
    let job = take(&queue, 1).await.remove(0);
    assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes);
}

/// One bad write in a group does not spoil the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_write_fails_alone() {
    let (file, _db, queue) = fixture().await;
    file.execute("create trigger bad before insert on jobs when new.payload = 'bad' begin select raise(abort, 'no'); end");
    let mut pushes = JoinSet::new();
    for round in 0..40 {
        let queue = queue.clone();
        let payload = if round % 8 == 3 { "bad" } else { "good" };
        pushes.spawn(async move { queue.push(&[new_job(payload)]).await.is_ok() });
    }
    let done = pushes.join_all().await;
    assert_eq!(done.iter().filter(|ok| **ok).count(), 35);
    assert_eq!(file.jobs().len(), 35);
}

/// Jobs that others push wake us soon, without an index and with other queues busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_pushes_wake() {
    let (file, _db, queue) = fixture().await;
    let names = [QueueName::new(MAIL)];
    for round in 0..5 {
        let (waited, ()) = tokio::join!(queue.wait(&names, Duration::from_secs(20)), async {
            file.execute(&format!(
                "insert into jobs (queue, payload, attempts, available_at, created_at) \
                 values ('{MAIL}', 'j{round}', 0, unixepoch(), unixepoch())"
            ));
        });
        waited.expect("wait");
        let job = until("the job is there", async || take(&queue, 1).await.pop()).await;
        assert_eq!(job.payload, format!("j{round}"));
        settle(&queue, &job, Settle::Delete).await;
    }
}
