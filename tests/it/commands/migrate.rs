//! `worker migrate`: the tables that queues need, made once.

use harness::{Daemon, Scratch};
use serde_json::Value;

use crate::site::{Site, WORKER};

/// The results by table, `created` or `exists`.
fn results(json: &Value) -> Vec<(String, String)> {
    let steps = json.as_array().expect("a list of steps").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    steps
        .map(|step| (text(&step["name"]), text(&step["result"])))
        .collect()
}

#[test]
fn a_missing_file_is_made_and_twice_is_once() {
    let dir = Scratch::new();
    let file = dir.join("new.sqlite");
    let worker = |args: &[&str]| {
        let worker = Daemon::new(WORKER)
            .args(args.iter().copied())
            .env("DB_CONNECTION", "sqlite");
        worker
            .env("DB_DATABASE", &file)
            .env("QUEUE_CONNECTION", "database")
            .run_to_end()
    };
    let first = results(&worker(&["migrate", "--json"]).json());
    let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
    for table in [
        "jobs",
        "failed_jobs",
        "job_batches",
        "cache",
        "cache_locks",
        "sessions",
    ] {
        assert!(
            names.iter().any(|name| name.ends_with(&format!("_{table}"))),
            "{names:?}"
        );
    }
    assert!(first.iter().all(|(_, result)| result == "created"), "{first:?}");
    assert!(file.exists());
    worker(&["dispatch", r"Worker\Bench\Noop"]).success();
    worker(&["run", "--stop-when-empty"]).success();

    let second = results(&worker(&["migrate", "--json"]).json());
    assert!(second.iter().all(|(_, result)| result == "exists"), "{second:?}");
    let text = worker(&["migrate"]);
    assert_eq!(
        text.success().matches("exists").count(),
        second.len(),
        "{}",
        text.stdout
    );
}

#[test]
fn laravels_own_tables_stay_as_they_are() {
    let site = Site::sqlite();
    let schema = "select sql from sqlite_master where name in ('jobs', 'failed_jobs', 'cache', 'sessions') order by name";
    let read = || {
        site.database()
            .rows(schema, |row| sqlx::Row::get::<String, _>(row, 0))
    };
    let before = read();
    let made = results(&site.command(&["migrate", "--json"]).json());
    let laravels = made.iter().filter(|(name, _)| !name.contains("_worker_"));
    assert!(
        laravels.into_iter().all(|(_, result)| result == "exists"),
        "{made:?}"
    );
    assert_eq!(read(), before);
}

/// The failed jobs of a Redis application live in SQL, so its database is migrated all the same.
#[test]
fn the_database_is_migrated_whatever_the_queue_is() {
    let dir = Scratch::new();
    let file = dir.join("app.sqlite");
    for connection in ["redis", "sync"] {
        let worker = Daemon::new(WORKER)
            .arg("migrate")
            .env("QUEUE_CONNECTION", connection);
        let worker = worker.env("DB_CONNECTION", "sqlite").env("DB_DATABASE", &file);
        assert!(
            worker.run_to_end().success().contains("0002_failed_jobs"),
            "{connection}"
        );
    }
}

#[test]
fn a_place_that_cannot_be_written_is_said() {
    let dir = Scratch::new();
    let file = dir.write("file", "no directory");
    let worker = Daemon::new(WORKER).arg("migrate").env("DB_CONNECTION", "sqlite");
    let output = worker.env("DB_DATABASE", file.join("app.sqlite")).run_to_end();
    output.expect_code(69);
    assert!(
        output.stderr.starts_with("worker: failed to "),
        "{}",
        output.stderr
    );
}

#[test]
fn an_index_is_made_when_asked_for() {
    let site = Site::sqlite();
    for expected in ["created", "exists"] {
        let made = results(&site.command(&["migrate", "--indexes", "--json"]).json());
        assert_eq!(made.last(), Some(&("indexes".to_owned(), expected.to_owned())));
    }
}

#[test]
fn notify_is_for_postgresql() {
    for flag in ["--notify", "--drop-notify"] {
        let refused = Site::sqlite().command(&["migrate", flag]);
        refused.expect_code(78);
        assert!(refused.stderr.contains("is for PostgreSQL"), "{}", refused.stderr);
    }
}
