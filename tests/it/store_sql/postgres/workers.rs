//! Many workers on one table.

use std::time::Duration;

use tokio::task::JoinSet;
use worker::store::port::{FailedJob, Held, Queue, QueueName, Reserved, Settle, Settlement};
use worker::store::sql::SqlQueue;

use super::super::{LEASE, MAIL, new_job};
use super::{fixture, open};
use crate::store::engine::postgres_options;

const WORKERS: usize = 8;
const JOBS: usize = 2000;

/// What becomes of the jobs of one round.
fn verb(round: usize, job: &Reserved) -> Settle {
    match round % 5 {
        0 => Settle::Refund { delay: None },
        1 => Settle::Release {
            delay: Duration::ZERO,
        },
        2 => Settle::Fail(Box::new(FailedJob {
            uuid: String::from_utf8_lossy(&job.payload).into_owned(),
            connection: "database".to_owned(),
            queue: job.queue.clone(),
            payload: job.payload.clone(),
            exception: "E".to_owned(),
        })),
        _ => Settle::Delete,
    }
}

/// Works until nothing is found; the jobs that ended here.
async fn work(queue: SqlQueue, first: usize) -> Vec<String> {
    let names = [QueueName::new(MAIL)];
    let mut ended = Vec::new();
    for round in first.. {
        let jobs = queue.reserve(&names, 23, LEASE).await.expect("reserve");
        if jobs.is_empty() {
            break;
        }
        let receipts: Vec<_> = jobs
            .iter()
            .map(|job| (job.queue.clone(), job.receipt.clone()))
            .collect();
        let batch: Vec<Settlement> = (jobs.iter())
            .map(|job| Settlement {
                queue: job.queue.clone(),
                receipt: job.receipt.clone(),
                settle: verb(round, job),
            })
            .collect();
        // Renewals and settlements of the same rows cross each other.
        let (renewed, settled) = tokio::join!(queue.renew(&receipts, LEASE), queue.settle(&batch));
        renewed.expect("renew");
        assert!(settled.expect("settle").iter().all(|held| *held == Held::Yes));
        if round % 5 > 1 {
            ended.extend(
                jobs.iter()
                    .map(|job| String::from_utf8_lossy(&job.payload).into_owned()),
            );
        }
    }
    ended
}

/// Each job ends once, in one place, and no deadlock comes to light.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_ends_once() {
    let (database, queue) = fixture().await;
    let jobs: Vec<_> = (0..JOBS).map(|n| new_job(format!("{n:05}"))).collect();
    queue.push(&jobs).await.expect("push");
    let mut ended = Vec::new();
    for first in 0.. {
        let mut workers = JoinSet::new();
        for number in 0..WORKERS {
            let queue = SqlQueue::with_failures(&open(&postgres_options(&database)));
            workers.spawn(work(queue, first + number));
        }
        ended.extend(workers.join_all().await.into_iter().flatten());
        if ended.len() >= JOBS {
            break;
        }
    }
    ended.sort();
    let expected: Vec<String> = (0..JOBS).map(|n| format!("{n:05}")).collect();
    assert_eq!(ended, expected);
    assert_eq!(database.jobs().len(), 0);
    let failed = "select count(*) = count(distinct uuid) and count(*) > 0 from failed_jobs";
    assert_eq!(
        database.rows(failed, |row| sqlx::Row::get::<bool, _>(row, 0)),
        [true]
    );
    let deadlocks = format!(
        "select deadlocks from pg_stat_database where datname = '{}'",
        database.name()
    );
    assert_eq!(database.number(&deadlocks), 0);
}
