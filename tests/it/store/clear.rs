//! Clear: a queue is emptied, the others are not.

use std::time::Duration;

use worker::store::port::{Held, NewJob, QueueName, Settle};

use super::engine::{Store, job, on_every_engine, queues, settle, take_one};

on_every_engine! {
    /// Everything of the queue goes, what is being worked included, and is counted.
    async fn everything_goes(store: &Store) {
        let queue = store.with("mail", &["a", "b", "c"]).await;
        let late = NewJob { delay: Some(Duration::from_secs(60)), ..job(&*queue, "mail", "late") };
        queue.push(&[late, job(&*queue, "other", "o")]).await.expect("push");
        let held = take_one(&*queue, "mail").await;
        assert_eq!(queue.clear(&QueueName::new("mail")).await.expect("clear"), 4);
        assert_eq!(queue.clear(&QueueName::new("mail")).await.expect("clear"), 0);
        assert_eq!(settle(&*queue, &held, Settle::Delete).await, Held::Lost);
        assert_eq!(queue.queues().await.expect("queues"), queues(&["other"]));
    }
}
