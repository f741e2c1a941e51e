//! A server that restarts, hangs, forgets, is full, or says no.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{RedisServer, Scratch};
use tokio::task::JoinSet;
use worker::store::port::{Held, Queue, Settle};
use worker::store::redis::{Password, RedisAddress, RedisOptions, RedisQueue};
use worker::store::{Error, Kind};

use super::engine::{
    LONG, job, job_with, once, queues, redis_options, settle, settlement, take, take_one, until, uuids,
};

const Q: &str = "mail";

fn start() -> RedisServer {
    RedisServer::start(harness::RedisOptions::default())
}

fn open(options: &RedisOptions) -> Arc<RedisQueue> {
    Arc::new(RedisQueue::new(options).expect("the options are good"))
}

async fn push(queue: &dyn Queue, uuids: &[&str]) {
    let jobs: Vec<_> = uuids.iter().map(|uuid| job(queue, Q, uuid)).collect();
    queue.push(&jobs).await.expect("push");
}

async fn reserve(queue: &dyn Queue) -> Result<Vec<String>, Error> {
    Ok(uuids(&queue.reserve(&queues(&[Q]), 5, LONG).await?))
}

/// Waits for jobs as a lane does, whatever goes wrong meanwhile.
async fn first_of(queue: Arc<RedisQueue>, name: &'static str) -> Vec<String> {
    loop {
        queue.wait(&queues(&[name]), LONG).await.expect("wait");
        match queue.reserve(&queues(&[name]), 1, LONG).await {
            Ok(jobs) if !jobs.is_empty() => return uuids(&jobs),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Scripts that the server has forgotten are given to it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again() {
    let server = start();
    let redis = server.redis();
    let queue = open(&redis_options(&redis));
    for round in 0..3 {
        let forget = || {
            redis.query::<()>(&["SCRIPT", "FLUSH"]);
        };
        forget();
        push(&*queue, &[&format!("j{round}")]).await;
        forget();
        let job = take_one(&*queue, Q).await;
        forget();
        let receipts = [(job.queue.clone(), job.receipt.clone())];
        assert_eq!(queue.renew(&receipts, LONG).await.expect("renew"), [Held::Yes]);
        forget();
        assert_eq!(settle(&*queue, &job, Settle::Delete).await, Held::Yes);
    }
}

/// A restarted server is found again, by the calls and by those who wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_survived() {
    let mut server = RedisServer::start(harness::RedisOptions::default().append_only());
    let redis = server.redis();
    let queue = open(&redis_options(&redis));
    push(&*queue, &["a"]).await;
    let mut waiting = JoinSet::new();
    waiting.spawn(first_of(Arc::clone(&queue), "other"));
    server.kill();
    let error = reserve(&*queue).await.expect_err("nobody answers");
    assert!(matches!(error.kind(), Kind::Lost | Kind::Transient), "{error}");
    let error = reserve(&*queue).await.expect_err("nobody listens");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    assert!(!error.is_ambiguous(), "nothing was sent");
    server.restart();
    let back = until("the server is found", async || reserve(&*queue).await.ok()).await;
    assert_eq!(back, ["a"]);
    queue.push(&[job(&*queue, "other", "b")]).await.expect("push");
    let woken = tokio::time::timeout(Duration::from_secs(20), waiting.join_next()).await;
    let woken = woken.expect("in time").expect("a task").expect("it ends well");
    assert_eq!(woken, ["b"]);
}

/// A server that is slow is waited for: giving up early would strand what it then reserves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_waited_for() {
    let server = start();
    let queue = open(&redis_options(&server.redis()));
    push(&*queue, &["a"]).await;
    server.pause();
    let asked = Instant::now();
    let (answer, ()) = tokio::join!(reserve(&*queue), async {
        until("more than the library's own limit has passed", async || {
            (asked.elapsed() > Duration::from_millis(1500)).then_some(())
        })
        .await;
        server.resume();
    });
    assert_eq!(answer.expect("reserve"), ["a"]);
}

/// Connections that are killed are made again, also the one that waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_are_made_again() {
    let server = start();
    let redis = server.redis();
    let queue = open(&redis_options(&redis));
    for round in 0..3 {
        let uuid = format!("j{round}");
        let names = queues(&[Q]);
        let (waited, ()) = tokio::join!(queue.wait(&names, LONG), async {
            until("the wait has a connection", async || {
                let clients: String = redis.query(&["CLIENT", "LIST"]);
                clients.contains("cmd=blpop").then_some(())
            })
            .await;
            redis.query::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            let other = open(&redis_options(&redis));
            push(&*other, &[&uuid]).await;
        });
        waited.expect("wait");
        let got = until("the job is taken", async || {
            reserve(&*queue).await.ok().filter(|got| !got.is_empty())
        })
        .await;
        assert_eq!(got, [uuid]);
    }
}

/// A full server takes nothing new and loses nothing; what runs can end, go on and be given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_loses_nothing() {
    let server = start();
    let redis = server.redis();
    let queue = open(&redis_options(&redis));
    push(&*queue, &["lost"]).await;
    let lost = take_one(&*queue, Q).await;
    settle(&*queue, &lost, Settle::Delete).await;
    push(&*queue, &["done", "again", "back", "late", "kept", "ready"]).await;
    let jobs = take(&*queue, Q, 5).await;
    redis.query::<()>(&["CONFIG", "SET", "maxmemory", "1"]);

    let error = queue.push(&[job(&*queue, Q, "new")]).await.expect_err("full");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    let error = reserve(&*queue).await.expect_err("full");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    assert_eq!(redis.queue(Q).ready.len(), 1);

    // The first of these is lost already and writes nothing.
    let receipts = [&lost, &jobs[4]].map(|job| (job.queue.clone(), job.receipt.clone()));
    let held = queue.renew(&receipts, LONG).await.expect("renew");
    assert_eq!(held, [Held::Lost, Held::Yes]);
    let verbs = [
        Settle::Delete,
        Settle::Release { delay: LONG },
        Settle::Refund { delay: None },
        Settle::Refund { delay: Some(LONG) },
    ];
    for (job, verb) in jobs.iter().zip(verbs) {
        assert_eq!(settle(&*queue, job, verb).await, Held::Yes);
    }
    let dump = redis.queue(Q);
    assert_eq!(
        (dump.ready.len(), dump.delayed.len(), dump.reserved.len()),
        (2, 2, 1)
    );
    redis.query::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(reserve(&*queue).await.expect("reserve"), ["back", "ready"]);
}

/// A replica, as after a failover, refuses writes; the address is connected to anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_left() {
    let server = start();
    let redis = server.redis();
    let queue = open(&redis_options(&redis));
    push(&*queue, &["a"]).await;
    redis.query::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = reserve(&*queue).await.expect_err("read only");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    redis.query::<()>(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(reserve(&*queue).await.expect("reserve"), ["a"]);
}

/// A key that holds something else is said, and no job is lost by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_type_loses_nothing() {
    let server = start();
    let redis = server.redis();
    let queue = open(&redis_options(&redis));
    push(&*queue, &["a", "b"]).await;
    let key = |suffix: &str| redis.key(&format!("queues:{Q}{suffix}"));
    redis.query::<()>(&["SET", &key(":notify"), "x"]);
    assert_eq!(take(&*queue, Q, 1).await.len(), 1);
    redis.query::<()>(&["RENAME", &key(":reserved"), "aside"]);
    redis.query::<()>(&["SET", &key(":reserved"), "x"]);
    let error = reserve(&*queue).await.expect_err("not a set");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    let ready: i64 = redis.query(&["LLEN", &key("")]);
    assert_eq!(ready, 1);
    let error = queue.push(&[job(&*queue, Q, "c")]).await.expect_err("not a list");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    let ready: i64 = redis.query(&["LLEN", &key("")]);
    assert_eq!(ready, 1, "all or nothing");
}

/// A refusal names what is missing and never the password; the next call tries again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_to_do() {
    let server = start();
    let redis = server.redis();
    let acl = |rules: &[&str]| {
        let mut words = vec!["ACL", "SETUSER", "worker"];
        words.extend(rules);
        redis.query::<()>(&words);
    };
    let options = RedisOptions {
        username: Some("worker".to_owned()),
        password: Some(Password::new("hush-hush")),
        ..redis_options(&redis)
    };
    assert!(!format!("{options:?}").contains("hush"));
    let queue = open(&options);
    let error = queue.ping().await.expect_err("no such user");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(!error.to_string().contains("hush") && error.to_string().contains("password"));

    acl(&["on", ">hush-hush", "~facturino_*", "+@all", "-evalsha"]);
    let error = reserve(&*queue).await.expect_err("no right");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(error.to_string().contains("evalsha"), "{error}");
    acl(&["+evalsha", "-zadd"]);
    push(&*queue, &["a"]).await;
    let error = reserve(&*queue).await.expect_err("no right within the script");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(error.to_string().contains("ACL SETUSER"), "{error}");
    acl(&["+zadd", "-client"]);
    assert_eq!(reserve(&*queue).await.expect("reserve"), ["a"]);
}

/// A user with the rights of a worker and no other can do everything, waiting included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_rights_are_enough() {
    let server = start();
    let redis = server.redis();
    let rights = "+select +ping +time +eval +evalsha +lrange +llen +lindex +ltrim +lpush +rpush +blpop +zadd +zrem \
                  +zscore +zcard +zcount +zrange +zrangebyscore +zremrangebyrank +zremrangebyscore +exists +set +del \
                  +unlink +scan";
    let mut words = vec!["ACL", "SETUSER", "worker", "on", ">secret", "~facturino_*"];
    words.extend(rights.split_whitespace());
    redis.query::<()>(&words);
    let queue = open(&RedisOptions {
        username: Some("worker".to_owned()),
        password: Some(Password::new("secret")),
        ..redis_options(&redis)
    });
    let lane = |name: &'static str| {
        let queue = Arc::clone(&queue);
        async move { queue.wait(&queues(&[name]), Duration::from_secs(60)).await }
    };
    // The second wait begins while the first one blocks, and this user may not end a blocked call.
    let (first, second, ()) = tokio::join!(lane("a"), lane("b"), async {
        until("somebody blocks", async || {
            let clients: String = redis.query(&["CLIENT", "LIST"]);
            clients.contains("cmd=blpop").then_some(())
        })
        .await;
        queue
            .push(&[job(&*queue, "a", "1"), job(&*queue, "b", "2")])
            .await
            .expect("push");
    });
    first.and(second).expect("wait");
    let jobs = queue
        .reserve(&queues(&["a", "b"]), 2, LONG)
        .await
        .expect("reserve");
    let verbs = [
        Settle::Release { delay: LONG },
        Settle::Refund { delay: Some(LONG) },
    ];
    let batch: Vec<_> = jobs
        .iter()
        .zip(verbs)
        .map(|(job, verb)| settlement(job, verb))
        .collect();
    assert_eq!(queue.settle(&batch).await.expect("settle"), [Held::Yes; 2]);
    let again = [once("m", &job(&*queue, "a", "3"))];
    assert_eq!(queue.push_once(&again).await.expect("push"), [true]);
    queue.drop_markers(&["m".to_owned()]).await.expect("drop");
    assert_eq!(queue.queues().await.expect("queues"), queues(&["a", "b"]));
    let depth = queue.depth(&queues(&["a"])).await.expect("depth");
    assert_eq!((depth[0].pending, depth[0].delayed), (1, 1));
    assert_eq!(queue.clear(&queues(&["a"])[0]).await.expect("clear"), 2);
}

/// Settling many large jobs is cut into calls; one payload of 20 MB passes through every verb.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_payloads_pass_every_verb() {
    let server = start();
    let queue = open(&redis_options(&server.redis()));
    let data = format!("\"{}\"", "x".repeat(20 << 20));
    queue
        .push(&[job_with(&*queue, Q, "big", &data)])
        .await
        .expect("push");
    for verb in [
        Settle::Release {
            delay: Duration::ZERO,
        },
        Settle::Refund { delay: None },
        Settle::Delete,
    ] {
        let job = take_one(&*queue, Q).await;
        let receipts = [(job.queue.clone(), job.receipt.clone())];
        assert_eq!(queue.renew(&receipts, LONG).await.expect("renew"), [Held::Yes]);
        assert_eq!(settle(&*queue, &job, verb).await, Held::Yes);
    }
    assert!(server.redis().queue(Q).is_empty());
}

/// A Unix socket serves as well as a port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_serves() {
    let dir = Scratch::new();
    let path = dir.path().join("redis.sock");
    let text = path.to_str().expect("UTF-8").to_owned();
    let server = RedisServer::start(harness::RedisOptions::default().arg("unixsocket", &text));
    let queue = open(&RedisOptions {
        address: RedisAddress::Unix(path),
        ..redis_options(&server.redis())
    });
    push(&*queue, &["a"]).await;
    assert_eq!(reserve(&*queue).await.expect("reserve"), ["a"]);
}

/// A server that does not speak TLS where TLS is asked for is an error like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_needs_a_server_that_speaks_it() {
    let server = start();
    let options = redis_options(&server.redis());
    let RedisAddress::Tcp { host, port, .. } = options.address.clone() else {
        panic!("the server listens on a port");
    };
    let address = RedisAddress::Tcp {
        host,
        port,
        tls: true,
    };
    let queue = open(&RedisOptions { address, ..options });
    let error = queue.ping().await.expect_err("no handshake");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
}
