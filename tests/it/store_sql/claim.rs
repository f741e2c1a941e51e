//! Reserving and settling in an SQLite table, beside PHP workers with their own idea of `reserved_at`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::SqliteDatabase;
use worker::store::Kind;
use worker::store::port::{FailedJob, Held, NewJob, Queue, QueueName, Settle};
use worker::store::sql::{Database, SqlOptions, SqlQueue, SqliteOptions};

use super::{LEASE, MAIL, fixture, new_job, push, recording, settle, take};
use crate::store::engine::{open_sqlite, until};

/// Rows that Laravel's own query finds `after` seconds from now, with its `retry_after` of 90.
fn php_finds(file: &SqliteDatabase, after: i64) -> i64 {
    file.number(&format!(
        "select count(*) from (select * from \"jobs\" where \"queue\" = '{MAIL}' and \
         ((\"reserved_at\" is null and \"available_at\" <= unixepoch() + {after}) or \
         (\"reserved_at\" <= unixepoch() + {after} - 90)) order by \"id\" asc limit 1)"
    ))
}

/// PHP sees our reservation until our lease ends, whatever its own limit is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_sees_our_lease() {
    let (file, _db, queue) = fixture().await;
    push(&queue, &["a"]).await;
    assert_eq!(php_finds(&file, 0), 1);
    let job = take(&queue, 1).await.remove(0);
    assert_eq!((php_finds(&file, 58), php_finds(&file, 62)), (0, 1));
    let receipts = [(job.queue.clone(), job.receipt.clone())];
    let renewed = queue.renew(&receipts, Duration::from_secs(300)).await;
    assert_eq!(renewed.expect("renew"), [Held::Yes]);
    assert_eq!((php_finds(&file, 298), php_finds(&file, 302)), (0, 1));
    // A renewal never shortens.
    queue.renew(&receipts, LEASE).await.expect("renew");
    assert_eq!(php_finds(&file, 298), 0);
    assert_eq!(
        settle(&queue, &job, Settle::Release { delay: LEASE }).await,
        Held::Yes
    );
    assert_eq!((php_finds(&file, 58), php_finds(&file, 62)), (0, 1));
}

/// A reservation of PHP's is over after its `retry_after`, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phps_reservation_is_respected() {
    let (file, _db, queue) = fixture().await;
    push(&queue, &["a"]).await;
    file.execute("update jobs set reserved_at = unixepoch() - 80, attempts = 1");
    assert!(take(&queue, 5).await.is_empty());
    file.execute("update jobs set reserved_at = unixepoch() - 91");
    let job = until("the lapsed job is taken", async || take(&queue, 5).await.pop()).await;
    assert_eq!(job.attempts, 2);
    // PHP takes it over in turn: attempts tell the two apart.
    file.execute("update jobs set reserved_at = unixepoch(), attempts = 3");
    let receipts = [(job.queue.clone(), job.receipt.clone())];
    assert_eq!(queue.renew(&receipts, LEASE).await.expect("renew"), [Held::Lost]);
    for verb in [
        Settle::Delete,
        Settle::Refund { delay: None },
        Settle::Release {
            delay: Duration::ZERO,
        },
    ] {
        assert_eq!(settle(&queue, &job, verb).await, Held::Lost);
    }
    let row = file.jobs().remove(0);
    assert_eq!((row.attempts, row.reserved_at.is_some()), (3, true));
}

/// What we leave in the table after each verb is what Laravel leaves there, save that a released job
/// keeps its row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_laravels() {
    let recorded = recording("12.67.0/database/lifecycle-sqlite.json").to_string();
    for column in [
        "attempts",
        "available_at",
        "created_at",
        "payload",
        "queue",
        "reserved_at",
    ] {
        assert!(recorded.contains(column));
    }
    let (file, _db, queue) = fixture().await;
    let late = NewJob {
        delay: Some(LEASE),
        ..new_job("late")
    };
    queue.push(&[new_job("a"), late]).await.expect("push");
    let rows = file.jobs();
    assert_eq!(
        (rows[0].payload.as_str(), rows[0].attempts, rows[0].reserved_at),
        ("a", 0, None)
    );
    assert_eq!(rows[0].available_at, rows[0].created_at);
    assert_eq!(rows[1].available_at, rows[1].created_at + 60);
    assert_eq!(
        file.number("select count(*) from jobs where typeof(payload) = 'text'"),
        2
    );
    let job = take(&queue, 5).await.remove(0);
    assert_eq!(file.jobs()[0].attempts, 1);
    assert_eq!(
        settle(&queue, &job, Settle::Refund { delay: None }).await,
        Held::Yes
    );
    let row = file.jobs().remove(0);
    assert_eq!((row.id, row.attempts, row.reserved_at), (1, 0, None));
    assert_eq!(row.available_at, rows[0].available_at);
}

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

fn failure(uuid: &str) -> Settle {
    Settle::Fail(Box::new(FailedJob {
        uuid: uuid.to_owned(),
        connection: "database".to_owned(),
        queue: QueueName::new(MAIL),
        payload: Bytes::from_static(b"{}"),
        exception: "E: no".to_owned(),
    }))
}

/// A failure is recorded and its job removed together, or neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_is_one_step() {
    let (file, _db, queue) = fixture().await;
    assert!(queue.records_failures());
    push(&queue, &["a", "b", "c"]).await;
    let jobs = take(&queue, 3).await;
    assert_eq!(settle(&queue, &jobs[0], failure("u1")).await, Held::Yes);
    assert_eq!((file.jobs().len(), file.failed_jobs().len()), (2, 1));
    // Someone else has it: nothing is recorded.
    file.execute("update jobs set attempts = 2 where id = 2");
    assert_eq!(settle(&queue, &jobs[1], failure("u2")).await, Held::Lost);
    assert_eq!((file.jobs().len(), file.failed_jobs().len()), (2, 1));
    // The record cannot be written: the job stays, held, and can be tried again.
    file.execute("alter table failed_jobs rename to elsewhere");
    let last = worker::store::port::Settlement {
        queue: jobs[2].queue.clone(),
        receipt: jobs[2].receipt.clone(),
        settle: failure("u3"),
    };
    let error = queue
        .settle(std::slice::from_ref(&last))
        .await
        .expect_err("no table");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("worker migrate"), "{error}");
    assert_eq!(file.jobs().len(), 2);
    file.execute("alter table elsewhere rename to failed_jobs");
    assert_eq!(queue.settle(&[last]).await.expect("settle"), [Held::Yes]);
    assert_eq!((file.jobs().len(), file.failed_jobs().len()), (1, 2));
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
