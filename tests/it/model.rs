//! The state machine of one job: random histories of verbs, crashes and time, on every store and on a small model.
//!
//! A [`history`] is a list of steps. [`play`] does each on a real [`world`] and on the [`reference`], and compares
//! every answer and everything that lies in the store. What fails is shrunk to the shortest history that does.
//!
//! Nobody sleeps: time is moved by moving what stands in the store against the clock of its server.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends with the history that the store and the model see differently, or says how many there were"
)]

mod history;
mod play;
mod reference;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::world::World;
use crate::faults::how_many;

/// Histories of each store in the long form.
const LONG: usize = 2000;

/// Plays histories on one world, one after the other: in the gate always the same `short` ones, in the long form
/// others each time.
fn histories(name: &str, short: usize, world: impl AsyncFnOnce() -> World) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let world = runtime.block_on(world());
    let cases = how_many(short, LONG);
    let config = Config {
        cases: u32::try_from(cases).expect("a small number"),
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = if cases == short {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    } else {
        TestRunner::new(config)
    };
    let (began, count) = (Instant::now(), AtomicUsize::new(0));
    let played = runner.run(&history::histories(), |steps| {
        count.fetch_add(steps.len(), Ordering::Relaxed);
        let played = runtime.block_on(play::play(&world, &steps));
        played.map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(reason, steps)) = played {
        let steps: Vec<String> = steps.iter().map(|step| format!("    Step::{step:?},")).collect();
        panic!("{reason}\nin the history\n{}", steps.join("\n"));
    }
    played.expect("histories can be made");
    let (count, seconds) = (count.into_inner(), began.elapsed().as_secs());
    println!("{name}: {cases} histories of {count} steps in {seconds} s");
}

/// One test for each store: its name, and how many histories the gate has time for.
macro_rules! on_every_world {
    ($($world:ident $short:literal)*) => {$(
        mod $world {
            #[test]
            fn agrees_with_the_model() {
                super::histories(stringify!($world), $short, async || super::World::$world().await);
            }
        }
    )*};
}

on_every_world!(redis 60 sqlite 20 mysql 20 postgres 12);
