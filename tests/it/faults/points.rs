//! F2: the process is killed between each pair of steps that a job passes.

use worker::failpoint::{HOOKED, POINTS, RECORDED, RECORDING, RESERVED};

use super::{Deed, Expect, Stage, how_many, on_every_store};

/// A lease in seconds that ends while the test waits.
const LEASE: &str = "3";

/// Jobs of one round, a third of which fail for good.
const JOBS: usize = 30;

/// Whether a job passes this point where it lies: a database that keeps both records a failure and removes
/// its job in one transaction.
fn is_passed(point: &str, stage: &Stage) -> bool {
    stage.kind() == "redis" || ![RECORDING, RECORDED].contains(&point)
}

/// How many jobs may run again after a death at this point.
fn most_again(point: &str) -> usize {
    if point == RESERVED { 0 } else { JOBS }
}

on_every_store! {
    fn no_step_may_be_the_last(stage: &Stage) {
        let deed = Deed::on(stage, "F2");
        let rounds = how_many(1, 10);
        let mut expect = Expect::kills();
        let mut injected = 0;
        for point in POINTS.iter().filter(|point| is_passed(point, stage)) {
            for round in 0..rounds {
                let good = stage.job(5).with("maxTries", 5).times(JOBS * 2 / 3);
                let bad = stage.job(5).with("maxTries", 1).set("panic", true).times(JOBS / 3);
                let before = stage.noted("start");
                stage.push("default", &good);
                expect = expect.failing(&stage.push("default", &bad));
                let args = ["run", "--queue", "default", "--concurrency", "10"];
                // Failures come late and in batches, so it is the first one of a round that counts.
                let skip = if [HOOKED, RECORDING, RECORDED].contains(point) { 0 } else { round % 3 };
                let mut worker = stage
                    .worker(&args)
                    .env("WORKER_LEASE", LEASE)
                    .env("FAILPOINTS", format!("{point}={skip}*off->return"))
                    .spawn();
                stage.wait_for_death(&mut worker);
                injected += 1;
                let worker = stage.worker(&args).env("WORKER_LEASE", LEASE).spawn();
                stage.wait_until_empty(harness::DEADLINE * 3);
                stage.stop(worker);
                let again = (stage.noted("start") - before).saturating_sub(JOBS);
                assert!(again <= most_again(point), "{point}: {again} ran again");
            }
        }
        let tally = expect.check(stage);
        deed.done(injected, &tally);
    }
}
