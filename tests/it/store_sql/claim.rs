//! Reserving in an SQLite table: what is remembered of it, and what others do to it meanwhile.

use std::time::{Duration, Instant};

use harness::SqliteDatabase;
use worker::store::Kind;
use worker::store::port::{Held, NewJob, Queue, QueueName, Settle};
use worker::store::sql::{Database, SqlOptions, SqlQueue, SqliteOptions};

use super::{LEASE, MAIL, fixture, new_job, push, settle, take};
use crate::store::engine::{open_sqlite, until};

/// Bytes of every kind survive, and PHP reads and writes the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_kept() {
    let (file, _db, queue) = fixture().await;
    let nasty: [&[u8]; 4] = [b"a\0b", b"\xff\xfe", b"", "тест \u{1F600}".as_bytes()];
    let jobs: Vec<NewJob> = nasty.iter().map(|bytes| new_job(*bytes)).collect();
    queue.push(&jobs).await.expect("push");
    let script = "$p = new PDO('sqlite:'.$argv[1]); \
        foreach ($p->query('select payload from jobs order by id') as $row) echo bin2hex($row[0]), ' '; \
        $q = $p->prepare('insert into jobs (queue, payload, attempts, available_at, created_at) \
            values (?, ?, 0, 0, 0)'); $q->execute(['mail', \"p\\0\\xff\"]);";
    let mut php = std::process::Command::new("php");
    php.args(["-r", script]).arg(file.path());
    let said = harness::run_to_end("php", php, b"").success().to_owned();
    assert_eq!(said, "610062 fffe  d182d0b5d181d18220f09f9880 ");
    let taken = until("PHP's job is seen", async || {
        let jobs = take(&queue, 9).await;
        (jobs.len() == 5).then_some(jobs)
    })
    .await;
    // PHP's row was available first.
    assert_eq!(taken[0].payload.as_ref(), b"p\0\xff");
    for (job, bytes) in taken.iter().skip(1).zip(nasty) {
        assert_eq!(job.payload.as_ref(), bytes);
    }
}

/// A row whose attempts are beyond every column is given, not stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_the_limit_are_given() {
    let (file, _db, queue) = fixture().await;
    push(&queue, &["a", "b"]).await;
    file.execute("update jobs set attempts = 255 where id = 1");
    let jobs = take(&queue, 2).await;
    assert_eq!((jobs[0].attempts, jobs[1].attempts), (256, 1));
}

/// A hundred thousand delayed rows before the one that is due cost next to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_rows_in_front_cost_nothing() {
    let (file, _db, _queue) = fixture().await;
    // Without waiting for the disk, so that only the work counts.
    let own = Database::sqlite(SqliteOptions::own(file.path()), SqlOptions::default()).await;
    let queue = SqlQueue::new(&own.expect("open"));
    file.execute(&format!(
        "insert into jobs (queue, payload, attempts, available_at, created_at) \
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) \
         select '{MAIL}', '{}', 0, unixepoch() + 3600 + i % 600, unixepoch() from n",
        "x".repeat(300)
    ));
    let start = Instant::now();
    assert!(take(&queue, 10).await.is_empty());
    let scan = start.elapsed();
    let start = Instant::now();
    let rounds = 200_u32;
    for round in 0..rounds {
        push(&queue, &[&format!("j{round}")]).await;
        let jobs = take(&queue, 10).await;
        assert_eq!(jobs.len(), 1);
        assert_eq!(settle(&queue, &jobs[0], Settle::Delete).await, Held::Yes);
    }
    let each = start.elapsed() / rounds;
    assert!(
        each < scan / 2,
        "{each:?} for one job, {scan:?} to scan the table"
    );
}

/// Delayed jobs of the first rows that are remembered and beyond them come in the order of their times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_beyond_what_is_remembered() {
    let (file, _db, queue) = fixture().await;
    file.execute(&format!(
        "insert into jobs (queue, payload, attempts, available_at, created_at) \
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) \
         select '{MAIL}', 21000 - i, 0, 100000 - i, 0 from n"
    ));
    let mut last = 0;
    let mut seen = 0;
    loop {
        let jobs = take(&queue, 900).await;
        if jobs.is_empty() {
            break;
        }
        for job in &jobs {
            let number: i64 = std::str::from_utf8(&job.payload)
                .expect("text")
                .parse()
                .expect("a number");
            assert!(number > last, "{number} after {last}");
            last = number;
        }
        seen += jobs.len();
    }
    assert_eq!(seen, 20_000);
}

/// What others do to rows that we remember is seen: PHP deletes, gives back, and starts over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_changes_are_seen() {
    let (file, _db, queue) = fixture().await;
    push(&queue, &["a", "b", "c"]).await;
    let held = take(&queue, 1).await.remove(0);
    file.execute("delete from jobs where id = 2");
    let next = until("the next is taken", async || take(&queue, 1).await.pop()).await;
    assert_eq!(next.payload, "c");
    // Another of our processes gives back in place.
    file.execute("update jobs set reserved_at = null, available_at = unixepoch() where id = 1");
    let again = until("it is seen", async || take(&queue, 1).await.pop()).await;
    assert_eq!((again.payload.clone(), again.attempts), (held.payload, 2));
    // The table is emptied and numbers begin anew.
    file.execute("delete from jobs; delete from sqlite_sequence where name = 'jobs'");
    file.execute(&format!(
        "insert into jobs (queue, payload, attempts, available_at, created_at) values ('{MAIL}', 'new', 0, 0, 0)"
    ));
    let new = until("it is seen", async || take(&queue, 1).await.pop()).await;
    assert_eq!(new.payload, "new");
}

/// A call that nobody waits for any more leaves no job held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_reservation_is_undone() {
    let (file, _db, queue) = fixture().await;
    push(&queue, &["a"]).await;
    for micros in [0, 50, 100, 200, 500, 1000, 2000] {
        let short = Duration::from_micros(micros);
        if let Ok(jobs) = tokio::time::timeout(short, take(&queue, 1)).await
            && let Some(job) = jobs.first()
        {
            settle(&queue, job, Settle::Refund { delay: None }).await;
        }
        until("it is free again", async || {
            (file.number("select count(*) from jobs where reserved_at is null and attempts = 0") == 1)
                .then_some(())
        })
        .await;
    }
}

/// Without the tables the answer says what to do; with a missing file there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_things_are_named() {
    let file = SqliteDatabase::empty();
    let queue = SqlQueue::new(&open_sqlite(&file.path()).await);
    for error in [
        queue.ping().await.expect_err("no table"),
        queue.push(&[new_job("a")]).await.expect_err("no table"),
        queue
            .reserve(&[QueueName::new(MAIL)], 1, LEASE)
            .await
            .expect_err("no table"),
    ] {
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("worker migrate"), "{error}");
    }
    let missing = SqliteOptions::new(file.path().with_file_name("none.sqlite"));
    let error = Database::sqlite(missing, SqlOptions::default())
        .await
        .expect_err("no file");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("none.sqlite"), "{error}");
}
