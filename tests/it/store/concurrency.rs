//! Many hands on one store: each job is given to one of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use worker::store::port::{Held, NewJob, Queue, Settle};

use super::engine::{LONG, SOON, Store, job, on_every_engine, queues, settlement, uuids};

const JOBS: usize = 2000;

/// Works the queue in batches until it is empty; every third batch is given back once.
async fn hand(queue: Arc<dyn Queue>, size: usize) -> Vec<String> {
    let mut done = Vec::new();
    for round in 0.. {
        let jobs = queue
            .reserve(&queues(&["mail"]), size, LONG)
            .await
            .expect("reserve");
        if jobs.is_empty() {
            break;
        }
        let back = round % 3 == 2;
        let verb = if back {
            Settle::Refund { delay: None }
        } else {
            Settle::Delete
        };
        let batch: Vec<_> = jobs.iter().map(|job| settlement(job, verb.clone())).collect();
        let held = queue.settle(&batch).await.expect("settle");
        assert!(held.iter().all(|held| *held == Held::Yes));
        if !back {
            done.extend(uuids(&jobs));
        }
    }
    done
}

on_every_engine! {
    /// Every job is done once, however many take and give back at the same time.
    async fn each_job_is_done_once(store: &Store) {
        let queue = store.open();
        let jobs: Vec<NewJob> = (0..JOBS).map(|n| job(&*queue, "mail", &format!("{n:05}"))).collect();
        queue.push(&jobs).await.expect("push");
        let mut done = Vec::new();
        // A hand that finds nothing may stop while another gives back: the rounds go on until all is done.
        while done.len() < JOBS {
            let mut hands = JoinSet::new();
            for size in [1, 7, 50, 200] {
                hands.spawn(hand(store.open(), size));
            }
            let all = tokio::time::timeout(SOON + Duration::from_secs(20), hands.join_all()).await;
            done.extend(all.expect("they end").into_iter().flatten());
        }
        done.sort();
        let expected: Vec<String> = (0..JOBS).map(|n| format!("{n:05}")).collect();
        assert_eq!(done, expected);
        let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
        assert_eq!((depth[0].pending, depth[0].delayed, depth[0].reserved), (0, 0, 0));
    }
}
