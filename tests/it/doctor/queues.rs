//! Queues without consumers, jobs that nobody takes, time limits, the order of lanes.

use harness::{DEADLINE, wait_until};
use serde_json::json;
use sqlx::Row;
use worker::clock::{Clock, SystemClock};

use super::doctor;
use crate::site::{Job, Site, on_every_site};

/// A Unix time so long ago.
fn ago(seconds: i64) -> i64 {
    SystemClock.unix_s() - seconds
}

/// Puts a job into the hands of a worker that died: its reservation ended so long ago.
fn abandon(site: &Site, queue: &str, seconds: i64) {
    let job = Job::new("A").text(site.client().is_some());
    match site.client() {
        Some(redis) => {
            let key = redis.key(&format!("queues:{queue}:reserved"));
            let _: i64 = redis.query(&["ZADD", &key, &ago(seconds).to_string(), &job]);
        }
        None => {
            let (reserved, made) = (ago(seconds + 90), ago(seconds + 100));
            site.database().execute(&format!(
                "insert into jobs (queue, payload, attempts, reserved_at, available_at, created_at) \
                 values ('{queue}', '{job}', 1, {reserved}, {made}, {made})"
            ));
        }
    }
}

/// Pushes a job that has waited for so many days.
fn push_old(site: &Site, queue: &str, days: i64) {
    let since = ago(days * 86_400);
    site.push(queue, &Job::new("A").with("createdAt", since));
    if site.client().is_none() {
        let id = site
            .database()
            .rows("select max(id) from jobs", |row| row.get::<i64, _>(0))[0];
        site.database()
            .execute(&format!("update jobs set available_at = {since} where id = {id}"));
    }
}

on_every_site! {
    fn a_queue_that_no_lane_serves(site: &Site) {
        site.command(&["migrate"]).success();
        site.push_all("banking", &Job::new("A").with("createdAt", ago(1)).times(3));
        site.push("high", &Job::new("A").with("createdAt", ago(1)));
        let report = doctor(site, &[], &[]);
        let found = report.one("queue.unserved");
        found.is("warning", "queue banking", "has 3 jobs").fixed_by("[queues.banking]");
        report.one("queue.no-worker").is("warning", "connection", "high (1), and no worker process is running");
        let report = doctor(site, &["--queue", "*"], &[]);
        assert_eq!(report.of("queue.unserved").len(), 0);
    }

    fn a_queue_that_is_consumed_is_fine(site: &Site) {
        site.command(&["migrate"]).success();
        let worker = site.start(&["run", "--queue", "banking"]);
        site.push("banking", &site.slow(0));
        wait_until(DEADLINE, || site.noted("end").len() == 1);
        site.command(&["dispatch", "A", "--queue", "banking", "--delay", "60"]).success();
        site.push("high", &Job::new("A").with("createdAt", ago(1)));
        let report = doctor(site, &[], &[]);
        assert_eq!(report.of("queue.unserved").len(), 0, "{:#}", report.json);
        report.one("queue.no-worker").is("warning", "connection", "high (1), and none of 1 worker processes");
        drop(worker);
    }

    fn reservations_that_ended_long_ago(site: &Site) {
        abandon(site, "einvoice", 7_300);
        abandon(site, "einvoice", 30);
        abandon(site, "high", 30);
        let report = doctor(site, &[], &[]);
        let found = report.one("queue.lapsed");
        found.is("warning", "queue einvoice", "has 2 jobs whose reservation ended, the first 2 h ago");
        found.fixed_by("--queue einvoice");
    }

    fn jobs_that_waited_for_days(site: &Site) {
        push_old(site, "background", 90);
        push_old(site, "background", 8);
        push_old(site, "background", 2);
        push_old(site, "high", 3);
        let report = doctor(site, &[], &[]);
        let found = report.one("queue.old");
        found.is("warning", "queue background", "has 2 jobs that have waited for more than 7 days, the oldest for 90 days");
        found.fixed_by("worker clear");
        assert_eq!(doctor(site, &["--days", "1"], &[]).of("queue.old").len(), 2);
    }

    fn classes_that_would_run_twice_under_php(site: &Site) {
        for (class, timeout) in [(r"App\Jobs\ProcessImportJob", 3600), (r"App\Jobs\SubmitEInvoiceJob", 120), ("Quick", 30)] {
            site.push("default", &Job::new(class).with("timeout", timeout));
        }
        let report = doctor(site, &[], &[("WORKER_MAX_TIMEOUT", "10m")]);
        let found = report.one("timeout.retry-after");
        let classes = r"App\Jobs\ProcessImportJob 3600 s (default), App\Jobs\SubmitEInvoiceJob 120 s (default)";
        found.is("warning", "retry_after of connection", classes).fixed_by("'retry_after' => 3630");
        report.one("timeout.capped").is("warning", "queue default", r"below App\Jobs\ProcessImportJob 3600 s");
        report.one("timeout.queue").is("note", "queue default", "has a limit of 60 s");
        report.one("timeout.lane").is("note", "queues", "migration 600 s");
        let enough = [("DB_QUEUE_RETRY_AFTER", "3700"), ("REDIS_QUEUE_RETRY_AFTER", "3700")];
        let report = doctor(site, &[], &enough);
        assert_eq!(report.of("timeout.retry-after").len() + report.of("timeout.lane").len(), 0);
    }

    fn orders_that_starve_a_queue(site: &Site) {
        let report = doctor(site, &["--queue", "default,high", "--queue", "migration,high"], &[]);
        let subjects: Vec<_> = report.of("queue.order").iter().map(|finding| finding["subject"].clone()).collect();
        assert_eq!(subjects, [json!("lane default,high"), json!("lane migration,high")]);
        report.one("queue.twice").is("warning", "queue high", "more than once");
        let report = doctor(site, &["--queue", "high,default"], &[]);
        assert_eq!(report.of("queue.order").len() + report.of("queue.twice").len(), 0);
    }
}

/// A list tells no times: only the payloads do, and only those that are looked at.
#[test]
fn a_long_list_is_counted_from_its_head() {
    let site = Site::redis();
    let job = Job::new("A").with("createdAt", ago(30 * 86_400));
    site.push_all("default", &job.times(337));
    let report = doctor(&site, &[], &[]);
    report.one("queue.old").is(
        "warning",
        "queue default",
        "has at least 50 jobs that have waited",
    );
    assert_eq!(report.store("Redis")["payloads_seen"], 100);
}
