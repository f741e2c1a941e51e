//! What the jobs of a stage wrote down while they ran.

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

impl Stage {
    /// All lines of the journal.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let text = std::fs::read_to_string(self.journal()).unwrap_or_default();
        // A line without its end is still being written.
        let lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        lines.map(Note::read).collect()
    }

    /// How often an event is noted.
    pub(crate) fn noted(&self, event: &str) -> usize {
        self.notes().iter().filter(|note| note.event == event).count()
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
