//! How long ago it was known that all leases stand, by two clocks.
//!
//! A machine that slept, or whose clock was set, tells it by the time of day alone; a process that was stopped
//! tells it by both.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    ticks: Instant,
    time: Duration,
}

/// The last moment at which all leases stood.
#[derive(Debug)]
pub(super) struct Age {
    clock: Arc<dyn Clock>,
    known: Mutex<Moment>,
}

impl Age {
    /// They stand now.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let now = moment(&*clock);
        Self {
            clock,
            known: Mutex::new(now),
        }
    }

    /// This moment.
    pub(super) fn now(&self) -> Moment {
        moment(&*self.clock)
    }

    /// They stood at that moment.
    pub(super) fn stood(&self, at: Moment) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Whether that is longer ago than `limit` by either clock.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        now.ticks.saturating_duration_since(known.ticks) > limit
            || now.time.saturating_sub(known.time) > limit
    }
}

fn moment(clock: &dyn Clock) -> Moment {
    Moment {
        ticks: Instant::now(),
        time: clock.now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that tests set.
    #[derive(Debug, Default)]
    struct Hand(Mutex<Duration>);

    impl Clock for Hand {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_makes_it_old() {
        let clock = Arc::new(Hand::default());
        let set = |s| *clock.0.lock().unwrap() = Duration::from_secs(s);
        set(1000);
        let age = Age::new(Arc::<Hand>::clone(&clock));
        let limit = Duration::from_secs(40);
        assert!(!age.is_over(limit));
        set(1041);
        assert!(age.is_over(limit));
        age.stood(age.now());
        assert!(!age.is_over(limit));
        set(10);
        assert!(!age.is_over(limit), "set back, nothing has lapsed");
    }

    #[test]
    fn a_process_that_stood_still_makes_it_old() {
        let clock = Arc::new(Hand::default());
        let age = Age::new(clock);
        let then = Instant::now().checked_sub(Duration::from_secs(60));
        age.stood(Moment {
            ticks: then.unwrap(),
            time: Duration::ZERO,
        });
        assert!(age.is_over(Duration::from_secs(40)));
    }
}
