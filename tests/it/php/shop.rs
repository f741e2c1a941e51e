//! An installation whose jobs run in PHP processes of this worker.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use harness::{Daemon, FailedRow, Record, Running, Scratch, poll, wait_until};
use serde_json::{Value, json};

use crate::laravel::site::Site;

/// How long a test waits for what needs PHP processes: each takes a second of processor time to boot, and all tests
/// boot theirs at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The installation.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) site: Site,
}

impl Shop {
    /// Queues and cache in Redis, failed jobs in SQLite.
    pub(crate) fn redis() -> Self {
        Self::with(Site::redis())
    }

    /// Everything in one SQLite file.
    pub(crate) fn sqlite() -> Self {
        Self::with(Site::sqlite())
    }

    fn with(site: Site) -> Self {
        let root = site.laravel.root().display().to_string();
        Self {
            site: site.env("WORKER_LARAVEL_PATH", &root),
        }
    }

    /// With a variable that both sides see.
    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        Self {
            site: self.site.env(name, value),
        }
    }

    /// Pushes one job of `App\Jobs\MisbehavingJob` and returns nothing: its tag is what it does.
    pub(crate) fn misbehave(&self, how: &str) {
        self.push("MisbehavingJob", &json!({ "how": how }));
    }

    /// Pushes one job to the queue `default`.
    pub(crate) fn push(&self, class: &str, data: &Value) {
        self.site.laravel.push(class, data, &["--queue=default"]);
    }

    /// The worker on the queue `default`, not started.
    pub(crate) fn worker(&self, args: &[&str]) -> Daemon {
        let args = [&["run", "--queue=default"], args].concat();
        self.site.worker(&args)
    }

    /// Starts the worker on the queue `default`.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut worker = self.worker(args).spawn();
        worker.wait_for_line("Lane default", PATIENCE);
        worker
    }

    /// Works off what is there.
    #[track_caller]
    pub(crate) fn work_off(&self, args: &[&str]) {
        let args = [&["--stop-when-empty"], args].concat();
        self.worker(&args).run_to_end().success();
    }

    /// What jobs wrote down of this event.
    pub(crate) fn records(&self, event: &str) -> Vec<Record> {
        let mut records = self.site.laravel.journal().records();
        records.retain(|record| record.event == event);
        records
    }

    /// Waits until an event was written down so often.
    #[track_caller]
    pub(crate) fn wait_for(&self, event: &str, count: usize) -> Vec<Record> {
        let found = poll(PATIENCE, || {
            Some(self.records(event)).filter(|records| records.len() >= count)
        });
        let journal = self.site.laravel.journal();
        assert!(
            found.is_some(),
            "not {count} times {event}: {:#?}",
            journal.records()
        );
        found.unwrap_or_default()
    }

    /// Failed jobs by what they did.
    pub(crate) fn failures(&self) -> BTreeMap<String, FailedRow> {
        let how = |row: &FailedRow| {
            let payload: Value = serde_json::from_str(&row.payload).expect("the payload is JSON");
            let command = payload["data"]["command"].as_str().unwrap_or_default().to_owned();
            let after = command.split("s:3:\"how\";s:").nth(1).unwrap_or_default();
            after.split('"').nth(1).unwrap_or_default().to_owned()
        };
        let rows = self.site.failed().into_iter();
        rows.map(|row| (how(&row), row)).collect()
    }

    /// Waits until so many jobs have failed.
    #[track_caller]
    pub(crate) fn wait_for_failures(&self, count: usize) {
        wait_until(PATIENCE, || self.site.failed().len() >= count);
    }
}

/// A copy of the application that a test may break.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) dir: Scratch,
}

impl Copy {
    /// Copies what is at `root`.
    pub(crate) fn of(root: &Path) -> Self {
        let copy = Self { dir: Scratch::new() };
        copy.add(root, Path::new(""));
        copy
    }

    fn add(&self, root: &Path, below: &Path) {
        for entry in std::fs::read_dir(root.join(below)).expect("the application is there") {
            let entry = entry.expect("it can be read");
            let name = below.join(entry.file_name());
            if entry.path().is_dir() {
                self.add(root, &name);
            } else {
                self.dir
                    .write(&name, std::fs::read(entry.path()).expect("a file can be read"));
            }
        }
    }

    /// An installation of the copy, on Redis.
    pub(crate) fn shop(&self) -> Shop {
        Shop::redis().env("WORKER_LARAVEL_PATH", &self.dir.path().display().to_string())
    }
}

/// The children of a process, by its own word, and theirs.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = text
                .split_ascii_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok());
            for child in children {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

/// Whether a process runs; a zombie does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
        !state.starts_with(['Z', 'X'])
    })
}
