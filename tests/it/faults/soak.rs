//! A steady load for a long time while something breaks again and again (F1, F10, F19): nothing is lost, and
//! nothing grows.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Fault, Running, Vitals, poll};

use super::{Deed, Expect, Stage, how_many};
use crate::site::started;

/// Jobs a second.
const RATE: f64 = 500.0;
/// Jobs of one push, so many times a second as make up the rate.
const AT_ONCE: u32 = 50;

/// A worker with everything that the load needs.
fn worker(stage: &Stage) -> Running {
    let args = ["run", "--queue", "default", "--concurrency", "50"];
    let worker = stage
        .worker(&args)
        .env("WORKER_LEASE", "5")
        .env("RUST_LOG", "warn,worker::app=info");
    started(worker.env("LOG_LEVEL", "warning").spawn())
}

/// What a worker uses at its most while this looks, which is more than between two jobs.
fn most_used(worker: &Running) -> Vitals {
    let mut most = Vitals::of(worker.pid());
    let looked = poll(Duration::from_secs(2), || {
        let now = Vitals::of(worker.pid());
        most.memory_kib = most.memory_kib.max(now.memory_kib);
        most.descriptors = most.descriptors.max(now.descriptors);
        most.sockets = most.sockets.max(now.sockets);
        None::<()>
    });
    assert_eq!(looked, None);
    most
}

/// Within a twentieth, and a little for what is small.
fn is_flat(base: u64, now: u64, little: u64) -> bool {
    now <= base + (base / 20).max(little)
}

/// Pushes at the rate for so long, while the network is well, slow, silent, and well again.
fn load(stage: &Stage, time: Duration) {
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < time {
        let due = began.elapsed().as_secs_f64() * RATE;
        if f64::from(sent) < due {
            // Each may be hit by several kills.
            stage.push(
                "default",
                &stage.job(10).with("maxTries", 50).times(AT_ONCE as usize),
            );
            sent += AT_ONCE;
        } else {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let part = began.elapsed().as_secs_f64() / time.as_secs_f64();
        let (base, jitter) = (Duration::from_millis(100), Duration::from_millis(100));
        stage.network().set(match part {
            0.3..0.4 => Fault::Delay { base, jitter },
            0.4..0.5 => Fault::Silent,
            _ => Fault::None,
        });
    }
}

/// One worker is killed at each turn and started again; the network of both is reset, is slow, and falls
/// silent. The other worker, which lives through all of it, is the one that must not grow.
#[test]
fn a_long_load_with_faults_leaves_no_trace() {
    let stage = Stage::redis().behind_network();
    let deed = Deed::on(&stage, "soak");
    let (turns, turn) = (how_many(4, 30), Duration::from_secs(how_many(5, 60) as u64));
    let survivor = worker(&stage);
    let mut victim = worker(&stage);
    let mut base = None;
    for number in 0..turns {
        load(&stage, turn);
        stage.network().reset();
        stage.kill(&mut victim);
        victim = worker(&stage);
        if number == turns / 5 {
            stage.wait_until_empty(DEADLINE * 6);
            base = Some(most_used(&survivor));
        }
    }
    stage.wait_until_empty(DEADLINE * 6);
    let (base, end) = (base.expect("there was a first turn"), most_used(&survivor));
    println!("at first {base:?}, at last {end:?}");
    for (what, base, end, little) in [
        ("memory", base.memory_kib, end.memory_kib, 4096),
        ("descriptors", base.descriptors as u64, end.descriptors as u64, 3),
        ("connections", base.sockets as u64, end.sockets as u64, 3),
    ] {
        assert!(
            is_flat(base, end, little),
            "{what}: {base} at first, {end} at last"
        );
    }
    stage.stop(victim);
    stage.stop(survivor);
    let expect = Expect {
        again_any: true,
        overlap: true,
        ..Expect::kills()
    };
    deed.done(turns * 3, &expect.check(&stage));
}
