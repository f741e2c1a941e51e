//! Keeps a fault from flooding the log: of lines at `warn` and above, a few of each kind and a few in all.
//!
//! A kind is the place in the code that writes the line. The lines about single jobs and those of the jobs'
//! own code are no faults of the worker and pass; so do those of the command line, which end by themselves.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of all kinds in any second.
const IN_ALL: usize = 8;
/// Lines of one kind in any [`WHILE`].
const OF_A_KIND: usize = 5;
/// How long a kind that was said often enough is left out; also the least time between two summaries.
const WHILE: Duration = Duration::from_secs(10);
/// Summaries at a time.
const SUMMARIES: usize = 2;
/// The most characters of a line that are kept for its summary.
const LENGTH: usize = 300;
/// Who may write as many lines as it likes, by target.
const FREE: [&str; 4] = [
    "worker::app::report",
    "worker::cli",
    "worker::telemetry",
    "worker_jobs",
];

/// What was written of late, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Flood(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// The lines of the last [`WHILE`], oldest first.
    written: VecDeque<(Instant, Identifier)>,
    left_out: HashMap<Identifier, LeftOut>,
    told: Option<Instant>,
}

#[derive(Debug)]
struct LeftOut {
    count: u64,
    line: String,
}

impl Flood {
    /// Whether a line of this kind may be written now; if not it is counted, and its text kept.
    fn admit(&self, kind: Identifier, now: Instant, line: impl FnOnce() -> String) -> bool {
        let mut lines = self.lock();
        let old = |at: &Instant, time| now.saturating_duration_since(*at) >= time;
        while lines.written.front().is_some_and(|(at, _)| old(at, WHILE)) {
            lines.written.pop_front();
        }
        let of_a_kind = lines.written.iter().filter(|(_, other)| *other == kind).count();
        let present = lines
            .written
            .iter()
            .filter(|(at, _)| !old(at, Duration::from_secs(1)));
        if of_a_kind < OF_A_KIND && present.count() < IN_ALL {
            lines.written.push_back((now, kind));
            return true;
        }
        let left_out = lines.left_out.entry(kind).or_insert_with(|| LeftOut {
            count: 0,
            line: line(),
        });
        left_out.count += 1;
        false
    }

    /// What was left out and was not told yet, a few kinds at a time and not too often.
    pub(super) fn left_out(&self, now: Instant) -> Vec<(u64, String)> {
        let mut lines = self.lock();
        let lately = |told: Instant| now.saturating_duration_since(told) < WHILE;
        if lines.left_out.is_empty() || lines.told.is_some_and(lately) {
            return Vec::new();
        }
        lines.told = Some(now);
        let kinds: Vec<_> = lines.left_out.keys().take(SUMMARIES).cloned().collect();
        let taken = kinds.iter().filter_map(|kind| lines.left_out.remove(kind));
        taken.map(|left_out| (left_out.count, left_out.line)).collect()
    }

    /// All that was left out and was not told yet.
    pub(super) fn rest(&self) -> Vec<(u64, String)> {
        let rest = std::mem::take(&mut self.lock().left_out).into_values();
        rest.map(|left_out| (left_out.count, left_out.line)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for &'static Flood {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let is_free = |free: &str| {
            let rest = metadata.target().strip_prefix(free);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        if *metadata.level() > Level::WARN || FREE.into_iter().any(is_free) {
            return true;
        }
        self.admit(metadata.callsite(), Instant::now(), || message(event))
    }
}

/// The sentence of an event.
fn message(event: &Event<'_>) -> String {
    struct Sentence(String);

    impl Visit for Sentence {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == "message" && write!(self.0, "{value:?}").is_err() {
                self.0.clear();
            }
        }
    }

    let mut sentence = Sentence(String::new());
    event.record(&mut sentence);
    sentence.0.chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use tracing::Metadata;
    use tracing::callsite::Callsite;
    use tracing::subscriber::Interest;

    use super::*;

    struct Place;

    impl Callsite for Place {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("nobody asks in these tests")
        }
    }

    /// Kinds of lines; the size keeps them at different addresses.
    static PLACES: [(Place, u8); 9] = [const { (Place, 0) }; 9];

    fn kind(number: usize) -> Identifier {
        Identifier(&PLACES[number].0)
    }

    #[test]
    fn a_kind_is_written_a_few_times_and_then_counted() {
        let flood = Flood::default();
        let start = Instant::now();
        let write = |ms| flood.admit(kind(0), start + Duration::from_millis(ms), || format!("at {ms}"));
        let written = (0..1000).filter(|ms| write(*ms)).count();
        assert_eq!(written, OF_A_KIND);
        assert_eq!(flood.left_out(start + WHILE), [(995, "at 5".to_owned())]);
        assert!(flood.left_out(start + WHILE).is_empty());
        assert_eq!((10_004..10_010).filter(|ms| write(*ms)).count(), OF_A_KIND);
        assert!(flood.left_out(start + WHILE).is_empty(), "not so soon again");
        assert_eq!(flood.left_out(start + WHILE * 2).len(), 1);
    }

    #[test]
    fn all_kinds_together_are_bounded_in_any_second() {
        let flood = Flood::default();
        let start = Instant::now();
        let mut written = Vec::new();
        for step in 0..400_u64 {
            let now = start + Duration::from_millis(step * 5);
            let places = (0..PLACES.len()).filter(|place| flood.admit(kind(*place), now, String::new));
            written.extend(places.map(|_| now));
        }
        assert!(written.len() > IN_ALL, "the next second has lines of its own");
        for at in &written {
            let second = written
                .iter()
                .filter(|other| (*at..*at + Duration::from_secs(1)).contains(other));
            assert!(second.count() <= IN_ALL);
        }
        assert_eq!(flood.left_out(start + WHILE).len(), SUMMARIES);
        assert_eq!(flood.rest().len(), PLACES.len() - SUMMARIES);
        assert!(flood.left_out(start + WHILE * 3).is_empty());
    }
}
