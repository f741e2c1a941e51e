//! F22: a large backlog costs no memory, and taking from it is no slower than from a small one.

use std::time::Duration;

use harness::{DEADLINE, Vitals, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_store};

/// Jobs of the small backlog.
const SMALL: usize = 1000;
/// What a busy machine may add to one reservation.
const NOISE: Duration = Duration::from_millis(5);

/// The time that a reservation takes: that of 99 of 100 in the long form, half of them in the short one, whose
/// few samples would tell more of the machine than of the store. The best of several goes.
fn time_of_a_claim(stage: &Stage) -> Duration {
    let go = |_| {
        let mut took = stage.claims("default", how_many(50, 200));
        took.sort_unstable();
        took[took.len() * how_many(50, 99) / 100 - 1]
    };
    (0..how_many(3, 5)).map(go).min().unwrap_or_default()
}

on_every_store! {
    fn a_large_backlog(stage: &Stage) {
        let deed = Deed::on(stage, "F22");
        if stage.kind() != "redis" {
            stage.worker(&["migrate", "--indexes"]).run_to_end().success();
        }
        let (backlog, drained) = (how_many(20_000, 1_000_000), how_many(1000, 100_000));
        stage.push("default", &stage.job(0).times(SMALL));
        let small = time_of_a_claim(stage);
        stage.push("default", &stage.job(0).times(backlog - SMALL));
        let large = time_of_a_claim(stage);
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
