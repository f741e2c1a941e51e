//! `--json`: one document on standard output from every command that prints something.

use serde_json::{Value, json};

use crate::site::{Job, on_every_site};

on_every_site! {
    fn what_commands_did_can_be_read_by_machines(site: &Site) {
        let connection = site.connection();
        let run = |args: &[&str]| site.command(&[args, &["--json"]].concat());
        let made = run(&["dispatch", "A", "--count", "2", "--queue", "high"]).json();
        assert_eq!((&made["connection"], &made["queue"]), (&json!(connection), &json!("high")));
        let uuids: Vec<String> = site.queue("high").ready.iter().map(crate::site::Lying::uuid).collect();
        assert_eq!(made["uuids"], json!(uuids));
        let cleared = run(&["clear", "--queue", "high,default"]).json();
        let queues = json!([{ "queue": "high", "removed": 2 }, { "queue": "default", "removed": 0 }]);
        assert_eq!(cleared, json!({ "connection": connection, "queues": queues }));
        let paused = json!({ "connection": connection, "queue": "high", "paused": true });
        assert_eq!(run(&["pause", "high"]).json(), paused);
        let resumed = json!({ "connection": null, "queue": null, "paused": false });
        assert_eq!(run(&["resume", "--all"]).json(), resumed);
        assert_eq!(run(&["restart"]).json(), json!({ "restart": true }));
        for args in [&["status"][..], &["failed"], &["migrate"], &["config"], &["monitor", "high"], &["prune-failed"]] {
            let document = run(args).json();
            assert!(document.is_object() || document.is_array(), "{args:?}: {document}");
        }
    }

    fn failures_are_told_too(site: &Site) {
        let jobs = Job::broken().times(3);
        site.push_all("default", &jobs);
        site.command(&["run", "--stop-when-empty"]).success();
        let run = |args: &[&str]| site.command(&[args, &["--json"]].concat());
        let retried = run(&["retry", jobs[0].uuid(), "nobody"]);
        let expected = json!({ "retried": [jobs[0].uuid()], "unknown": ["nobody"], "gone": [], "unconfigured": [] });
        assert_eq!(retried.json(), expected);
        assert_eq!(run(&["forget", jobs[1].uuid()]).json(), json!({ "removed": 1 }));
        let none = run(&["forget", "nobody"]);
        none.expect_code(1);
        assert_eq!(serde_json::from_str::<Value>(&none.stdout).ok(), Some(json!({ "removed": 0 })));
        assert_eq!(run(&["flush"]).json(), json!({ "removed": 1 }));
        assert_eq!(run(&["retry", "all"]).json()["retried"], json!([]));
    }
}

/// Nothing but the document is printed, also where a person would watch.
#[test]
fn the_demo_sums_up() {
    let dir = harness::Scratch::new();
    let path = dir.join("demo").display().to_string();
    let args = ["demo", "--json", "--dir", &path];
    let output = harness::Daemon::new(crate::site::WORKER).args(args).run_to_end();
    let told = output.json();
    let queues = told["queues"].as_array().expect("queues");
    let sum = |name: &str| {
        queues
            .iter()
            .filter_map(|queue| queue[name].as_u64())
            .sum::<u64>()
    };
    assert_eq!(
        (queues.len(), sum("jobs"), sum("done"), sum("failed")),
        (5, 64, 63, 1)
    );
    assert!(
        told["file"].as_str().is_some_and(|file| file.starts_with(&path)),
        "{told}"
    );
}
