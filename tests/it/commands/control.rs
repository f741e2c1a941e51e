//! `worker restart`, `pause` and `resume`: through the application's cache.

use harness::{DEADLINE, Running};

use crate::site::{Site, never, on_every_site};

/// Pushes a job that does not run while things are paused, resumes, and sees it run.
fn waits_for(site: &Site, worker: &mut Running, paused: &str, resume: &[&str]) {
    worker.wait_for_line(paused, DEADLINE);
    let waiting = site.push("default", &site.slow(0));
    never(|| site.noted("start").iter().any(|note| note.uuid == waiting));
    site.command(resume).success();
    site.wait_for_job(&waiting);
}

on_every_site! {
    fn a_paused_queue_waits_and_others_go_on(site: &Site) {
        let mut worker = site.start(&["run"]);
        let output = site.command(&["pause", "default"]);
        assert_eq!(output.success(), format!("Queue {}:default is paused; running jobs go on.\n", site.connection()));
        worker.wait_for_line("Queue default was paused", DEADLINE);
        let other = site.push("high", &site.slow(0));
        site.wait_for_job(&other);
        waits_for(site, &mut worker, "Queue default was paused", &["resume", "default"]);
        worker.wait_for_line("Queue default was resumed", DEADLINE);
    }

    fn all_queues_can_be_paused(site: &Site) {
        let mut worker = site.start(&["run", "--queue", "default"]);
        site.command(&["pause", "--all"]).success();
        waits_for(site, &mut worker, "All queues were paused", &["resume", "--all"]);
    }

    fn a_restart_ends_every_worker(site: &Site) {
        let mut workers = [site.start(&["run"]), site.start(&["work"])];
        // A worker compares with the value it met first: each has looked once a job has run.
        for worker in &mut workers {
            worker.wait_for_line("consumes connection", DEADLINE);
        }
        let done = site.push("default", &site.slow(0));
        site.wait_for_job(&done);
        site.command(&["restart"]).success();
        for worker in &mut workers {
            assert_eq!(worker.wait_exit(DEADLINE), 0);
            worker.wait_for_line("Stopped: queue:restart", DEADLINE);
        }
        // The one that starts afterwards is not meant.
        site.command(&["run", "--stop-when-empty"]).success();
    }

    fn bad_input_is_refused(site: &Site) {
        for args in [&["pause"][..], &["pause", "default", "--all"], &["resume"]] {
            site.command(args).expect_code(2);
        }
        for args in [&["pause", "default"][..], &["resume", "--all"], &["restart"]] {
            let output = site.worker(args).env("CACHE_STORE", "file").run_to_end();
            output.expect_code(78);
            assert!(output.stderr.contains("CACHE_STORE"), "{}", output.stderr);
        }
    }
}
