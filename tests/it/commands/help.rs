//! Help, completions, Laravel's own names, and output that nobody reads.

use std::process::{Command, Stdio};

use harness::{DEADLINE, Daemon};

use crate::site::{Job, WORKER, on_every_site};

/// Every command.
const COMMANDS: [&str; 25] = [
    "run",
    "run-job",
    "work",
    "demo",
    "dispatch",
    "inspect",
    "status",
    "monitor",
    "doctor",
    "failed",
    "retry",
    "retry-batch",
    "forget",
    "flush",
    "prune-failed",
    "prune-batches",
    "move",
    "clear",
    "restart",
    "pause",
    "resume",
    "migrate",
    "config",
    "bench",
    "completions",
];

fn worker(args: &[&str]) -> Daemon {
    Daemon::new(WORKER).args(args.iter().copied())
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let overview = worker(&["--help"]).run_to_end();
    for command in COMMANDS {
        assert!(
            overview.success().contains(&format!("\n  {command} ")),
            "{command} is not listed"
        );
        let help = worker(&[command, "--help"]).run_to_end();
        let text = help.success();
        assert!(
            text.contains(&format!("Usage: worker {command}")),
            "{command}: {text}"
        );
        assert!(text.contains("Example"), "{command} shows no example: {text}");
        assert!(help.stderr.is_empty());
    }
    let listed = overview
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let others: Vec<_> = names
        .filter(|name| !name.is_empty() && *name != "help" && !COMMANDS.contains(name))
        .collect();
    assert!(others.is_empty(), "missing from this test: {others:?}");
}

#[test]
fn the_version_is_told() {
    let output = worker(&["--version"]).run_to_end();
    assert_eq!(
        output.success(),
        format!("worker {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn nothing_asked_is_wrong_usage() {
    let output = worker(&[]).run_to_end();
    output.expect_code(2);
    assert!(output.stderr.contains("Usage: worker"), "{}", output.stderr);
}

#[test]
fn shells_are_completed() {
    for (shell, word) in [
        ("bash", "complete "),
        ("zsh", "#compdef worker"),
        ("fish", "complete -c worker"),
    ] {
        let script = worker(&["completions", shell]).run_to_end();
        assert!(script.success().contains(word), "{shell}");
        assert!(script.stdout.contains("einvoice") || script.stdout.contains("dispatch"));
    }
    worker(&["completions", "cmd"]).run_to_end().expect_code(2);
}

on_every_site! {
    fn artisans_names_work(site: &Site) {
        let job = Job::broken();
        site.push("default", &job);
        site.push("default", &Job::new("A"));
        let once = ["queue:work", "--once", "--sleep=1", "--tries=1", "--name=first", "--daemon", "--env=local"];
        let output = site.command(&once);
        output.success();
        for flag in ["--name is known to Laravel", "--daemon is known to Laravel"] {
            assert!(output.stderr.contains(flag), "{flag}: {}", output.stderr);
        }
        assert!(site.command(&["queue:failed"]).success().contains(job.uuid()));
        site.command(&["queue:retry", "all"]).success();
        assert!(site.failed().is_empty());
        site.command(&["queue:forget", "17"]).expect_code(1);
        site.command(&["queue:flush", "--hours=48"]).success();
        site.command(&["queue:clear", site.connection(), "--queue=default"]).success();
        assert_eq!(site.queue("default").len(), 0);
        site.command(&["queue:pause", "default"]).success();
        site.command(&["queue:resume", "default"]).success();
        site.command(&["queue:continue", "default"]).success();
        site.command(&["queue:restart"]).success();
    }

    /// As with `| head -1`: the reader is gone before all is written.
    fn a_closed_pipe_is_no_fault(site: &Site) {
        site.push_all("default", &Job::broken().times(3));
        site.command(&["run", "--stop-when-empty"]).success();
        let commands: [&[&str]; 8] = [
            &["--help"],
            &["status"],
            &["status", "--json"],
            &["failed"],
            &["config"],
            &["migrate"],
            &["completions", "bash"],
            &["dispatch", "A", "--count", "3"],
        ];
        for args in commands {
            let (reader, writer) = std::io::pipe().expect("a pipe can be made");
            drop(reader);
            let output = Command::new(WORKER)
                .args(args)
                .env_clear()
                .envs(site.env())
                .stdin(Stdio::null())
                .stdout(writer)
                .output()
                .expect("the binary runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), &*said), (Some(0), ""), "{args:?}");
        }
        assert_eq!(site.queue("default").ready.len(), 3, "what was asked for is done");
    }

    fn json_lines_are_those_of_queue_work(site: &Site) {
        let good = site.push("default", &site.slow(0));
        let flaky = Job::new(r"Worker\Demo\Flaky").with("maxTries", 2);
        site.push("default", &flaky);
        site.push("default", &Job::broken());
        let output = site.command(&["work", "--stop-when-empty", "--json", "--concurrency", "1"]);
        let lines: Vec<serde_json::Value> = output.success().lines().map(crate::site::log_line).collect();
        let of = |uuid: &str| lines.iter().filter(|line| line["uuid"] == uuid).collect::<Vec<_>>();
        let names: Vec<_> = of(&good)[1].as_object().expect("an object").keys().map(String::as_str).collect();
        let expected = [
            "level", "id", "uuid", "connection", "queue", "job", "status", "result", "attempts", "timestamp", "duration",
        ];
        assert_eq!(names, expected);
        let statuses = |uuid: &str| of(uuid).iter().map(|line| line["status"].clone()).collect::<Vec<_>>();
        assert_eq!(statuses(&good), ["starting", "success"]);
        assert_eq!(statuses(flaky.uuid()), ["starting", "released_after_exception", "starting", "success"]);
        assert!(lines.iter().any(|line| line["status"] == "failed" && line["exception"].is_string()));
    }
}

#[test]
fn a_connection_that_is_not_there_is_refused() {
    let site = crate::site::Site::sqlite();
    for args in [
        ["run", "rabbit"],
        ["work", "rabbit"],
        ["status", "rabbit"],
        ["clear", "rabbit"],
    ] {
        let output = site.command(&args);
        output.expect_code(78);
        assert!(
            output.stderr.contains("rabbit") || output.stderr.contains("connection"),
            "{}",
            output.stderr
        );
    }
    let mut worker = site.start(&["work", "database"]);
    worker.wait_for_line("Lane default", DEADLINE);
    assert!(
        !worker.lines().iter().any(|line| line.contains("Lane high")),
        "the connection's own queue only"
    );
}
