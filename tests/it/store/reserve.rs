//! Reserve: jobs in order, held under a lease, their bytes kept.

use std::time::Duration;

use bytes::Bytes;
use worker::store::port::{Held, NewJob, QueueName, Settle};

use super::engine::{
    LONG, SHORT, Store, job, job_with, on_every_engine, queues, settle, take, take_one, until, uuid, uuids,
};

on_every_engine! {
    /// Jobs come in the order in which they were pushed, no more than asked for.
    async fn takes_in_order(store: &Store) {
        let queue = store.with("mail", &["a", "b", "c"]).await;
        assert_eq!(uuids(&take(&*queue, "mail", 2).await), ["a", "b"]);
        assert_eq!(uuids(&take(&*queue, "mail", 2).await), ["c"]);
        assert!(take(&*queue, "mail", 2).await.is_empty());
    }

    /// Asking for nothing, or from nowhere, gives nothing.
    async fn nothing_is_an_answer(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        assert!(take(&*queue, "mail", 0).await.is_empty());
        assert!(queue.reserve(&[], 5, LONG).await.expect("reserve").is_empty());
        assert!(take(&*queue, "other", 5).await.is_empty());
    }

    /// The first queue is emptied before the second gives any.
    async fn the_first_queue_goes_first(store: &Store) {
        let queue = store.with("low", &["l1", "l2"]).await;
        queue.push(&[job(&*queue, "high", "h1")]).await.expect("push");
        let jobs = queue.reserve(&queues(&["high", "low"]), 2, LONG).await.expect("reserve");
        assert_eq!(uuids(&jobs), ["h1", "l1"]);
        assert_eq!(jobs[0].queue, QueueName::new("high"));
        assert_eq!(jobs[1].queue, QueueName::new("low"));
    }

    /// The first run is attempt 1 and sees the payload as it was pushed, byte for byte.
    async fn the_attempt_is_counted(store: &Store) {
        let queue = store.open();
        let pushed = job(&*queue, "mail", "a");
        queue.push(std::slice::from_ref(&pushed)).await.expect("push");
        let first = take_one(&*queue, "mail").await;
        assert_eq!((first.attempts, &first.payload), (1, &pushed.payload));
        assert_eq!(settle(&*queue, &first, Settle::Release { delay: Duration::ZERO }).await, Held::Yes);
        let second = take_one(&*queue, "mail").await;
        assert_eq!((second.attempts, uuid(&second)), (2, "a".to_owned()));
    }

    /// Empty arrays, large numbers and escapes stand in the payload of every attempt as they were pushed.
    async fn data_survives_every_attempt(store: &Store) {
        let queue = store.open();
        let data = r#"{"a":[],"o":{},"n":9007199254740993,"f":1.0,"x":5.0e-324,"s":"\/ „ \u2028 \u0000","attempts":7}"#;
        queue.push(&[job_with(&*queue, "mail", "a", data)]).await.expect("push");
        for attempt in 1..=3 {
            let job = take_one(&*queue, "mail").await;
            assert_eq!(job.attempts, attempt);
            let text = String::from_utf8(job.payload.to_vec()).expect("UTF-8");
            assert!(text.contains(data), "{text}");
            settle(&*queue, &job, Settle::Release { delay: Duration::ZERO }).await;
        }
    }

    /// Somebody else does not get what is held.
    async fn what_is_held_is_not_given_again(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let _held = take_one(&*queue, "mail").await;
        assert!(take(&*store.open(), "mail", 5).await.is_empty());
    }

    /// When the lease has ended the job comes back, and the lost attempt stays counted.
    async fn a_lapsed_reservation_comes_back(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let first = queue.reserve(&queues(&["mail"]), 1, SHORT).await.expect("reserve");
        assert_eq!(first.len(), 1);
        let second = take_one(&*store.open(), "mail").await;
        assert_eq!((second.attempts, uuid(&second)), (2, "a".to_owned()));
    }

    /// A lease is not shorter than asked for.
    async fn a_lease_lasts(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let start = std::time::Instant::now();
        queue.reserve(&queues(&["mail"]), 1, SHORT).await.expect("reserve");
        let _again = take_one(&*queue, "mail").await;
        assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    }

    /// A delayed job is not given before its time, and then behind those that were ready.
    async fn a_delayed_job_waits(store: &Store) {
        let queue = store.open();
        let late = NewJob { delay: Some(Duration::from_secs(2)), ..job(&*queue, "mail", "late") };
        queue.push(&[late, job(&*queue, "mail", "now")]).await.expect("push");
        assert_eq!(uuids(&take(&*queue, "mail", 5).await), ["now"]);
        let late = take_one(&*queue, "mail").await;
        assert_eq!((uuid(&late), late.attempts), ("late".to_owned(), 1));
    }

    /// A batch of large payloads is cut short, and the rest stays for the next call.
    async fn a_batch_of_large_payloads_ends_early(store: &Store) {
        let queue = store.open();
        let data = format!("\"{}\"", "x".repeat(3 << 20));
        for uuid in ["a", "b", "c", "d", "e"] {
            queue.push(&[job_with(&*queue, "mail", uuid, &data)]).await.expect("push");
        }
        let first = take(&*queue, "mail", 5).await;
        assert!((1..5).contains(&first.len()), "{}", first.len());
        let mut all = uuids(&first);
        while all.len() < 5 {
            all.push(uuid(&take_one(&*queue, "mail").await));
        }
        assert_eq!(all, ["a", "b", "c", "d", "e"]);
    }

    /// A payload that nobody can read is given once with its bytes, and can be removed.
    async fn an_unreadable_payload_is_given_as_it_is(store: &Store) {
        let queue = store.open();
        for text in ["", "{", "not JSON", "[1]", "null", "{\"attempts\":\"many\"}", "\"attempts\":1"] {
            let bad = NewJob { payload: Bytes::copy_from_slice(text.as_bytes()), ..job(&*queue, "mail", "") };
            queue.push(&[bad]).await.expect("push");
            let taken = take_one(&*queue, "mail").await;
            assert_eq!((taken.payload.as_ref(), taken.attempts), (text.as_bytes(), 1));
            assert_eq!(settle(&*queue, &taken, Settle::Delete).await, Held::Yes);
            assert!(take(&*queue, "mail", 1).await.is_empty());
        }
    }

    /// Two jobs with the same bytes are two jobs.
    async fn twins_are_both_run(store: &Store) {
        let queue = store.with("mail", &["same", "same", "other"]).await;
        let mut seen = Vec::new();
        until("all three are done", async || {
            for job in take(&*queue, "mail", 5).await {
                seen.push(uuid(&job));
                assert_eq!(settle(&*queue, &job, Settle::Delete).await, Held::Yes);
            }
            (seen.len() == 3).then_some(())
        }).await;
        seen.sort();
        assert_eq!(seen, ["other", "same", "same"]);
    }
}
