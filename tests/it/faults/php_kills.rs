//! F1 with PHP: `kill -9` of the worker while its PHP processes run jobs.

use std::time::Duration;

use harness::{DEADLINE, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_application};

/// The PHP processes of the worker, and so the most jobs that run at a time.
const PROCESSES: usize = 2;
/// A second is promised; the rest is for the machine, which looks for dead processes late when it is busy.
const GONE: Duration = Duration::from_secs(3);

on_every_application! {
    /// No PHP process outlives its worker for long, and only what was in its hands runs again.
    fn kills_with_php_lose_nothing(stage: &Stage) {
        let deed = Deed::on(stage, "F1 PHP");
        let (kills, jobs) = (how_many(3, 50), how_many(150, 10_000));
        // Each is in the hands of a killed process a few times at most.
        stage.push("default", &stage.php_job(20).with("maxTries", 30).times(jobs));
        let worker = stage
            .worker(&["run", "--queue", "default", "--concurrency", "4"])
            .env("WORKER_PHP_PROCESSES", PROCESSES.to_string())
            .env("WORKER_LEASE", "3");
        let mut slowest = Duration::ZERO;
        for kill in 1..=kills {
            let mut worker = crate::site::started(worker.spawn());
            // The moment falls where it falls: the work goes on while this looks.
            let next = stage.noted("end") + 1 + (kill * 7) % 30;
            wait_until(DEADLINE * 3, || stage.noted("end") >= next.min(jobs));
            slowest = slowest.max(stage.kill(&mut worker));
        }
        println!("{}: PHP lived on for {slowest:?} at most", stage.kind());
        assert!(slowest < GONE, "a PHP process lived on for {slowest:?}");
        let worker = crate::site::started(worker.spawn());
        stage.wait_until_empty(DEADLINE * 9);
        stage.stop(worker);
        let tally = Expect::kills().check(stage);
        assert!(tally.doubled <= kills * PROCESSES, "only what was in its hands ran again: {tally:?}");
        deed.done(kills, &tally);
    }
}
