//! What the worker is doing as a whole: running, paused, draining. Others ask for changes; lanes read.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::port::QueueName;

/// Why the worker stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// SIGTERM, SIGINT or SIGQUIT.
    Signal,
    /// `queue:restart` was called.
    Restart,
    /// There was nothing left to do and that was to be the end.
    Empty,
    /// As many jobs as asked for have run.
    MaxJobs,
    /// The time asked for is over.
    MaxTime,
    /// The process has grown to its memory limit.
    Memory,
}

impl StopReason {
    /// The reason as a word of the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "a signal",
            Self::Restart => "queue:restart",
            Self::Empty => "the queues are empty",
            Self::MaxJobs => "the job limit is reached",
            Self::MaxTime => "the time limit is reached",
            Self::Memory => "the memory limit is reached",
        }
    }
}

/// What keeps queues from being consumed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// SIGUSR2 was received.
    pub by_signal: bool,
    /// Every queue is paused in the application's cache.
    pub everywhere: bool,
    /// The application is in maintenance mode.
    pub maintenance: bool,
    /// These queues are paused in the application's cache.
    pub queues: HashSet<QueueName>,
}

impl Pauses {
    /// Whether a queue may be consumed.
    #[must_use]
    pub fn allow(&self, queue: &QueueName) -> bool {
        !self.by_signal && !self.everywhere && !self.maintenance && !self.queues.contains(queue)
    }

    /// Whether nothing at all is consumed.
    #[must_use]
    pub fn is_total(&self) -> bool {
        self.by_signal || self.everywhere || self.maintenance
    }
}

/// The one state of a worker process, shared by all its tasks.
#[derive(Debug, Clone)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reason: OnceLock<StopReason>,
    stopping: CancellationToken,
    forced: CancellationToken,
    pauses: watch::Sender<Pauses>,
    served: Mutex<Vec<(QueueName, usize)>>,
    reloadable: AtomicBool,
    reloads: watch::Sender<u64>,
}

impl Default for State {
    fn default() -> Self {
        Self(Arc::new(Inner {
            reason: OnceLock::new(),
            stopping: CancellationToken::new(),
            forced: CancellationToken::new(),
            pauses: watch::Sender::new(Pauses::default()),
            served: Mutex::default(),
            reloadable: AtomicBool::new(false),
            reloads: watch::Sender::new(0),
        }))
    }
}

impl State {
    /// Asks the worker to take nothing new and to finish what runs. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        self.0.reason.get_or_init(|| reason);
        self.0.stopping.cancel();
    }

    /// Says that a restart needs not end the process: what runs jobs can be replaced within it.
    pub fn allow_reloads(&self) {
        self.0.reloadable.store(true, Ordering::Release);
    }

    /// Asks for a restart: of what runs jobs, where that can be replaced; else of the whole worker, which
    /// ends for `reason`. Returns whether it goes on.
    pub fn restart(&self, reason: StopReason) -> bool {
        let goes_on = self.0.reloadable.load(Ordering::Acquire);
        if goes_on {
            self.0.reloads.send_modify(|count| *count += 1);
        } else {
            self.stop(reason);
        }
        goes_on
    }

    /// Tells of restarts that go on.
    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.0.reloads.subscribe()
    }

    /// Asks the worker to end what runs as well.
    pub fn force(&self) {
        self.0.stopping.cancel();
        self.0.forced.cancel();
    }

    /// Why the worker stops, once it does.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.get().copied()
    }

    /// Cancelled when nothing new is to be taken.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Cancelled when running jobs are to be cut short.
    #[must_use]
    pub fn forced(&self) -> &CancellationToken {
        &self.0.forced
    }

    /// Says that a lane of so many slots serves these queues.
    pub fn serve(&self, queues: &[QueueName], slots: usize) {
        let mut served = self.0.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.extend(queues.iter().map(|queue| (queue.clone(), slots)));
    }

    /// The queues served so far, with the slots of their lanes.
    #[must_use]
    pub fn served(&self) -> Vec<(QueueName, usize)> {
        self.0
            .served
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What is paused now; also tells of changes.
    #[must_use]
    pub fn pauses(&self) -> watch::Receiver<Pauses> {
        self.0.pauses.subscribe()
    }

    /// Changes what is paused; returns whether anything changed.
    pub fn pause(&self, change: impl FnOnce(&mut Pauses)) -> bool {
        self.0.pauses.send_if_modified(|pauses| {
            let before = pauses.clone();
            change(pauses);
            *pauses != before
        })
    }

    /// `running`, `paused` or `draining`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.0.stopping.is_cancelled() {
            "draining"
        } else if self.0.pauses.borrow().is_total() {
            "paused"
        } else {
            "running"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_stop_stays() {
        let state = State::default();
        assert_eq!(state.word(), "running");
        state.stop(StopReason::Restart);
        state.stop(StopReason::Signal);
        assert_eq!(state.reason(), Some(StopReason::Restart));
        assert!(!state.forced().is_cancelled());
        assert_eq!(state.word(), "draining");
    }

    #[test]
    fn pauses_add_up() {
        let state = State::default();
        let mail = QueueName::new("mail");
        assert!(state.pause(|p| {
            p.queues.insert(mail.clone());
        }));
        assert!(!state.pauses().borrow().allow(&mail));
        assert!(state.pauses().borrow().allow(&QueueName::new("default")));
        assert_eq!(state.word(), "running");
        assert!(state.pause(|p| p.by_signal = true));
        assert!(!state.pause(|p| p.by_signal = true));
        assert_eq!(state.word(), "paused");
    }
}
