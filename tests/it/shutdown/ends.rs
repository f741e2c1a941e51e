//! Ends that were asked for on the command line.

use std::time::{Duration, Instant};

use harness::DEADLINE;

use super::assert_untouched;
use crate::site::on_every_site;

on_every_site! {
    fn once_runs_one_job(site: &Site) {
        site.push_all("default", &site.slow(0).times(3));
        let output = site.command(&["work", "--once", "--queue", "default"]);
        output.success();
        assert_eq!(site.noted("end").len(), 1);
        assert_untouched(&site.queue("default"), 2);
    }

    fn once_does_not_wait_for_a_job(site: &Site) {
        site.command(&["work", "--once"]).success();
    }

    fn max_jobs_is_exact(site: &Site) {
        site.push_all("high", &site.slow(20).times(10));
        site.push_all("default", &site.slow(20).times(10));
        let output = site.command(&["run", "--max-jobs", "7"]);
        output.success();
        assert!(output.stderr.contains("Stopped: the job limit is reached"), "{}", output.stderr);
        assert_eq!(site.noted("end").len(), 7);
        let (high, default) = (site.queue("high"), site.queue("default"));
        assert_untouched(&high, high.len());
        assert_untouched(&default, 13 - high.len());
    }

    fn max_time_ends_after_the_running_job(site: &Site) {
        site.push("default", &site.slow(1500));
        let start = Instant::now();
        let output = site.command(&["run", "--max-time", "1"]);
        output.success();
        assert!(output.stderr.contains("Stopped: the time limit is reached"), "{}", output.stderr);
        assert!(start.elapsed() >= Duration::from_millis(1400), "{:?}", start.elapsed());
        assert_eq!(site.noted("end").len(), 1);
    }

    fn stop_when_empty_works_off_what_is_there(site: &Site) {
        site.push_all("default", &site.slow(50).times(25));
        site.push_all("einvoice", &site.slow(50).times(5));
        site.command(&["dispatch", r"Worker\Demo\Slow", "--delay", "600"]).success();
        let output = site.command(&["run", "--stop-when-empty"]);
        output.success();
        assert!(output.stderr.contains("Stopped: the queues are empty"), "{}", output.stderr);
        assert_eq!(site.noted("end").len(), 30);
        let queue = site.queue("default");
        assert_eq!((queue.delayed.len(), queue.len()), (1, 1), "what is not due yet does not count");
    }

    /// As Laravel does: a cron line must not pile up processes while a queue is paused.
    fn stop_when_empty_ends_while_a_queue_is_paused(site: &Site) {
        site.command(&["pause", "imports"]).success();
        site.push("imports", &site.sample(0));
        site.push("default", &site.sample(0));
        site.command(&["run", "--queue", "imports", "--queue", "default", "--stop-when-empty"]).success();
        assert_eq!(site.queue("imports").ready.len(), 1);
        assert_eq!(site.noted("end").len(), 1);
    }

    /// Queues found in the store count like named ones: for the end, and for pauses.
    fn every_queue_found_is_worked_off_but_the_paused(site: &Site) {
        site.command(&["pause", "held"]).success();
        for queue in ["first", "second", "held"] {
            site.push_all(queue, &site.sample(0).times(30));
        }
        site.command(&["run", "--queue", "*", "--stop-when-empty"]).success();
        assert_eq!(site.noted("end").len(), 60);
        assert_eq!(site.queue("held").ready.len(), 30);
        site.command(&["resume", "held"]).success();
        site.command(&["run", "--queue", "*", "--stop-when-empty"]).success();
        assert_eq!(site.noted("end").len(), 90);
        site.command(&["run", "--queue", "*", "--stop-when-empty"]).success();
    }

    /// As an unset variable of a start script gives it.
    fn a_blank_queue_is_no_queue(site: &Site) {
        site.push("default", &site.sample(0));
        site.command(&["work", "--queue", "", "--stop-when-empty"]).success();
        assert_eq!(site.noted("end").len(), 1);
    }

    fn stop_when_empty_for_waits_for_latecomers(site: &Site) {
        let start = Instant::now();
        let mut worker = site.start(&["run", "--queue", "default", "--stop-when-empty-for", "2"]);
        let late = site.push("default", &site.slow(0));
        site.wait_for_job(&late);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    }

    fn the_memory_limit_ends_with_laravels_code(site: &Site) {
        site.push("default", &site.slow(1500));
        let output = site.command(&["run", "--memory", "1"]);
        output.expect_code(12);
        assert_eq!(site.noted("end").len(), 1, "the running job came to its end");
        site.wait_for_end_of("default");
    }
}
