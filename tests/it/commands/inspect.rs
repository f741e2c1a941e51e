//! `worker inspect`: what is in a payload, or where it cannot be read.

use harness::Daemon;
use serde_json::json;

use crate::site::{Job, WORKER};

fn inspect(input: impl Into<Vec<u8>>) -> harness::Output {
    Daemon::new(WORKER).arg("inspect").input(input).run_to_end()
}

#[test]
fn a_payload_from_a_file_or_from_standard_input() {
    let job = Job::new(r"App\Jobs\CloseDay")
        .set("\0*\0companyId", 7)
        .with("backoff", "5,10")
        .with("maxTries", 3);
    let shown = inspect(job.text(true)).json();
    assert_eq!(shown["uuid"], job.uuid());
    assert_eq!((&shown["maxTries"], &shown["attempts"]), (&json!(3), &json!(0)));
    assert_eq!(
        (&shown["backoff"], &shown["encrypted"]),
        (&json!([5, 10]), &json!(false))
    );
    let command = json!({ "class": r"App\Jobs\CloseDay", "properties": { "companyId": 7 } });
    assert_eq!(shown["command"], command);

    let dir = harness::Scratch::new();
    let file = dir.write("payload.json", job.text(true));
    let of_file = Daemon::new(WORKER).arg("inspect").arg(file).run_to_end();
    assert_eq!(of_file.json(), shown);
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let nested = [b"{\"job\":".as_slice(), &[b'['; 100_000]].concat();
    let cases: [(&[u8], &str); 7] = [
        (b"", "at byte 0"),
        (b"{\"a\":", "at byte 5"),
        (b"{\"job\":\"A@b\"} x", "at byte 14"),
        (b"garbage", "at byte 0"),
        (b"{\"job\":\"\xff\"}", "at byte 8"),
        (b"[1]", "at byte 0"),
        (&nested, "at byte "),
    ];
    for (input, place) in cases {
        let output = inspect(input);
        output.expect_code(65);
        assert!(output.stderr.contains(place), "{place}: {}", output.stderr);
        assert_eq!((output.stdout.as_str(), output.stderr.lines().count()), ("", 1));
    }
    let missing = Daemon::new(WORKER).args(["inspect", "/nonexistent"]).run_to_end();
    missing.expect_code(65);
}

#[test]
fn a_broken_command_is_said_with_its_place_too() {
    let payload = Job::new("A").with(
        "data",
        json!({ "commandName": "A", "command": "O:1:\"A\":1:{s:1:\"a\";i:" }),
    );
    let output = inspect(payload.text(true));
    output.expect_code(65);
    assert!(output.stderr.contains("at byte "), "{}", output.stderr);
}

/// Looking at a payload needs no settings, so a broken one does not stand in the way.
#[test]
fn settings_do_not_matter() {
    let broken = Daemon::new(WORKER)
        .arg("inspect")
        .env("WORKER_LEASE", "long")
        .env("QUEUE_CONNECTION", "redis");
    broken.input(Job::new("A").text(false)).run_to_end().success();
}
