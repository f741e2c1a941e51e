//! F12: the connection is cut after the store did what it was asked, and before it could say so.

use std::time::Duration;

use super::{Deed, Expect, Stage, how_many, on_every_network};

/// A lease in seconds that ends while the test waits.
const LEASE: &str = "3";

on_every_network! {
    /// The store has given jobs, and nobody heard of it: they come back when their lease ends.
    fn the_answer_to_a_reservation_is_lost(stage: &Stage) {
        let deed = Deed::on(stage, "F12");
        let cuts = how_many(3, 50);
        let mut worker = stage.worker(&["run", "--queue", "default", "--concurrency", "20"]).env("WORKER_LEASE", LEASE).spawn();
        worker.wait_for_line("consumes connection", harness::DEADLINE);
        for _ in 0..cuts {
            let jobs = stage.job(5).with("maxTries", 5).times(30);
            // The answer to a reservation is the only one with a payload in it.
            stage.network().cut_before_reply(jobs[0].uuid());
            stage.push("default", &jobs);
            stage.wait_until_empty(Duration::from_secs(30));
            assert!(!stage.network().is_to_cut(), "the connection was cut");
        }
        let tally = Expect { attempts_without_run: true, ..Expect::default() }.check(stage);
        assert_eq!(tally.doubled, 0, "what nobody heard of did not run");
        deed.done(cuts, &tally);
        stage.stop(worker);
    }
}
