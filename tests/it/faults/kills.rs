//! F1: `kill -9` at any moment, again and again.

use harness::{DEADLINE, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_store};

/// Jobs at a time.
const SLOTS: usize = 20;

on_every_store! {
    fn kills_lose_nothing(stage: &Stage) {
        let deed = Deed::on(stage, "F1");
        let (kills, jobs) = (how_many(5, 50), how_many(1000, 10_000));
        // Each is in the hands of a killed process a few times at most.
        stage.push("default", &stage.job(20).with("maxTries", 30).times(jobs));
        let args = ["run", "--queue", "default", "--concurrency", &SLOTS.to_string()];
        for kill in 1..=kills {
            let worker = stage.worker(&args).env("WORKER_LEASE", "3").spawn();
            let mut worker = crate::site::started(worker);
            // The moment falls where it falls: the work goes on while this looks.
            let so_far = stage.noted("end");
            let next = so_far + 1 + (kill * 37) % 150;
            wait_until(DEADLINE, || stage.noted("end") >= next.min(jobs));
            stage.kill(&mut worker);
        }
        let worker = stage.start(&args);
        stage.wait_until_empty(DEADLINE * 6);
        stage.stop(worker);
        let tally = Expect::kills().check(stage);
        let cut_off = stage.noted("start") - stage.noted("end");
        assert!(cut_off <= kills * SLOTS, "{cut_off} runs were cut off");
        // A write takes as long as a few jobs: what ended meanwhile waits for the next one.
        let most = kills * SLOTS * 3;
        assert!(tally.doubled <= most, "only what was in its hands ran again: {tally:?}");
        deed.done(kills, &tally);
    }
}
