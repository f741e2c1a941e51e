//! Set aside: waiting jobs are kept from every worker for a while, and come back by themselves.

use std::time::Duration;

use worker::store::port::{Aside, NewJob, Queue, QueueName, Settle, Waiting};

use super::engine::{
    LONG, SHORT, Store, job, job_with, on_every_engine, queues, settle, take, take_one, until, uuids,
};

/// Sets jobs of the queue `mail` aside.
pub(crate) async fn aside(queue: &dyn Queue, which: Waiting, max: usize, hold: Duration) -> Vec<Aside> {
    let mail = QueueName::new("mail");
    queue.set_aside(&mail, which, max, hold).await.expect("set aside")
}

/// The uuids of jobs set aside, in order.
pub(crate) fn uuids_of(jobs: &[Aside]) -> Vec<String> {
    let uuid = |job: &Aside| {
        let payload: serde_json::Value = serde_json::from_slice(&job.payload).expect("the payload is JSON");
        payload["uuid"].as_str().expect("a uuid").to_owned()
    };
    jobs.iter().map(uuid).collect()
}

/// A driver with jobs that are due after so many seconds.
async fn with_delays(store: &Store, delays: &[(&str, u64)]) -> std::sync::Arc<dyn Queue> {
    let queue = store.open();
    let jobs: Vec<NewJob> = delays
        .iter()
        .map(|(uuid, delay)| NewJob {
            delay: Some(Duration::from_secs(*delay)),
            ..job(&*queue, "mail", uuid)
        })
        .collect();
    queue.push(&jobs).await.expect("push");
    queue
}

async fn counts(queue: &dyn Queue) -> (u64, u64, u64) {
    let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
    (depth[0].pending, depth[0].delayed, depth[0].reserved)
}

on_every_engine! {
    /// They come in the order of the queue, in batches, as they lie there, and nobody takes them.
    async fn ready_jobs_come_in_order(store: &Store) {
        let names: Vec<String> = (0..130).map(|n| format!("{n:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let queue = store.with("mail", &names).await;
        let first = aside(&*queue, Waiting::Ready, 60, LONG).await;
        assert_eq!(uuids_of(&first), names[..60]);
        assert_eq!(first[7].payload, job(&*queue, "mail", "007").payload);
        assert!(first.iter().all(|job| job.delay.is_none()));
        assert_eq!(uuids_of(&aside(&*store.open(), Waiting::Ready, 1000, LONG).await), names[60..]);
        assert!(aside(&*queue, Waiting::Ready, 10, LONG).await.is_empty());
        assert!(take(&*queue, "mail", 10).await.is_empty());
        assert_eq!(counts(&*queue).await.0, 0);
    }

    /// What is pushed meanwhile is taken by workers as ever.
    async fn others_are_not_held_up(store: &Store) {
        let queue = store.with("mail", &["a", "b", "c"]).await;
        assert_eq!(uuids_of(&aside(&*queue, Waiting::Ready, 2, LONG).await), ["a", "b"]);
        queue.push(&[job(&*queue, "mail", "d")]).await.expect("push");
        assert_eq!(uuids(&take(&*queue, "mail", 10).await), ["c", "d"]);
    }

    /// No attempt is counted, and those counted before are told.
    async fn attempts_stay(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let taken = take_one(&*queue, "mail").await;
        settle(&*queue, &taken, Settle::Release { delay: Duration::ZERO }).await;
        until("it is available", async || (counts(&*queue).await.0 > 0 || queue.carries_attempts()).then_some(())).await;
        // A released job stands among the delayed ones of a Redis queue, due.
        let mut set = aside(&*queue, Waiting::Ready, 5, SHORT).await;
        set.extend(aside(&*queue, Waiting::Delayed, 5, SHORT).await);
        assert_eq!((set.len(), set[0].delay), (1, None));
        match set[0].attempts {
            Some(attempts) => assert_eq!(attempts, 1),
            None => assert!(String::from_utf8_lossy(&set[0].payload).contains("\"attempts\":1")),
        }
        assert_eq!(take_one(&*queue, "mail").await.attempts, 2);
    }

    /// Delayed jobs come by the time they are due, with the seconds that are left.
    async fn delayed_jobs_come_by_their_time(store: &Store) {
        let queue = with_delays(store, &[("c", 7200), ("a", 60), ("b", 300)]).await;
        let set = aside(&*queue, Waiting::Delayed, 5, LONG).await;
        assert_eq!(uuids_of(&set), ["a", "b", "c"]);
        for (job, delay) in set.iter().zip([60, 300, 7200]) {
            let left = job.delay.expect("it is not due").as_secs();
            assert!((delay - 5..=delay).contains(&left), "{left} of {delay}");
        }
        assert!(aside(&*queue, Waiting::Delayed, 5, LONG).await.is_empty());
        assert!(aside(&*queue, Waiting::Ready, 5, LONG).await.is_empty());
    }

    /// Without another word they come back when the hold is over, in their order, and not before.
    async fn they_come_back_by_themselves(store: &Store) {
        let names = ["z", "m", "a", "k", "b"];
        let queue = store.with("mail", &names).await;
        let start = std::time::Instant::now();
        assert_eq!(aside(&*queue, Waiting::Ready, 5, Duration::from_secs(2)).await.len(), 5);
        let mut back = Vec::new();
        until("all are back", async || {
            back.extend(uuids(&take(&*store.open(), "mail", 5).await));
            (back.len() == 5).then_some(())
        }).await;
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
        assert_eq!(back, names);
    }

    /// A job due within the hold is held for its length; one due later is never early.
    async fn due_times_are_kept_by_those_that_come_back(store: &Store) {
        let queue = with_delays(store, &[("soon", 1), ("late", 6)]).await;
        let start = std::time::Instant::now();
        assert_eq!(aside(&*queue, Waiting::Delayed, 5, Duration::from_secs(3)).await.len(), 2);
        let soon = take_one(&*queue, "mail").await;
        assert_eq!(uuids(&[soon]), ["soon"]);
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
        let late = take_one(&*queue, "mail").await;
        assert_eq!(uuids(&[late]), ["late"]);
        assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
    }

    /// Another process finds what was left set aside, in order, with the same identities and due times.
    async fn what_was_left_is_found_again(store: &Store) {
        let queue = store.with("mail", &["z", "m", "a"]).await;
        let late: Vec<NewJob> = [("soon", 60), ("late", 7200)]
            .map(|(uuid, delay)| NewJob { delay: Some(Duration::from_secs(delay)), ..job(&*queue, "mail", uuid) })
            .to_vec();
        queue.push(&late).await.expect("push");
        queue.push(&[job(&*queue, "other", "o")]).await.expect("push");
        let hold = Duration::from_secs(300);
        let mut set = aside(&*queue, Waiting::Ready, 5, hold).await;
        set.extend(aside(&*queue, Waiting::Delayed, 5, hold).await);
        let identities = |jobs: &[Aside]| jobs.iter().map(|job| job.identity.clone()).collect::<Vec<_>>();
        for _ in 0..2 {
            let left = aside(&*store.open(), Waiting::Left, 1, hold).await;
            assert_eq!(uuids_of(&left), ["z", "m", "a", "soon", "late"]);
            assert_eq!(identities(&left), identities(&set));
            let delays: Vec<_> = left.iter().map(|job| job.delay.map_or(0, |delay| delay.as_secs())).collect();
            assert_eq!(delays[..3], [0, 0, 0]);
            assert!((50..=60).contains(&delays[3]) && (7190..=7200).contains(&delays[4]), "{delays:?}");
        }
        let mut different = identities(&set);
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 5);
    }

    /// Asking for what was left holds it anew.
    async fn a_hold_begins_anew(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        aside(&*queue, Waiting::Ready, 5, SHORT).await;
        assert_eq!(aside(&*queue, Waiting::Left, 5, LONG).await.len(), 1);
        let start = std::time::Instant::now();
        until("the first hold would be over", async || {
            assert!(take(&*queue, "mail", 1).await.is_empty());
            (start.elapsed() > SHORT * 3).then_some(())
        }).await;
    }

    /// What came back and was taken by a worker is not left over any more.
    async fn what_a_worker_took_is_not_left(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        aside(&*queue, Waiting::Ready, 5, SHORT).await;
        let taken = take_one(&*queue, "mail").await;
        assert!(aside(&*queue, Waiting::Left, 5, LONG).await.is_empty());
        settle(&*queue, &taken, Settle::Refund { delay: None }).await;
        assert!(aside(&*queue, Waiting::Left, 5, LONG).await.is_empty());
        assert_eq!(uuids_of(&aside(&*queue, Waiting::Ready, 5, LONG).await), ["a"]);
    }

    /// What a worker holds is left alone, until its lease has ended.
    async fn reserved_jobs_are_left_alone(store: &Store) {
        let queue = store.with("mail", &["a", "b"]).await;
        let lapsing = queue.reserve(&queues(&["mail"]), 1, SHORT).await.expect("reserve");
        assert_eq!(uuids_of(&aside(&*queue, Waiting::Ready, 5, LONG).await), ["b"]);
        let again = until("the lease has ended", async || aside(&*queue, Waiting::Ready, 5, LONG).await.pop()).await;
        assert_eq!(uuids_of(&[again]), uuids(&lapsing));
    }

    /// Of two jobs with the same bytes each is set aside, if need be one after the other.
    async fn twins_are_both_set_aside(store: &Store) {
        let queue = store.with("mail", &["x", "x", "y"]).await;
        let mut seen = Vec::new();
        let mail = QueueName::new("mail");
        for _ in 0..3 {
            let set = aside(&*queue, Waiting::Ready, 5, LONG).await;
            seen.extend(uuids_of(&set));
            let receipts: Vec<_> = set.into_iter().map(|job| job.receipt).collect();
            let end = worker::store::port::AsideEnd::Remove;
            queue.end_aside(&mail, &receipts, end).await.expect("end");
        }
        seen.sort();
        assert_eq!(seen, ["x", "x", "y"]);
        assert_eq!(counts(&*queue).await, (0, 0, 0));
    }

    /// A batch of large payloads is cut short, and the rest stays for the next call.
    async fn a_batch_of_large_payloads_ends_early(store: &Store) {
        let queue = store.open();
        let data = format!("\"{}\"", "x".repeat(3 << 20));
        for uuid in ["a", "b", "c"] {
            queue.push(&[job_with(&*queue, "mail", uuid, &data)]).await.expect("push");
        }
        let first = aside(&*queue, Waiting::Ready, 5, LONG).await;
        assert!((1..3).contains(&first.len()), "{}", first.len());
        let mut all = uuids_of(&first);
        all.extend(uuids_of(&aside(&*queue, Waiting::Ready, 5, LONG).await));
        all.extend(uuids_of(&aside(&*queue, Waiting::Ready, 5, LONG).await));
        assert_eq!(all, ["a", "b", "c"]);
    }

    /// Clearing removes what is set aside, too.
    async fn clear_removes_them(store: &Store) {
        let queue = store.with("mail", &["a", "b"]).await;
        aside(&*queue, Waiting::Ready, 1, LONG).await;
        assert_eq!(queue.clear(&QueueName::new("mail")).await.expect("clear"), 2);
        assert!(aside(&*queue, Waiting::Left, 5, LONG).await.is_empty());
        assert_eq!(counts(&*queue).await, (0, 0, 0));
    }
}
