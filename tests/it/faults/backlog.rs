//! F22: a large backlog costs no memory, and taking from it is no slower than from a small one.

use std::time::Duration;

use harness::{DEADLINE, Vitals, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_store};

/// Jobs of the small backlog.
const SMALL: usize = 1000;
/// What a busy machine may add to one reservation.
const NOISE: Duration = Duration::from_millis(5);

/// The time that a reservation takes on each of two stores, asked in turn, since the machine is shared: that of
/// 99 of 100 in the long form, half of them in the short one, whose few samples would tell more of the machine.
fn times_of_a_claim(small: &Stage, large: &Stage) -> (Duration, Duration) {
    let samples = how_many(60, 1000);
    let claim = |stage: &Stage| stage.claims("default", 1)[0];
    let (mut small, mut large): (Vec<_>, Vec<_>) = (0..samples).map(|_| (claim(small), claim(large))).unzip();
    let place = samples * how_many(50, 99) / 100 - 1;
    small.sort_unstable();
    large.sort_unstable();
    (small[place], large[place])
}

/// Another stage of the same kind.
fn another(stage: &Stage) -> Stage {
    match stage.kind() {
        "redis" => Stage::redis(),
        "sqlite" => Stage::sqlite(),
        "mariadb" => Stage::mariadb(),
        _ => Stage::postgres(),
    }
}

/// Fills a queue, with the index that is recommended.
fn fill(stage: &Stage, jobs: usize) {
    if stage.kind() != "redis" {
        stage.worker(&["migrate", "--indexes"]).run_to_end().success();
    }
    stage.push("default", &stage.job(0).times(jobs));
}

on_every_store! {
    fn a_large_backlog(stage: &Stage) {
        let deed = Deed::on(stage, "F22");
        let (backlog, drained) = (how_many(20_000, 1_000_000), how_many(1000, 100_000));
        fill(stage, backlog);
        let other = another(stage);
        fill(&other, SMALL);
        let (small, large) = times_of_a_claim(&other, stage);
        println!("{}: a reservation takes {small:?} at {SMALL}, {large:?} at {backlog}", stage.kind());
        assert!(large <= small * 2 + NOISE, "{small:?} at {SMALL}, {large:?} at {backlog}");

        let worker = stage.start(&["run", "--queue", "default", "--concurrency", "20"]);
        let memory = || Vitals::of(worker.pid()).memory_kib;
        let ended = |count| stage.noted("end") >= count;
        wait_until(DEADLINE, || ended(drained / 4));
        let (before, mut most) = (memory(), 0);
        wait_until(DEADLINE * 15, || {
            most = most.max(memory());
            ended(drained)
        });
        println!("{}: {before} KiB, later {most} KiB at most", stage.kind());
        assert!(most <= before + before / 10 + 2048, "{before} KiB, then {most} KiB");
        stage.stop(worker);
        let tally = Expect { waiting: true, ..Expect::default() }.check(stage);
        assert!(tally.done >= drained && tally.doubled == 0, "{tally:?}");
        deed.done(backlog, &tally);
    }
}
