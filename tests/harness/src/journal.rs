//! What jobs wrote down while they ran.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::wait::{DEADLINE, poll};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// `ran`, `started`, `failed` or `caught`.
    pub event: String,
    /// The class.
    pub job: String,
    /// The job's uuid, where the framework tells it.
    pub uuid: Option<String>,
    /// The queue from which it came.
    pub queue: Option<String>,
    /// The number of the attempt, from 1.
    pub attempts: Option<u64>,
    /// The label that the test gave.
    pub tag: String,
    /// The number that the test gave.
    pub n: u64,
    /// Unix time in seconds when it began.
    pub start: f64,
    /// Unix time in seconds when it was written down.
    pub end: f64,
    /// The process that ran it.
    pub pid: u64,
    /// What else the job wrote: its properties, or what it failed with.
    pub data: Value,
}

impl Record {
    fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let number = |name: &str| value[name].as_u64();
        Self {
            event: text("event").expect("each record names its event"),
            job: text("job").expect("each record names its job"),
            uuid: text("uuid"),
            queue: text("queue"),
            attempts: number("attempts"),
            tag: text("tag").unwrap_or_default(),
            n: number("n").unwrap_or_default(),
            start: value["start"].as_f64().expect("each record has a start"),
            end: value["end"].as_f64().expect("each record has an end"),
            pid: number("pid").expect("each record names its process"),
            data: value["data"].clone(),
        }
    }
}

/// A file to which jobs append one JSON object per line.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All records, in the order in which they were written.
    pub fn records(&self) -> Vec<Record> {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        // A line without its end is still being written.
        text.split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(Record::read)
            .collect()
    }

    /// The records of jobs that ran to their end, or threw.
    pub fn ran(&self) -> Vec<Record> {
        self.records()
            .into_iter()
            .filter(|record| record.event == "ran")
            .collect()
    }

    /// Waits until the records satisfy `condition`, and returns them.
    ///
    /// # Panics
    ///
    /// When they do not within `deadline`; the records are shown.
    #[track_caller]
    pub fn wait_until(&self, deadline: Duration, condition: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let found = poll(deadline, || {
            let records = self.records();
            condition(&records).then_some(records)
        });
        found.unwrap_or_else(|| panic!("not within {deadline:?}; the journal says {:#?}", self.records()))
    }

    /// Waits until `count` runs are recorded, and returns them.
    ///
    /// # Panics
    ///
    /// When there are fewer after [`DEADLINE`].
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Record> {
        self.wait_until(DEADLINE, |records| {
            records.iter().filter(|record| record.event == "ran").count() >= count
        });
        self.ran()
    }
}
