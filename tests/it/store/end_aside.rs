//! End aside: what was set aside is removed or put back, unless someone else has it by now.

use std::time::Duration;

use worker::store::Kind;
use worker::store::port::{Aside, AsideEnd, Held, NewJob, Queue, QueueName, Receipt, Settle, Waiting};

use super::engine::{LONG, SHORT, Store, job, on_every_engine, queues, settle, take, take_one, uuids};
use super::set_aside::{aside, uuids_of};

async fn end(queue: &dyn Queue, jobs: &[Aside], end: AsideEnd) -> Vec<Held> {
    let receipts: Vec<Receipt> = jobs.iter().map(|job| job.receipt.clone()).collect();
    let mail = QueueName::new("mail");
    queue.end_aside(&mail, &receipts, end).await.expect("end")
}

async fn counts(queue: &dyn Queue) -> (u64, u64, u64) {
    let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
    (depth[0].pending, depth[0].delayed, depth[0].reserved)
}

fn later(queue: &dyn Queue, uuid: &str, delay_s: u64) -> NewJob {
    NewJob {
        delay: Some(Duration::from_secs(delay_s)),
        ..job(queue, "mail", uuid)
    }
}

on_every_engine! {
    /// Removed jobs are gone, those beside them are not, and removing again says so.
    async fn removed_jobs_are_gone(store: &Store) {
        let queue = store.with("mail", &["a", "b", "c", "d"]).await;
        let late = [later(&*queue, "soon", 60), later(&*queue, "late", 7200)];
        queue.push(&late).await.expect("push");
        let ready = aside(&*queue, Waiting::Ready, 2, LONG).await;
        let delayed = aside(&*queue, Waiting::Delayed, 5, LONG).await;
        assert_eq!(end(&*queue, &ready, AsideEnd::Remove).await, [Held::Yes; 2]);
        assert_eq!(end(&*queue, &delayed, AsideEnd::Remove).await, [Held::Yes; 2]);
        assert_eq!(end(&*queue, &ready, AsideEnd::Remove).await, [Held::Lost; 2]);
        assert_eq!(counts(&*queue).await, (2, 0, 0));
        assert_eq!(uuids(&take(&*queue, "mail", 5).await), ["c", "d"]);
        assert!(aside(&*queue, Waiting::Left, 5, LONG).await.is_empty());
        assert!(queue.end_aside(&QueueName::new("mail"), &[], AsideEnd::Remove).await.expect("end").is_empty());
    }

    /// Jobs put back stand where they were, at once.
    async fn put_back_is_as_before(store: &Store) {
        let queue = store.with("mail", &["c", "a", "b"]).await;
        let late = [later(&*queue, "soon", 60), later(&*queue, "late", 7200)];
        queue.push(&late).await.expect("push");
        let ready = aside(&*queue, Waiting::Ready, 2, LONG).await;
        let delayed = aside(&*queue, Waiting::Delayed, 5, LONG).await;
        assert_eq!(end(&*queue, &ready, AsideEnd::PutBack).await, [Held::Yes; 2]);
        assert_eq!(end(&*queue, &delayed, AsideEnd::PutBack).await, [Held::Yes; 2]);
        assert_eq!(end(&*queue, &ready, AsideEnd::Remove).await, [Held::Lost; 2]);
        assert_eq!(counts(&*queue).await, (3, 2, 0));
        assert!(aside(&*queue, Waiting::Left, 5, LONG).await.is_empty());
        let again = aside(&*queue, Waiting::Delayed, 5, LONG).await;
        assert_eq!(uuids_of(&again), ["soon", "late"]);
        assert!(again[0].delay.is_some_and(|delay| delay <= Duration::from_secs(60)));
        end(&*queue, &again, AsideEnd::PutBack).await;
        let jobs = take(&*queue, "mail", 5).await;
        assert_eq!((uuids(&jobs), jobs[0].attempts), (vec!["c".into(), "a".into(), "b".into()], 1));
    }

    /// What a worker took when the hold was over is not removed under its hands.
    async fn what_a_worker_took_is_lost(store: &Store) {
        let queue = store.with("mail", &["a", "b"]).await;
        let set = aside(&*queue, Waiting::Ready, 5, SHORT).await;
        let taken = take_one(&*queue, "mail").await;
        for verb in [AsideEnd::Remove, AsideEnd::PutBack] {
            assert_eq!(end(&*queue, &set[..1], verb).await, [Held::Lost]);
        }
        assert_eq!(settle(&*queue, &taken, Settle::Delete).await, Held::Yes);
    }

    /// What another process has taken over is ended by either, once.
    async fn it_is_ended_once(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        aside(&*queue, Waiting::Ready, 5, LONG).await;
        let other = store.open();
        let left = aside(&*other, Waiting::Left, 5, LONG).await;
        assert_eq!(end(&*other, &left, AsideEnd::Remove).await, [Held::Yes]);
        assert_eq!(end(&*queue, &left, AsideEnd::Remove).await, [Held::Lost]);
        assert_eq!(counts(&*queue).await, (0, 0, 0));
    }

    /// A receipt stays good when another process has its job held anew.
    async fn a_receipt_outlives_a_new_hold(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        queue.push(&[later(&*queue, "late", 7200)]).await.expect("push");
        let mut set = aside(&*queue, Waiting::Ready, 5, SHORT).await;
        set.extend(aside(&*queue, Waiting::Delayed, 5, SHORT).await);
        let left = aside(&*store.open(), Waiting::Left, 5, LONG).await;
        assert_eq!(left.len(), 2);
        assert_eq!(end(&*queue, &set, AsideEnd::Remove).await, [Held::Yes; 2]);
        assert_eq!(end(&*queue, &left, AsideEnd::Remove).await, [Held::Lost; 2]);
    }

    /// A job that was there before and is pushed again is another entry.
    async fn the_same_job_again_has_another_identity(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let first = aside(&*queue, Waiting::Ready, 5, LONG).await;
        end(&*queue, &first, AsideEnd::Remove).await;
        queue.push(&[job(&*queue, "mail", "a")]).await.expect("push");
        let second = aside(&*queue, Waiting::Ready, 5, LONG).await;
        assert_eq!(first[0].payload, second[0].payload);
        assert_ne!(first[0].identity, second[0].identity);
    }

    /// A receipt of another store is refused.
    async fn a_foreign_receipt_is_refused(store: &Store) {
        let queue = store.open();
        let foreign = [Receipt::new("foreign")];
        let refused = queue.end_aside(&QueueName::new("mail"), &foreign, AsideEnd::Remove).await;
        assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::Refused));
    }
}
