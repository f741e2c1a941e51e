//! Jobs that real Laravel pushed, moved to the other connection and run there by real Laravel.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Running, wait_until};
use serde_json::json;
use worker::store::port::{Queue, QueueName, Waiting};
use worker::store::redis::RedisQueue;
use worker::store::sql::SqlQueue;

use super::site::Site;
use crate::store::engine::{open_sqlite, redis_options};

/// Starts a PHP worker on a connection's queue `default`.
fn php(site: &Site, connection: &str) -> Running {
    site.laravel.work(&[connection, "--queue=default", "--sleep=0.1"])
}

fn push(site: &Site, tags: &[&str]) -> Vec<String> {
    let record = |tag: &&str| json!({"tag": tag, "n": 7, "sleepMs": 0});
    let pushed = tags
        .iter()
        .flat_map(|tag| site.laravel.push("RecordJob", &record(tag), &[]));
    pushed.collect()
}

/// What PHP wrote runs in PHP on the other side: same order, same data, first attempt.
fn php_runs_what_was_moved(from: &str, to: &str) {
    let site = Site::redis().env("QUEUE_CONNECTION", from);
    site.run(&["migrate"]);
    let tags = ["тест/\"1\"", "b", "c"];
    push(&site, &tags);
    let later = json!({"tag": "later", "n": 7, "sleepMs": 0});
    site.laravel.push("RecordJob", &later, &["--delay=2"]);
    let told = site
        .worker(&["move", "--from", from, "--to", to, "--json"])
        .run_to_end()
        .json();
    let queue = &told["queues"][0];
    let moved = queue["moved"].as_u64().zip(queue["moved_delayed"].as_u64());
    assert_eq!(moved.map(|(ready, delayed)| ready + delayed), Some(4), "{told}");
    let _php = php(&site, to);
    let ran = site.laravel.journal().wait_for(4);
    let tagged: Vec<&str> = ran.iter().map(|record| record.tag.as_str()).collect();
    assert_eq!(tagged, [&tags[..], &["later"]].concat());
    assert!(
        ran.iter()
            .all(|record| record.attempts == Some(1) && record.n == 7),
        "{ran:?}"
    );
    site.wait_until_empty();
    wait_until(DEADLINE, || site.file().jobs().is_empty());
    assert!(site.failed().is_empty());
}

#[test]
fn php_runs_what_was_moved_to_redis() {
    php_runs_what_was_moved("database", "redis");
}

#[test]
fn php_runs_what_was_moved_to_a_table() {
    php_runs_what_was_moved("redis", "database");
}

/// PHP workers leave alone what is set aside, and run it in its order when the hold is over.
async fn php_waits_for_the_hold(site: &Site, queue: &dyn Queue, connection: &str) {
    let tags = ["z", "m", "a"];
    push(site, &tags);
    let hold = Duration::from_secs(3);
    let start = Instant::now();
    let mail = QueueName::new("default");
    let set = queue
        .set_aside(&mail, Waiting::Ready, 10, hold)
        .await
        .expect("set aside");
    assert_eq!(set.len(), 3);
    let _php = php(site, connection);
    let ran = site.laravel.journal().wait_for(3);
    assert!(start.elapsed() >= hold, "{:?}", start.elapsed());
    let ran: Vec<_> = ran
        .iter()
        .map(|record| (record.tag.clone(), record.attempts))
        .collect();
    assert_eq!(ran, tags.map(|tag| (tag.to_owned(), Some(1))));
    site.wait_until_empty();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_waits_for_the_hold_in_redis() {
    let site = Site::redis();
    let queue = RedisQueue::new(&redis_options(site.client())).expect("the options are good");
    php_waits_for_the_hold(&site, &queue, "redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_waits_for_the_hold_in_a_table() {
    let site = Site::sqlite();
    site.run(&["migrate"]);
    let queue = SqlQueue::new(&open_sqlite(&site.file().path()).await);
    php_waits_for_the_hold(&site, &queue, "database").await;
}
