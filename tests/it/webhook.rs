//! The small real jobs: a webhook against an HTTP server, and the pruning of a database.

use std::time::{Duration, Instant};

use harness::{HttpStandIn, Reply, SqliteDatabase};
use serde_json::json;

use crate::site::{Job, Site, on_every_site};

fn webhook(url: &str) -> Job {
    Job::new(r"App\Jobs\DeliverWebhook").set("url", url).set(
        "payload",
        json!({"invoice": 4711, "lines": [1, 2], "note": "фактура"}),
    )
}

on_every_site! {
    fn a_webhook_is_delivered(site: &Site) {
        let server = HttpStandIn::start([Reply::status(204)]);
        let job = webhook(&server.url("/hook?x=1")).set("headers", json!({"X-Signature": "abc"}));
        site.push("default", &job);
        site.command(&["run", "--stop-when-empty"]).success();
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        let request = &requests[0];
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?x=1"));
        assert_eq!(request.header("x-signature"), Some("abc"));
        assert_eq!(request.header("idempotency-key"), Some(job.uuid()));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("worker/")));
        assert_eq!(request.json(), json!({"invoice": 4711, "lines": [1, 2], "note": "фактура"}));
        assert!(site.failed().is_empty());
    }

    /// Followed, the POST would arrive as a GET without its body, and count as delivered.
    fn a_redirect_is_not_followed(site: &Site) {
        let elsewhere = HttpStandIn::start([Reply::status(200)]);
        let server = HttpStandIn::start([Reply::status(302).header("Location", &elsewhere.url("/other"))]);
        site.push("default", &webhook(&server.url("/hook")));
        site.command(&["run", "--stop-when-empty"]).success();
        assert!(elsewhere.requests().is_empty());
        let failed = site.failed();
        assert_eq!(failed.len(), 1);
        assert!(failed[0].reason().contains("answered 302"), "{}", failed[0].reason());
    }

    fn a_service_says_when_to_come_again(site: &Site) {
        let server = HttpStandIn::start([Reply::status(503).header("Retry-After", "40"), Reply::status(200)]);
        site.push("default", &webhook(&server.url("/hook")).with("maxTries", 3).with("backoff", 5));
        let _worker = site.start(&["run"]);
        let queue = site.wait_for_queue("default", |queue| queue.delayed.len() == 1);
        assert_eq!(queue.delayed[0].attempts, 1);
        let due = queue.delayed[0].due_in_s();
        assert!(due > 30.0 && due <= 41.0, "{due}");
    }

    fn the_next_try_carries_the_same_key(site: &Site) {
        let server = HttpStandIn::start([Reply::status(500), Reply::status(429), Reply::status(200)]);
        let uuid = site.push("default", &webhook(&server.url("/hook")).with("maxTries", 3));
        let _worker = site.start(&["run"]);
        let requests = server.wait_for(3);
        site.wait_for_end_of("default");
        assert!(requests.iter().all(|request| request.header("idempotency-key") == Some(uuid.as_str())));
        assert!(site.failed().is_empty());
    }

    fn what_will_never_work_fails_at_once(site: &Site) {
        let server = HttpStandIn::start([Reply::status(404)]);
        let jobs = [
            webhook(&server.url("/gone")),
            webhook("ftp://example.com/"),
            webhook("no address"),
            webhook(&server.url("/x")).set("headers", json!({"Bad Name": "x"})),
        ];
        for job in &jobs {
            site.push("default", &job.clone().with("maxTries", 5));
        }
        let _worker = site.start(&["run"]);
        let failed = site.wait_for_failed(jobs.len());
        let reason = |job: &Job| {
            let row = failed.iter().find(|row| row.uuid == job.uuid());
            row.expect("each is recorded").reason().to_owned()
        };
        let manual = r"Illuminate\Queue\ManuallyFailedException: ";
        assert!(jobs.iter().all(|job| reason(job).starts_with(manual)), "{failed:?}");
        assert!(reason(&jobs[0]).contains("127.0.0.1 answered 404"), "{}", reason(&jobs[0]));
        assert!(!reason(&jobs[0]).contains("/gone"), "a path may hold a secret");
        assert!(reason(&jobs[1]).contains("not an http or https address"));
        assert!(reason(&jobs[3]).contains("a header of the webhook is malformed"));
        assert_eq!(server.requests().len(), 1);
    }

    fn a_slow_service_is_given_up(site: &Site) {
        let server = HttpStandIn::start([Reply::status(200).after(Duration::from_secs(30))]);
        site.push("default", &webhook(&server.url("/slow")).set("timeoutSeconds", 1));
        let start = Instant::now();
        let _worker = site.start(&["run"]);
        let failed = site.wait_for_failed(1);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(failed[0].reason().starts_with(r"Worker\NativeJobException: "), "{}", failed[0].reason());
        assert!(!failed[0].exception.contains("/slow"), "no address in the record: {}", failed[0].exception);
    }

    fn a_service_that_is_not_there_is_tried_again(site: &Site) {
        let address = crate::http::free_address();
        let url = format!("http://{address}/secret-path");
        site.push("default", &webhook(&url).with("maxTries", 2).with("backoff", 30));
        let _worker = site.start(&["run"]);
        let queue = site.wait_for_queue("default", |queue| queue.delayed.len() == 1);
        assert_eq!(queue.delayed[0].attempts, 1);
    }
}

/// Fills the tables: so many rows of each that have expired, and five that stay.
fn fill(database: &SqliteDatabase, expired: usize) {
    let series = |from: usize, count: usize| {
        format!(
            "with recursive n(i) as (select {from} union all select i + 1 from n where i < {})",
            from + count - 1
        )
    };
    let sets = [(0, expired, "- 864000000"), (expired, 5, "+ 0")];
    for (from, count, shift) in sets {
        let numbers = series(from, count);
        let then = format!("unixepoch() {shift}");
        for insert in [
            format!("insert into cache {numbers} select 'c' || i, 'x', {then} + 1000 from n"),
            format!("insert into cache_locks {numbers} select 'l' || i, 'x', {then} + 1000 from n"),
            format!("insert into sessions {numbers} select 's' || i, null, null, null, 'x', {then} from n"),
            format!(
                "insert into failed_jobs {numbers} select i + 1, 'u' || i, 'redis', 'q', '{{}}', 'x', datetime({then}, 'unixepoch') from n"
            ),
            format!(
                "insert into job_batches {numbers} select 'b' || i, '', 1, 0, 0, '[]', null, null, 1, {then} from n"
            ),
        ] {
            database.execute(&insert);
        }
    }
    let open = "insert into job_batches values ('open', '', 1, 1, 0, '[]', null, null, 1, null)";
    database.execute(open);
}

#[test]
fn what_has_expired_is_pruned_and_the_rest_stays() {
    let site = Site::redis();
    fill(site.database(), 2300);
    site.push(
        "default",
        &Job::new(r"App\Jobs\PruneExpiredRecords").set("chunk", 500),
    );
    let output = site.command(&["run", "--queue", "default", "--stop-when-empty"]);
    output.success();
    assert!(
        output.stderr.contains("Pruned 11500 expired rows"),
        "{}",
        output.stderr
    );
    let count = |table: &str| site.database().number(&format!("select count(*) from {table}"));
    for table in ["cache", "cache_locks", "sessions", "failed_jobs"] {
        assert_eq!(count(table), 5, "{table}");
    }
    assert_eq!(count("job_batches"), 6, "an unfinished batch stays, however old");
    let kept = "select count(*) from failed_jobs where uuid in ('u2300', 'u2301', 'u2302', 'u2303', 'u2304')";
    assert_eq!(site.database().number(kept), 5);
    assert!(site.command(&["failed"]).success().contains("u2300"));
}

/// A statement is all or nothing: one that is stopped after 150 of 250 rows takes back its own chunk only.
#[test]
fn it_deletes_in_bounded_chunks() {
    let site = Site::sqlite();
    fill(site.database(), 250);
    let trigger = "create trigger stop after delete on cache when (select count(*) from cache) < 105 \
                   begin select raise(abort, 'enough'); end";
    site.database().execute(trigger);
    let job = Job::new(r"App\Jobs\PruneExpiredRecords").set("chunk", 100);
    site.push("default", &job);
    let run = ["run", "--queue", "default", "--stop-when-empty"];
    site.command(&run).success();
    let left = || site.database().number("select count(*) from cache");
    assert_eq!(left(), 155, "the first chunk of 100 is gone, the second is back");
    let failed = site.failed();
    let row = failed
        .iter()
        .find(|row| row.uuid == job.uuid())
        .expect("it is recorded");
    assert!(row.reason().contains("enough"), "{}", row.reason());

    site.database().execute("drop trigger stop");
    site.command(&["retry", job.uuid()]).success();
    site.command(&run).success();
    assert_eq!((left(), site.failed().len()), (5, 5));
}

#[test]
fn without_a_database_there_is_nothing_to_prune() {
    let site = Site::redis();
    site.push("default", &Job::new(r"App\Jobs\PruneExpiredRecords"));
    let redis = site.client().expect("the site has a Redis");
    let worker = harness::Daemon::new(crate::site::WORKER)
        .args(["run", "--stop-when-empty"])
        .envs(redis.env());
    let worker = worker
        .env("QUEUE_FAILED_DRIVER", "null")
        .env("CACHE_STORE", "redis");
    let output = worker.run_to_end();
    output.success();
    assert!(
        output
            .stderr
            .contains("there is no application database: set DB_CONNECTION"),
        "{}",
        output.stderr
    );
    site.wait_for_end_of("default");
}
