//! The units of systemd.

use std::process::Command;

use harness::{Scratch, run_to_end};

use super::{default_s, read, seconds};
use crate::site::WORKER;

/// The units, and the most exposure that each may have, in tenths.
const UNITS: [(&str, &str); 2] = [("worker.service", "20"), ("worker-php.service", "35")];

/// The values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value)
        .collect()
}

/// The one value of a key.
#[track_caller]
fn value<'a>(unit: &'a str, key: &str) -> &'a str {
    let values = values(unit, key);
    assert_eq!(values.len(), 1, "{key}: {values:?}");
    values[0]
}

/// A unit that starts the binary of this build, since the installed one is not there.
fn installed(dir: &Scratch, name: &str) -> String {
    let text = read(&format!("systemd/{name}")).replace("/usr/local/bin/worker", WORKER);
    let path = dir.write(name, text);
    path.to_str()
        .expect("a temporary directory has a plain name")
        .to_owned()
}

fn analyze(args: &[&str]) -> harness::Output {
    let mut command = Command::new("systemd-analyze");
    command
        .args(args)
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "");
    run_to_end("systemd-analyze", command, b"")
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let dir = Scratch::new();
    for (name, _) in UNITS {
        let output = analyze(&["verify", &installed(&dir, name)]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{name}");
    }
}

#[test]
fn the_units_are_tight() {
    let dir = Scratch::new();
    for (name, most) in UNITS {
        let threshold = format!("--threshold={most}");
        let output = analyze(&["security", "--offline=true", &threshold, &installed(&dir, name)]);
        assert_eq!(output.code, 0, "{name}: {}", output.stdout);
        assert!(
            output.stdout.contains("Overall exposure level"),
            "{name}: {}",
            output.stdout
        );
    }
}

#[test]
fn the_times_of_the_units_fit_those_of_the_worker() {
    let (drain, start) = (default_s("WORKER_DRAIN"), default_s("WORKER_START_WAIT"));
    for (name, _) in UNITS {
        let unit = read(&format!("systemd/{name}"));
        // Cutting off takes up to 3 s, the last verdicts up to 30 s.
        assert!(seconds(value(&unit, "TimeoutStopSec")) > drain + 33, "{name}");
        assert!(seconds(value(&unit, "TimeoutStartSec")) > start, "{name}");
        assert!(seconds(value(&unit, "WatchdogSec")) >= 30, "{name}");
        let wanted = [
            ("Type", "notify"),
            ("NotifyAccess", "main"),
            ("Restart", "always"),
            ("RestartPreventExitStatus", "2 78"),
            ("KillMode", "mixed"),
            ("OOMPolicy", "continue"),
            ("ProtectSystem", "strict"),
            ("NoNewPrivileges", "true"),
            ("CapabilityBoundingSet", ""),
            ("EnvironmentFile", "/etc/worker/worker.env"),
        ];
        for (key, wanted) in wanted {
            assert_eq!(value(&unit, key), wanted, "{name}: {key}");
        }
    }
}

/// PHP's JIT needs memory that is writable and executable, and its jobs write where Laravel writes.
#[test]
fn php_may_do_what_it_must() {
    let (native, php) = (read("systemd/worker.service"), read("systemd/worker-php.service"));
    assert_eq!(values(&native, "MemoryDenyWriteExecute"), ["true"]);
    assert!(values(&php, "MemoryDenyWriteExecute").is_empty());
    let paths = value(&php, "ReadWritePaths");
    for path in ["/storage", "/bootstrap/cache"] {
        assert!(paths.contains(path), "{paths}");
    }
    for (name, value) in native.lines().filter_map(|line| line.split_once('=')) {
        let differs = [
            "Description",
            "ReadWritePaths",
            "UMask",
            "MemoryDenyWriteExecute",
            "SystemCallFilter",
        ];
        if !name.starts_with('#') && !differs.contains(&name) {
            assert!(
                values(&php, name).contains(&value),
                "worker-php.service has another {name}"
            );
        }
    }
}
