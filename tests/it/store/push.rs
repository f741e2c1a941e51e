//! Push: jobs are put on queues, once where that is asked for.

use std::time::Duration;

use worker::store::port::{Held, NewJob, OnceJob, Settle};

use super::engine::{Store, job, on_every_engine, once, queues, settle, take, take_one, uuids};

on_every_engine! {
    /// One call may serve several queues and keeps the order in each.
    async fn order_is_kept(store: &Store) {
        let queue = store.open();
        let jobs = [("a", "1"), ("b", "2"), ("a", "3")].map(|(name, uuid)| job(&*queue, name, uuid));
        queue.push(&jobs).await.expect("push");
        queue.push(&[]).await.expect("push nothing");
        assert_eq!(uuids(&take(&*queue, "a", 5).await), ["1", "3"]);
        assert_eq!(uuids(&take(&*queue, "b", 5).await), ["2"]);
    }

    /// A large batch arrives whole and in order.
    async fn a_batch_may_be_large(store: &Store) {
        let queue = store.open();
        let names: Vec<String> = (0..1700).map(|n| format!("j{n}")).collect();
        let jobs: Vec<NewJob> = names.iter().map(|uuid| job(&*queue, "mail", uuid)).collect();
        queue.push(&jobs).await.expect("push");
        let mut seen = Vec::new();
        while seen.len() < names.len() {
            let taken = take(&*queue, "mail", 700).await;
            assert!(!taken.is_empty());
            seen.extend(uuids(&taken));
        }
        assert_eq!(seen, names);
    }

    /// A delay of zero is one that is over: the job is available.
    async fn a_delay_of_zero_is_over(store: &Store) {
        let queue = store.open();
        let job = NewJob { delay: Some(Duration::ZERO), ..job(&*queue, "mail", "a") };
        queue.push(&[job]).await.expect("push");
        assert_eq!(uuids(&take(&*queue, "mail", 5).await), ["a"]);
    }

    /// With the same marker a job is pushed once, even after it was worked.
    async fn a_marked_job_is_pushed_once(store: &Store) {
        let queue = store.open();
        let again = job(&*queue, "mail", "a");
        assert!(queue.push_once(&[once("m1", &again)]).await.expect("push")[0]);
        assert!(!queue.push_once(&[once("m1", &again)]).await.expect("push")[0]);
        let taken = take_one(&*queue, "mail").await;
        assert_eq!(settle(&*queue, &taken, Settle::Delete).await, Held::Yes);
        assert!(!queue.push_once(&[once("m1", &again)]).await.expect("push")[0]);
        assert!(take(&*queue, "mail", 5).await.is_empty());
        assert!(queue.push_once(&[once("m2", &again)]).await.expect("push")[0]);
        assert_eq!(take(&*queue, "mail", 5).await.len(), 1);
    }

    /// A dropped marker is as one that never was, and dropping none is no error.
    async fn a_marker_can_be_dropped(store: &Store) {
        let queue = store.open();
        let late = NewJob { delay: Some(Duration::from_secs(60)), ..job(&*queue, "mail", "a") };
        assert!(queue.push_once(&[once("m", &late)]).await.expect("push")[0]);
        queue.drop_markers(&["m".to_owned()]).await.expect("drop");
        queue.drop_markers(&["never".to_owned()]).await.expect("drop");
        let other = NewJob { delay: Some(Duration::from_secs(60)), ..job(&*queue, "mail", "b") };
        assert!(queue.push_once(&[once("m", &other)]).await.expect("push")[0]);
        let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed), (0, 2));
    }

    /// Many with markers go in one call and in order; those whose marker is there are left out, and a column
    /// that counts attempts gets them.
    async fn many_are_pushed_once(store: &Store) {
        let queue = store.open();
        let names: Vec<String> = (0..1200).map(|n| format!("{n:04}")).collect();
        let jobs: Vec<_> = names.iter().map(|uuid| once(&format!("m:{uuid}"), &job(&*queue, "mail", uuid))).collect();
        let some = [jobs[3].clone(), jobs[700].clone()];
        assert_eq!(queue.push_once(&some).await.expect("push"), [true; 2]);
        let pushed = queue.push_once(&jobs).await.expect("push");
        let left_out: Vec<usize> = (0..1200).filter(|n| !pushed[*n]).collect();
        assert_eq!(left_out, [3, 700]);
        let mut seen = uuids(&take(&*queue, "mail", 1000).await);
        seen.extend(uuids(&take(&*queue, "mail", 1000).await));
        let rest: Vec<&String> = names.iter().filter(|uuid| *uuid != "0003" && *uuid != "0700").collect();
        assert_eq!(seen[..2], ["0003", "0700"]);
        assert_eq!(seen[2..].iter().collect::<Vec<_>>(), rest);
        let tried = OnceJob { attempts: 4, ..once("t", &job(&*queue, "tried", "t")) };
        assert_eq!(queue.push_once(&[tried]).await.expect("push"), [true]);
        let expected = if queue.carries_attempts() { 1 } else { 5 };
        assert_eq!(take_one(&*queue, "tried").await.attempts, expected);
        assert!(queue.push_once(&[]).await.expect("push").is_empty());
        queue.drop_markers(&[]).await.expect("drop");
    }
}
