//! Jobs that no runner knows: put off without costing an attempt, longer each time, so that workers beside
//! this one get them; said once per class.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first wait of a class.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait of a class.
const LONGEST: Duration = Duration::from_secs(60);
/// How often a class that stays unknown is mentioned again.
const REMINDER: Duration = Duration::from_secs(600);
/// How many classes are remembered; names come from outside.
const CLASSES: usize = 1000;
/// How many classes are said within [`BREATH`]; the others when they are met again.
const AT_ONCE: usize = 5;
/// The time in which no more are said.
const BREATH: Duration = Duration::from_secs(10);
/// How many classes are named together.
const NAMED: usize = 10;
/// How long others have for a job that came back: longer than a PHP worker sleeps by default.
const TURN: Duration = Duration::from_millis(3500);
/// How much earlier than expected a job may be due, in stores that count whole seconds.
const EARLY: Duration = Duration::from_secs(1);
/// How many jobs a lane looks at before it judges what it mostly sees.
const SAMPLE: u32 = 10;

/// How long to put a job off, and whether to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOff {
    /// Time until it is available again.
    pub delay: Duration,
    /// Whether this is worth a line in the log.
    pub say: bool,
    /// Whether the class was put off before and nobody else has come for it in the meantime.
    pub again: bool,
}

#[derive(Debug)]
struct Class {
    delay: Duration,
    since: Instant,
    said: Option<Instant>,
}

/// What is known of unknown classes, for a whole process.
#[derive(Debug, Default)]
pub struct Unknowns(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    classes: HashMap<String, Class>,
    /// When classes were said last, the latest one at the end.
    said: VecDeque<Instant>,
}

impl Known {
    /// Whether one more class may be said now; one that may not is said when it is met again.
    fn may_say(&mut self, now: Instant) -> bool {
        let over = |said: &Instant| now.duration_since(*said) >= BREATH;
        if self.said.len() >= AT_ONCE && !self.said.front().is_some_and(over) {
            return false;
        }
        if self.said.len() >= AT_ONCE {
            self.said.pop_front();
        }
        self.said.push_back(now);
        true
    }
}

impl Unknowns {
    /// Counts a job of `class` met at `now`. The wait doubles each time one wait has passed.
    pub fn put_off(&self, class: &str, now: Instant) -> PutOff {
        let mut known = self.lock();
        let known = &mut *known;
        if !known.classes.contains_key(class) && known.classes.len() >= CLASSES {
            return PutOff {
                delay: FIRST,
                say: false,
                again: false,
            };
        }
        let met = known.classes.entry(class.to_owned()).or_insert_with(|| Class {
            delay: FIRST,
            since: now,
            said: None,
        });
        let again = now.duration_since(met.since) >= met.delay;
        if again {
            met.delay = (met.delay * 2).min(LONGEST);
            met.since = now;
        }
        let delay = met.delay;
        let due = met.said.is_none_or(|said| now.duration_since(said) >= REMINDER);
        let say = due && known.may_say(now);
        if say && let Some(met) = known.classes.get_mut(class) {
            met.said = Some(now);
        }
        PutOff { delay, say, again }
    }

    /// The classes met so far, sorted; of many only the first.
    #[must_use]
    pub fn classes(&self) -> String {
        let known = self.lock();
        let mut names: Vec<_> = known.classes.keys().map(String::as_str).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        let names = names.join(", ");
        if more > 0 {
            format!("{names} and {more} more")
        } else {
            names
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one lane sees: whether most of its jobs are unknown, and when to leave the queue to others.
#[derive(Debug, Default)]
pub struct Share {
    known: AtomicU32,
    unknown: AtomicU32,
    left: Mutex<Left>,
}

/// When a lane leaves its queues to others.
#[derive(Debug, Default)]
struct Left {
    times: Vec<Range<Instant>>,
    back_since: Option<Instant>,
}

impl Share {
    /// Counts a job.
    pub fn count(&self, known: bool) {
        let counter = if known { &self.known } else { &self.unknown };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Leaves the queue to others around the time `due`, when a job comes back that nobody here runs. We
    /// look at due jobs at once and a PHP worker only now and then, so it would never get one.
    pub fn leave(&self, due: Instant) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.times.len() < CLASSES {
            left.times.push(due.checked_sub(EARLY).unwrap_or(due)..due + TURN);
        }
    }

    /// Until when the queue is left to others, if it is. After a turn of theirs we have one as long, however
    /// many classes there are that nobody here runs.
    #[must_use]
    pub fn left_until(&self, now: Instant) -> Option<Instant> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.times.retain(|time| time.end > now);
        let ours = |since: Instant| (since..since + EARLY + TURN).contains(&now);
        if left.back_since.is_some_and(ours) {
            return None;
        }
        let present = left.times.iter().filter(|time| time.contains(&now));
        let until = present.map(|time| time.end).max();
        left.back_since = until.or(left.back_since);
        until
    }

    /// Whether most of the last jobs were unknown; looks afresh every few jobs.
    #[must_use]
    pub fn is_mostly_unknown(&self) -> bool {
        let known = self.known.load(Ordering::Relaxed);
        let unknown = self.unknown.load(Ordering::Relaxed);
        if known.saturating_add(unknown) < SAMPLE {
            return false;
        }
        self.known.store(0, Ordering::Relaxed);
        self.unknown.store(0, Ordering::Relaxed);
        unknown > known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_are_said_once() {
        let unknowns = Unknowns::default();
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(
            unknowns.put_off("A", at(0)),
            PutOff {
                delay: FIRST,
                say: true,
                again: false
            }
        );
        assert_eq!(
            unknowns.put_off("A", at(0)),
            PutOff {
                delay: FIRST,
                say: false,
                again: false
            }
        );
        assert_eq!(unknowns.put_off("B", at(0)).delay, FIRST);
        let mut now = 0;
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            now += 60;
            assert_eq!(unknowns.put_off("A", at(now)).delay, Duration::from_secs(seconds));
        }
        assert!(unknowns.put_off("A", at(700)).say);
        assert_eq!(unknowns.classes(), "A, B");
    }

    #[test]
    fn a_flood_of_classes_is_said_in_pieces() {
        let unknowns = Unknowns::default();
        let start = Instant::now();
        let said = |after: Duration| {
            let met = |class: usize| unknowns.put_off(&format!("Class{class:03}"), start + after).say;
            (0..12).filter(|class| met(*class)).collect::<Vec<_>>()
        };
        assert_eq!(said(Duration::ZERO), [0, 1, 2, 3, 4]);
        assert!(said(Duration::from_secs(1)).is_empty());
        assert_eq!(said(BREATH), [5, 6, 7, 8, 9]);
        assert_eq!(said(BREATH * 2), [10, 11]);
        assert!(unknowns.classes().ends_with("Class009 and 2 more"));
        let many = (0..2 * CLASSES)
            .filter(|class| unknowns.put_off(&format!("More{class}"), start + BREATH * 9).say);
        assert_eq!(many.count(), AT_ONCE);
    }

    #[test]
    fn a_lane_judges_after_a_sample() {
        let share = Share::default();
        (0..6).for_each(|_| share.count(false));
        assert!(!share.is_mostly_unknown());
        (0..4).for_each(|_| share.count(true));
        assert!(share.is_mostly_unknown());
        assert!(!share.is_mostly_unknown());
    }

    #[test]
    fn others_have_their_turn_when_a_job_comes_back() {
        let (unknowns, share) = (Unknowns::default(), Share::default());
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!unknowns.put_off("A", at(0)).again);
        assert!(!unknowns.put_off("A", at(500)).again);
        let met_again = unknowns.put_off("A", at(1000));
        assert!(met_again.again);
        share.leave(at(1000) + met_again.delay);
        for (ms, left) in [
            (1999, None),
            (2000, Some(at(6500))),
            (6499, Some(at(6500))),
            (6500, None),
        ] {
            assert_eq!(share.left_until(at(ms)), left, "{ms}");
        }
        share.leave(at(8000));
        share.leave(at(12_000));
        assert_eq!(share.left_until(at(8000)), None, "our turn");
        assert_eq!(share.left_until(at(11_000)), Some(at(15_500)));
    }
}
