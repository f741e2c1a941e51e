//! `worker demo` and `worker bench`: what a newcomer types first, and what measures.

use harness::{Daemon, RedisOptions, RedisServer, Scratch};

fn worker() -> Daemon {
    Daemon::new(env!("CARGO_BIN_EXE_worker"))
}

/// The environment says things that would stop any other command.
#[test]
fn the_demo_works_whatever_the_environment_says() {
    let scratch = Scratch::new();
    let dir = scratch.join("demo");
    let output = worker()
        .args(["demo", "--dir"])
        .arg(dir.clone())
        .env("QUEUE_CONNECTION", "sync")
        .env("DB_CONNECTION", "nonsense")
        .env("REDIS_HOST", "192.0.2.1")
        .env("WORKER_LEASE", "soon")
        .run_to_end();
    let text = output.success();
    for line in [
        "Dispatched 64 sample jobs on 5 queues",
        "Worker\\Demo\\Flaky failed once, next try in 1 s",
        "Worker\\Demo\\Flaky done on try 2",
        "Worker\\Demo\\Broken failed for good",
        "64 jobs,",
        "What to type next:",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    let failed = worker()
        .args(["failed", "--json"])
        .env("QUEUE_CONNECTION", "database")
        .env("DB_CONNECTION", "sqlite")
        .env("DB_DATABASE", dir.join("demo.sqlite"))
        .run_to_end();
    let rows = failed.json();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(rows[0]["queue"], "einvoice");
    assert_eq!(rows[0]["class"], "Worker\\Demo\\Broken");
}

#[test]
fn the_demo_starts_afresh_each_time() {
    let scratch = Scratch::new();
    let dir = scratch.join("demo");
    for _ in 0..2 {
        let output = worker().args(["demo", "--dir"]).arg(dir.clone()).run_to_end();
        assert!(output.success().contains("64 jobs,"));
    }
}

/// Small numbers: that it measures and that each job runs once, not how fast.
#[test]
fn the_bench_measures_redis_and_leaves_nothing_behind() {
    let server = RedisServer::start(RedisOptions::default());
    let output = worker()
        .args(["bench", "--store", "redis", "--jobs", "2000", "--json"])
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", server.port().to_string())
        .run_to_end();
    let figures = output.json();
    assert_eq!(figures["jobs"], 2000);
    for figure in [
        "drain_per_s",
        "latency_p50_ms",
        "resident_mb",
        "idle_commands_per_s",
    ] {
        assert!(
            figures[figure].as_f64().is_some_and(|value| value > 0.0),
            "{figure} in {figures}"
        );
    }
    let idle = figures["idle_commands_per_s"].as_f64().unwrap_or(f64::MAX);
    assert!(idle < 3.0, "{idle} commands per second while idle");
    // What the last reservation took is written down for as long as a lease.
    let redis = server.redis().with_prefix("");
    for key in redis.keys() {
        assert!(key.contains("worker:taken:"), "{key}");
        let left_s: i64 = redis.query(&["TTL", &key]);
        assert!(left_s != -1 && left_s <= 60, "{key}: {left_s}");
    }
}

#[test]
fn the_bench_measures_sqlite() {
    let figures = worker()
        .args(["bench", "--jobs", "2000", "--json"])
        .run_to_end()
        .json();
    assert_eq!(figures["store"], "sqlite");
    assert!(
        figures["drain_per_s"].as_f64().is_some_and(|rate| rate > 0.0),
        "{figures}"
    );
}
