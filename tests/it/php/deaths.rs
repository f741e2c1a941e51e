//! A process that ends in the middle of its job: the cause is recorded, the job is told, nobody else suffers.

use std::time::Duration;

use serde_json::json;

use super::shop::{PATIENCE, Shop, descendants, runs};

/// What jobs do to their processes, and what the record of their failure begins with.
const ENDS: &[(&str, &str)] = &[
    ("exitsWell", "it ended with exit code 0"),
    ("exits", "it ended with exit code 255"),
    ("segfaults", "it was ended by signal 11 (SIGSEGV)"),
    ("killsItsGroup", "it was ended by signal 9 (SIGKILL"),
    (
        "errsFatally",
        "it ended with exit code 255: Cannot declare class Twice",
    ),
    (
        "takesAllMemory",
        "it ended with exit code 255: Allowed memory size of",
    ),
    ("forksAndExits", "it ended with exit code 3"),
];

#[test]
fn the_cause_of_a_death_is_recorded_and_the_job_is_told() {
    let shop = Shop::sqlite();
    for (how, _) in ENDS {
        shop.misbehave(how);
        shop.push("RecordJob", &json!({"tag": "unharmed"}));
    }
    let worker = shop.start(&[]);
    shop.wait_for_failures(ENDS.len());
    shop.site.wait_until_empty();
    let failures = shop.failures();
    let told = shop.records("failed");
    for (how, cause) in ENDS {
        let row = &failures[*how];
        let text = row.exception.as_str();
        let begin = r"Worker\PhpProcessDiedException: The PHP process of App\Jobs\MisbehavingJob ended before the job did: ";
        assert!(text.starts_with(&format!("{begin}{cause}")), "{how}: {text}");
        assert!(text.contains("; peak memory "), "{how}: {text}");
        let told: Vec<_> = told.iter().filter(|record| record.tag == *how).collect();
        assert_eq!(told.len(), 1, "{how} was told once");
        let message = told[0].data["message"].as_str().unwrap_or_default();
        assert!(message.contains(cause), "{how}: {message}");
    }
    assert!(
        failures["exits"]
            .exception
            .contains("last output on stderr:\nLast words of the job")
    );
    assert_eq!(shop.records("ran").len(), ENDS.len(), "all others ran");
    // The child that a job left behind ended with the job's process, and nobody is left to be waited for.
    let forked = &shop.records("forked")[0];
    let forked = u32::try_from(forked.pid).expect("a process id");
    harness::wait_until(PATIENCE, || !runs(forked));
    let left = || {
        let descendants = descendants(worker.pid()).into_iter();
        descendants.filter(|pid| !runs(*pid)).collect::<Vec<_>>()
    };
    let none = harness::poll(PATIENCE, || left().is_empty().then_some(()));
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat"));
    assert!(
        none.is_some(),
        "zombies: {:?}",
        left().into_iter().map(stat).collect::<Vec<_>>()
    );
}

/// A death is an error like any other: the job is tried again after its backoff.
#[test]
fn a_death_follows_tries_and_backoff() {
    let shop = Shop::redis();
    shop.misbehave("segfaults");
    let mut worker = shop.start(&["--tries=2", "--backoff=1"]);
    let line = worker.wait_for_line("Released", PATIENCE);
    assert!(line.contains("next in 1 s"), "{line}");
    shop.wait_for_failures(1);
    let started = shop.records("started");
    assert_eq!(started.len(), 2);
    assert_ne!(started[0].pid, started[1].pid);
    let text = &shop.failures()["segfaults"].exception;
    assert!(
        text.contains("Attempt 1: Worker\\PhpProcessDiedException"),
        "{text}"
    );
    assert_eq!(shop.records("failed").len(), 1);
}

/// Code that never returns, and code that will not hear: both end at the limit, and a grace later.
#[test]
fn a_limit_ends_what_does_not_listen() {
    let shop = Shop::sqlite().env("WORKER_PHP_PROCESSES", "3");
    for how in ["loops", "ignoresTerm", "sleeps"] {
        shop.misbehave(how);
    }
    let worker = shop.start(&["--timeout=1"]);
    let started = shop.wait_for("started", 3);
    shop.wait_for_failures(3);
    for record in &started {
        assert!(
            !runs(u32::try_from(record.pid).expect("a process id")),
            "{}",
            record.tag
        );
    }
    for (how, row) in shop.failures() {
        assert!(
            row.exception.starts_with(
                r"Illuminate\Queue\TimeoutExceededException: App\Jobs\MisbehavingJob has timed out."
            ),
            "{how}: {}",
            row.exception
        );
    }
    let told = shop.wait_for("failed", 3);
    for start in &started {
        assert!(
            told.iter()
                .all(|told| told.tag != start.tag || told.pid != start.pid)
        );
    }
    shop.push("RecordJob", &json!({"tag": "next"}));
    shop.wait_for("ran", 1);
    harness::wait_until(PATIENCE, || descendants(worker.pid()).len() == 3);
}

/// The limit holds without ext-pcntl, is followed by the backoff at once, and starts when the job does.
#[test]
fn a_timeout_needs_no_pcntl_and_is_tried_again() {
    let shop = Shop::redis().env("WORKER_PHP_PROCESSES", "1").env(
        "WORKER_PHP_ARGS",
        "-d disable_functions=pcntl_signal,pcntl_alarm,pcntl_async_signals",
    );
    shop.push(
        "MisbehavingJob",
        &json!({"how": "nothing", "tag": "first", "ms": 3500}),
    );
    shop.push(
        "MisbehavingJob",
        &json!({"how": "nothing", "tag": "second", "ms": 3500}),
    );
    shop.push("MisbehavingJob", &json!({"how": "sleeps"}));
    let mut worker = shop.start(&["--timeout=6", "--tries=2", "--backoff=7"]);
    let line = worker.wait_for_line("Released", PATIENCE);
    assert!(
        line.contains("MisbehavingJob") && line.contains("next in 7 s"),
        "{line}"
    );
    let ran: Vec<_> = shop
        .wait_for("ran", 2)
        .into_iter()
        .map(|record| record.tag)
        .collect();
    assert_eq!(
        ran,
        ["first", "second"],
        "those that waited for the process had their own time"
    );
    assert!(shop.site.failed().is_empty());
}

/// A job whose `failed` ends the process has failed all the same, with its own exception.
#[test]
fn a_failed_hook_that_ends_the_process_hides_nothing() {
    let shop = Shop::sqlite();
    shop.misbehave("failsToFail");
    shop.work_off(&[]);
    let text = &shop.failures()["failsToFail"].exception;
    assert!(
        text.starts_with("RuntimeException: And its failed hook ends the process in"),
        "{text}"
    );
    assert_eq!(shop.records("failed").len(), 1, "told once");
}

/// Jobs that end around the moment of their limit have one end each: done, or timed out.
#[test]
fn a_job_at_its_limit_has_one_end() {
    let shop = Shop::sqlite().env("WORKER_PHP_PROCESSES", "4");
    // From 100 ms to 299 ms each.
    let count = 200;
    for (first, ms) in [("--first=0", 100), ("--first=100", 200)] {
        let data = json!({"how": "nothing", "ms": ms});
        let args = ["--queue=default", first, "--count=100", "--bulk"];
        shop.site.laravel.push("MisbehavingJob", &data, &args);
    }
    let dir = harness::Scratch::new();
    let limits = dir.write("worker.toml", "[queues.default]\ntimeout = \"200ms\"\n");
    let worker = shop.worker(&["--concurrency=50"]).env("WORKER_CONFIG", limits);
    let _worker = worker.spawn();
    harness::wait_until(Duration::from_secs(120), || shop.site.jobs("default").is_empty());
    let (ran, failed) = (shop.records("ran").len(), shop.site.failed().len());
    // A job may write its last line and be ended before it can say so; it then counts as failed, once.
    assert!(
        failed > 0 && failed < count && ran + failed >= count,
        "{ran} ran, {failed} failed"
    );
    let mut started: Vec<_> = shop
        .records("started")
        .into_iter()
        .map(|record| record.n)
        .collect();
    let starts = started.len();
    started.sort_unstable();
    started.dedup();
    assert_eq!(started.len(), starts, "none was started twice");
    assert_eq!(
        shop.records("failed").len(),
        failed,
        "each that failed was told once"
    );
}
