//! What idle workers cost the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::RedisServer;
use tokio::task::JoinSet;
use worker::store::port::{Queue, QueueName};
use worker::store::redis::RedisQueue;

use super::engine::{job, queues, redis_options, take, until};

/// Commands that clients send; the others are those that scripts call.
const SENT: [&str; 8] = [
    "evalsha",
    "eval",
    "blpop",
    "client",
    "client|unblock",
    "client|id",
    "rpush",
    "brpop",
];

fn sent(calls: &BTreeMap<String, u64>) -> u64 {
    SENT.iter().filter_map(|name| calls.get(*name)).sum()
}

/// Eight idle lanes cost less than one and a half commands a second together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_lanes_cost_little() {
    let server = RedisServer::start(harness::RedisOptions::default());
    let redis = server.redis();
    let queue = Arc::new(RedisQueue::new(&redis_options(&redis)).expect("the options are good"));
    let mut lanes = JoinSet::new();
    for lane in 0..8 {
        let queue = Arc::clone(&queue);
        lanes.spawn(async move {
            let name = QueueName::new(&format!("q{lane}"));
            queue.wait(&[name], Duration::from_secs(60)).await
        });
    }
    until("all lanes wait", async || {
        let clients: String = redis.query(&["CLIENT", "LIST"]);
        (clients.contains("cmd=blpop") && redis.command_calls().contains_key("evalsha")).then_some(())
    })
    .await;
    let (before, start) = (sent(&redis.command_calls()), Instant::now());
    until("five seconds have passed", async || {
        (start.elapsed() > Duration::from_secs(5)).then_some(())
    })
    .await;
    let (after, seconds) = (sent(&redis.command_calls()), start.elapsed().as_secs_f64());
    // The last lanes may have come after the first count; that costs two commands each at most once.
    let rate = (after - before) as f64 / seconds;
    assert!(rate < 1.5, "{rate} commands/s");
    assert!(lanes.try_join_next().is_none(), "nobody was woken for nothing");
    lanes.abort_all();
    drop(queue);
    until("the waiting connection is closed", async || {
        let clients: String = redis.query(&["CLIENT", "LIST"]);
        (!clients.contains("cmd=blpop")).then_some(())
    })
    .await;
}

/// One lane at work beside idle ones costs one blocking call per job, and nobody's wait is interrupted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_comes_and_goes_costs_little() {
    let server = RedisServer::start(harness::RedisOptions::default());
    let redis = server.redis();
    let queue = Arc::new(RedisQueue::new(&redis_options(&redis)).expect("the options are good"));
    let mut idle = JoinSet::new();
    {
        let queue = Arc::clone(&queue);
        idle.spawn(async move { queue.wait(&queues(&["idle"]), Duration::from_secs(60)).await });
    }
    let jobs = 40;
    let mut before = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for round in 0..jobs {
        if round == 2 {
            before = redis.command_calls();
        }
        let names = queues(&["busy"]);
        let (woken, pushed) = tokio::join!(
            async {
                queue.wait(&names, Duration::from_secs(60)).await.expect("wait");
                Instant::now()
            },
            async {
                until("both wait", async || {
                    let clients: String = redis.query(&["CLIENT", "LIST"]);
                    clients.contains("cmd=blpop").then_some(())
                })
                .await;
                let pushed = Instant::now();
                queue
                    .push(&[job(&*queue, "busy", &format!("j{round}"))])
                    .await
                    .expect("push");
                pushed
            }
        );
        slowest = slowest.max(woken.saturating_duration_since(pushed));
        while take(&*queue, "busy", 1).await.is_empty() {}
    }
    let after = redis.command_calls();
    let count = |name: &str| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
    assert!(
        slowest < Duration::from_millis(900),
        "woken by the push, not by the look: {slowest:?}"
    );
    assert!(count("blpop") <= 2 * jobs, "{} blocking calls", count("blpop"));
    assert!(
        count("client|unblock") <= jobs / 2,
        "{} interruptions",
        count("client|unblock")
    );
}
