//! Settle: done, given back, or given back as if never taken; only by the one who holds the job.

use std::time::Duration;

use worker::store::Kind;
use worker::store::port::{FailedJob, Held, Settle};

use super::engine::{
    LONG, SHORT, Store, job, on_every_engine, queues, settle, settlement, take, take_one, uuid, uuids,
};

const REFUND: Settle = Settle::Refund { delay: None };
const RELEASE: Settle = Settle::Release {
    delay: Duration::ZERO,
};

on_every_engine! {
    /// A deleted job is gone, and deleting it again says so.
    async fn delete_removes(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let job = take_one(&*queue, "mail").await;
        assert_eq!(settle(&*queue, &job, Settle::Delete).await, Held::Yes);
        assert_eq!(settle(&*queue, &job, Settle::Delete).await, Held::Lost);
        let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (0, 0, 0));
    }

    /// A job whose failure is recorded elsewhere is over, and the store does not give it again.
    async fn a_failed_job_is_over(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let job = take_one(&*queue, "mail").await;
        let failure = || Settle::Failed(Box::new(FailedJob {
            uuid: "a".to_owned(),
            connection: "c".to_owned(),
            queue: job.queue.clone(),
            payload: job.payload.clone(),
            exception: "E: it broke in worker:0".to_owned(),
        }));
        assert_eq!(settle(&*queue, &job, failure()).await, Held::Yes);
        assert_eq!(settle(&*queue, &job, failure()).await, Held::Lost);
        assert!(take(&*store.open(), "mail", 5).await.is_empty());
        let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (0, 0, 0));
        assert!(queue.queues().await.expect("queues").is_empty());
    }

    /// A job released without a delay is available at once.
    async fn release_gives_back(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let job = take_one(&*queue, "mail").await;
        assert_eq!(settle(&*queue, &job, RELEASE).await, Held::Yes);
        assert_eq!(settle(&*queue, &job, RELEASE).await, Held::Lost);
        let again = take(&*queue, "mail", 5).await;
        assert_eq!((again.len(), again[0].attempts), (1, 2));
    }

    /// A job released with a delay waits for it.
    async fn release_waits(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let job = take_one(&*queue, "mail").await;
        let delay = Duration::from_secs(2);
        assert_eq!(settle(&*queue, &job, Settle::Release { delay }).await, Held::Yes);
        assert!(take(&*queue, "mail", 5).await.is_empty());
        let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (0, 1, 0));
        assert_eq!(take_one(&*queue, "mail").await.attempts, 2);
    }

    /// A refunded job is as it was: same bytes, first in line, attempt not counted.
    async fn refund_undoes_the_reservation(store: &Store) {
        let queue = store.with("mail", &["a", "b"]).await;
        let job = take_one(&*queue, "mail").await;
        assert_eq!(settle(&*queue, &job, REFUND).await, Held::Yes);
        let again = take(&*queue, "mail", 1).await;
        assert_eq!((again[0].attempts, &again[0].payload), (1, &job.payload));
    }

    /// Jobs refunded together stand in their old order.
    async fn refunds_keep_their_order(store: &Store) {
        let queue = store.with("mail", &["a", "b", "c", "d"]).await;
        let jobs = take(&*queue, "mail", 3).await;
        let batch: Vec<_> = jobs.iter().map(|job| settlement(job, REFUND)).collect();
        assert_eq!(queue.settle(&batch).await.expect("settle"), [Held::Yes; 3]);
        assert_eq!(uuids(&take(&*queue, "mail", 5).await), ["a", "b", "c", "d"]);
    }

    /// A refund may be put off; the attempt is not counted then either.
    async fn refund_waits(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let job = take_one(&*queue, "mail").await;
        let delay = Some(Duration::from_secs(2));
        assert_eq!(settle(&*queue, &job, Settle::Refund { delay }).await, Held::Yes);
        assert!(take(&*queue, "mail", 5).await.is_empty());
        let again = take_one(&*queue, "mail").await;
        assert_eq!((again.attempts, &again.payload), (1, &job.payload));
    }

    /// Who comes late neither removes nor copies the job that another holds now.
    async fn a_late_holder_changes_nothing(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let late = queue.reserve(&queues(&["mail"]), 1, SHORT).await.expect("reserve").remove(0);
        let other = store.open();
        let owner = take_one(&*other, "mail").await;
        for verb in [Settle::Delete, RELEASE, REFUND, Settle::Refund { delay: Some(LONG) }] {
            assert_eq!(settle(&*queue, &late, verb).await, Held::Lost);
        }
        let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (0, 0, 1));
        assert_eq!(settle(&*other, &owner, Settle::Delete).await, Held::Yes);
    }

    /// After a refund the bytes are the old ones again, yet the old receipt is of no use.
    async fn a_receipt_ends_with_its_refund(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let first = take_one(&*queue, "mail").await;
        assert_eq!(settle(&*queue, &first, REFUND).await, Held::Yes);
        let second = take_one(&*store.open(), "mail").await;
        for verb in [Settle::Delete, RELEASE, REFUND] {
            assert_eq!(settle(&*queue, &first, verb).await, Held::Lost);
        }
        assert_eq!(settle(&*queue, &second, Settle::Delete).await, Held::Yes);
    }

    /// One batch may mix verbs and queues; the answers stand in its order.
    async fn a_batch_may_be_mixed(store: &Store) {
        let queue = store.with("mail", &["done", "again", "back", "gone"]).await;
        queue.push(&[job(&*queue, "high", "h")]).await.expect("push");
        let jobs = queue.reserve(&queues(&["mail", "high"]), 5, LONG).await.expect("reserve");
        assert_eq!(settle(&*queue, &jobs[3], Settle::Delete).await, Held::Yes);
        let verbs = [Settle::Delete, Settle::Release { delay: LONG }, REFUND, Settle::Delete, REFUND];
        let batch: Vec<_> = jobs.iter().zip(verbs).map(|(job, verb)| settlement(job, verb)).collect();
        let held = queue.settle(&batch).await.expect("settle");
        assert_eq!(held, [Held::Yes, Held::Yes, Held::Yes, Held::Lost, Held::Yes]);
        let depth = queue.depth(&queues(&["mail", "high"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (1, 1, 0));
        assert_eq!((depth[1].pending, depth[1].delayed, depth[1].reserved), (1, 0, 0));
        assert!(queue.settle(&[]).await.expect("settle").is_empty());
    }

    /// A receipt that stands in a batch twice is good for one verb, and the job stays one job.
    async fn a_receipt_is_good_once(store: &Store) {
        let queue = store.open();
        for verb in [RELEASE, REFUND, Settle::Refund { delay: Some(Duration::ZERO) }] {
            queue.push(&[job(&*queue, "mail", "a")]).await.expect("push");
            let job = take_one(&*queue, "mail").await;
            let batch = [settlement(&job, verb.clone()), settlement(&job, verb)];
            let mut held = queue.settle(&batch).await.expect("settle");
            held.sort_by_key(|held| *held == Held::Lost);
            assert_eq!(held, [Held::Yes, Held::Lost]);
            let again = take_one(&*queue, "mail").await;
            assert!(take(&*queue, "mail", 5).await.is_empty());
            assert_eq!(settle(&*queue, &again, Settle::Delete).await, Held::Yes);
        }
    }

    /// Who has a job again after losing it settles it with the new receipt, in one call with the old one.
    async fn an_old_receipt_is_lost_beside_the_new_one(store: &Store) {
        let queue = store.open();
        for old_first in [true, false] {
            queue.push(&[job(&*queue, "mail", "a")]).await.expect("push");
            let old = queue.reserve(&queues(&["mail"]), 1, SHORT).await.expect("reserve").remove(0);
            let new = take_one(&*queue, "mail").await;
            let mut batch = [settlement(&old, RELEASE), settlement(&new, Settle::Delete)];
            let mut expected = [Held::Lost, Held::Yes];
            if !old_first {
                batch.reverse();
                expected.reverse();
            }
            assert_eq!(queue.settle(&batch).await.expect("settle"), expected);
            assert!(queue.queues().await.expect("queues").is_empty());
        }
    }

    /// More settlements than one call carries are all written.
    async fn a_batch_may_be_large(store: &Store) {
        let queue = store.open();
        let jobs: Vec<_> = (0..1200).map(|n| job(&*queue, "mail", &format!("j{n}"))).collect();
        queue.push(&jobs).await.expect("push");
        let mut batch = Vec::new();
        while batch.len() < 1200 {
            let taken = take(&*queue, "mail", 1200).await;
            assert!(!taken.is_empty());
            batch.extend(taken.iter().map(|job| settlement(job, REFUND)));
        }
        let held = queue.settle(&batch).await.expect("settle");
        assert_eq!((held.len(), held.iter().all(|held| *held == Held::Yes)), (1200, true));
        let again = take(&*queue, "mail", 3).await;
        assert_eq!(uuids(&again), ["j0", "j1", "j2"]);
    }

    /// Jobs with the same bytes that are released together are not melted into one.
    async fn twins_survive_their_release(store: &Store) {
        let queue = store.with("mail", &["same", "same"]).await;
        let first = take_one(&*queue, "mail").await;
        assert_eq!(settle(&*queue, &first, Settle::Release { delay: Duration::from_secs(2) }).await, Held::Yes);
        let second = take_one(&*queue, "mail").await;
        assert_eq!(second.attempts, 1);
        assert_eq!(settle(&*queue, &second, Settle::Release { delay: Duration::from_secs(1) }).await, Held::Yes);
        assert_eq!(settle(&*queue, &second, Settle::Delete).await, Held::Lost);
        for _ in 0..2 {
            let again = take_one(&*queue, "mail").await;
            assert_eq!((uuid(&again), again.attempts), ("same".to_owned(), 2));
            assert_eq!(settle(&*queue, &again, Settle::Delete).await, Held::Yes);
        }
    }

    /// A store that keeps no failures refuses to, and leaves the job as it is.
    async fn failures_go_where_they_are_kept(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        if queue.records_failures() {
            return;
        }
        let job = take_one(&*queue, "mail").await;
        let failure = FailedJob {
            uuid: "a".to_owned(),
            connection: "c".to_owned(),
            queue: job.queue.clone(),
            payload: job.payload.clone(),
            exception: "E".to_owned(),
        };
        let error = queue.settle(&[settlement(&job, Settle::Fail(Box::new(failure)))]).await;
        assert_eq!(error.expect_err("refused").kind(), Kind::Refused);
        assert_eq!(settle(&*queue, &job, Settle::Delete).await, Held::Yes);
    }
}
