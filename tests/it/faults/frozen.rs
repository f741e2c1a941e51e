//! F4: a process stands still for longer than its leases, while another one works.

use std::time::Duration;

use harness::{DEADLINE, Running, Signal, poll, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_store};
use crate::site::log_line;

/// The lease of both, in seconds.
const LEASE: u64 = 3;

on_every_store! {
    /// The other one takes the jobs when their leases end. The first one comes back to jobs that are done, and to
    /// some that run elsewhere, and leaves them alone.
    fn a_process_that_stood_still_is_fenced(stage: &Stage) {
        let deed = Deed::on(stage, "F4");
        let rounds = how_many(1, 5);
        for _ in 0..rounds {
            let (before, ended) = (stage.noted("start"), stage.noted("end"));
            let job = |length| stage.job(length).with("maxTries", 5);
            // One ends while its process stands still; one is released, one fails, one would run for long.
            let mut jobs = job(1500).times(3);
            jobs.extend(job(1500).set("releaseS", 0).times(1));
            jobs.extend(job(11_000).times(1));
            stage.push("default", &jobs);
            let args = ["run", "--queue", "default", "--concurrency", "5"];
            let start = || crate::site::started(stage.worker(&args).env("WORKER_LEASE", LEASE.to_string()).spawn());
            let first = start();
            wait_until(DEADLINE, || stage.noted("start") >= before + 5);
            first.signal(Signal::Stop);
            let mut other = start();
            poll(Duration::from_secs(3 * LEASE), || None::<()>);
            wait_until(DEADLINE, || stage.noted("start") >= before + 10);
            let done = stage.noted("end") - ended;
            assert!(done >= 3, "the other one has done the short ones: {done}");
            first.signal(Signal::Cont);
            wait_until(DEADLINE, || fenced(&first) >= 5);
            stage.wait_until_empty(DEADLINE);
            stage.stop(first);
            assert!(other.ended().is_none(), "it works on");
            stage.stop(other);
        }
        let expect = Expect { again_any: true, overlap: true, ..Expect::default() };
        let tally = expect.check(stage);
        for (uuid, copies) in copies(stage) {
            assert!(copies <= 3, "{uuid} ran {copies} times");
        }
        assert_eq!(tally.failed, 0);
        deed.done(rounds, &tally);
    }
}

/// How many attempts this worker has heard that they are no longer its own, at a renewal or at their end.
fn fenced(worker: &Running) -> u64 {
    let of_line = |line: &String| {
        if line.contains("is void: its lease was lost") {
            return 1;
        }
        let is_renewal = line.contains("other workers hold these jobs now");
        is_renewal
            .then(|| log_line(line)["count"].as_u64())
            .flatten()
            .unwrap_or_default()
    };
    worker.lines().iter().map(of_line).sum()
}

/// How often each job was begun.
fn copies(stage: &Stage) -> std::collections::BTreeMap<String, usize> {
    let mut copies = std::collections::BTreeMap::new();
    for note in stage.notes().into_iter().filter(|note| note.event == "start") {
        *copies.entry(note.uuid).or_default() += 1;
    }
    copies
}
