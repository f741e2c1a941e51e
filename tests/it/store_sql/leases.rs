//! Reserving and settling in a table, beside PHP workers with their own idea of `reserved_at`.

use std::time::Duration;

use bytes::Bytes;
use harness::TestDatabase;
use worker::store::Kind;
use worker::store::port::{FailedJob, Held, NewJob, Queue, QueueName, Settle};

use super::table::on_every_table;
use super::{LEASE, MAIL, new_job, push, settle, take};
use crate::store::engine::until;

/// Rows that Laravel's own query finds `after` seconds from now, with its `retry_after` of 90.
fn php_finds(file: &dyn TestDatabase, after: i64) -> i64 {
    let now = file.now();
    file.number(&format!(
        "select count(*) from (select * from jobs where queue = '{MAIL}' and \
         ((reserved_at is null and available_at <= {now} + {after}) or \
         (reserved_at <= {now} + {after} - 90)) order by id asc limit 1) as found"
    ))
}

fn failure(uuid: &str) -> Settle {
    Settle::Fail(Box::new(FailedJob {
        uuid: uuid.to_owned(),
        connection: "database".to_owned(),
        queue: QueueName::new(MAIL),
        payload: Bytes::from_static(b"{}"),
        exception: "E: no".to_owned(),
    }))
}

on_every_table! {
    /// PHP sees our reservation until our lease ends, whatever its own limit is.
    async fn php_sees_our_lease(table: &Table) {
        let (file, queue) = (&table.database, &table.queue);
        push(queue, &["a"]).await;
        assert_eq!(php_finds(&**file, 0), 1);
        let job = take(queue, 1).await.remove(0);
        assert_eq!((php_finds(&**file, 58), php_finds(&**file, 62)), (0, 1));
        let receipts = [(job.queue.clone(), job.receipt.clone())];
        let renewed = queue.renew(&receipts, Duration::from_secs(300)).await;
        assert_eq!(renewed.expect("renew"), [Held::Yes]);
        assert_eq!((php_finds(&**file, 298), php_finds(&**file, 302)), (0, 1));
        // A renewal never shortens.
        queue.renew(&receipts, LEASE).await.expect("renew");
        assert_eq!(php_finds(&**file, 298), 0);
        assert_eq!(
            settle(queue, &job, Settle::Release { delay: LEASE }).await,
            Held::Yes
        );
        assert_eq!((php_finds(&**file, 58), php_finds(&**file, 62)), (0, 1));
    }

    /// A reservation of PHP's is over after its `retry_after`, and not before.
    async fn phps_reservation_is_respected(table: &Table) {
        let (file, queue) = (&table.database, &table.queue);
        push(queue, &["a"]).await;
        let now = file.now();
        file.execute(&format!("update jobs set reserved_at = {now} - 80, attempts = 1"));
        assert!(take(queue, 5).await.is_empty());
        file.execute(&format!("update jobs set reserved_at = {now} - 91"));
        let job = until("the lapsed job is taken", async || take(queue, 5).await.pop()).await;
        assert_eq!(job.attempts, 2);
        // PHP takes it over in turn: attempts tell the two apart.
        file.execute(&format!("update jobs set reserved_at = {now}, attempts = 3"));
        let receipts = [(job.queue.clone(), job.receipt.clone())];
        assert_eq!(queue.renew(&receipts, LEASE).await.expect("renew"), [Held::Lost]);
        for verb in [
            Settle::Delete,
            Settle::Refund { delay: None },
            Settle::Release {
                delay: Duration::ZERO,
            },
        ] {
            assert_eq!(settle(queue, &job, verb).await, Held::Lost);
        }
        let row = file.jobs().remove(0);
        assert_eq!((row.attempts, row.reserved_at.is_some()), (3, true));
    }

    /// What we leave in the table after each verb is what Laravel leaves there, save that a released job
    /// keeps its row.
    async fn rows_are_laravels(table: &Table) {
        let (file, queue) = (&table.database, &table.queue);
        let late = NewJob {
            delay: Some(LEASE),
            ..new_job("late")
        };
        queue.push(&[new_job("a"), late]).await.expect("push");
        let rows = file.jobs();
        assert_eq!(
            (rows[0].payload.as_str(), rows[0].attempts, rows[0].reserved_at),
            ("a", 0, None)
        );
        assert_eq!(rows[0].available_at, rows[0].created_at);
        assert_eq!(rows[1].available_at, rows[1].created_at + 60);
        let job = take(queue, 5).await.remove(0);
        assert_eq!(file.jobs()[0].attempts, 1);
        assert_eq!(
            settle(queue, &job, Settle::Refund { delay: None }).await,
            Held::Yes
        );
        let row = file.jobs().remove(0);
        assert_eq!((row.id, row.attempts, row.reserved_at), (1, 0, None));
        assert_eq!(row.available_at, rows[0].available_at);
    }

    /// A failure is recorded and its job removed together, or neither.
    async fn failing_is_one_step(table: &Table) {
        let (file, queue) = (&table.database, &table.queue);
        assert!(queue.records_failures());
        push(queue, &["a", "b", "c"]).await;
        let jobs = take(queue, 3).await;
        assert_eq!(settle(queue, &jobs[0], failure("u1")).await, Held::Yes);
        assert_eq!((file.jobs().len(), file.failed_jobs().len()), (2, 1));
        // Someone else has it: nothing is recorded.
        file.execute("update jobs set attempts = 2 where id = 2");
        assert_eq!(settle(queue, &jobs[1], failure("u2")).await, Held::Lost);
        assert_eq!((file.jobs().len(), file.failed_jobs().len()), (2, 1));
        // The record cannot be written: the job stays, held, and can be tried again.
        file.execute("alter table failed_jobs rename to elsewhere");
        let last = worker::store::port::Settlement {
            queue: jobs[2].queue.clone(),
            receipt: jobs[2].receipt.clone(),
            settle: failure("u3"),
        };
        let error = queue
            .settle(std::slice::from_ref(&last))
            .await
            .expect_err("no table");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("worker migrate"), "{error}");
        assert_eq!(file.jobs().len(), 2);
        file.execute("alter table elsewhere rename to failed_jobs");
        assert_eq!(queue.settle(&[last]).await.expect("settle"), [Held::Yes]);
        assert_eq!((file.jobs().len(), file.failed_jobs().len()), (1, 2));
    }
}
