//! F29: two workers in containers, with the same host name and the same process id, on the same queue.

use std::process::Command;

use harness::{DEADLINE, Running, poll, wait_until};
use serde_json::Value;

use super::{Deed, Expect, Stage, how_many, on_every_store};
use crate::php::shop::descendants;
use crate::site::WORKER;

/// What makes a container: process ids of its own, a host name of its own, and the process files that show them. Who
/// is not root makes a user's name space around it; a machine that allows neither fails the test.
fn container() -> Vec<&'static str> {
    let own = vec!["--fork", "--kill-child", "--pid", "--uts", "--mount-proc"];
    let by_user = [&["--user", "--map-root-user"], &own[..]].concat();
    let works = |flags: &Vec<&str>| {
        let tried = Command::new("unshare").args(flags).arg("true").output();
        tried.is_ok_and(|done| done.status.success())
    };
    let found = [own, by_user].into_iter().find(works);
    found.expect(
        "two workers with one process id need `unshare --pid`, as root or with user name spaces allowed",
    )
}

/// Where each of the two lives. Its process id is the same in both, and another one in each round.
const SCRIPT: &str = r#"
echo twin >/proc/sys/kernel/hostname
i=0; while [ $i -lt "$0" ]; do /bin/true; i=$((i + 1)); done
"$@"
exit $?
"#;

/// One of the two, and its process id as it sees it itself.
fn twin(stage: &Stage, round: usize) -> (Running, u32) {
    let args = ["run", "--queue", "default", "--concurrency", "5"];
    let round = round.to_string();
    let words = [
        &["unshare"],
        &container()[..],
        &["/bin/sh", "-c", SCRIPT, &round, WORKER],
        &args,
    ]
    .concat();
    let worker = stage.wrapped(&words).env("WORKER_LEASE", "3");
    let worker = crate::site::started(worker.spawn());
    let pid = inside(outside(&worker));
    (worker, pid)
}

/// The process id of a worker in a container, seen from here.
fn outside(worker: &Running) -> u32 {
    *descendants(worker.pid()).last().expect("it runs in there")
}

/// The same as it sees it itself.
fn inside(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("NSpid:"));
    let last = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    last.expect("the kernel tells process ids")
}

/// The processes that make themselves known.
fn known(stage: &Stage) -> Vec<Value> {
    let output = stage.worker(&["status", "--json"]).run_to_end();
    // A busy machine may be too slow for it.
    let status: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    status["processes"].as_array().cloned().unwrap_or_default()
}

fn processed(worker: &Running) -> usize {
    worker
        .lines()
        .iter()
        .filter(|line| line.contains("Processed "))
        .count()
}

on_every_store! {
    /// They are two all the same: each holds its own jobs, and the death of one frees its own and no others.
    fn twins_share_no_identity(stage: &Stage) {
        let deed = Deed::on(stage, "F29");
        let rounds = how_many(1, 10);
        for round in 0..rounds {
            let before = stage.noted("end");
            stage.push("default", &stage.job(30).with("maxTries", 10).times(200));
            let ((mut first, pid), (mut second, other)) = (twin(stage, round), twin(stage, round));
            assert_eq!(pid, other, "they have the same process id");
            let both = poll(DEADLINE * 2, || {
                let mut known = known(stage);
                known.retain(|process| process["pid"] == pid && process["host"] == "twin");
                Some(known).filter(|known| known.len() == 2)
            });
            let both = both.expect("both are known");
            assert_ne!(both[0]["id"], both[1]["id"]);
            wait_until(DEADLINE, || processed(&first) >= 20 && processed(&second) >= 20);
            stage.kill(&mut first);
            stage.mourn(pid, &[]);
            assert!(stage.noted("end") < before + 200, "it had jobs in its hands");
            stage.wait_until_empty(DEADLINE * 3);
            let term = Command::new("kill").args(["-s", "TERM", &outside(&second).to_string()]).status();
            assert!(term.is_ok_and(|status| status.success()));
            assert_eq!(stage.end_of(&mut second, DEADLINE), 0);
        }
        let tally = Expect::kills().check(stage);
        assert!(tally.doubled <= rounds * 5, "only what was in the hands of the dead one: {tally:?}");
        deed.done(rounds, &tally);
    }
}
