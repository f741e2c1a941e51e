//! Stock producers and stock workers beside ours.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use apalis::prelude::{Status, TaskBuilder};
use harness::{DEADLINE, Signal, poll, wait_until};
use serde_json::{Value, json};
use worker::store::port::{Held, Settle};

use super::yard::on_every_layout;
use crate::store::engine::{LONG, queues, settle, take, take_one, uuids};

/// The name by which a sample job answers to a queue of Rust producers.
const SLOW: &str = "worker-demo-slow";

on_every_layout! {
    /// What a stock producer pushes is run here, and the stock listing says that it is done.
    fn stock_tasks_are_run(yard: &Yard) {
        let journal = yard.journal();
        let tasks: Vec<Value> = (0..5).map(|_| json!({"sleepMs": 1, "journal": journal})).collect();
        yard.push(SLOW, &tasks);
        assert_eq!(yard.listed(SLOW, Status::Pending).len(), 5);
        yard.command(&["run", "--queue", SLOW, "--stop-when-empty"]).success();
        assert_eq!(yard.noted("end"), 5);
        let done = yard.listed(SLOW, Status::Done);
        assert_eq!(done.len(), 5);
        assert!(done.iter().all(|task| task.attempt() == 1));
        let ids: BTreeSet<String> = done.iter().map(|task| task.task_id().expect("it has an id").to_string()).collect();
        let uuids: BTreeSet<String> = yard.notes().iter().map(|note| note.uuid.clone()).collect();
        assert_eq!((ids.len(), uuids.len()), (5, 5));
        assert!(yard.failed().is_empty());
    }

    /// Tries and waits go by the worker's rules: the task's attempts, and a wait that its metadata name.
    fn retries_are_ours(yard: &Yard) {
        let mut metadata = apalis::prelude::MetadataStore::new();
        metadata.insert("worker.backoff", "1").expect("it is new");
        let task = TaskBuilder::new(json!({"failures": 1})).max_attempts(3).with_metadata(metadata);
        yard.push_task(r"Worker\Demo\Flaky", task);
        let _worker = yard.start(&["run", "--queue", r"Worker\Demo\Flaky"]);
        wait_until(DEADLINE, || yard.listed(r"Worker\Demo\Flaky", Status::Done).len() == 1);
        assert_eq!(yard.listed(r"Worker\Demo\Flaky", Status::Done)[0].attempt(), 2);
    }

    /// A task that used up its attempts is Failed, and in the failed jobs; a retry puts it back.
    fn a_task_out_of_attempts_is_failed(yard: &Yard) {
        let queue = r"Worker\Demo\Broken";
        yard.push_task(queue, TaskBuilder::new(json!({"n": 9_007_199_254_740_993_u64})).max_attempts(2));
        yard.command(&["run", "--queue", queue, "--stop-when-empty"]).success();
        let failed = yard.listed(queue, Status::Failed);
        assert_eq!((failed.len(), failed[0].attempt()), (1, 2));
        let rows = yard.failed();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].connection.as_str(), rows[0].queue.as_str()), (yard.connection(), queue));
        assert!(rows[0].reason().contains("no lines"), "{}", rows[0].reason());
        assert!(rows[0].payload.contains("9007199254740993"), "{}", rows[0].payload);

        yard.command(&["retry", "all"]).success();
        assert!(yard.failed().is_empty());
        let again = yard.run(async { take_one(&*yard.driver(), queue).await });
        assert_eq!((again.attempts, String::from_utf8_lossy(&again.payload).into_owned()), (1, rows[0].payload.clone()));
    }

    /// A task that can never be run is Killed: no stock worker takes it up again.
    fn a_task_that_cannot_be_read_is_killed(yard: &Yard) {
        yard.push(SLOW, &[json!("no object")]);
        yard.command(&["run", "--queue", SLOW, "--stop-when-empty"]).success();
        assert_eq!(yard.listed(SLOW, Status::Killed).len(), 1);
        // Before it starts: an idle stock worker looks again after half a minute only.
        yard.push(SLOW, &[json!({"last": true})]);
        let (seen, worker) = yard.stock_worker("after-killed", SLOW);
        let came = poll(DEADLINE, || (!seen.lock().expect("unpoisoned").is_empty()).then_some(()));
        drop(worker);
        assert!(came.is_some());
        assert_eq!(*seen.lock().expect("unpoisoned"), [json!({"last": true})]);
        assert_eq!(yard.failed().len(), 1);
    }

    /// What we dispatch is a plain task to a stock worker.
    fn our_dispatch_is_run_by_a_stock_worker(yard: &Yard) {
        let data = json!({"to": "a@example.org", "lines": [], "n": 9_007_199_254_740_993_u64});
        let args = ["dispatch", r"App\Jobs\Mail", "--queue", "mail", "--data", &data.to_string(), "--tries", "3"];
        let uuid = yard.command(&args).success().trim().to_owned();
        assert_eq!(uuid.len(), 36);
        let pending = yard.listed("mail", Status::Pending);
        assert_eq!((pending.len(), pending[0].max_attempts()), (1, Some(3)));
        let (seen, worker) = yard.stock_worker("dispatched", "mail");
        wait_until(DEADLINE, || yard.listed("mail", Status::Done).len() == 1);
        drop(worker);
        assert_eq!(*seen.lock().expect("unpoisoned"), [data]);
    }

    /// Both kinds of worker on one queue: each task is run by one of them.
    fn both_at_once_each_task_once(yard: &Yard) {
        let journal = yard.journal();
        let tasks: Vec<Value> = (0..200).map(|n| json!({"n": n, "journal": journal})).collect();
        for part in tasks.chunks(50) {
            yard.push(SLOW, part);
        }
        let (seen, stock) = yard.stock_worker("both", SLOW);
        let _worker = yard.start(&["run", "--queue", SLOW, "--concurrency", "4"]);
        wait_until(DEADLINE, || yard.listed(SLOW, Status::Done).len() == 200);
        drop(stock);
        assert_eq!(yard.noted("end") + seen.lock().expect("unpoisoned").len(), 200);
        assert_eq!(yard.noted("start"), yard.noted("end"));
    }

    /// What a killed worker of ours held is back after its lease, its attempt counted.
    fn a_killed_worker_loses_nothing(yard: &Yard) {
        let journal = yard.journal();
        yard.push(SLOW, &[json!({"sleepMs": 60_000, "journal": journal})]);
        let mut first = yard.worker(&["run", "--queue", SLOW]).env("WORKER_LEASE", "3").spawn();
        wait_until(DEADLINE, || yard.noted("start") == 1);
        first.kill();
        let _second = yard.start(&["run", "--queue", SLOW]);
        wait_until(DEADLINE, || yard.noted("start") == 2);
        let notes = yard.notes();
        assert_eq!((notes[0].attempt, notes[1].attempt), (1, 2));
        assert_eq!(notes[0].uuid, notes[1].uuid, "the uuid is the task's own");
    }

    /// An attempt that our own stop cut short is not counted.
    fn a_stop_burns_no_attempt(yard: &Yard) {
        let journal = yard.journal();
        yard.push(SLOW, &[json!({"sleepMs": 60_000, "journal": journal})]);
        let mut worker = yard.start(&["run", "--queue", SLOW, "--drain", "0"]);
        wait_until(DEADLINE, || yard.noted("start") == 1);
        worker.signal(Signal::Term);
        worker.wait_exit(DEADLINE);
        let again = yard.run(async { take_one(&*yard.driver(), SLOW).await });
        assert_eq!(again.attempts, 1);
    }

    /// What a stock worker held when it died is given back by ours, after the time that stock workers wait.
    fn a_dead_stock_worker_loses_nothing(yard: &Yard) {
        yard.push("mail", &[json!({"stuck": true})]);
        let (seen, stock) = yard.stock_worker("worker-1", "mail");
        wait_until(DEADLINE, || !seen.lock().expect("unpoisoned").is_empty());
        drop(stock);
        let driver = yard.driver();
        assert!(yard.run(async { take(&*driver, "mail", 1).await }).is_empty(), "it may still live");
        yard.age_workers("mail");
        let again = yard.run(async { take_one(&*yard.driver(), "mail").await });
        assert!(again.payload.windows(5).any(|part| part == b"stuck"));
    }

    /// A stock worker leaves alone what we hold.
    fn a_stock_worker_takes_nothing_of_ours(yard: &Yard) {
        yard.push("mail", &[json!({"n": 1}), json!({"n": 2})]);
        let driver = yard.driver();
        let held = yard.run(async { take_one(&*driver, "mail").await });
        assert_eq!(yard.listed("mail", Status::Running).len(), 1);
        let (seen, stock) = yard.stock_worker("polite", "mail");
        wait_until(DEADLINE, || yard.listed("mail", Status::Done).len() == 1);
        drop(stock);
        assert_eq!(seen.lock().expect("unpoisoned").len(), 1);
        assert_eq!(yard.run(async { settle(&*driver, &held, Settle::Delete).await }), Held::Yes);
        assert_eq!(yard.listed("mail", Status::Done).len(), 2);
    }

    /// An idle queue wakes at once when a stock producer pushes.
    fn an_idle_queue_wakes_at_once(yard: &Yard) {
        let driver = yard.driver();
        let mut waits: Vec<Duration> = yard.run(async {
            let mut waits = Vec::new();
            for n in 0..15 {
                let (woken, pushed) = tokio::join!(
                    async {
                        loop {
                            if !take(&*driver, "mail", 5).await.is_empty() {
                                return Instant::now();
                            }
                            driver.wait(&queues(&["mail"]), LONG).await.expect("wait");
                        }
                    },
                    async {
                        tokio::time::sleep(Duration::from_millis(150)).await;
                        yard.push_now("mail", &[json!(n)]).await;
                        Instant::now()
                    }
                );
                waits.push(woken.saturating_duration_since(pushed));
            }
            waits
        });
        waits.sort();
        // The machine may be busy: most of the fifteen are what counts.
        assert!(waits[7] < Duration::from_millis(50), "{waits:?}");
    }

    /// A backlog far beyond what one stock script bears is worked to its end.
    fn a_large_backlog_drains(yard: &Yard) {
        let count = harness::env_var("TEST_BACKLOG").and_then(|n| n.parse().ok()).unwrap_or(20_000_usize);
        let numbers: Vec<Value> = (0..count).map(|n| json!(n)).collect();
        for part in numbers.chunks(1000) {
            yard.push("mail", part);
        }
        let driver = yard.driver();
        let seen = yard.run(async {
            let mut seen = BTreeSet::new();
            while seen.len() < count {
                let jobs = take(&*driver, "mail", 500).await;
                assert!(!jobs.is_empty(), "dry after {}", seen.len());
                let batch: Vec<_> = jobs.iter().map(|job| crate::store::engine::settlement(job, Settle::Delete)).collect();
                let held = driver.settle(&batch).await.expect("settle");
                assert!(held.iter().all(|held| *held == Held::Yes));
                seen.extend(uuids(&jobs));
            }
            seen.len()
        });
        assert_eq!(seen, count);
        let depth = yard.run(driver.depth(&queues(&["mail"]))).expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (0, 0, 0));
    }
}
