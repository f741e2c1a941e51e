//! Stores that break while the worker runs.

use harness::{DEADLINE, Signal};

use crate::site::{Job, Queue, Site, on_every_site};

#[test]
fn after_a_restart_of_redis_it_resumes() {
    let mut site = Site::own_redis();
    let running = site.slow(1500);
    site.push("default", &running);
    let mut worker = site.start(&["run", "--queue", "default"]);
    site.wait_for_note("start", 1);
    site.server().kill();
    worker.wait_for_line("trying again until it works", DEADLINE);
    site.server().restart();
    worker.wait_for_line("The store works again", DEADLINE);
    let next = site.push("default", &site.slow(0));
    site.wait_for_job(&next);
    site.wait_for_job(running.uuid());
    site.wait_for_end_of("default");
    assert_eq!(site.noted("start").len(), 2, "each ran once");
    worker.signal(Signal::Term);
    assert_eq!(worker.wait_exit(DEADLINE), 0);
}

on_every_site! {
    fn a_failure_that_cannot_be_recorded_is_kept(site: &Site) {
        site.database().execute("drop table failed_jobs");
        let job = Job::broken();
        site.push("default", &job);
        let worker = site.worker(&["run", "--queue", "default"]).env("WORKER_LEASE", "3");
        let mut worker = worker.spawn();
        worker.wait_for_line("the jobs stay reserved until this is mended: ", DEADLINE);
        let reserved = |queue: &Queue| queue.reserved.first().map(|job| job.at);
        let first = site.wait_for_queue("default", |queue| reserved(queue).is_some());
        for _ in 0..3 {
            let good = site.push("default", &site.slow(0));
            site.wait_for_job(&good);
        }
        // The lease of 3 s is renewed each second, so this is past the end of the first one.
        let renewed = |queue: &Queue| reserved(queue) > reserved(&first).map(|at| at + 3.0);
        let kept = site.wait_for_queue("default", renewed);
        assert_eq!((kept.reserved.len(), kept.len()), (1, 1), "{kept:?}");

        site.command(&["migrate"]).success();
        let failed = site.wait_for_failed(1);
        assert_eq!((failed[0].uuid.as_str(), &failed[0].payload), (job.uuid(), &job.text(site.client().is_some())));
        worker.wait_for_line("works again", DEADLINE);
        site.wait_for_end_of("default");
        worker.signal(Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
    }

    /// A drain does not wait for ever for a store that is broken, nor does it drop the job.
    fn a_forced_end_leaves_an_unrecorded_failure_to_its_lease(site: &Site) {
        site.database().execute("drop table failed_jobs");
        site.push("default", &Job::broken());
        let mut worker = site.start(&["run", "--queue", "default"]);
        worker.wait_for_line("the jobs stay reserved until this is mended: ", DEADLINE);
        worker.signal(Signal::Term);
        worker.wait_for_line("Received SIGTERM", DEADLINE);
        worker.signal(Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 1);
        assert_eq!(site.queue("default").len(), 1, "the job is still there");
    }
}
