//! Depth and queues: what an operator sees.

use std::time::Duration;

use worker::store::port::NewJob;

use super::engine::{Store, job, on_every_engine, queues, take_one};

on_every_engine! {
    /// Available, delayed and reserved jobs are counted apart, in the order asked for.
    async fn jobs_are_counted(store: &Store) {
        let queue = store.with("mail", &["a", "b", "c"]).await;
        let late = NewJob { delay: Some(Duration::from_secs(60)), ..job(&*queue, "mail", "late") };
        queue.push(&[late]).await.expect("push");
        let _held = take_one(&*queue, "mail").await;
        let depth = queue.depth(&queues(&["empty", "mail"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (0, 0, 0));
        assert_eq!((depth[1].pending, depth[1].delayed, depth[1].reserved), (2, 1, 1));
        assert_eq!((depth[0].oldest_s, depth[1].oldest_s.is_some()), (None, true));
        assert_eq!(depth[1].queue.as_str(), "mail");
        assert!(queue.depth(&[]).await.expect("depth").is_empty());
    }

    /// Every queue with a job in any state is named once.
    async fn queues_are_found(store: &Store) {
        let queue = store.with("mail", &["a", "b"]).await;
        let late = NewJob { delay: Some(Duration::from_secs(60)), ..job(&*queue, "late", "l") };
        queue.push(&[late, job(&*queue, "held", "h")]).await.expect("push");
        let _held = take_one(&*queue, "held").await;
        assert_eq!(queue.queues().await.expect("queues"), queues(&["held", "late", "mail"]));
        queue.ping().await.expect("ping");
    }
}
