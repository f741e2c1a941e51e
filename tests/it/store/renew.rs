//! Renew: a lease goes on, for those who still have it.

use worker::store::port::{Held, Settle};

use super::engine::{LONG, SHORT, Store, on_every_engine, queues, settle, take, take_one, uuid};

on_every_engine! {
    /// What is renewed does not lapse.
    async fn a_renewed_lease_lasts(store: &Store) {
        let queue = store.with("mail", &["kept", "left"]).await;
        let jobs = queue.reserve(&queues(&["mail"]), 2, SHORT).await.expect("reserve");
        let kept = [(jobs[0].queue.clone(), jobs[0].receipt.clone())];
        assert_eq!(queue.renew(&kept, LONG).await.expect("renew"), [Held::Yes]);
        // The other lapses, and by then this one would have too.
        assert_eq!(uuid(&take_one(&*queue, "mail").await), "left");
        assert!(take(&*queue, "mail", 5).await.is_empty());
        assert_eq!(settle(&*queue, &jobs[0], Settle::Delete).await, Held::Yes);
    }

    /// Renewing twice is as good as once, and the receipt stays the same.
    async fn renewing_again_is_safe(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let job = take_one(&*queue, "mail").await;
        let receipts = [(job.queue.clone(), job.receipt.clone()), (job.queue.clone(), job.receipt.clone())];
        for _ in 0..3 {
            assert_eq!(queue.renew(&receipts, LONG).await.expect("renew"), [Held::Yes, Held::Yes]);
        }
        assert_eq!(settle(&*queue, &job, Settle::Delete).await, Held::Yes);
    }

    /// The answers stand in the order of the receipts, whatever their queues.
    async fn answers_are_in_order(store: &Store) {
        let queue = store.with("mail", &["a", "b"]).await;
        queue.push(&[super::engine::job(&*queue, "high", "c")]).await.expect("push");
        let jobs = queue.reserve(&queues(&["mail", "high"]), 3, LONG).await.expect("reserve");
        assert_eq!(settle(&*queue, &jobs[1], Settle::Delete).await, Held::Yes);
        let receipts: Vec<_> = jobs.iter().map(|job| (job.queue.clone(), job.receipt.clone())).collect();
        let held = queue.renew(&receipts, LONG).await.expect("renew");
        assert_eq!(held, [Held::Yes, Held::Lost, Held::Yes]);
        assert!(queue.renew(&[], LONG).await.expect("renew").is_empty());
    }

    /// Who has lost a job to another is told so and does not disturb the other.
    async fn a_lost_reservation_is_not_renewed(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let late = queue.reserve(&queues(&["mail"]), 1, SHORT).await.expect("reserve");
        let other = store.open();
        let owner = take_one(&*other, "mail").await;
        let receipts = [(late[0].queue.clone(), late[0].receipt.clone())];
        assert_eq!(queue.renew(&receipts, LONG).await.expect("renew"), [Held::Lost]);
        assert_eq!(settle(&*other, &owner, Settle::Delete).await, Held::Yes);
    }

    /// Who has a job again after losing it holds it once: the old receipt is lost beside the new one.
    async fn an_old_receipt_is_lost_beside_the_new_one(store: &Store) {
        let queue = store.with("mail", &["a"]).await;
        let old = queue.reserve(&queues(&["mail"]), 1, SHORT).await.expect("reserve").remove(0);
        let new = take_one(&*queue, "mail").await;
        let of = |job: &worker::store::port::Reserved| (job.queue.clone(), job.receipt.clone());
        let held = queue.renew(&[of(&old), of(&new)], LONG).await.expect("renew");
        assert_eq!(held, [Held::Lost, Held::Yes]);
        let held = queue.renew(&[of(&new), of(&old)], LONG).await.expect("renew");
        assert_eq!(held, [Held::Yes, Held::Lost]);
        assert_eq!(settle(&*queue, &new, Settle::Delete).await, Held::Yes);
    }

    /// More receipts than one call carries are all renewed.
    async fn many_are_renewed(store: &Store) {
        let queue = store.open();
        let jobs: Vec<_> = (0..1200).map(|n| super::engine::job(&*queue, "mail", &format!("j{n}"))).collect();
        queue.push(&jobs).await.expect("push");
        let mut receipts = Vec::new();
        while receipts.len() < 1200 {
            let taken = take(&*queue, "mail", 1200).await;
            assert!(!taken.is_empty());
            receipts.extend(taken.into_iter().map(|job| (job.queue, job.receipt)));
        }
        let held = queue.renew(&receipts, LONG).await.expect("renew");
        assert_eq!((held.len(), held.iter().all(|held| *held == Held::Yes)), (1200, true));
    }
}
