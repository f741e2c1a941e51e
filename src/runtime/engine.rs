//! The parts that all lanes of a process share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::history::History;
use super::hold::Holds;
use super::pulse::Pulse;
use super::report::Reporter;
use super::settle::Settler;
use super::state::State;
use super::troubles::Troubles;
use super::unknown::Unknowns;
use crate::clock::Clock;
use crate::runner::Runner;
use crate::store::port::{Cache, Queue};

/// What to do with jobs of classes that no runner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// Put them off uncounted, so that another worker gets them.
    #[default]
    Release,
    /// Fail them.
    Fail,
}

/// How a process runs jobs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The connection's name, as failed jobs record it.
    pub connection: String,
    /// How long a reservation stands without renewal; at least 3 s.
    pub lease: Duration,
    /// What to do with unknown classes.
    pub on_unknown: OnUnknown,
    /// A pause of each slot after a job.
    pub rest: Duration,
    /// Stop after this many jobs.
    pub max_jobs: Option<u64>,
    /// Stop when nothing was there for this long; zero for at once.
    pub stop_when_empty_for: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connection: "redis".to_owned(),
            lease: Duration::from_secs(60),
            on_unknown: OnUnknown::Release,
            rest: Duration::ZERO,
            max_jobs: None,
            stop_when_empty_for: None,
        }
    }
}

/// Everything that lanes share.
#[derive(Debug)]
pub struct Engine {
    /// How jobs are run.
    pub options: Options,
    /// Where jobs come from.
    pub queue: Arc<dyn Queue>,
    /// Where counters of `maxExceptions` are kept, when there is a readable cache.
    pub cache: Option<Arc<dyn Cache>>,
    /// What went wrong with jobs before.
    pub history: History,
    /// Who runs jobs.
    pub runner: Arc<dyn Runner>,
    /// How further jobs are dispatched.
    pub dispatcher: Arc<dyn worker_jobs::Dispatcher>,
    /// Who hears of attempts.
    pub reporter: Arc<dyn Reporter>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Running, paused, draining.
    pub state: State,
    /// The jobs in our hands.
    pub holds: Arc<Holds>,
    /// Who writes verdicts.
    pub settler: Settler,
    /// Classes that no runner knows.
    pub unknowns: Unknowns,
    /// How many jobs may still be started.
    pub budget: Budget,
    /// What keeps the worker from being ready.
    pub troubles: Arc<Troubles>,
    /// Whether the loops turn.
    pub pulse: Arc<Pulse>,
}

/// How many jobs may still be started, of the `max_jobs` asked for. Lanes ask before they reserve and give
/// back what they did not find, so it is spent only when nobody is still asking.
#[derive(Debug)]
pub struct Budget {
    limit: Option<Mutex<Allowance>>,
    given_back: Notify,
}

#[derive(Debug)]
struct Allowance {
    left: usize,
    asked: usize,
}

impl Budget {
    /// A budget of `max_jobs`, or none.
    #[must_use]
    pub fn new(max_jobs: Option<u64>) -> Self {
        let allowance = |jobs| Allowance {
            left: usize::try_from(jobs).unwrap_or(usize::MAX),
            asked: 0,
        };
        Self {
            limit: max_jobs.map(allowance).map(Mutex::new),
            given_back: Notify::new(),
        }
    }

    /// Takes up to `wanted` from the budget, for one call of [`Budget::settle`]. Zero when it is spent;
    /// waits while others may still give some back.
    pub async fn take(&self, wanted: usize) -> usize {
        loop {
            let given_back = self.given_back.notified();
            tokio::pin!(given_back);
            given_back.as_mut().enable();
            if let Some(taken) = self.try_take(wanted) {
                return taken;
            }
            given_back.await;
        }
    }

    /// What can be taken now; `None` when that is only known once others have reserved.
    fn try_take(&self, wanted: usize) -> Option<usize> {
        let Some(limit) = &self.limit else {
            return Some(wanted);
        };
        let mut allowance = limit.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = wanted.min(allowance.left);
        if taken == 0 && allowance.asked > 0 {
            return None;
        }
        allowance.left -= taken;
        allowance.asked += taken;
        Some(taken)
    }

    /// Says how many of the `taken` jobs were found; the others are there for other lanes.
    pub fn settle(&self, taken: usize, found: usize) {
        if let Some(limit) = &self.limit {
            let mut allowance = limit.lock().unwrap_or_else(PoisonError::into_inner);
            allowance.asked = allowance.asked.saturating_sub(taken);
            allowance.left += taken.saturating_sub(found);
            self.given_back.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_overdrawn() {
        let budget = Budget::new(Some(5));
        assert_eq!(budget.try_take(3), Some(3));
        assert_eq!(budget.try_take(3), Some(2));
        assert_eq!(budget.try_take(3), None, "the others may find nothing");
        budget.settle(2, 1);
        assert_eq!(budget.try_take(9), Some(1));
        budget.settle(1, 1);
        budget.settle(3, 3);
        assert_eq!(budget.try_take(9), Some(0), "spent");
        assert_eq!(Budget::new(None).try_take(7), Some(7));
    }
}
