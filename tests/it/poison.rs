//! Payloads that cannot be run: each gets its outcome, its bytes are kept, and the next job runs.

mod unknown;
mod unusual;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use harness::DEADLINE;

use crate::site::{Job, on_every_site};

/// Payloads that are no jobs at all, each with words of what it is.
pub(crate) fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("no JSON", text("this is no JSON")),
        (
            "half of it",
            text(r#"{"uuid":"0b1b5f0e-0d6a-4b1e-9d38-8c6f8f1f0001","job":"Ill"#),
        ),
        (
            "two values",
            text(r#"{"job":"A@b","data":[]}{"job":"A@b","data":[]}"#),
        ),
        ("empty", text("")),
        ("white space", text("  \n ")),
        ("a number", text("42")),
        ("null", text("null")),
        ("a list", text(r#"["job"]"#)),
        ("an empty object", text("{}")),
        ("an empty list, as cjson writes it", text("[]")),
        (
            "no job",
            text(r#"{"uuid":"0b1b5f0e-0d6a-4b1e-9d38-8c6f8f1f0002","data":{}}"#),
        ),
        ("a job that is no text", text(r#"{"job":{"a":1},"data":[]}"#)),
        (
            "invalid UTF-8",
            b"{\"job\":\"A@b\",\"data\":\"\xff\xfe\"}".to_vec(),
        ),
        ("invalid UTF-8 outside", b"\xc3\x28".to_vec()),
        ("NUL bytes", b"\0\0\0".to_vec()),
        ("NUL behind", b"{\"job\":\"A@b\",\"data\":[]}\0".to_vec()),
        (
            "nested deeply",
            [b"{\"job\":\"A@b\",\"data\":".to_vec(), vec![b'['; 10_000]].concat(),
        ),
        ("a lone surrogate's half", text(r#"{"job":"\ud800","data":"#)),
    ]
}

/// Whether a text is one JSON object.
fn is_object(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<_, _>>(bytes).is_ok()
}

on_every_site! {
    fn what_is_no_payload_fails_with_its_bytes_kept(site: &Site) {
        let poison = unreadable();
        let bytes: Vec<_> = poison.iter().map(|(_, bytes)| bytes).collect();
        site.push_raw("default", &bytes);
        let mut worker = site.start(&["run", "--queue", "default"]);
        let failed = site.wait_for_failed(poison.len());
        site.wait_for_end_of("default");
        let start = Instant::now();
        let good = site.push("default", &site.slow(0));
        site.wait_for_job(&good);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

        for row in &failed {
            assert!(row.reason().starts_with(r"Worker\UnreadablePayloadException: "), "{}", row.reason());
            assert_eq!((row.connection.as_str(), row.queue.as_str()), (site.connection(), "default"));
        }
        let uuids: HashSet<_> = failed.iter().map(|row| row.uuid.as_str()).collect();
        assert_eq!(uuids.len(), poison.len(), "each has a uuid of its own");
        worker.signal(harness::Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 0, "the worker lives");

        let listed = site.command(&["failed", "--json"]).json();
        let classes = listed.as_array().expect("a list").iter().map(|row| &row["class"]);
        assert_eq!(classes.filter(|class| *class == "(unreadable)").count(), poison.len());

        site.command(&["retry", "all"]).success();
        let back: HashSet<_> = site.queue("default").ready.into_iter().map(|job| job.payload).collect();
        for (what, bytes) in poison.iter().filter(|(_, bytes)| !is_object(bytes)) {
            assert!(back.contains(bytes), "{what}: not the exact bytes");
        }
        let objects = back.iter().filter(|bytes| is_object(bytes)).count();
        assert_eq!((objects, back.len()), (3, poison.len()), "objects get what their store needs");
        assert!(site.failed().is_empty());
    }

    /// A payload whose command is broken is a failure of that job; the payload itself is as good as any.
    fn a_command_that_cannot_be_read_fails_its_job(site: &Site) {
        let whole = Job::new(r"Worker\Bench\Noop");
        let command = |command: &str| {
            let data = serde_json::json!({ "commandName": r"Worker\Bench\Noop", "command": command });
            whole.again().with("data", data)
        };
        let deep = format!("{}i:1;{}", "a:1:{i:0;".repeat(10_000), "}".repeat(10_000));
        let broken = [
            command(""),
            command("O:17:\"Worker\\Bench\\Noop\":1:{s:1:\"a\";"),
            command("O:99:\"Worker\\Bench\\Noop\":0:{}"),
            command("a:999999999:{}"),
            command(&format!("O:17:\"Worker\\Bench\\Noop\":1:{{s:1:\"a\";{deep}}}")),
            command("s:3:\"abc\";"),
            site.slow(0).set("sleepMs", "many"),
            command("eyJpdiI6ImFiYyIsInZhbHVlIjoiYWJjIiwibWFjIjoiYWJjIiwidGFnIjoiIn0="),
        ];
        site.push_all("default", &broken);
        let good = site.push("default", &site.slow(0));
        let _worker = site.start(&["run", "--queue", "default", "--tries", "3"]);
        let failed = site.wait_for_failed(broken.len());
        site.wait_for_job(&good);
        site.wait_for_end_of("default");
        for job in &broken {
            let row = failed.iter().find(|row| row.uuid == job.uuid()).expect("each is recorded");
            assert!(row.reason().starts_with(r"Worker\UnreadablePayloadException: "), "{}", row.reason());
            assert_eq!(row.payload, job.text(site.client().is_some()));
        }
        let encrypted = failed.iter().find(|row| row.uuid == broken[7].uuid()).expect("it is recorded");
        assert!(encrypted.reason().contains("APP_KEY"), "{}", encrypted.reason());
    }
}
