//! Ends of a worker process, wanted and unwanted: nothing is lost, and a stop costs no attempt.

mod ends;
mod start;
mod trouble;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use harness::{DEADLINE, Signal, wait_until};

use crate::site::{Queue, never, on_every_site, started};

/// The uuids of the jobs that wait, in order.
fn ready(queue: &Queue) -> Vec<String> {
    queue.ready.iter().map(crate::site::Lying::uuid).collect()
}

/// Holds that a queue has so many jobs, all of them available and none with an attempt counted.
#[track_caller]
fn assert_untouched(queue: &Queue, count: usize) {
    assert_eq!((queue.ready.len(), queue.len()), (count, count), "{queue:?}");
    assert!(queue.ready.iter().all(|job| job.attempts == 0), "{queue:?}");
}

on_every_site! {
    fn kill_9_loses_nothing(site: &Site) {
        site.push_all("default", &site.sample(20).with("maxTries", 2).times(500));
        let worker = site.worker(&["run", "--queue", "default"]).env("WORKER_LEASE", "3");
        let mut first = worker.spawn();
        site.wait_for_note("end", 100);
        first.kill();
        let in_flight: HashSet<_> = site.queue("default").reserved.iter().map(crate::site::Lying::uuid).collect();
        assert!(site.noted("end").len() < 500, "it was killed in the middle");

        let killed = Instant::now();
        let _second = started(worker.spawn());
        site.wait_for_end_of("default");
        let lease_and_work = Duration::from_secs(3 + 3);
        assert!(killed.elapsed() < lease_and_work, "{:?}", killed.elapsed());
        let mut ends: Vec<_> = site.noted("end").into_iter().map(|note| note.uuid).collect();
        ends.sort();
        let all: HashSet<_> = ends.iter().cloned().collect();
        assert_eq!(all.len(), 500, "each job has run to its end");
        for pair in ends.windows(2).filter(|pair| pair[0] == pair[1]) {
            assert!(in_flight.contains(&pair[0]), "{} ran twice, and was not in flight", pair[0]);
        }
        assert!(site.noted("start").iter().all(|note| note.attempt <= 2));
        assert!(site.failed().is_empty());
    }

    /// A job that may be tried once is not tried again, as with Laravel: it is recorded instead.
    fn kill_9_uses_up_the_only_try(site: &Site) {
        let uuid = site.push("default", &site.slow(60_000));
        let worker = site.worker(&["run", "--queue", "default"]).env("WORKER_LEASE", "3");
        let mut first = worker.spawn();
        site.wait_for_note("start", 1);
        first.kill();
        let _second = started(worker.spawn());
        let failed = site.wait_for_failed(1);
        assert_eq!(failed[0].uuid, uuid);
        assert!(failed[0].reason().contains("MaxAttemptsExceededException"), "{}", failed[0].reason());
        site.wait_for_end_of("default");
    }

    fn a_signal_ends_after_the_running_jobs(site: &Site) {
        site.push_all("default", &site.sample(400).times(40));
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "4"]);
        site.wait_for_note("start", 6);
        worker.signal(Signal::Term);
        worker.wait_for_line("Received SIGTERM", DEADLINE);
        let started = site.noted("start").len();
        assert_eq!(worker.wait_exit(DEADLINE), 0);
        worker.wait_for_line("Stopped: a signal", DEADLINE);
        let (starts, ends) = (site.noted("start"), site.noted("end"));
        assert_eq!(starts.len(), ends.len(), "what ran came to its end");
        assert!(starts.len() <= started + 4, "nothing new was started");
        assert_untouched(&site.queue("default"), 40 - ends.len());
        assert!(site.failed().is_empty());
    }

    fn every_signal_of_queue_work_drains(site: &Site) {
        for signal in [Signal::Int, Signal::Quit] {
            let uuid = site.push("default", &site.slow(300));
            let mut worker = site.start(&["run", "--queue", "default"]);
            wait_until(DEADLINE, || site.noted("start").iter().any(|note| note.uuid == uuid));
            worker.signal(signal);
            assert_eq!(worker.wait_exit(DEADLINE), 0);
            site.wait_for_job(&uuid);
        }
    }

    fn after_the_drain_limit_jobs_go_back_uncounted(site: &Site) {
        let jobs = site.slow(60_000).times(5);
        site.push_all("default", &jobs);
        let before = site.queue("default");
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "3", "--drain", "1"]);
        site.wait_for_note("start", 3);
        let asked = Instant::now();
        worker.signal(Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
        let took = asked.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
        worker.wait_for_line("The time to drain is over", DEADLINE);
        let after = site.queue("default");
        assert_untouched(&after, 5);
        let head: HashSet<_> = ready(&after).into_iter().take(3).collect();
        let ran: HashSet<_> = site.noted("start").into_iter().map(|note| note.uuid).collect();
        assert_eq!(head, ran, "back at the head of the queue");
        let bytes = |queue: &Queue| queue.ready.iter().map(|job| job.payload.clone()).collect::<HashSet<_>>();
        assert_eq!(bytes(&before), bytes(&after), "byte for byte");
        assert_eq!(site.noted("end").len(), 0);
    }

    fn a_second_signal_ends_at_once(site: &Site) {
        site.push_all("default", &site.slow(60_000).times(3));
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "2"]);
        site.wait_for_note("start", 2);
        worker.signal(Signal::Term);
        worker.wait_for_line("Received SIGTERM", DEADLINE);
        worker.signal(Signal::Int);
        assert_eq!(worker.wait_exit(Duration::from_secs(10)), 1);
        assert_untouched(&site.queue("default"), 3);
        assert!(site.failed().is_empty());
    }

    fn usr2_pauses_and_cont_resumes(site: &Site) {
        let running = site.push("default", &site.slow(500));
        let mut worker = site.start(&["run", "--queue", "default"]);
        site.wait_for_note("start", 1);
        worker.signal(Signal::Usr2);
        worker.wait_for_line("Paused by SIGUSR2", DEADLINE);
        let waiting = site.push("default", &site.slow(0));
        never(|| site.noted("start").len() > 1);
        site.wait_for_job(&running);
        worker.signal(Signal::Cont);
        worker.wait_for_line("Resumed by SIGCONT", DEADLINE);
        site.wait_for_job(&waiting);
        worker.signal(Signal::Usr2);
        worker.signal(Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 0, "a paused worker ends too");
    }

    fn queue_restart_ends_after_the_running_jobs(site: &Site) {
        let running = site.push("default", &site.slow(3000));
        let mut worker = site.start(&["run", "--queue", "default"]);
        site.wait_for_note("start", 1);
        site.command(&["restart"]).success();
        worker.wait_for_line("queue:restart was called", DEADLINE);
        assert!(site.noted("end").is_empty(), "it still runs");
        assert_eq!(worker.wait_exit(DEADLINE), 0);
        worker.wait_for_line("Stopped: queue:restart", DEADLINE);
        site.wait_for_job(&running);
    }
}
