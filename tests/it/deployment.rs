//! What a deployment is made of, checked as far as it can be without a systemd and without an engine.

mod compose;
mod cramped;
mod image;
mod units;

use std::path::{Path, PathBuf};

use harness::Daemon;

use crate::site::WORKER;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
#[track_caller]
fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).expect("the file is there, and text")
}

/// What a setting is where nobody sets it, in seconds.
#[track_caller]
fn default_s(name: &str) -> u64 {
    let config = Daemon::new(WORKER).args(["config", "--json"]).run_to_end().json();
    let settings = config["settings"].as_array().expect("a list of settings");
    let setting = settings.iter().find(|setting| setting["name"] == name);
    let value = setting.expect("it is listed")["value"].as_str().expect("a text");
    seconds(value)
}

/// Seconds, written as `600`, `600s` or `600 s`.
#[track_caller]
fn seconds(text: &str) -> u64 {
    let number = text.trim_end_matches('s').trim_end();
    number.parse().expect("a number of seconds")
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder can be read");
            open.extend(entries.map(|entry| entry.expect("a folder can be read").path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn railway_is_told_what_the_worker_understands() {
    let json: serde_json::Value = serde_json::from_str(&read("railway.json")).expect("it is JSON");
    let deploy = &json["deploy"];
    assert_eq!(deploy["healthcheckPath"], "/livez");
    assert_eq!(deploy["restartPolicyType"], "ALWAYS");
    let draining = deploy["drainingSeconds"].as_u64().expect("a number");
    assert!(draining > default_s("WORKER_DRAIN") + 33, "{draining}");
    let command = deploy["startCommand"].as_str().expect("a command");
    let args = command
        .strip_prefix("/usr/local/bin/worker ")
        .expect("it starts the worker");
    let output = Daemon::new(WORKER)
        .args(args.split(' '))
        .envs([("PORT", "0"), ("QUEUE_CONNECTION", "sync")])
        .run_to_end();
    // It came as far as the connection: the command line and $PORT were understood.
    output.expect_code(78);
    assert!(
        output.stderr.contains("QUEUE_CONNECTION is sync"),
        "{}",
        output.stderr
    );
    assert_eq!(read("Procfile"), "worker: worker run\n");
}
