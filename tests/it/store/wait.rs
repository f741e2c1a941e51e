//! Wait: idle workers hear of jobs at once, and due times within a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use worker::store::port::{NewJob, Queue};

use super::engine::{SOON, Store, job, on_every_engine, queues, take, until, uuids};

/// Waits for jobs of `names` as a lane does; returns the uuids of the first ones, and when they came.
async fn lane(queue: Arc<dyn Queue>, names: &'static [&'static str]) -> (Vec<String>, Instant) {
    let start = Instant::now();
    loop {
        let jobs = queue
            .reserve(&queues(names), 5, Duration::from_secs(60))
            .await
            .expect("reserve");
        if !jobs.is_empty() {
            return (uuids(&jobs), Instant::now());
        }
        assert!(start.elapsed() < SOON, "no job came for {names:?}");
        queue.wait(&queues(names), SOON).await.expect("wait");
    }
}

on_every_engine! {
    /// Without jobs a wait ends after the time given, not much sooner nor later.
    async fn a_wait_ends(store: &Store) {
        let queue = store.open();
        let start = Instant::now();
        queue.wait(&queues(&["mail"]), Duration::from_millis(300)).await.expect("wait");
        assert!(start.elapsed() < SOON);
    }

    /// A push wakes the lane that waits, by whichever of its queues.
    async fn a_push_wakes(store: &Store) {
        let queue = store.open();
        let mut lanes = JoinSet::new();
        lanes.spawn(lane(store.open(), &["high", "mail"]));
        // Waits of other lanes do not stand in the way.
        let other = tokio::time::timeout(Duration::from_millis(200), queue.wait(&queues(&["x"]), SOON)).await;
        assert!(other.is_err() || other.is_ok_and(|answer| answer.is_ok()));
        queue.push(&[job(&*queue, "mail", "a")]).await.expect("push");
        let pushed = Instant::now();
        let (uuids, came) = lanes.join_next().await.expect("a lane").expect("it ends well");
        assert_eq!(uuids, ["a"]);
        assert!(came.duration_since(pushed) < Duration::from_secs(3));
    }

    /// Lanes of one process that come to wait one after the other are all woken, each by its own queue.
    async fn every_lane_is_woken(store: &Store) {
        let queue = store.open();
        let names: [&'static [&'static str]; 4] = [&["a"], &["b", "c"], &["d"], &["e"]];
        let mut lanes = JoinSet::new();
        for name in names {
            lanes.spawn(lane(Arc::clone(&queue), name));
        }
        for name in ["e", "c", "a", "d"] {
            queue.push(&[job(&*queue, name, name)]).await.expect("push");
        }
        let mut seen = Vec::new();
        while let Some(ended) = lanes.join_next().await {
            seen.extend(ended.expect("it ends well").0);
        }
        seen.sort();
        assert_eq!(seen, ["a", "c", "d", "e"]);
    }

    /// A delayed job wakes those who wait for it when it comes due.
    async fn a_due_job_wakes(store: &Store) {
        let queue = store.open();
        let late = NewJob { delay: Some(Duration::from_secs(2)), ..job(&*queue, "mail", "late") };
        queue.push(&[late]).await.expect("push");
        let start = Instant::now();
        let (uuids, came) = lane(store.open(), &["mail"]).await;
        assert_eq!(uuids, ["late"]);
        assert!(came.duration_since(start) < Duration::from_secs(5));
    }

    /// A wait that is given up takes nothing with it.
    async fn a_wait_may_be_cancelled(store: &Store) {
        let queue = store.open();
        for _ in 0..20 {
            let names = queues(&["mail"]);
            drop(tokio::time::timeout(Duration::from_millis(5), queue.wait(&names, SOON)).await);
        }
        queue.push(&[job(&*queue, "mail", "a"), job(&*queue, "mail", "b")]).await.expect("push");
        let taken = until("both are there", async || Some(take(&*queue, "mail", 5).await)).await;
        assert_eq!(uuids(&taken), ["a", "b"]);
    }

    /// A job that is there already ends a wait at once.
    async fn a_job_that_is_there_wakes(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let start = Instant::now();
        queue.wait(&queues(&["mail"]), SOON).await.expect("wait");
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}
