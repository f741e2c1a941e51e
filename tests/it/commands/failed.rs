//! `worker failed`, `retry`, `forget` and `flush`.

use serde_json::{Value, json};

use crate::site::{Job, Site, now, on_every_site};

/// Lets a job fail on each of these queues, in order, and returns them.
fn fail_on(site: &Site, queues: &[&str]) -> Vec<Job> {
    let jobs = Job::broken().times(queues.len());
    for (count, (queue, job)) in queues.iter().zip(&jobs).enumerate() {
        site.push(queue, job);
        site.command(&["run", "--queue", queue, "--stop-when-empty"])
            .success();
        assert_eq!(site.failed().len(), count + 1);
    }
    jobs
}

fn ids(json: &Value) -> Vec<String> {
    let rows = json.as_array().expect("a list").iter();
    rows.map(|row| row["id"].as_str().expect("an id is a text").to_owned())
        .collect()
}

fn uuids(site: &Site, queue: &str) -> Vec<String> {
    let mut uuids: Vec<_> = site
        .queue(queue)
        .ready
        .iter()
        .map(crate::site::Lying::uuid)
        .collect();
    uuids.sort();
    uuids
}

fn sorted<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Vec<String> {
    let mut uuids: Vec<_> = jobs.into_iter().map(|job| job.uuid().to_owned()).collect();
    uuids.sort();
    uuids
}

on_every_site! {
    fn failures_are_listed(site: &Site) {
        assert_eq!(site.command(&["failed"]).success(), "No failed jobs.\n");
        assert_eq!(site.command(&["failed", "--json"]).json(), json!([]));
        let jobs = fail_on(site, &["default", "einvoice"]);
        let listed = site.command(&["failed", "--json"]).json();
        let row = &listed[0];
        let failed_at = row["failed_at"].as_str().expect("a time");
        assert_eq!(failed_at.len(), "2026-01-15 10:00:00".len(), "{failed_at}");
        let expected = json!({
            "id": jobs[1].uuid(),
            "connection": site.connection(),
            "queue": "einvoice",
            "class": r"Worker\Demo\Broken",
            "failed_at": failed_at,
            "error": r"Worker\NativeJobException: invoice 4711 has no lines (this sample always fails) in worker:0",
        });
        assert_eq!(row, &expected);
        assert_eq!(ids(&listed), [jobs[1].uuid(), jobs[0].uuid()], "newest first");
        let some = site.command(&["failed", "--queue", "default", "--json"]).json();
        assert_eq!(ids(&some), [jobs[0].uuid()]);
        let text = site.command(&["failed"]);
        assert!(jobs.iter().all(|job| text.success().contains(job.uuid())), "{}", text.stdout);
    }

    fn one_is_retried_by_uuid_or_number(site: &Site) {
        let jobs = fail_on(site, &["default", "default"]);
        let number = site.failed()[1].id.to_string();
        let output = site.command(&["retry", jobs[0].uuid(), &number, "no-such-id", "4711"]);
        assert!(output.success().ends_with("2 failed jobs are back on their queues.\n"), "{}", output.stdout);
        for id in ["no-such-id", "4711"] {
            let said = format!("There is no failed job with the id {id}.");
            assert!(output.stderr.contains(&said), "{}", output.stderr);
        }
        assert_eq!(uuids(site, "default"), sorted(&jobs));
        for job in site.queue("default").ready {
            let pushed = jobs.iter().find(|pushed| pushed.uuid() == job.uuid()).expect("one of ours");
            let text = pushed.text(site.client().is_some());
            assert_eq!(String::from_utf8_lossy(&job.payload), text, "as it was pushed at first");
            assert_eq!(job.attempts, 0);
        }
        assert!(site.failed().is_empty());
    }

    fn many_are_retried_by_queue_or_range_or_all(site: &Site) {
        let jobs = fail_on(site, &["default", "einvoice", "default", "einvoice", "high"]);
        let numbers: Vec<_> = site.failed().iter().map(|row| row.id).collect();
        site.command(&["retry", "--queue", "einvoice"]).success();
        assert_eq!(uuids(site, "einvoice"), sorted([&jobs[1], &jobs[3]]));
        assert_eq!(site.failed().len(), 3);
        let range = format!("{}-{}", numbers[0], numbers[2]);
        site.command(&["retry", "--range", &range]).success();
        assert_eq!(uuids(site, "default"), sorted([&jobs[0], &jobs[2]]));
        assert_eq!(uuids(site, "high"), [""; 0]);
        site.command(&["retry", "all"]).success();
        assert_eq!(uuids(site, "high"), sorted([&jobs[4]]));
        assert!(site.failed().is_empty());
        site.command(&["retry"]).expect_code(2);
        site.command(&["retry", "--range", "9-1"]).expect_code(2);
    }

    fn a_time_to_be_tried_moves_by_its_window(site: &Site) {
        let created = (now() - 1000.0).round();
        let job = Job::broken().with("createdAt", created).with("retryUntil", created + 600.0);
        site.push("default", &job);
        site.command(&["run", "--stop-when-empty"]).success();
        assert_eq!(site.failed().len(), 1);
        site.command(&["retry", job.uuid()]).success();
        let payload = site.queue("default").ready[0].json();
        let until = payload["retryUntil"].as_f64().expect("a time");
        assert!((until - now() - 600.0).abs() < 30.0, "{until}");
    }

    fn a_retried_job_runs(site: &Site) {
        let job = site.slow(0).set("panic", true);
        site.push("default", &job);
        site.command(&["run", "--stop-when-empty"]).success();
        site.command(&["retry", "all"]).success();
        site.command(&["run", "--stop-when-empty"]).success();
        let starts: Vec<_> = site.noted("start").iter().map(|note| note.attempt).collect();
        assert_eq!(starts, [1, 1], "attempts begin again");
        assert_eq!(site.failed().len(), 1, "one row, not two");
    }

    fn forget_and_flush_remove(site: &Site) {
        let jobs = fail_on(site, &["default", "default", "default"]);
        assert_eq!(site.command(&["forget", jobs[0].uuid()]).success(), "Failed job removed.\n");
        let output = site.command(&["forget", jobs[0].uuid()]);
        output.expect_code(1);
        assert!(output.stderr.contains("There is no failed job with the id"), "{}", output.stderr);
        assert_eq!(output.stdout, "");

        let old = format!("update failed_jobs set failed_at = datetime('now', '-3 days') where uuid = '{}'", jobs[1].uuid());
        site.database().execute(&old);
        assert_eq!(site.command(&["flush", "--hours", "48"]).success(), "1 failed jobs removed.\n");
        assert_eq!(site.failed()[0].uuid, jobs[2].uuid());
        assert_eq!(site.command(&["flush"]).success(), "1 failed jobs removed.\n");
        assert!(site.failed().is_empty());
    }
}

/// A retry that died between its push and the removal of the row: the next one only removes the row.
#[test]
fn a_retry_that_died_half_way_does_not_push_twice() {
    let site = Site::redis();
    let jobs = fail_on(&site, &["default", "default"]);
    let redis = site.client().expect("the site has a Redis");
    let marker = redis.key(&format!(
        "worker:retry:{}:{}",
        site.failed()[0].id,
        jobs[0].uuid()
    ));
    assert_eq!(redis.query::<String>(&["SET", &marker, "1"]), "OK");
    site.command(&["retry", "all"]).success();
    assert_eq!(
        uuids(&site, "default"),
        sorted([&jobs[1]]),
        "the first was pushed before the crash"
    );
    assert!(site.failed().is_empty());
    assert!(!redis.keys().contains(&marker), "and its marker is dropped");
}

/// The job of a retry that died half way ran and failed again: that failure is a new one, which the marker
/// left behind does not mean.
#[test]
fn a_marker_left_behind_does_not_swallow_a_newer_failure() {
    let site = Site::redis();
    let jobs = fail_on(&site, &["default"]);
    let redis = site.client().expect("the site has a Redis");
    let marker = redis.key(&format!(
        "worker:retry:{}:{}",
        site.failed()[0].id,
        jobs[0].uuid()
    ));
    assert_eq!(redis.query::<String>(&["SET", &marker, "1"]), "OK");
    site.push("default", &jobs[0]);
    site.command(&["run", "--stop-when-empty"]).success();
    assert_eq!(site.failed().len(), 1, "the same uuid, recorded once");
    site.command(&["retry", jobs[0].uuid()]).success();
    assert_eq!(uuids(&site, "default"), sorted([&jobs[0]]));
    assert!(site.failed().is_empty());
}

/// A connection that is not configured here is not guessed.
#[test]
fn a_failure_of_an_unknown_connection_stays() {
    let site = Site::redis();
    let jobs = fail_on(&site, &["default"]);
    site.database()
        .execute("update failed_jobs set connection = 'sqs'");
    let output = site.command(&["retry", jobs[0].uuid()]);
    assert!(output.success().contains("0 failed jobs are back"));
    assert!(
        output
            .stderr
            .contains("its connection \"sqs\" is not configured here"),
        "{}",
        output.stderr
    );
    assert_eq!(site.failed().len(), 1);
}

/// A failure goes back to the connection it failed on.
#[test]
fn the_connection_of_the_failure_counts() {
    let site = Site::redis();
    let job = Job::broken();
    let redis = site.client().expect("the site has a Redis");
    let into = "insert into failed_jobs (uuid, connection, queue, payload, exception, failed_at) values ";
    let payload = job.text(false).replace('\'', "''");
    let row = format!(
        "('{}', 'database', 'imports', '{payload}', 'x', '2026-01-01 00:00:00')",
        job.uuid()
    );
    site.database().execute(&format!("{into}{row}"));
    site.command(&["retry", "all"]).success();
    assert!(redis.queue("imports").is_empty());
    let rows = site.database().jobs();
    assert_eq!(
        (rows.len(), rows[0].queue.as_str(), &rows[0].payload),
        (1, "imports", &job.text(false))
    );
}
