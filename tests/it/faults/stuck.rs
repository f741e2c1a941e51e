//! A lane that does not turn any more is noticed within 30 s: in the log, by readiness, and as a metric.

use std::time::{Duration, Instant};

use harness::{DEADLINE, wait_until};
use worker::failpoint::RESERVED;

use super::{Deed, Expect, Stage};
use crate::http::{free_address, get, measured};
use crate::site::{log_line, started};

/// How long the lane hangs, in milliseconds.
const HANGS_MS: u64 = 33_000;
/// Within this time it is to be noticed.
const NOTICED: Duration = Duration::from_secs(30);

#[test]
fn a_lane_that_hangs_is_noticed() {
    let stage = Stage::redis();
    let deed = Deed::on(&stage, "stuck lane");
    let address = free_address();
    let worker = stage
        .worker(&["run", "--queue", "default", "--queue", "high"])
        .env("WORKER_HTTP", &address)
        .env("FAILPOINTS", format!("{RESERVED}=1*sleep({HANGS_MS})"));
    let mut worker = started(worker.spawn());
    let hung = Instant::now();
    stage.push("default", &stage.job(5).times(5));
    let line = log_line(&worker.wait_for_line("This worker is stuck", NOTICED));
    assert!(hung.elapsed() < NOTICED, "{:?}", hung.elapsed());
    let message = line["message"].as_str().unwrap_or_default();
    assert!(message.contains("lane default"), "{message}");
    let (status, body) = get(&address, "/readyz");
    assert_eq!(status, 503);
    assert!(
        body["reasons"].to_string().contains("stuck: no turn for"),
        "{body}"
    );
    assert!(measured(&address, "worker_stuck_loops") >= Some(1.0));
    assert_eq!(measured(&address, "worker_ready"), Some(0.0));

    // It turns again, and so does everything.
    worker.wait_for_line("All loops turn again", DEADLINE);
    wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
    stage.push("high", &stage.job(5).times(5));
    stage.wait_until_empty(DEADLINE);
    stage.stop(worker);
    deed.done(1, &Expect::default().check(&stage));
}
