//! What goes wrong is said in words that help, and costs no more than it must.

use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{Fault, PostgresDatabase, Proxy};
use worker::config::Secret;
use worker::store::port::{
    Cache, CacheValue, FailedFilter, FailedJob, FailedJobs, Held, Names, Queue, QueueName, Settle,
};
use worker::store::sql::{SqlCache, SqlFailed, SqlQueue};
use worker::store::{Error, Kind};

use super::super::{LEASE, MAIL, new_job, push, settle, take};
use super::{fixture, open};
use crate::store::engine::{postgres_options, until};

/// A wrong password, database or server, and missing tables, are named with what to do; secrets are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_named() {
    let database = PostgresDatabase::empty();
    let good = postgres_options(&database);
    let mut password = good.clone();
    password.password = Some(Secret::new("hunter2"));
    let mut name = good.clone();
    name.database = "no_such_database".to_owned();
    let mut port = good.clone();
    port.port = harness::ports::free_port();
    let mut schema = good.clone();
    schema.search_path = "no_such_schema".to_owned();
    for (options, kind, words) in [
        (password, Kind::Refused, ["cannot connect", "DB_PASSWORD"]),
        (name, Kind::Refused, ["no_such_database", "DB_DATABASE"]),
        (port, Kind::Transient, ["127.0.0.1:", "refused"]),
        (schema, Kind::Refused, ["jobs", "worker migrate"]),
        (good, Kind::Refused, ["jobs", "worker migrate"]),
    ] {
        let queue = SqlQueue::new(&open(&options));
        let ping = queue.ping().await.expect_err("ping");
        let reserve = queue.reserve(&[QueueName::new(MAIL)], 1, LEASE).await;
        let wait = queue.wait(&[QueueName::new(MAIL)], LEASE).await;
        for error in [ping, reserve.expect_err("reserve"), wait.expect_err("wait")] {
            let text = format!("{error} {error:?}");
            assert_eq!(error.kind(), kind, "{text}");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
            assert!(
                !text.contains("hunter2") && !text.contains(database.login().1),
                "{text}"
            );
        }
    }
}

/// A row whose attempts are at the column's limit stops nobody, is given like the others, and is still told
/// from itself in other hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_the_limit_stop_nobody() {
    let (database, queue) = fixture().await;
    push(&queue, &["a", "b", "c"]).await;
    database.execute("update jobs set attempts = 32767 where payload = 'b'");
    let jobs = take(&queue, 5).await;
    let payloads: Vec<_> = jobs.iter().map(|job| job.payload.clone()).collect();
    assert_eq!(payloads, ["a", "b", "c"]);
    assert!(jobs[1].attempts >= 32766);
    // It lapses and is taken again: the first holder is late, and told so.
    database.execute("update jobs set reserved_at = reserved_at - 1000 where payload = 'b'");
    let again = take(&queue, 5).await.remove(0);
    assert_eq!(settle(&queue, &jobs[1], Settle::Delete).await, Held::Lost);
    assert_eq!(settle(&queue, &again, Settle::Delete).await, Held::Yes);
    assert_eq!(database.jobs().len(), 2);
}

/// What PostgreSQL's text cannot hold is refused when pushed, wrapped when it failed, and base64 in the cache
/// as Laravel writes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text() {
    let (database, queue) = fixture().await;
    let db = open(&postgres_options(&database));
    let failed = SqlFailed::new(&db);
    let nasty: [&'static [u8]; 2] = [b"a\0b", b"\xff\xfe"];
    for (number, bytes) in nasty.into_iter().enumerate() {
        let error = queue
            .push(&[new_job("ok"), new_job(bytes)])
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(
            error.to_string().contains("no text that PostgreSQL can hold"),
            "{error}"
        );
        let failure = FailedJob {
            uuid: format!("u{number}"),
            connection: "c".to_owned(),
            queue: QueueName::new(MAIL),
            payload: Bytes::from_static(bytes),
            exception: "E: a\0b".to_owned(),
        };
        failed.record(&[failure]).await.expect("record");
        let row = failed.list(&FailedFilter::All, 1).await.expect("list").remove(0);
        assert_eq!(
            (row.payload.as_ref(), row.exception.as_str()),
            (bytes, "E: a\u{fffd}b")
        );
    }
    assert_eq!(database.jobs().len(), 0);
    let cache = SqlCache::new(&db, &[String::new()]);
    let value = CacheValue::Other("s:3:\"a\0b\";".into());
    cache.put("nul", &value, None, Names::All).await.expect("put");
    assert_eq!(database.texts("select value from cache"), ["czozOiJhAGIiOw=="]);
    assert_eq!(cache.get(&["nul"]).await.expect("get"), [Some(value)]);
}

/// Connections that the server has ended are replaced: the next call of each kind works, or says that it may
/// be repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_connections_are_replaced() {
    let (database, queue) = fixture().await;
    for round in 0..10 {
        push(&queue, &["a"]).await;
        database.execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}' and application_name = 'worker'",
            database.name()
        ));
        let job = until("it is taken", async || {
            match queue.reserve(&[QueueName::new(MAIL)], 1, LEASE).await {
                Ok(mut jobs) => jobs.pop(),
                Err(error) => {
                    assert!(matches!(error.kind(), Kind::Lost | Kind::Transient), "{error}");
                    None
                }
            }
        })
        .await;
        assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes, "{round}");
    }
}

/// How long a call took that cannot succeed, and how it ended.
async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> (Duration, Error) {
    let began = Instant::now();
    let error = call.await.err();
    (began.elapsed(), error.expect("it cannot succeed"))
}

/// A network that swallows everything is noticed within 15 s, and what comes after goes over new
/// connections at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_is_noticed() {
    let (database, _) = fixture().await;
    let proxy = Proxy::before(database.port());
    let mut options = postgres_options(&database);
    options.port = proxy.port();
    let queue = SqlQueue::new(&open(&options));
    push(&queue, &["a"]).await;
    proxy.abandon();
    let (took, error) = timed(queue.push(&[new_job("b")])).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(
        error.kind(),
        Kind::Lost,
        "nobody knows whether it was carried out: {error}"
    );
    let began = Instant::now();
    assert_eq!(take(&queue, 5).await.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// A server that hangs is noticed within 15 s; when it goes on, so does the worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_server_is_noticed() {
    let (database, _) = fixture().await;
    let proxy = Proxy::before(database.port());
    let mut options = postgres_options(&database);
    options.port = proxy.port();
    let queue = SqlQueue::new(&open(&options));
    push(&queue, &["a"]).await;
    proxy.set(Fault::Silent);
    let names = [QueueName::new(MAIL)];
    let (took, error) = timed(queue.reserve(&names, 1, LEASE)).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(error.kind(), Kind::Lost, "{error}");
    // Those that connect now go on.
    proxy.abandon();
    proxy.clear();
    queue.ping().await.expect("ping");
    assert_eq!(take(&queue, 1).await.len(), 1);
}

/// A statement that takes long is waited for, as long as the server works on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_statement_is_waited_for() {
    let (database, queue) = fixture().await;
    database.execute(
        "create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(18); return new; end'; \
         create trigger slow before insert on jobs for each row execute function slow()",
    );
    push(&queue, &["a"]).await;
    assert_eq!(database.jobs().len(), 1);
}

/// A lock that another transaction keeps ends a settlement as transient; renewals pass it by, and others take
/// what they can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_transaction_stops_little() {
    let (database, queue) = fixture().await;
    push(&queue, &["a", "b", "c"]).await;
    let jobs = take(&queue, 2).await;
    let mut stuck = database.connect().await.expect("connect");
    sqlx::raw_sql("begin; select * from jobs where id = 1 for update")
        .execute(&mut stuck)
        .await
        .expect("lock");
    let receipts: Vec<_> = jobs
        .iter()
        .map(|job| (job.queue.clone(), job.receipt.clone()))
        .collect();
    let began = Instant::now();
    let renewed = queue.renew(&receipts, LEASE * 5).await.expect("renew");
    assert_eq!(renewed, [Held::Yes, Held::Yes]);
    assert_eq!(take(&queue, 2).await.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let longer = "select count(*) from jobs where reserved_at > extract(epoch from now()) + 60";
    assert_eq!(database.number(longer), 1, "the locked row stands where it stood");
    let settlement = worker::store::port::Settlement {
        queue: jobs[0].queue.clone(),
        receipt: jobs[0].receipt.clone(),
        settle: Settle::Delete,
    };
    let (_, error) = timed(queue.settle(std::slice::from_ref(&settlement))).await;
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    assert!(error.to_string().contains("another transaction"), "{error}");
    drop(stuck);
    let held = until("the lock is gone", async || {
        queue.settle(std::slice::from_ref(&settlement)).await.ok()
    })
    .await;
    assert_eq!(held, [Held::Yes]);
}

/// A call that nobody waits for any more leaves no job held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_reservation_is_undone() {
    let (database, queue) = fixture().await;
    push(&queue, &["a"]).await;
    for micros in [0, 50, 200, 500, 1000, 2000, 4000] {
        let short = Duration::from_micros(micros);
        if let Ok(jobs) = tokio::time::timeout(short, take(&queue, 1)).await
            && let Some(job) = jobs.first()
        {
            settle(&queue, job, Settle::Refund { delay: None }).await;
        }
        until("it is free again", async || {
            let free = "select count(*) from jobs where reserved_at is null and attempts = 0";
            let busy = format!(
                "select count(*) from pg_stat_activity where datname = '{}' and application_name = 'worker' \
                 and state <> 'idle'",
                database.name()
            );
            (database.number(free) == 1 && database.number(&busy) == 0).then_some(())
        })
        .await;
    }
}
