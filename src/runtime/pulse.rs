//! Whether the loops that a worker cannot do without still turn.
//!
//! Each of them has a [`Beat`] and stamps it at every turn, and once a second while it waits: for a slot, for
//! a job, for a store that is away. So neither a long job nor an outage makes a beat late, but a loop that is
//! blocked, or that nobody polls any more, does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often a beat is stamped while its loop waits.
const STAMP: Duration = Duration::from_millis(500);

/// The beats of all loops of a process. A loop that has ended has none: its end is seen by who started it.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Vec<Weak<Mark>>>);

#[derive(Debug)]
struct Mark {
    name: String,
    times: Mutex<Times>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    turned: Instant,
    asked: Option<Instant>,
}

/// The beat of one loop; owned by it.
#[derive(Debug)]
pub struct Beat(Arc<Mark>);

impl Pulse {
    /// The beat of a loop that starts now, named for people, such as `lane default`.
    #[must_use]
    pub fn beat(&self, name: impl Into<String>) -> Beat {
        let mark = Arc::new(Mark {
            name: name.into(),
            times: Mutex::new(Times {
                turned: Instant::now(),
                asked: None,
            }),
        });
        self.lock().push(Arc::downgrade(&mark));
        Beat(mark)
    }

    /// The loops that did not turn within `bound` before `now`.
    #[must_use]
    pub fn late(&self, now: Instant, bound: Duration) -> Vec<String> {
        let marks = self.marks().into_iter();
        let late = marks.filter(|mark| now.saturating_duration_since(mark.times().turned) > bound);
        late.map(|mark| mark.name.clone()).collect()
    }

    /// The loop that waits longest for the answer of a store, and how long; `None` when none waits.
    #[must_use]
    pub fn unanswered(&self, now: Instant) -> Option<(String, Duration)> {
        let marks = self.marks();
        let asked = marks.iter().filter_map(|mark| Some((mark.times().asked?, mark)));
        let (asked, mark) = asked.min_by_key(|(asked, _)| *asked)?;
        Some((mark.name.clone(), now.saturating_duration_since(asked)))
    }

    fn marks(&self) -> Vec<Arc<Mark>> {
        let mut marks = self.lock();
        marks.retain(|mark| mark.strong_count() > 0);
        marks.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Mark>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mark {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    /// The loop has come round.
    pub fn turn(&self) {
        self.0.times().turned = Instant::now();
    }

    /// Waits for what may take long by right. As cancellation safe as `wait` is.
    pub async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        loop {
            self.turn();
            if let Ok(done) = tokio::time::timeout(STAMP, &mut wait).await {
                self.turn();
                return done;
            }
        }
    }

    /// Waits for the answer of a store, which takes as long as the store is away. As cancellation safe as
    /// `call` is.
    pub async fn asking<T>(&self, call: impl Future<Output = T>) -> T {
        self.0.times().asked = Some(Instant::now());
        let _asked = Asked(&self.0);
        self.during(call).await
    }
}

/// Forgets that a store was asked, also when the caller gives up.
struct Asked<'a>(&'a Mark);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.times().asked = None;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const BOUND: Duration = Duration::from_secs(30);

    #[test]
    fn a_loop_that_stops_turning_is_late_and_an_ended_one_is_not() {
        let pulse = Pulse::default();
        let start = Instant::now();
        let (stuck, ended) = (pulse.beat("lane default"), pulse.beat("lane high"));
        drop(ended);
        assert!(pulse.late(start + BOUND / 2, BOUND).is_empty());
        let later = start + BOUND * 2;
        assert_eq!(pulse.late(later, BOUND), ["lane default"]);
        stuck.0.times().turned = later;
        assert!(pulse.late(later, BOUND).is_empty(), "it turns again");
    }

    #[tokio::test]
    async fn a_call_without_an_answer_shows_until_it_ends() {
        let pulse = Pulse::default();
        let (beat, other) = (pulse.beat("renewals"), pulse.beat("verdicts"));
        let asked = || pulse.unanswered(Instant::now() + BOUND);
        let waits = |who: &str| asked().is_some_and(|(name, since)| name == who && since >= BOUND);
        assert_eq!(asked(), None);
        beat.asking(async { assert!(waits("renewals")) }).await;
        assert_eq!(asked(), None);
        let mut never = Box::pin(other.asking(std::future::pending::<()>()));
        assert!((&mut never).now_or_never().is_none());
        assert!(waits("verdicts"));
        drop(never);
        assert_eq!(asked(), None, "the caller gave up");
    }
}
