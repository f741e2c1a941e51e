//! Starts that fail, and starts that wait.

use harness::{DEADLINE, Daemon, Scratch, Signal};

use crate::site::{Site, WORKER};

#[test]
fn a_store_that_does_not_answer_ends_the_start() {
    let mut site = Site::own_redis();
    site.server().kill();
    let worker = site.worker(&["run"]).env("WORKER_START_WAIT", "1");
    let output = worker.run_to_end();
    output.expect_code(69);
    assert!(
        output
            .stderr
            .contains("Waiting up to 1 s for the store of connection redis"),
        "{}",
        output.stderr
    );
    assert!(
        output
            .stderr
            .contains("the store of connection redis cannot be used: "),
        "{}",
        output.stderr
    );
}

#[test]
fn a_database_that_is_not_there_ends_the_start() {
    let dir = Scratch::new();
    let worker = Daemon::new(WORKER).arg("run").env("QUEUE_CONNECTION", "database");
    let file = dir.join("missing.sqlite");
    let worker = worker
        .env("DB_CONNECTION", "sqlite")
        .env("DB_DATABASE", &file)
        .env("WORKER_START_WAIT", "1");
    let output = worker.run_to_end();
    output.expect_code(69);
    assert!(!file.exists(), "only worker migrate makes a database");
}

#[test]
fn a_store_that_comes_up_late_is_waited_for() {
    let mut site = Site::own_redis();
    let early = site.push("default", &site.slow(0));
    site.server().kill();
    let mut worker = site.worker(&["run"]).spawn();
    worker.wait_for_line("Waiting up to 120 s for the store of connection redis", DEADLINE);
    site.server().restart();
    worker.wait_for_line("consumes connection redis", DEADLINE);
    site.wait_for_job(&early);
    worker.signal(Signal::Term);
    assert_eq!(worker.wait_exit(DEADLINE), 0);
}

#[test]
fn with_sync_there_is_nothing_to_consume() {
    let output = Daemon::new(WORKER)
        .arg("run")
        .env("QUEUE_CONNECTION", "sync")
        .run_to_end();
    output.expect_code(78);
    assert!(
        output
            .stderr
            .contains("QUEUE_CONNECTION is sync: the application runs its jobs itself"),
        "{}",
        output.stderr
    );
}

#[test]
fn all_wrong_values_are_said_at_once_and_no_secret() {
    let worker = Daemon::new(WORKER).args(["run", "--tries", "1"]).envs([
        ("QUEUE_CONNECTION", "rabbit"),
        ("REDIS_PORT", "hunter2"),
        ("REDIS_URL", "redis://u:hunter2/x@h"),
        ("APP_KEY", "base64:hunter2"),
        ("WORKER_LEASE", "hunter2"),
        ("WORKER_HTTP", "hunter2"),
        ("DB_PASSWORD", "hunter2"),
    ]);
    let output = worker.args(["--backoff", "hunter2"]).run_to_end();
    output.expect_code(78);
    let names = [
        "QUEUE_CONNECTION",
        "REDIS_URL",
        "APP_KEY",
        "WORKER_LEASE",
        "WORKER_HTTP",
        "--backoff",
    ];
    for name in names {
        assert!(
            output.stderr.contains(name),
            "{name} is missing: {}",
            output.stderr
        );
    }
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    assert!(output.stderr.contains("allowed: "), "{}", output.stderr);
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_usage_is_another_code() {
    for args in [
        &["run", "--concurrency", "many"][..],
        &["walk"],
        &["run", "--no-such-flag"],
    ] {
        let output = Daemon::new(WORKER).args(args.iter().copied()).run_to_end();
        output.expect_code(2);
        assert!(output.stderr.contains("error: "), "{}", output.stderr);
    }
}

/// With nothing of an application configured, the worker makes a file of its own and serves it.
#[test]
fn with_nothing_configured_it_serves_a_file_of_its_own() {
    let worker = Daemon::new(WORKER);
    let dispatch = worker.args(["dispatch", r"Worker\Bench\Noop"]);
    let dir = dispatch.dir().to_owned();
    dispatch.run_to_end().success();
    assert!(dir.join("worker.sqlite").exists());
    let run = Daemon::new(WORKER)
        .args(["run", "--stop-when-empty"])
        .current_dir(&dir);
    let output = run.run_to_end();
    output.success();
    assert!(
        output
            .stderr
            .contains("Processed Worker\\\\Bench\\\\Noop on default"),
        "{}",
        output.stderr
    );
}
