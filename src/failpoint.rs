//! Named places at which a test makes the process die, wait or stumble; nothing at all in what is shipped.
//!
//! Tests are built with the feature `failpoints` of the crate [`fail`], and start the worker with
//! `FAILPOINTS="settle.written=3*off->return"`: at the fourth call the process ends as by `kill -9`. The other
//! actions are the crate's own: `sleep(ms)`, `panic`, `pause`, `print`.

use fail::{FailScenario, fail_point, has_failpoints};

/// The places, in the order in which a job passes them.
pub const POINTS: &[&str] = &[
    RESERVED, STARTED, RAN, HOOKED, RECORDING, RECORDED, SETTLING, SETTLED,
];

/// The store has given jobs, and nobody has seen them yet.
pub const RESERVED: &str = "reserve.done";
/// The attempt is about to run.
pub const STARTED: &str = "attempt.started";
/// The attempt has run, and nothing was made of it yet.
pub const RAN: &str = "attempt.ran";
/// A job that failed for good was told so, and nothing is recorded yet.
pub const HOOKED: &str = "attempt.told";
/// A failure is about to be recorded, where records and jobs lie apart.
pub const RECORDING: &str = "record.begin";
/// The failure is recorded, and its job still there, where they lie apart.
pub const RECORDED: &str = "record.done";
/// Verdicts are about to be written.
pub const SETTLING: &str = "settle.begin";
/// Verdicts are written, and nobody has been told yet.
pub const SETTLED: &str = "settle.done";

/// What the environment asks of the fail points, for as long as it lives.
#[must_use = "the points are off again when this is dropped"]
pub struct Points(Option<FailScenario<'static>>);

impl std::fmt::Debug for Points {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Points(on: {})", self.0.is_some())
    }
}

/// Sets the points as `FAILPOINTS` says; that is not even read where they are not compiled in.
pub fn set_up() -> Points {
    Points(has_failpoints().then(FailScenario::setup))
}

/// Passes a point: returns at once unless a test has asked for something there.
#[inline]
pub fn pass(point: &str) {
    // Both are unused where the points are not compiled in.
    let _: (&str, fn(Option<String>)) = (point, die);
    fail_point!(point, die);
}

/// Ends the process as `kill -9` does.
fn die(_: Option<String>) {
    let own = rustix::process::getpid();
    if rustix::process::kill_process(own, rustix::process::Signal::KILL).is_err() {
        std::process::abort();
    }
}
