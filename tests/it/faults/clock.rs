//! F18: hosts whose clocks disagree with the store's and with each other's, and a clock that jumps.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::{DEADLINE, Daemon, Running, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_network, on_every_store};

const ARGS: [&str; 5] = ["run", "--queue", "default", "--concurrency", "10"];
/// Much shorter than the clocks are apart.
const LEASE: &str = "3";

/// What makes a process see another time; Debian's package `libfaketime` has it.
fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut found = places.map(|place| place.path().join("faketime/libfaketime.so.1"));
    found
        .find(|path| path.exists())
        .expect("install the package libfaketime")
}

/// A worker on a host with a clock of its own. Time that is only measured runs as ever.
fn elsewhen(stage: &Stage) -> Daemon {
    let worker = stage.worker(&ARGS).env("WORKER_LEASE", LEASE);
    worker
        .env("LD_PRELOAD", library())
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_NO_CACHE", "1")
}

fn start(worker: &Daemon) -> Running {
    crate::site::started(worker.spawn())
}

/// Pushes jobs that are longer than a lease, short ones, and one that is due soon; waits for all of them.
fn work(stage: &Stage, during: impl FnOnce()) {
    let job = |length| stage.job(length).with("maxTries", 1);
    let begun = stage.noted("start");
    stage.push("default", &job(4500).times(6));
    stage.push("default", &job(200).times(40));
    let (pushed, delay) = (Instant::now(), Duration::from_secs(2));
    let late = stage.push_later("default", &job(5).times(1), pushed + delay);
    wait_until(DEADLINE, || stage.noted("start") >= begun + 6);
    during();
    wait_until(DEADLINE, || stage.notes().iter().any(|note| note.uuid == late[0]));
    let waited = pushed.elapsed();
    // Due times are whole seconds of the store's clock; a file's clock is that of who reads it.
    let least = Duration::from_secs(if stage.kind() == "sqlite" { 0 } else { 1 });
    let in_time = least..Duration::from_secs(8);
    assert!(
        in_time.contains(&waited),
        "due in {delay:?}, begun after {waited:?}"
    );
    stage.wait_until_empty(DEADLINE);
}

/// All ran once.
fn check(stage: &Stage, deed: Deed, injected: usize) {
    let tally = Expect::default().check(stage);
    assert_eq!(tally.doubled, 0, "nothing lapsed early");
    deed.done(injected, &tally);
}

mod apart {
    use super::{Deed, Stage, check, elsewhen, how_many, on_every_network, start, work};

    on_every_network! {
            /// Leases and due times are the store's, so it matters to nobody what time it is elsewhere.
            fn clocks_may_disagree(stage: &Stage) {
                let deed = Deed::on(stage, "F18");
                let rounds = how_many(1, 10);
                for _ in 0..rounds {
                    let clocks = ["+1h", "-1h", "+5m"].map(|skew| start(&elsewhen(stage).env("FAKETIME", skew)));
                    work(stage, || {});
                    for worker in clocks {
     stage.stop(worker);
    }
                }
                check(stage, deed, rounds * 3);
            }
        }
}

on_every_store! {
    /// The clock of a worker's host is set while it works, and with it that of a store on the same host, as a
    /// file is: when a machine has slept, all leases seem to have ended at once.
    fn a_clock_may_jump(stage: &Stage) {
        let deed = Deed::on(stage, "F18");
        let rounds = how_many(1, 10);
        let file = stage.path("clock");
        let set = |time: &str| std::fs::write(&file, time).expect("it can be written");
        set("+0");
        let worker = start(&elsewhen(stage).env("FAKETIME_TIMESTAMP_FILE", &file));
        for _ in 0..rounds {
            for jump in ["+1h", "+2h", "+0"] {
                work(stage, || set(jump));
            }
        }
        stage.stop(worker);
        check(stage, deed, rounds * 3);
    }
}
