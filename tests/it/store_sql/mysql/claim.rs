//! Claiming beside PHP workers: no lock on what is not taken, no row twice, no row stuck.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, MySqlConnection, Row};
use tokio::task::JoinSet;
use worker::store::port::{Held, NewJob, Queue, QueueName, Settle};
use worker::store::sql::{Database, SqlOptions, SqlQueue};

use super::{fixture, open};
use crate::store::engine::{mysql_options, until};
use crate::store_sql::{LEASE, MAIL, new_job, push, settle, take};

/// Laravel's own query for the next job, with its lock.
const PHP_POPS: &str = "select id, payload from jobs where queue = 'mail' and \
    ((reserved_at is null and available_at <= unix_timestamp()) or (reserved_at <= unix_timestamp() - 90)) \
    order by id asc limit 1 for update skip locked";

/// Takes and deletes one job as Laravel's worker does; its payload.
async fn php_works(connection: &mut MySqlConnection) -> sqlx::Result<Option<String>> {
    let mut pop = connection.begin().await?;
    let Some(row) = pop.fetch_optional(PHP_POPS).await? else {
        return Ok(None);
    };
    let id: u64 = row.try_get(0)?;
    let payload: String = row.try_get(1)?;
    let reserve = "update jobs set reserved_at = unix_timestamp(), attempts = attempts + 1 where id = ?";
    sqlx::query(reserve).bind(id).execute(&mut *pop).await?;
    pop.commit().await?;
    let mut delete = connection.begin().await?;
    sqlx::query("select id from jobs where id = ? for update")
        .bind(id)
        .fetch_optional(&mut *delete)
        .await?;
    sqlx::query("delete from jobs where id = ?")
        .bind(id)
        .execute(&mut *delete)
        .await?;
    delete.commit().await?;
    Ok(Some(payload))
}

/// Works the queue in batches until it is empty; the payloads.
async fn worker_works(queue: SqlQueue, size: usize) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        let jobs = take(&queue, size).await;
        if jobs.is_empty() {
            return done;
        }
        for job in &jobs {
            assert_eq!(settle(&queue, job, Settle::Delete).await, Held::Yes);
            done.push(String::from_utf8(job.payload.to_vec()).expect("UTF-8"));
        }
    }
}

/// Eight workers and two PHP workers on one table: each row is worked once, no deadlock surfaces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_worked_once_beside_php() {
    const JOBS: usize = 2000;
    let (database, _db, queue) = fixture().await;
    let jobs: Vec<NewJob> = (0..JOBS).map(|n| new_job(format!("{n:04}"))).collect();
    queue.push(&jobs).await.expect("push");
    let mut workers = JoinSet::new();
    for size in [1, 2, 5, 10, 10, 20, 50, 50] {
        let db = Database::mysql(&mysql_options(&database), SqlOptions::default());
        workers.spawn(worker_works(SqlQueue::new(&db), size));
    }
    for _ in 0..2 {
        let mut connection = database.connect().await.expect("connect");
        workers.spawn(async move {
            let mut done = Vec::new();
            while let Some(payload) = php_works(&mut connection).await.expect("PHP's statements") {
                done.push(payload);
            }
            done
        });
    }
    let done: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<&String> = done.iter().collect();
    assert_eq!((done.len(), distinct.len()), (JOBS, JOBS));
    assert_eq!(database.number("select count(*) from jobs"), 0);
}

/// A row that a PHP worker has under lock is passed over at once, and the row alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_row_is_passed_over() {
    let (database, _db, queue) = fixture().await;
    push(&queue, &["a", "b", "c"]).await;
    let mut php = database.connect().await.expect("connect");
    let mut pop = php.begin().await.expect("begin");
    let locked = pop.fetch_one(PHP_POPS).await.expect("pop");
    assert_eq!(locked.get::<String, _>(1), "a");
    let start = Instant::now();
    let jobs = take(&queue, 5).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let payloads: Vec<_> = jobs.iter().map(|job| job.payload.clone()).collect();
    assert_eq!(payloads, ["b", "c"]);
    assert_eq!(settle(&queue, &jobs[0], Settle::Delete).await, Held::Yes);
    pop.rollback().await.expect("rollback");
    let job = until("the lock is gone", async || take(&queue, 5).await.pop()).await;
    assert_eq!(job.payload, "a");
}

/// A row whose attempts have reached the end of Laravel's older column is given with the others, keeps its
/// number, and is still told from itself in other hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_the_limit_are_given() {
    let (database, _db, queue) = fixture().await;
    push(&queue, &["a", "b"]).await;
    database.execute("update jobs set attempts = 255 where payload = 'a'");
    let jobs = take(&queue, 5).await;
    assert_eq!((jobs[0].attempts, jobs[1].attempts), (255, 1));
    assert_eq!(database.jobs()[0].attempts, 255);
    database.execute("update jobs set reserved_at = reserved_at - 200 where payload = 'a'");
    let again = until("it is taken over", async || take(&queue, 5).await.pop()).await;
    assert_eq!((again.attempts, again.payload.as_ref()), (255, b"a".as_slice()));
    database.execute("update jobs set reserved_at = reserved_at + 1 where payload = 'a'");
    for late in [&jobs[0], &again] {
        assert_eq!(settle(&queue, late, Settle::Delete).await, Held::Lost);
    }
    assert_eq!(settle(&queue, &jobs[1], Settle::Delete).await, Held::Yes);
    // The wider column of newer applications goes on counting.
    database.execute(
        "alter table jobs modify attempts smallint unsigned not null; \
         update jobs set attempts = 255, reserved_at = null",
    );
    let (_db, queue) = open(&database).await;
    assert_eq!(take(&queue, 5).await[0].attempts, 256);
}

/// A `retry_after` that reaches back before 1970 leaves no number below zero in a column that has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_do_not_fall_below_zero() {
    let (database, _db, _queue) = fixture().await;
    let options = SqlOptions {
        retry_after: Duration::MAX,
        ..SqlOptions::default()
    };
    let queue = SqlQueue::with_failures(&Database::mysql(&mysql_options(&database), options));
    push(&queue, &["a", "b"]).await;
    let jobs = take(&queue, 5).await;
    assert_eq!(jobs.len(), 2);
    assert_eq!(database.jobs()[0].reserved_at, Some(0));
    let receipts = [(jobs[0].queue.clone(), jobs[0].receipt.clone())];
    assert_eq!(queue.renew(&receipts, LEASE).await.expect("renew"), [Held::Yes]);
    assert!(take(&queue, 5).await.is_empty());
    let depth = queue.depth(&[QueueName::new(MAIL)]).await.expect("depth");
    assert_eq!((depth[0].pending, depth[0].reserved), (0, 2));
    let release = Settle::Release { delay: Duration::MAX };
    assert_eq!(settle(&queue, &jobs[0], release).await, Held::Yes);
    assert_eq!(
        settle(&queue, &jobs[1], Settle::Refund { delay: None }).await,
        Held::Yes
    );
    database.execute("update jobs set attempts = 0, reserved_at = 0");
    let back = settle(&queue, &jobs[1], Settle::Refund { delay: None }).await;
    assert_eq!(back, Held::Lost);
}

/// Names that the collation takes for the same are different queues, each found by its own name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_names_are_exact() {
    let (database, _db, queue) = fixture().await;
    let names = ["Mail", "mail", "mail ", "maïl"].map(QueueName::new);
    let jobs: Vec<NewJob> = names
        .iter()
        .map(|queue| NewJob {
            queue: queue.clone(),
            ..new_job(format!("of {queue}"))
        })
        .collect();
    queue.push(&jobs).await.expect("push");
    let alike = "select count(*) from jobs where queue = 'mail'";
    assert_eq!(database.number(alike), 4, "what PHP's own query would find");
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(queue.queues().await.expect("queues"), sorted);
    let depth = queue.depth(&names).await.expect("depth");
    assert!(depth.iter().all(|depth| depth.pending == 1), "{depth:?}");
    let job = take(&queue, 5).await;
    assert_eq!((job.len(), job[0].payload.as_ref()), (1, b"of mail".as_slice()));
    assert_eq!(queue.clear(&names[0]).await.expect("clear"), 1);
    assert_eq!(database.number(alike), 3);
}

/// A call that nobody waits for any more leaves no job held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_reservation_is_undone() {
    let (database, _db, queue) = fixture().await;
    push(&queue, &["a"]).await;
    for micros in [0, 200, 500, 1000, 2000, 4000, 8000] {
        let short = Duration::from_micros(micros);
        if let Ok(jobs) = tokio::time::timeout(short, take(&queue, 1)).await
            && let Some(job) = jobs.first()
        {
            settle(&queue, job, Settle::Refund { delay: None }).await;
        }
        until("it is free again", async || {
            let free = "select count(*) from jobs where reserved_at is null and attempts = 0";
            (database.number(free) == 1).then_some(())
        })
        .await;
    }
}

/// With the index of `worker migrate --indexes` delayed rows in front cost nothing, and due ones come in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_rows_in_front_cost_nothing() {
    let (database, db, queue) = fixture().await;
    worker::store::sql::index(&db).await.expect("index");
    let jobs: Vec<NewJob> = (0..10_000).map(|_| new_job("x".repeat(300))).collect();
    queue.push(&jobs).await.expect("push");
    database.execute("update jobs set available_at = unix_timestamp() + 3600 + id % 600; analyze table jobs");
    let plan = "explain format=json select id from jobs where queue = 'mail' and \
        (reserved_at is null or reserved_at <= 5) order by available_at, id limit 1000";
    let plan = database.texts(plan).concat();
    assert!(plan.contains("jobs_queue_available_at_id_index"), "{plan}");
    let sorts = ["\"using_filesort\": true", "\"filesort\":", "Sort: "];
    assert!(!sorts.iter().any(|sort| plan.contains(sort)), "{plan}");
    for payload in ["a", "b", "c"] {
        push(&queue, &[payload]).await;
        let jobs = take(&queue, 10).await;
        assert_eq!((jobs.len(), jobs[0].payload.as_ref()), (1, payload.as_bytes()));
        assert_eq!(settle(&queue, &jobs[0], Settle::Delete).await, Held::Yes);
    }
    assert!(take(&queue, 10).await.is_empty());
}

/// Jobs of the first rows that are remembered and beyond them come in the order of their times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_beyond_what_is_remembered() {
    let (database, _db, queue) = fixture().await;
    let jobs: Vec<NewJob> = (1..=4000).rev().map(|n: u32| new_job(n.to_string())).collect();
    queue.push(&jobs).await.expect("push");
    database.execute("update jobs set available_at = payload");
    let mut seen = Vec::new();
    loop {
        let jobs = take(&queue, 300).await;
        if jobs.is_empty() {
            break;
        }
        let number = |payload: &[u8]| std::str::from_utf8(payload).expect("text").parse::<u32>();
        seen.extend(jobs.iter().map(|job| number(&job.payload).expect("a number")));
    }
    assert_eq!(seen, (1..=4000).collect::<Vec<_>>());
}
