//! The pool: so many warm processes, replaced before they are missed.
//!
//! One task looks after it ([`Pool::tend`]): it boots what is missing, retires what is due once its
//! replacement is up, and backs off when the application does not boot. Everyone else checks processes out
//! and gives them back.

mod checked_out;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

pub use self::checked_out::CheckedOut;
use super::children::Children;
use super::pace::Pace;
use super::process::{BootError, Process};
use super::settings::Settings;
use crate::runner::seats::Seats;

/// How often processes are looked at for their age, and idle ones for their lives.
const LOOK: Duration = Duration::from_secs(1);
/// The first wait after a boot that failed; doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a boot that failed.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How many processes boot at a time.
const BOOTING: usize = 4;
/// How often the memory of a process is looked at, at most.
const WEIGH: Duration = Duration::from_millis(100);
/// How long all processes may take to end when the pool stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// How the pool is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Processes that are ready or at work.
    pub alive: usize,
    /// Why new processes cannot boot, if they cannot.
    pub trouble: Option<String>,
    /// The generation that the youngest process belongs to; counts reloads.
    pub generation: u64,
}

/// A process as `worker status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its process id.
    pub pid: i32,
    /// The jobs it has begun.
    pub jobs: u64,
    /// The job it is at, if any.
    pub job: Option<String>,
    /// Its age.
    pub age: Duration,
    /// Its resident memory in megabytes.
    pub memory_mb: u64,
}

/// Warm PHP processes.
#[derive(Debug)]
pub struct Pool {
    /// How they are started and replaced.
    pub settings: Settings,
    children: Children,
    seats: Arc<Seats>,
    state: Mutex<State>,
    changed: Notify,
    health: watch::Sender<Health>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Process>,
    known: HashMap<i32, Known>,
    ending: Vec<Process>,
    waiting: VecDeque<oneshot::Sender<CheckedOut>>,
    booting: usize,
    pace: Pace,
    generation: u64,
    trouble: Option<String>,
    retry: Option<Retry>,
    stopping: bool,
}

/// What is known of a process that lives, in our hands or checked out.
#[derive(Debug, Clone)]
struct Known {
    born: Instant,
    jobs: u64,
    generation: u64,
    job: Option<String>,
    begun: Instant,
    /// When its memory was last looked at.
    weighed: Instant,
    /// It is to be replaced.
    due: bool,
    /// It is not to run another job.
    last: bool,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    /// When the last boot failed.
    failed: Instant,
    /// How long nothing is tried from then on.
    wait: Duration,
}

/// A boot that is over, with the moment when it began.
type Boot = (Instant, Result<Process, BootError>);

impl Pool {
    /// A pool that is empty until it is tended.
    #[must_use]
    pub fn new(settings: Settings, children: Children) -> Arc<Self> {
        Arc::new(Self {
            settings,
            children,
            seats: Arc::default(),
            state: Mutex::default(),
            changed: Notify::new(),
            health: watch::Sender::new(Health::default()),
        })
    }

    /// Who may use how many of its processes.
    #[must_use]
    pub fn seats(&self) -> &Arc<Seats> {
        &self.seats
    }

    /// How it is; also tells of changes.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Its processes, the oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let known = self.lock().known.clone();
        let mut seen: Vec<_> = known
            .into_iter()
            .map(|(pid, known)| Seen {
                pid,
                jobs: known.jobs,
                job: known.job,
                age: known.born.elapsed(),
                memory_mb: super::children::resident_mb(pid).unwrap_or_default(),
            })
            .collect();
        seen.sort_by_key(|process| std::cmp::Reverse(process.age));
        seen
    }

    /// Boots new processes and lets the old ones go once those are up. Returns at once.
    pub fn reload(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.retry = None;
        drop(state);
        self.changed.notify_one();
    }

    /// Takes a process for a job named `name` of `class`; waits up to `patience` for one. `None` when there
    /// is none. Cancellation safe.
    pub async fn check_out(
        self: &Arc<Self>,
        class: &str,
        name: &str,
        patience: Duration,
    ) -> Option<CheckedOut> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let mut taken = match self.free() {
                Ok(taken) => taken,
                Err(waiting) => tokio::time::timeout_at(deadline, waiting).await.ok()?.ok()?,
            };
            taken.begun = true;
            let process = taken.process.as_ref()?;
            // One that has ended is replaced when it is dropped.
            if process.is_alive() {
                self.begin(process.group().id(), class, name);
                return Some(taken);
            }
        }
    }

    /// A process is to run a job: it may be its last one.
    fn begin(&self, pid: i32, class: &str, name: &str) {
        let mut state = self.lock();
        if let Some(known) = state.known.get_mut(&pid) {
            known.job = Some(name.to_owned());
            known.begun = Instant::now();
            known.jobs += 1;
            let most = self.settings.max_jobs;
            known.last |= self.settings.isolates(class);
            known.due |= known.last || (most > 0 && known.jobs >= most);
            if known.due {
                self.changed.notify_one();
            }
        }
    }

    fn free(self: &Arc<Self>) -> Result<CheckedOut, oneshot::Receiver<CheckedOut>> {
        let mut state = self.lock();
        if let Some(process) = state.idle.pop() {
            return Ok(self.check(process));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(sender);
        Err(receiver)
    }

    fn check(self: &Arc<Self>, process: Process) -> CheckedOut {
        CheckedOut {
            pool: Arc::clone(self),
            process: Some(process),
            begun: false,
        }
    }

    /// Looks after the pool until it is stopped.
    pub async fn tend(self: Arc<Self>) {
        let mut boots: JoinSet<Boot> = JoinSet::new();
        let mut ends = JoinSet::new();
        loop {
            for process in std::mem::take(&mut self.lock().ending) {
                ends.spawn(process.end());
            }
            if self.lock().stopping {
                break;
            }
            self.look();
            for _ in 0..self.missing() {
                let pool = Arc::clone(&self);
                let generation = self.lock().generation;
                boots.spawn(async move {
                    let began = Instant::now();
                    let booted = Process::boot(&pool.children, &pool.settings, generation).await;
                    (began, booted)
                });
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(booted) = boots.join_next() => self.booted(booted),
                Some(_) = ends.join_next() => {}
            }
        }
        boots.shutdown().await;
        let all = async { while ends.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            warn!("Some PHP processes do not end; they are killed");
        }
    }

    /// Ends all idle processes, and those that are given back; [`Pool::tend`] returns when they have ended.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        let idle = std::mem::take(&mut state.idle);
        state.ending.extend(idle);
        state.known.clear();
        self.publish(&state);
        drop(state);
        self.changed.notify_one();
    }

    /// Finds what is due and who has died, and retires what has been replaced.
    fn look(&self) {
        let mut state = self.lock();
        let (living, dead): (Vec<_>, _) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(Process::is_alive);
        state.idle = living;
        for process in dead {
            warn!(
                "An idle PHP process (pid {}) ended; it is replaced",
                process.group().id()
            );
            state.known.remove(&process.group().id());
        }
        let generation = state.generation;
        let (age, memory) = (self.settings.max_age, self.settings.memory_mb);
        for (pid, known) in &mut state.known {
            known.due |= known.generation < generation
                || (!age.is_zero() && known.born.elapsed() >= age)
                || (memory > 0 && known.job.is_none() && super::children::resident_mb(*pid) >= Some(memory));
        }
        self.retire(&mut state);
        self.publish(&state);
    }

    /// Lets idle processes go that are due, as far as there are more than wanted.
    fn retire(&self, state: &mut State) {
        while state.known.len() > self.settings.processes {
            let due = |process: &Process| state.known.get(&process.group().id()).is_some_and(|k| k.due);
            let Some(index) = state.idle.iter().position(due) else {
                return;
            };
            let process = state.idle.swap_remove(index);
            debug!(jobs = process.jobs, "A PHP process has been replaced");
            state.known.remove(&process.group().id());
            state.ending.push(process);
            self.changed.notify_one();
        }
    }

    /// How many processes are to be booted now.
    fn missing(&self) -> usize {
        let mut state = self.lock();
        let staying = state.known.values().filter(|known| !known.due).count();
        let wanted = self.settings.processes.saturating_sub(staying + state.booting);
        let replacing = state.known.len() >= self.settings.processes;
        let at_a_time = match state.retry {
            Some(retry) if retry.failed.elapsed() < retry.wait => 0,
            Some(_) => 1,
            None if replacing => 1,
            None => BOOTING,
        };
        let now = wanted.min(at_a_time.saturating_sub(state.booting));
        state.booting += now;
        now
    }

    fn booted(self: &Arc<Self>, booted: Result<Boot, tokio::task::JoinError>) {
        let mut state = self.lock();
        state.booting = state.booting.saturating_sub(1);
        match booted {
            Ok((began, Ok(process))) => {
                // One that began before another failed says nothing of those to come.
                if state.retry.is_none_or(|retry| began > retry.failed) {
                    if state.trouble.take().is_some() {
                        info!("The application boots in PHP again");
                    }
                    state.retry = None;
                }
                debug!(
                    pid = process.group().id(),
                    boot_ms = process.hello.boot_ms,
                    "PHP {} with Laravel {} is ready",
                    process.hello.php,
                    process.hello.laravel
                );
                let known = Known {
                    born: process.born,
                    jobs: 0,
                    generation: process.generation,
                    job: None,
                    begun: process.born,
                    weighed: process.born,
                    due: false,
                    last: false,
                };
                state.known.insert(process.group().id(), known);
                self.hand_on(&mut state, process);
                self.retire(&mut state);
            }
            Ok((_, Err(BootError(why)))) => self.failed(&mut state, why),
            Err(error) => self.failed(&mut state, error.to_string()),
        }
        self.publish(&state);
    }

    fn failed(&self, state: &mut State, why: String) {
        let wait = state
            .retry
            .map_or(FIRST_RETRY, |retry| (retry.wait * 2).min(LONGEST_RETRY));
        state.retry = Some(Retry {
            failed: Instant::now(),
            wait,
        });
        if state.trouble.as_ref() == Some(&why) {
            return;
        }
        let alive = state.known.len();
        if alive > 0 {
            error!("New PHP processes cannot start, the {alive} that run go on: {why}");
        } else {
            error!("No PHP process can start; PHP jobs wait uncounted, native ones go on: {why}");
        }
        state.trouble = Some(why);
    }

    /// Hands a process to who waits longest, or keeps it.
    fn hand_on(self: &Arc<Self>, state: &mut State, process: Process) {
        let mut process = Some(process);
        while let Some(handed) = process.take() {
            let Some(waiting) = state.waiting.pop_front() else {
                return state.idle.push(handed);
            };
            if let Err(mut unwanted) = waiting.send(self.check(handed)) {
                // Emptied, its drop asks nothing of the pool, which is locked.
                process = unwanted.process.take();
            }
        }
    }

    fn give_back(self: &Arc<Self>, process: Process) {
        let pid = process.group().id();
        let mut state = self.lock();
        let memory = self.settings.memory_mb;
        let wanted = self.settings.processes;
        let Some(known) = state.known.get_mut(&pid) else {
            state.ending.push(process);
            drop(state);
            return self.changed.notify_one();
        };
        known.job = None;
        if memory > 0 && known.weighed.elapsed() >= WEIGH {
            known.weighed = Instant::now();
            known.due |= super::children::resident_mb(pid) >= Some(memory);
        }
        let (due, last, took) = (known.due, known.last, known.begun.elapsed());
        state.pace.count(took);
        if last {
            // Its replacement boots for much longer than a job takes.
            state.pace = Pace::default();
        }
        if last || (due && state.known.len() > wanted) {
            debug!(pid, jobs = process.jobs, "A PHP process has been replaced");
            state.known.remove(&pid);
            state.ending.push(process);
        } else {
            self.hand_on(&mut state, process);
        }
        self.publish(&state);
        drop(state);
        if due {
            self.changed.notify_one();
        }
    }

    /// A job has waited in vain for a process: what is known of the length of jobs is out of date.
    pub fn was_too_late(&self) {
        let mut state = self.lock();
        state.pace = Pace::default();
        self.publish(&state);
    }

    /// Ends a process that is of no use any more.
    fn bury(&self, process: Process) {
        let pid = process.group().id();
        drop(process);
        let mut state = self.lock();
        state.known.remove(&pid);
        state.pace = Pace::default();
        self.publish(&state);
        drop(state);
        self.changed.notify_one();
    }

    fn publish(&self, state: &State) {
        let alive = state.known.len().min(self.settings.processes);
        let ahead = alive * state.pace.ahead();
        self.seats
            .set(alive, ahead, alive == 0 && state.trouble.is_some());
        let youngest = state.known.values().map(|known| known.generation).max();
        let health = Health {
            alive,
            trouble: state.trouble.clone(),
            generation: youngest.unwrap_or_default(),
        };
        self.health.send_if_modified(|before| {
            let news = *before != health;
            *before = health;
            news
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
