//! `worker prune-failed`, `prune-batches` and `retry-batch`.

use serde_json::json;

use crate::site::{Job, Site, now, on_every_site};

#[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
fn hours_ago(hours: f64) -> i64 {
    (now() - hours * 3600.0) as i64
}

/// Adds a batch with these times, or null.
fn batch(site: &Site, id: &str, [created, finished, cancelled]: [Option<i64>; 3]) {
    let sql = |time: Option<i64>| time.map_or_else(|| "null".to_owned(), |time| time.to_string());
    site.database().execute(&format!(
        "insert into job_batches (id, name, total_jobs, pending_jobs, failed_jobs, failed_job_ids, options, \
         cancelled_at, created_at, finished_at) values ('{id}', '', 1, 1, 0, '[]', null, {}, {}, {})",
        sql(cancelled),
        sql(created),
        sql(finished)
    ));
}

fn batches(site: &Site) -> Vec<String> {
    let sql = "select id from job_batches order by id";
    site.database().rows(sql, |row| sqlx::Row::get(row, 0))
}

/// Six batches of different fates.
fn with_batches() -> Site {
    let site = Site::redis();
    let (old, new) = (Some(hours_ago(30.0)), Some(hours_ago(20.0)));
    batch(&site, "finished-long-ago", [old, old, None]);
    batch(&site, "finished-since", [old, new, None]);
    batch(&site, "old", [old, None, None]);
    batch(&site, "new", [new, None, None]);
    // Laravel sets both when a batch is cancelled.
    batch(&site, "cancelled-since", [old, new, new]);
    batch(&site, "cancelled-young", [new, new, new]);
    site
}

#[test]
fn finished_batches_are_pruned_by_when_they_finished() {
    let site = with_batches();
    let output = site.command(&["queue:prune-batches"]);
    assert_eq!(output.success(), "1 finished batches removed.\n");
    assert_eq!(
        batches(&site),
        [
            "cancelled-since",
            "cancelled-young",
            "finished-since",
            "new",
            "old"
        ]
    );
    let output = site.command(&["prune-batches", "--hours=10", "--json"]);
    assert_eq!(
        output.json(),
        json!({ "finished": 3, "unfinished": null, "cancelled": null })
    );
    assert_eq!(batches(&site), ["new", "old"]);
}

#[test]
fn unfinished_and_cancelled_ones_by_when_they_were_made() {
    let site = with_batches();
    let output = site.command(&[
        "prune-batches",
        "--hours=100",
        "--unfinished=24",
        "--cancelled=24",
    ]);
    let said = "0 finished batches removed.\n1 unfinished batches removed.\n1 cancelled batches removed.\n";
    assert_eq!(output.success(), said);
    assert_eq!(
        batches(&site),
        ["cancelled-young", "finished-long-ago", "finished-since", "new"]
    );
    let output = site.command(&["prune-batches", "--hours=100", "--unfinished=0", "--json"]);
    assert_eq!(
        output.json(),
        json!({ "finished": 0, "unfinished": 1, "cancelled": null })
    );
}

#[test]
fn many_are_pruned_in_steps_and_the_border_stays() {
    let site = Site::sqlite();
    let old = hours_ago(25.0);
    site.database().execute(&format!(
        "insert into job_batches with recursive n(i) as (select 1 union all select i + 1 from n where i < 2345) \
         select 'b' || i, '', 1, 0, 0, '[]', null, null, {old}, {old} from n"
    ));
    // Strictly older: a border that lies ahead of the clock by then is never older.
    batch(&site, "border", [Some(old), Some(hours_ago(24.0) + 60), None]);
    assert_eq!(
        site.command(&["prune-batches"]).success(),
        "2345 finished batches removed.\n"
    );
    assert_eq!(batches(&site), ["border"]);
}

#[test]
fn a_missing_table_is_said_with_what_to_type() {
    let site = Site::sqlite();
    site.database().execute("drop table job_batches");
    for args in [&["prune-batches"][..], &["retry-batch", "x"]] {
        let output = site.command(args);
        output.expect_code(69);
        for what in ["job_batches", "run `worker migrate`"] {
            assert!(output.stderr.contains(what), "{}", output.stderr);
        }
    }
    site.command(&["migrate"]).success();
    site.command(&["prune-batches"]).success();
}

on_every_site! {
    fn a_batchs_failed_jobs_are_retried(site: &Site) {
        let jobs = Job::broken().times(3);
        site.push_all("default", &jobs);
        site.command(&["run", "--stop-when-empty"]).success();
        assert_eq!(site.failed().len(), 3);
        batch(site, "b1", [Some(1), None, None]);
        batch(site, "b2", [Some(1), None, None]);
        let ids = json!([jobs[0].uuid(), jobs[2].uuid(), "gone"]);
        site.database().execute(&format!("update job_batches set failed_job_ids = '{ids}' where id = 'b1'"));
        let output = site.command(&["queue:retry-batch", "b1", "--json"]);
        let expected = json!({
            "retried": [jobs[0].uuid(), jobs[2].uuid()], "unknown": ["gone"], "gone": [], "unconfigured": []
        });
        assert_eq!(output.json(), expected);
        assert_eq!((site.queue("default").ready.len(), site.failed().len()), (2, 1));
        for (id, said) in [("b2", "The batch b2 has no failed jobs."), ("b3", "There is no batch with the id b3.")] {
            let output = site.command(&["retry-batch", id]);
            output.expect_code(1);
            assert!(output.stderr.contains(said), "{}", output.stderr);
        }
        site.command(&["retry-batch"]).expect_code(2);
    }

    fn old_failures_are_pruned(site: &Site) {
        let jobs = Job::broken().times(3);
        site.push_all("default", &jobs);
        site.command(&["run", "--stop-when-empty"]).success();
        let age = |place: usize, hours: &str| {
            let uuid = jobs[place].uuid();
            let set = format!("update failed_jobs set failed_at = datetime('now', '-{hours}') where uuid = '{uuid}'");
            site.database().execute(&set);
        };
        age(0, "25 hours");
        age(1, "23 hours");
        assert_eq!(site.command(&["queue:prune-failed"]).success(), "1 failed jobs removed.\n");
        assert_eq!(site.failed().len(), 2);
        assert_eq!(site.command(&["prune-failed", "--hours=22", "--json"]).json(), json!({ "removed": 1 }));
        assert_eq!(site.failed()[0].uuid, jobs[2].uuid());
        let none = site.worker(&["prune-failed"]).env("QUEUE_FAILED_DRIVER", "null").run_to_end();
        none.expect_code(1);
        assert!(none.stderr.contains("QUEUE_FAILED_DRIVER is null"), "{}", none.stderr);
    }
}
