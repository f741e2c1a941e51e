//! `worker config`: every setting and its origin, and no secret.

use harness::{Daemon, Scratch};
use serde_json::Value;

use crate::site::WORKER;

/// Value and origin of a setting.
fn setting(json: &Value, name: &str) -> (String, String) {
    let settings = json["settings"].as_array().expect("a list of settings");
    let setting = settings
        .iter()
        .find(|setting| setting["name"] == name)
        .expect("it is listed");
    let text = |member: &str| setting[member].as_str().expect("a text").to_owned();
    (text("value"), text("from"))
}

fn worker(dir: &Scratch, args: &[&str]) -> Daemon {
    Daemon::new(WORKER)
        .arg("config")
        .args(args.iter().copied())
        .current_dir(dir.path())
}

#[test]
fn origins_are_told_and_secrets_are_not() {
    let dir = Scratch::new();
    let key = "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let dotenv =
        format!("APP_NAME=Facturino\nQUEUE_CONNECTION=redis\nAPP_KEY={key}\nREDIS_PASSWORD=hunter2\n");
    dir.write(
        ".env",
        format!("{dotenv}DB_CONNECTION=sqlite\nDB_DATABASE=app.sqlite\n"),
    );
    dir.write("worker.toml", "[queues.banking]\ntimeout = 150\n");
    let output = worker(&dir, &["--json"])
        .env("WORKER_LEASE", "30")
        .env("REDIS_URL", "redis://user:hunter2@cache.internal:6380/2")
        .env("WORKER_LEAES", "1")
        .run_to_end();
    let json = output.json();
    assert_eq!(
        setting(&json, "APP_NAME"),
        ("Facturino".into(), ".env, line 1".into())
    );
    assert_eq!(
        setting(&json, "WORKER_LEASE"),
        ("30 s".into(), "environment".into())
    );
    assert_eq!(setting(&json, "WORKER_DRAIN"), ("600 s".into(), "default".into()));
    assert_eq!(
        setting(&json, "queues.banking.timeout"),
        ("150 s".into(), "worker.toml, line 2".into())
    );
    assert_eq!(setting(&json, "APP_KEY").0, "********");
    assert_eq!(setting(&json, "REDIS_PASSWORD").0, "********");
    assert!(
        setting(&json, "REDIS_URL").0.contains("cache.internal"),
        "the host is no secret"
    );
    assert!(
        json["warnings"].to_string().contains("WORKER_LEAES"),
        "{}",
        json["warnings"]
    );
    assert_eq!(json["files"].as_array().map(Vec::len), Some(2));

    let text = worker(&dir, &[])
        .env("REDIS_URL", "redis://user:hunter2@h")
        .run_to_end();
    assert!(
        text.success()
            .lines()
            .any(|line| line.starts_with("APP_NAME") && line.ends_with("(.env, line 1)"))
    );
    for output in [&output, &text] {
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(!all.contains("hunter2") && !all.contains("AAAA"), "{all}");
    }
}

#[test]
fn mistakes_are_listed_instead() {
    let dir = Scratch::new();
    dir.write("worker.toml", "[queues.high]\ntimeout = \"soon\"\nspeed = 9\n");
    let output = worker(&dir, &[]).env("WORKER_DRAIN", "hunter2").run_to_end();
    output.expect_code(78);
    for what in [
        "WORKER_DRAIN",
        "timeout",
        "speed",
        "worker.toml, line 2",
        "worker.toml, line 3",
    ] {
        assert!(output.stderr.contains(what), "{what}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}
