//! Limits: of time, of tries, of errors, and what becomes of a job that reaches one.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Running, wait_until};
use serde_json::{Value, json};

use crate::site::{Job, Site, log_line, now, on_every_site};

/// The first line of a recorded time-out.
const TIMED_OUT: &str =
    r"Illuminate\Queue\TimeoutExceededException: Worker\Demo\Slow has timed out. in worker:0";
/// The first line of a job whose attempts were used up before it ran.
const ATTEMPTED: &str = r"Illuminate\Queue\MaxAttemptsExceededException: Worker\Demo\Slow has been attempted too many times. in worker:0";

/// How long the attempt ran that the log says to have failed for good.
fn ran_for(worker: &mut Running, pattern: &str) -> Duration {
    let line = worker.wait_for_line(pattern, DEADLINE);
    let millis = log_line(&line)["duration_ms"].as_u64();
    Duration::from_millis(millis.expect("the line says how long the attempt ran"))
}

/// Whether a job is due in about so many seconds.
#[track_caller]
fn assert_due(seconds: f64, job: &crate::site::Lying) {
    let due = job.due_in_s();
    assert!(
        due <= seconds + 1.0 && due > seconds - 10.0,
        "due in {due} s instead of {seconds} s"
    );
}

on_every_site! {
    /// One lane per queue, each with its own limit; here one second stands for what is a minute in production.
    fn each_queue_has_its_limit(site: &Site) {
        let limits = [("high", 1), ("default", 1), ("background", 1), ("einvoice", 2), ("migration", 3)];
        let tables = limits.map(|(queue, limit)| format!("[queues.{queue}]\ntimeout = {limit}\n"));
        let config = site.file("worker.toml", tables.concat());
        let job = site.slow(1600);
        for (queue, _) in limits {
            site.push(queue, &job.again());
        }
        let hopeless = site.slow(60_000);
        site.push("einvoice", &hopeless.again());
        site.push("migration", &hopeless.again());
        let mut worker = site.worker(&["run"]).env("WORKER_CONFIG", config).spawn();
        let failed = site.wait_for_failed(5);
        for row in &failed {
            assert_eq!(row.reason(), TIMED_OUT);
        }
        for (queue, limit) in limits {
            let ran = ran_for(&mut worker, &format!("Failed Worker\\\\Demo\\\\Slow on {queue}"));
            let limit = Duration::from_secs(limit);
            assert!(ran >= limit && ran < limit + Duration::from_secs(1), "{queue}: {ran:?}");
            site.wait_for_end_of(queue);
        }
        let mut well: Vec<_> = site.noted("end").into_iter().map(|note| note.queue).collect();
        well.sort();
        assert_eq!(well, ["einvoice", "migration"], "1.6 s are within their limits");
    }

    fn over_its_limit_a_job_is_stopped_and_recorded_and_its_slot_is_free(site: &Site) {
        let slow = site.slow(60_000).with("timeout", 1);
        site.push("default", &slow);
        let next = site.push("default", &site.slow(0));
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "1"]);
        site.wait_for_note("start", 1);
        let start = Instant::now();
        let failed = site.wait_for_failed(1);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert!(ran_for(&mut worker, "for good") < Duration::from_secs(2));
        site.wait_for_job(&next);
        site.wait_for_end_of("default");

        let row = &failed[0];
        assert_eq!((row.uuid.as_str(), row.queue.as_str()), (slow.uuid(), "default"));
        assert_eq!(row.connection, site.connection());
        assert_eq!(row.reason(), TIMED_OUT);
        assert_eq!(row.payload, slow.text(site.client().is_some()), "the payload as it was pushed");
        let told: Vec<_> = site.notes().into_iter().filter(|note| note.uuid == slow.uuid()).collect();
        let events: Vec<_> = told.iter().map(|note| note.event.as_str()).collect();
        assert_eq!(events, ["start", "failed"], "it was stopped, and told that it has failed");
    }

    fn with_tries_left_it_is_released_with_backoff(site: &Site) {
        let job = site.slow(60_000).with("timeout", 1).with("maxTries", 2).with("backoff", "30,90");
        site.push("default", &job);
        let _worker = site.start(&["run", "--queue", "default"]);
        let queue = site.wait_for_queue("default", |queue| queue.delayed.len() == 1);
        assert_eq!((queue.len(), queue.delayed[0].attempts), (1, 1));
        assert_due(30.0, &queue.delayed[0]);
        assert!(site.failed().is_empty());
    }

    fn fail_on_timeout_leaves_no_tries(site: &Site) {
        let job = site.slow(60_000).with("timeout", 1).with("maxTries", 5).with("failOnTimeout", true);
        site.push("default", &job);
        let _worker = site.start(&["run", "--queue", "default"]);
        assert_eq!(site.wait_for_failed(1)[0].reason(), TIMED_OUT);
        site.wait_for_end_of("default");
    }

    fn max_timeout_caps_what_a_payload_asks_for(site: &Site) {
        let config = site.file("worker.toml", "[queues.default]\nmax_timeout = 1\n");
        site.push("default", &site.slow(60_000).with("timeout", 600));
        site.push("default", &site.slow(60_000).with("timeout", 0));
        let worker = site.worker(&["run", "--queue", "default"]).env("WORKER_CONFIG", config);
        let _worker = worker.spawn();
        for row in site.wait_for_failed(2) {
            assert_eq!(row.reason(), TIMED_OUT);
        }
    }

    fn a_panic_is_an_error_like_any_other(site: &Site) {
        let job = site.slow(0).set("panic", true).with("maxTries", 2).with("backoff", 1);
        site.push("default", &job);
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "1"]);
        worker.wait_for_line("Released Worker\\\\Demo\\\\Slow on default after attempt 1, next in 1 s", DEADLINE);
        let failed = site.wait_for_failed(1);
        let said = r"Worker\NativeJobException: panicked: this sample panics on purpose in worker:0";
        assert_eq!(failed[0].reason(), said);
        let good = site.push("default", &site.slow(0));
        site.wait_for_job(&good);
    }

    fn flags_count_where_payloads_are_silent(site: &Site) {
        let flags = ["--timeout", "1", "--tries", "2", "--backoff", "30"];
        let silent = site.push("default", &site.slow(60_000));
        let outspoken = site.slow(60_000).with("maxTries", 1);
        site.push("default", &outspoken);
        let _worker = site.start(&[&["work", "--queue", "default"], &flags[..]].concat());
        assert_eq!(site.wait_for_failed(1)[0].uuid, outspoken.uuid());
        let queue = site.wait_for_queue("default", |queue| queue.delayed.len() == 1 && queue.len() == 1);
        assert_eq!((queue.delayed[0].uuid(), queue.delayed[0].attempts), (silent, 1));
        assert_due(30.0, &queue.delayed[0]);
    }

    fn until_its_time_a_job_is_tried_whatever_its_tries(site: &Site) {
        let until = (now() + 3.0).round();
        let job = Job::broken().with("retryUntil", until).with("maxTries", 1).with("backoff", 1);
        site.push("default", &job);
        let late = site.slow(0).with("retryUntil", (now() - 5.0).round());
        site.push("default", &late);
        let mut worker = site.start(&["run", "--queue", "default"]);
        worker.wait_for_line("Released Worker\\\\Demo\\\\Broken on default after attempt 2, next in 1 s", DEADLINE);
        let failed = site.wait_for_failed(2);
        let (first, last) = (&failed[0], &failed[1]);
        assert_eq!((first.uuid.as_str(), first.reason()), (late.uuid(), ATTEMPTED));
        assert_eq!(last.uuid, job.uuid());
        assert!(now() >= until, "it failed before its time");
        assert!(site.noted("start").is_empty(), "the late one never ran");
    }

    fn errors_are_counted_in_the_cache(site: &Site) {
        let job = Job::broken().with("maxTries", 10).with("maxExceptions", 2);
        site.push("default", &job);
        let mut worker = site.start(&["run", "--queue", "default"]);
        let failed = site.wait_for_failed(1);
        assert!(failed[0].reason().contains("invoice 4711 has no lines"), "{}", failed[0].reason());
        worker.wait_for_line("Failed Worker\\\\Demo\\\\Broken on default for good after attempt 2", DEADLINE);
    }

    fn backoff_goes_by_attempt(site: &Site) {
        site.push("default", &Job::broken().with("maxTries", 3).with("backoff", "1,40"));
        let mut worker = site.start(&["run", "--queue", "default"]);
        worker.wait_for_line("after attempt 1, next in 1 s", DEADLINE);
        let queue = site.wait_for_queue("default", |queue| {
            queue.delayed.first().is_some_and(|job| job.attempts == 2)
        });
        assert_due(40.0, &queue.delayed[0]);
    }

    /// Laravel 12 takes a payload's own dispatch delay for its backoff when it names none.
    fn a_dispatch_delay_stands_in_for_a_missing_backoff(site: &Site) {
        site.push("default", &Job::broken().with("maxTries", 2).with("delay", 30));
        let _worker = site.start(&["run", "--queue", "default", "--backoff", "5"]);
        let queue = site.wait_for_queue("default", |queue| queue.delayed.len() == 1);
        assert_eq!(queue.delayed[0].attempts, 1);
        assert_due(30.0, &queue.delayed[0]);
    }

    fn a_job_without_a_try_left_does_not_run(site: &Site) {
        let job = site.slow(0).with("maxTries", 1);
        match site.client() {
            Some(redis) => {
                let mut payload = job.json(true);
                payload["attempts"] = json!(1);
                redis.push("default", payload.to_string());
            }
            None => {
                site.push("default", &job);
                site.database().execute("update jobs set attempts = 1");
            }
        }
        let _worker = site.start(&["run", "--queue", "default"]);
        assert_eq!(site.wait_for_failed(1)[0].reason(), ATTEMPTED);
        assert!(site.noted("start").is_empty());
    }

    fn a_job_may_give_itself_back(site: &Site) {
        site.push("default", &site.slow(0).set("releaseS", 30).with("maxTries", 3));
        let _worker = site.start(&["run", "--queue", "default"]);
        let queue = site.wait_for_queue("default", |queue| queue.delayed.len() == 1);
        assert_eq!(queue.delayed[0].attempts, 1);
        assert_due(30.0, &queue.delayed[0]);
    }
}

/// Code that never awaits cannot be stopped: its job is recorded at once, whatever it does later is void,
/// and its slot is missing until it ends.
#[test]
fn code_that_blocks_its_thread_is_fenced_and_said() {
    let site = Site::redis();
    let job = site.slow(5000).set("block", true).with("timeout", 1);
    site.push("default", &job);
    let address = crate::http::free_address();
    let args = ["run", "--queue", "default", "--concurrency", "1"];
    let mut worker = site.worker(&args).env("WORKER_HTTP", &address).spawn();
    worker.wait_for_line(
        "ignores that its time is over; its slot is lost until it ends",
        DEADLINE,
    );
    let failed = site.wait_for_failed(1);
    assert_eq!(failed[0].reason(), TIMED_OUT);
    assert!(site.noted("end").is_empty(), "recorded while the code still runs");
    site.wait_for_end_of("default");
    let (status, body) = crate::http::get(&address, "/readyz");
    assert_eq!((status, &body["ready"]), (503, &Value::Bool(false)), "{body}");
    assert!(
        body["reasons"].to_string().contains("slots: 1 are taken"),
        "{body}"
    );

    let next = site.push("default", &site.slow(0));
    site.wait_for_job(&next);
    wait_until(DEADLINE, || crate::http::get(&address, "/readyz").0 == 200);
    assert_eq!(site.failed(), failed, "the late end changes nothing");
}

#[test]
fn the_five_queues_have_their_default_limits() {
    let site = Site::sqlite();
    let config = site.command(&["config", "--json"]).json();
    let value = |name: &str| {
        let settings = config["settings"].as_array().expect("a list of settings");
        let setting = settings.iter().find(|setting| setting["name"] == name);
        setting.expect("the setting is listed")["value"].clone()
    };
    let limits = [
        ("high", "60 s"),
        ("default", "60 s"),
        ("einvoice", "150 s"),
        ("migration", "600 s"),
        ("background", "60 s"),
    ];
    for (queue, limit) in limits {
        assert_eq!(value(&format!("queues.{queue}.timeout")), limit, "{queue}");
    }
    assert_eq!(
        (
            value("queues.default.concurrency"),
            value("queues.migration.concurrency")
        ),
        (json!("10"), json!("2"))
    );
}
