//! Looks after the process as a whole: whether its loops turn and its store answers, and tells systemd.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, warn};

use crate::runtime::engine::Engine;
use crate::runtime::troubles::{Subject, Witness};
use crate::store::{self, Kind};
use crate::telemetry;

/// How long a loop may take to turn, where no watchdog asks for less: with the time between two looks it is
/// seen within 30 s.
pub(super) const BOUND: Duration = Duration::from_secs(24);
/// The least of it.
const SHORTEST: Duration = Duration::from_secs(2);
/// How often to look, at least.
const LOOK: Duration = Duration::from_secs(2);
/// How long a store may take to answer before that is a trouble.
const PATIENCE: Duration = Duration::from_secs(10);
/// The subject under which loops that do not turn are told.
const STUCK: &str = "stuck";

/// Tells systemd something, where it listens.
pub(super) fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        debug!("Failed to tell systemd {state}: {error}");
    }
}

/// Watches until the task is ended. With `WatchdogSec`, systemd is fed for as long as all loops turn.
pub(super) async fn watch(engine: Arc<Engine>) -> ! {
    let fed = sd_notify::watchdog_enabled();
    let bound = fed.map_or(BOUND, |within| (within / 2).clamp(SHORTEST, BOUND));
    let period = (bound / 4).min(LOOK);
    let mut watchdog = Watchdog::new(engine, bound);
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        tick.tick().await;
        let now = Instant::now();
        // After a stop of the whole process the loops have a moment to turn again.
        if now.duration_since(last) < period + bound / 2 {
            watchdog.look(now);
        }
        last = now;
        if fed.is_some() && watchdog.all_turn {
            tell(&NotifyState::Watchdog);
        }
        watchdog.tell_status();
        telemetry::tell_left_out();
    }
}

struct Watchdog {
    engine: Arc<Engine>,
    bound: Duration,
    all_turn: bool,
    answers: Witness,
    status: String,
}

impl Watchdog {
    fn new(engine: Arc<Engine>, bound: Duration) -> Self {
        Self {
            answers: Witness::new(&engine.troubles, Subject::Store, "get an answer"),
            engine,
            bound,
            all_turn: true,
            status: String::new(),
        }
    }

    fn look(&mut self, now: Instant) {
        let late = self.engine.pulse.late(now, self.bound);
        self.all_turn = late.is_empty();
        let troubles = &self.engine.troubles;
        if late.is_empty() {
            if troubles.clear(STUCK) {
                warn!("All loops turn again");
            }
        } else {
            let what = format!(
                "no turn for {} s or more: {}",
                self.bound.as_secs(),
                late.join(", ")
            );
            if troubles.note(STUCK, &what) {
                error!("This worker is stuck, {what}; where a watchdog is set it is not fed any more");
            }
        }
        match self.engine.pulse.unanswered(now) {
            Some((who, since)) if since >= PATIENCE => {
                let silent = format!("{who} had no answer for {} s or more", PATIENCE.as_secs());
                let error = store::Error::new(Kind::Transient, "wait for the store", silent);
                self.answers.failed(&error);
            }
            _ => self.answers.works(),
        }
    }

    /// A line for `systemctl status`, when it is another one than before.
    fn tell_status(&mut self) {
        let held = self.engine.holds.len();
        let mut status = format!("{}, {held} jobs in hand", self.engine.state.word());
        for trouble in self.engine.troubles.list() {
            status.push_str("; ");
            status.push_str(&trouble.subject);
            status.push_str(": ");
            status.push_str(&trouble.what);
        }
        let status = status.replace('\n', " ");
        if self.status != status {
            tell(&NotifyState::Status(&status));
            self.status = status;
        }
    }
}
