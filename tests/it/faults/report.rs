//! What was done to the worker and what came of it, one line per test, for docs/reliability/report.md.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Instant;

use serde_json::json;

use super::oracle::Tally;
use super::stage::Stage;

/// How often to do something: the first number in the gate, the second one in the long form.
pub(crate) fn how_many(short: usize, long: usize) -> usize {
    match harness::env_var("FAULTS_LONG") {
        Some(_) => long,
        None => short,
    }
}

/// One fault on one store while it is being done.
pub(crate) struct Deed {
    fault: &'static str,
    store: &'static str,
    began: Instant,
}

impl Deed {
    /// Begins: `fault` is the number in the table, as `F12`.
    pub(crate) fn on(stage: &Stage, fault: &'static str) -> Self {
        Self {
            fault,
            store: stage.kind(),
            began: Instant::now(),
        }
    }

    /// Writes down how often the fault was done and what the oracle counted.
    pub(crate) fn done(self, injected: usize, tally: &Tally) {
        let found = tally.done + tally.failed + tally.waiting;
        // A test's thread has its name, such as `faults::kills::redis::kills_lose_nothing`.
        let thread = std::thread::current();
        let test = thread.name().and_then(|name| name.rsplit("::").next());
        let line = json!({
            "fault": self.fault,
            "what": test.unwrap_or_default().replace('_', " "),
            "store": self.store,
            "injected": injected,
            "jobs": tally.pushed,
            "done": tally.done,
            "failed": tally.failed,
            "ran_again": tally.doubled,
            "lost": tally.pushed - found,
            "seconds": self.began.elapsed().as_secs(),
        });
        println!("{line}");
        if let Some(path) = harness::env_var("FAULTS_REPORT") {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            let mut file = file.expect("FAULTS_REPORT can be written");
            file.write_all(format!("{line}\n").as_bytes())
                .expect("FAULTS_REPORT can be written");
        }
    }
}
