//! A move that is killed is completed by the next: nothing is lost, nothing doubled, the order is kept.

use std::collections::BTreeMap;

use harness::{DEADLINE, wait_until};

use super::{delay, left_behind, site, soon, to_database, to_redis, uuids};
use crate::site::{Job, Lying, Queue, Site};

const JOBS: usize = 5000;
/// So many of them are available; the others are due tomorrow, a second after each other.
const READY: usize = 4400;

/// Kills moves in the middle until the target holds nearly all, and looks at both sides each time.
fn kill_often(site: &Site, args: &[&str], source: &dyn Fn() -> Vec<Lying>, target: &dyn Fn() -> usize) {
    let mut in_the_middle = 0;
    for share in [1, 700, 1900, 2600, 4100] {
        let mut moving = site.worker(args).spawn();
        wait_until(DEADLINE, || target() >= share || moving.ended().is_some());
        moving.kill();
        let left = source().len();
        let there = target();
        assert!(left + there >= JOBS, "lost: {left} and {there}");
        // At most the batch that was on its way is on both sides.
        assert!(left + there <= JOBS + 500, "{left} and {there}");
        in_the_middle += usize::from(there > 0 && left > 0);
    }
    assert!(
        in_the_middle >= 3,
        "only {in_the_middle} were killed in the middle"
    );
}

/// All jobs are there once, in order, and nothing is left of the moves.
fn complete(site: &Site, jobs: &[Job], moved: &Queue, left: usize) {
    assert_eq!((moved.ready.len(), moved.delayed.len()), (READY, JOBS - READY));
    let moved = [moved.ready.clone(), moved.delayed.clone()].concat();
    let expected: Vec<&str> = jobs.iter().map(Job::uuid).collect();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for uuid in uuids(&moved) {
        *count.entry(uuid).or_default() += 1;
    }
    let doubled: Vec<_> = count.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{} jobs are doubled", doubled.len());
    assert_eq!((count.len(), left), (JOBS, 0));
    assert!(uuids(&moved) == expected, "the order is not kept");
    assert_eq!(left_behind(site).1, 0, "nothing is set aside");
}

#[test]
fn from_redis() {
    let site = site();
    let jobs = Job::new("A").times(JOBS);
    site.push_all("default", &jobs[..READY]);
    let tomorrow = soon(86_400);
    for (due, job) in (tomorrow..).zip(&jobs[READY..]) {
        delay(&site, "default", &job.text(true), due);
    }
    let source = || {
        let queue = site.queue("default");
        [queue.ready, queue.delayed].concat()
    };
    let target = || usize::try_from(site.database().number("select count(*) from jobs")).expect("a count");
    let args = ["move", "--from", "redis", "--to", "database"];
    kill_often(&site, &args, &source, &target);
    to_database(&site, &[]).success();
    let moved = site.rows("default");
    complete(&site, &jobs, &moved, source().len());
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    let late = moved.delayed[0].at - tomorrow as f64;
    assert!((0.0..=2.0).contains(&late), "{late}");
}

#[test]
fn from_a_table() {
    let site = site();
    let jobs = Job::new("A").times(JOBS);
    let texts: Vec<String> = jobs.iter().map(|job| job.text(false)).collect();
    site.push_rows("default", &texts);
    let later = format!("update jobs set available_at = available_at + 86400 + id where id > {READY}");
    site.database().execute(&later);
    let source = || {
        let queue = site.rows("default");
        [queue.ready, queue.delayed, queue.reserved].concat()
    };
    let redis = site.client().expect("the site has a Redis");
    let list = redis.key("queues:default");
    let target = || {
        let delayed = redis.query::<usize>(&["ZCARD", &format!("{list}:delayed")]);
        redis.query::<usize>(&["LLEN", &list]) + delayed
    };
    let args = ["move", "--from", "database", "--to", "redis"];
    kill_often(&site, &args, &source, &target);
    to_redis(&site, &[]).success();
    complete(&site, &jobs, &site.queue("default"), source().len());
}
