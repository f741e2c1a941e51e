//! Jobs that nobody here runs: put off uncounted, so that another worker gets them.

use std::time::Duration;

use harness::{DEADLINE, Running, Stream, wait_until};
use serde_json::json;

use crate::http::{free_address, get};
use crate::site::{Job, Lying, on_every_site};

/// The lines that say an error.
fn errors(worker: &Running) -> Vec<String> {
    let lines = worker.lines_of(Stream::Err).into_iter();
    lines
        .filter(|line| line.contains("\"level\":\"ERROR\""))
        .collect()
}

/// A job of a native class that carries what only the framework can finish.
fn chained() -> Job {
    let next = Job::new(r"App\Jobs\Next").command();
    Job::new(r"Worker\Bench\Noop").set("chained", json!([next]))
}

on_every_site! {
    fn unknown_classes_are_put_off_uncounted(site: &Site) {
        let jobs = [Job::new(r"App\Jobs\Elsewhere"), Job::new(r"App\Jobs\Other"), chained()];
        site.push_all("default", &jobs);
        let worker = site.start(&["run", "--queue", "default"]);
        wait_until(DEADLINE, || errors(&worker).len() >= jobs.len());
        let good = site.push("default", &site.slow(0));
        site.wait_for_job(&good);
        // They come back, and are put off again, for longer: 1 s at first, then 2 s.
        site.wait_for_queue("default", |queue| queue.delayed.iter().any(|job| job.due_in_s() > 1.1));
        let said = errors(&worker);
        assert_eq!(said.len(), 3, "one line for each class: {said:#?}");
        for what in [r"App\\Jobs\\Elsewhere", r"App\\Jobs\\Other", "it carries a chain that only the framework can continue"] {
            assert!(said.iter().any(|line| line.contains(what)), "{what}: {said:#?}");
        }
        assert!(site.failed().is_empty());
        let queue = site.wait_for_queue("default", |queue| queue.reserved.is_empty());
        assert!(queue.ready.iter().chain(&queue.delayed).all(|job| job.attempts == 0), "{queue:?}");
        let mut uuids: Vec<_> = queue.ready.iter().chain(&queue.delayed).map(Lying::uuid).collect();
        let mut pushed: Vec<_> = jobs.iter().map(|job| job.uuid().to_owned()).collect();
        uuids.sort();
        pushed.sort();
        assert_eq!(uuids, pushed, "none is lost, none is doubled");
    }

    fn unknown_classes_fail_where_asked(site: &Site) {
        let job = Job::new(r"App\Jobs\Elsewhere");
        site.push("default", &job);
        site.push("default", &chained());
        let _worker = site.start(&["run", "--queue", "default", "--on-unknown=fail"]);
        let failed = site.wait_for_failed(2);
        let row = failed.iter().find(|row| row.uuid == job.uuid()).expect("it is recorded");
        let said = r"Worker\UnknownJobException: nobody here runs App\Jobs\Elsewhere: no runner knows it in worker:0";
        assert_eq!(row.reason(), said);
        assert_eq!(row.payload, job.text(site.client().is_some()));
        site.wait_for_end_of("default");
    }

    fn what_only_the_framework_can_finish_waits_for_it(site: &Site) {
        let noop = Job::new(r"Worker\Bench\Noop");
        let mut batch = noop.json(site.client().is_some());
        batch["data"]["batchId"] = json!("9b2f8a3e-0000-4000-8000-000000000000");
        site.push_raw("default", &[batch.to_string()]);
        site.push("default", &noop.set("batchId", "9b2f8a3e-0000-4000-8000-000000000000"));
        let mut worker = site.start(&["run", "--queue", "default"]);
        worker.wait_for_line("it belongs to a batch that only the framework can count", DEADLINE);
        site.wait_for_queue("default", |queue| queue.delayed.len() == 2);
    }

    /// A lane that finds little else leaves the queue to PHP workers, and readiness says why.
    fn a_lane_of_strangers_stands_back(site: &Site) {
        site.push_all("default", &Job::new(r"App\Jobs\Elsewhere").times(30));
        let address = free_address();
        let worker = site.worker(&["run", "--queue", "default", "--concurrency", "5"]);
        let mut worker = worker.env("WORKER_HTTP", &address).spawn();
        worker.wait_for_line("leaving them to other workers, 10 s at a time", DEADLINE);
        let (status, body) = get(&address, "/readyz");
        assert_eq!(status, 503);
        assert!(body["reasons"][0].to_string().contains("classes that nobody here runs"), "{body}");
        let queue = site.wait_for_queue("default", |queue| queue.reserved.is_empty());
        assert_eq!(queue.len(), 30);
        assert_eq!(errors(&worker).len(), 1, "one line for a class, not for each job");
        assert!(queue.ready.len() >= 10, "most are left to others: {}", queue.ready.len());
        worker.signal(harness::Signal::Term);
        wait_until(Duration::from_secs(5), || worker.ended().is_some());
        assert_eq!(worker.wait_exit(DEADLINE), 0, "standing back does not hold up a stop");
    }
}
