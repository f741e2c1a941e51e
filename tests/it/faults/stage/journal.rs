//! What the jobs of a stage wrote down while they ran.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::Stage;

/// A line that a job left in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// `start`, `end`, `released` or `failed`.
    pub(crate) event: String,
    pub(crate) uuid: String,
    pub(crate) attempt: u64,
    pub(crate) queue: String,
    pub(crate) pid: u32,
    /// Unix time in milliseconds.
    pub(crate) at: u64,
}

/// What has been read of the journal so far: a wait looks at it many times, and it grows long.
#[derive(Debug, Default)]
pub(super) struct Read {
    bytes: u64,
    notes: Vec<Note>,
    counts: BTreeMap<String, usize>,
}

impl Read {
    /// Reads on.
    fn go_on(&mut self, journal: &Path) {
        // Nobody has written anything yet.
        let Ok(mut file) = File::open(journal) else { return };
        file.seek(SeekFrom::Start(self.bytes))
            .expect("the journal is a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("the journal is text");
        // A line without its end is still being written.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let note = Note::read(line.trim_end());
            *self.counts.entry(note.event.clone()).or_default() += 1;
            self.notes.push(note);
            self.bytes += line.len() as u64;
        }
    }
}

impl Stage {
    /// All lines of the journal.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let mut read = self.read.borrow_mut();
        read.go_on(&self.journal());
        read.notes.clone()
    }

    /// How often an event is noted.
    pub(crate) fn noted(&self, event: &str) -> usize {
        let mut read = self.read.borrow_mut();
        read.go_on(&self.journal());
        read.counts.get(event).copied().unwrap_or_default()
    }
}

impl Note {
    fn read(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let [event, uuid, attempt, queue, pid, at] = words[..] else {
            panic!("a line of the journal has six words: {line:?}");
        };
        Self {
            event: event.to_owned(),
            uuid: uuid.to_owned(),
            attempt: attempt.parse().expect("an attempt is a number"),
            queue: queue.to_owned(),
            pid: pid.parse().expect("a process has a number"),
            at: at.parse().expect("a time is a number"),
        }
    }
}
