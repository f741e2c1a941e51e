//! Batches in a table, and the pruning of failures: Laravel's rules, on every engine.

use std::sync::Arc;

use jiff::tz::TimeZone;
use worker::clock::{Clock, SystemClock};
use worker::store::Kind;
use worker::store::port::{Batches, FailedFilter, FailedJobs, PruneBatches};
use worker::store::sql::{SqlBatches, SqlFailed, SqlOptions};

use super::table::{Table, on_every_table};

/// A clock that stands still.
#[derive(Debug)]
struct Still(i64);

impl Clock for Still {
    fn now(&self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::try_from(self.0).expect("a time after 1970"))
    }
}

/// Adds a batch; times in hours before `now`, and seconds after that.
fn batch(table: &Table, id: &str, times: [&str; 3]) {
    let [created, finished, cancelled] = times;
    table.database.execute(&format!(
        "insert into job_batches (id, name, total_jobs, pending_jobs, failed_jobs, failed_job_ids, options, \
         cancelled_at, created_at, finished_at) values ('{id}', 'b', 1, 1, 0, '[]', null, {cancelled}, {created}, \
         {finished})"
    ));
}

fn left(table: &Table) -> Vec<String> {
    table.database.texts("select id from job_batches order by id")
}

/// The batches of a table, as seen at Unix time 1,000,000.
async fn batches(table: &Table) -> SqlBatches {
    let clock = Arc::new(Still(1_000_000));
    SqlBatches::new(
        &table
            .open(SqlOptions {
                clock,
                ..SqlOptions::default()
            })
            .await,
    )
}

on_every_table! {
    /// Each kind goes by its own column, and strictly: what is exactly as old stays.
    async fn batches_are_pruned_strictly(table: &Table) {
        let batches = batches(table).await;
        // An hour before is 996,400.
        batch(table, "a-finished", ["1", "996399", "null"]);
        batch(table, "b-on-the-border", ["1", "996400", "null"]);
        batch(table, "c-unfinished", ["996399", "null", "null"]);
        batch(table, "d-unfinished-on-the-border", ["996400", "null", "null"]);
        batch(table, "e-cancelled", ["996399", "996400", "996400"]);
        batch(table, "f-cancelled-on-the-border", ["996400", "996400", "996400"]);
        assert_eq!(batches.prune(PruneBatches::Finished, 1).await.expect("prune"), 1);
        assert_eq!(batches.prune(PruneBatches::Unfinished, 1).await.expect("prune"), 1);
        assert_eq!(batches.prune(PruneBatches::Cancelled, 1).await.expect("prune"), 1);
        let stay = ["b-on-the-border", "d-unfinished-on-the-border", "f-cancelled-on-the-border"];
        assert_eq!(left(table), stay);
        assert_eq!(batches.prune(PruneBatches::Finished, 0).await.expect("prune"), 2);
        assert_eq!(batches.prune(PruneBatches::Unfinished, 0).await.expect("prune"), 1);
        assert!(left(table).is_empty());
    }

    /// The failed jobs of a batch are those of its column; an odd column is said.
    async fn failed_jobs_are_read(table: &Table) {
        let batches = batches(table).await;
        batch(table, "b", ["1", "null", "null"]);
        assert_eq!(batches.failed_jobs("b").await.expect("read"), Some(Vec::new()));
        assert_eq!(batches.failed_jobs("c").await.expect("read"), None);
        table.database.execute("update job_batches set failed_job_ids = '[\"u1\",\"u2\"]'");
        let ids = batches.failed_jobs("b").await.expect("read");
        assert_eq!(ids, Some(vec!["u1".to_owned(), "u2".to_owned()]));
        table.database.execute("update job_batches set failed_job_ids = 'u1'");
        assert_eq!(batches.failed_jobs("b").await.map_err(|error| error.kind()), Err(Kind::Corrupt));
        let bare = SqlBatches::new(&table.bare);
        for said in [
            bare.failed_jobs("b").await.expect_err("there is no table").to_string(),
            bare.prune(PruneBatches::Finished, 1).await.expect_err("there is no table").to_string(),
        ] {
            assert!(said.contains("job_batches") && said.contains("worker migrate"), "{said}");
        }
    }

    /// Failures are pruned by the application's own time, strictly.
    async fn failures_are_pruned_strictly(table: &Table) {
        let zone = TimeZone::fixed(jiff::tz::offset(5));
        let clock = Arc::new(Still(1_000_000));
        let db = table.open(SqlOptions { clock, timezone: zone, ..SqlOptions::default() }).await;
        let failed = SqlFailed::new(&db);
        // 1970-01-12 13:46:40 UTC, five hours later there; the day before at the same time is the border.
        for (uuid, time) in [("a", "1970-01-11 18:46:39"), ("b", "1970-01-11 18:46:40"), ("c", "1970-01-11 18:46:41")] {
            table.database.execute(&format!(
                "insert into failed_jobs (uuid, connection, queue, payload, exception, failed_at) \
                 values ('{uuid}', 'redis', 'q', '{{}}', 'x', '{time}')"
            ));
        }
        assert_eq!(failed.prune(24).await.expect("prune"), Some(1));
        let rows = failed.list(&FailedFilter::All, 10).await.expect("list");
        let uuids: Vec<_> = rows.iter().filter_map(|row| row.uuid.clone()).collect();
        assert_eq!(uuids, ["c", "b"]);
        assert_eq!(failed.prune(0).await.expect("prune"), Some(2));
    }

    /// Markers that are a week old are forgotten when others are written; younger ones are not.
    async fn old_markers_go(table: &Table) {
        use worker::store::port::{NewJob, OnceJob, Queue, QueueName};
        let now = SystemClock.unix_s();
        for (marker, age) in [("old", 8 * 86_400), ("young", 6 * 86_400)] {
            let at = now - age;
            table.database.execute(&format!("insert into worker_markers (marker, created_at) values ('{marker}', {at})"));
        }
        let job = NewJob { queue: QueueName::new("q"), payload: "{}".into(), delay: None };
        let once = OnceJob { marker: "new".to_owned(), job, attempts: 70_000 };
        assert_eq!(table.queue.push_once(&[once.clone(), once]).await.expect("push"), [true, false]);
        let markers = table.database.texts("select marker from worker_markers order by marker");
        assert_eq!(markers, ["new", "young"]);
        assert_eq!(table.database.jobs().len(), 1);
    }
}
