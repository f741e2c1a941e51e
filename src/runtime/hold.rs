//! Jobs in our hands: each under a lease that is renewed while it runs, and under a time limit.
//!
//! One task renews all leases of a store in one call; one task looks at all limits. Neither costs anything
//! while nothing is held.

mod age;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use age::Age;

use super::attempt::Run;
use super::pulse::Beat;
use super::troubles::Witness;
use crate::clock::Clock;
use crate::store::Error;
use crate::store::port::{Held, Queue, QueueName, Receipt};

/// How often limits are looked at: an attempt is told to end at most this long after its limit.
const LOOK: Duration = Duration::from_millis(50);
/// How long an attempt may take to end by itself once it was told to.
pub const GRACE: Duration = Duration::from_millis(500);
/// When an attempt that was told to end and did not is taken for stuck.
const STUCK: Duration = Duration::from_millis(900);
/// How many kinds of lost jobs are named in one line.
const NAMED: usize = 5;
/// The wait after a renewal that failed.
const RETRY: Duration = Duration::from_millis(500);
/// How often, at least, it is looked at whether leases are overdue.
const GLANCE: Duration = Duration::from_secs(1);

/// Why an attempt was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was not.
    None,
    /// It ran out of time.
    Timeout,
    /// Another worker holds the job.
    Lost,
    /// The worker stops and waits no longer.
    Stop,
}

/// One reserved job.
#[derive(Debug)]
pub struct Hold {
    id: u64,
    /// The queue it was reserved from.
    pub queue: QueueName,
    /// Proof of the reservation.
    pub receipt: Receipt,
    /// Cancelled when its attempt should end.
    pub cancel: CancellationToken,
    cause: OnceLock<Cause>,
    claimed: AtomicBool,
    stuck: AtomicBool,
    deadline: OnceLock<Instant>,
    run: OnceLock<Weak<Run>>,
}

impl Hold {
    /// Claims the right to say what becomes of the job. True for the first caller only.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Whether someone has said what becomes of the job.
    pub fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }

    /// Tells the attempt to end. The first cause stays.
    pub fn end(&self, cause: Cause) {
        self.cause.get_or_init(|| cause);
        self.cancel.cancel();
    }

    /// Why the attempt was told to end.
    pub fn cause(&self) -> Cause {
        self.cause.get().copied().unwrap_or(Cause::None)
    }

    /// Says that the attempt runs, and until when it may.
    pub fn start(&self, run: &Arc<Run>, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.deadline.get_or_init(|| deadline);
        }
        self.run.get_or_init(|| Arc::downgrade(run));
    }

    /// Whether the attempt has started.
    pub fn has_started(&self) -> bool {
        self.run.get().is_some()
    }

    /// The run, while it goes on. The attempt owns it, and it holds on to us: held both ways, neither
    /// would ever be freed.
    pub fn run(&self) -> Option<Arc<Run>> {
        self.run.get().and_then(Weak::upgrade)
    }
}

/// All jobs that this process holds.
#[derive(Debug)]
pub struct Holds {
    age: Age,
    held: Mutex<HashMap<u64, Arc<Hold>>>,
    next: AtomicU64,
    some: Notify,
    none: Notify,
    lost_slots: AtomicUsize,
    lost_leases: AtomicU64,
}

impl Holds {
    /// None yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            age: Age::new(clock),
            held: Mutex::default(),
            next: AtomicU64::default(),
            some: Notify::new(),
            none: Notify::new(),
            lost_slots: AtomicUsize::default(),
            lost_leases: AtomicU64::default(),
        }
    }

    /// Takes a reserved job into our hands.
    pub fn take(&self, queue: QueueName, receipt: Receipt) -> Arc<Hold> {
        let hold = Arc::new(Hold {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            queue,
            receipt,
            cancel: CancellationToken::new(),
            cause: OnceLock::new(),
            claimed: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            deadline: OnceLock::new(),
            run: OnceLock::new(),
        });
        let mut held = self.lock();
        if held.is_empty() {
            self.age.stood(self.age.now());
            self.some.notify_waiters();
        }
        held.insert(hold.id, Arc::clone(&hold));
        hold
    }

    /// Lets go of jobs that are settled or lost.
    pub fn release<'a>(&self, holds: impl IntoIterator<Item = &'a Hold>) {
        let mut held = self.lock();
        for hold in holds {
            held.remove(&hold.id);
        }
        if held.is_empty() {
            self.none.notify_waiters();
        }
    }

    /// Returns when no job is held: all that was reserved is settled.
    pub async fn wait_for_none(&self) {
        loop {
            let none = self.none.notified();
            tokio::pin!(none);
            none.as_mut().enable();
            if self.is_empty() {
                return;
            }
            none.await;
        }
    }

    /// How many jobs are held.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no job is held.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many slots are taken by code that does not end when it is told to.
    pub fn lost_slots(&self) -> usize {
        self.lost_slots.load(Ordering::Relaxed)
    }

    /// How many leases were lost so far: somebody else holds the job, or nobody does.
    pub fn lost_leases(&self) -> u64 {
        self.lost_leases.load(Ordering::Relaxed)
    }

    /// Counts leases that were found lost.
    pub fn count_lost(&self, leases: u64) {
        self.lost_leases.fetch_add(leases, Ordering::Relaxed);
    }

    /// Says that a stuck attempt has ended after all.
    pub fn recover(&self, hold: &Hold) {
        if hold.stuck.load(Ordering::Acquire) {
            self.lost_slots.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tells every attempt to end.
    pub fn end_all(&self, cause: Cause) {
        for hold in self.snapshot() {
            hold.end(cause);
        }
    }

    /// All held jobs, in no order.
    pub fn snapshot(&self) -> Vec<Arc<Hold>> {
        self.lock().values().cloned().collect()
    }

    /// Renews every lease each third of it, for ever. A job that is no longer ours is told to end.
    pub async fn renew_leases(&self, queue: &dyn Queue, lease: Duration, beat: &Beat, store: &Witness) -> ! {
        loop {
            beat.during(self.wait_for_some()).await;
            beat.during(self.wait_until_due(lease)).await;
            while let Err(error) = beat.asking(self.renew_once(queue, lease)).await {
                store.failed(&error);
                beat.during(tokio::time::sleep(RETRY)).await;
            }
            store.works();
        }
    }

    /// Renews every lease now if they should have been renewed long ago: after the process stood still or the
    /// machine slept, and when its clock was set. Whoever takes jobs asks for this first, or he would take
    /// those that run here.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn renew_overdue(&self, queue: &dyn Queue, lease: Duration) -> Result<(), Error> {
        if self.is_empty() || !self.are_overdue(lease) {
            return Ok(());
        }
        self.renew_once(queue, lease).await
    }

    fn are_overdue(&self, lease: Duration) -> bool {
        self.age.is_over(lease * 2 / 3)
    }

    /// Waits a third of the lease, or until leases are overdue.
    async fn wait_until_due(&self, lease: Duration) {
        let due = Instant::now() + lease / 3;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || self.are_overdue(lease) {
                return;
            }
            tokio::time::sleep(left.min(GLANCE)).await;
        }
    }

    async fn renew_once(&self, queue: &dyn Queue, lease: Duration) -> Result<(), Error> {
        let holds = self.snapshot();
        let receipts: Vec<_> = holds
            .iter()
            .map(|hold| (hold.queue.clone(), hold.receipt.clone()))
            .collect();
        if receipts.is_empty() {
            return Ok(());
        }
        let asked = self.age.now();
        let answers = queue.renew(&receipts, lease).await?;
        self.age.stood(asked);
        let lost = holds.iter().zip(answers).filter(|(_, held)| *held == Held::Lost);
        self.lose(lost.map(|(hold, _)| &**hold));
        Ok(())
    }

    /// Ends the attempts whose leases are lost. A lease that was not renewed because the job is being settled
    /// is no loss.
    fn lose<'a>(&self, lost: impl Iterator<Item = &'a Hold>) {
        let mut names = BTreeSet::new();
        let mut count = 0;
        // Two renewals may meet, and hear the same.
        for hold in lost.filter(|hold| !hold.is_claimed() && hold.cause() != Cause::Lost) {
            count += 1;
            if names.len() < NAMED {
                let name = hold
                    .run()
                    .map_or_else(|| "a job".to_owned(), |run| run.name.clone());
                names.insert(format!("{name} on {}", hold.queue));
            }
            hold.end(Cause::Lost);
        }
        if count > 0 {
            self.count_lost(count);
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            warn!(
                count,
                "Lost {count} leases, of {names}: other workers hold these jobs now, the attempts here are stopped"
            );
        }
    }

    /// Looks at every limit, for ever: tells attempts out of time to end, and hands those that do not to
    /// `stuck`.
    pub async fn watch_limits(&self, beat: &Beat, stuck: impl Fn(Arc<Run>)) -> ! {
        loop {
            beat.during(self.wait_for_some()).await;
            tokio::time::sleep(LOOK).await;
            beat.turn();
            let now = Instant::now();
            for hold in self.snapshot() {
                let Some(deadline) = hold.deadline.get().filter(|deadline| **deadline <= now) else {
                    continue;
                };
                hold.end(Cause::Timeout);
                let is_stuck = now.duration_since(*deadline) > STUCK && !hold.is_claimed();
                if is_stuck && !hold.stuck.swap(true, Ordering::AcqRel) {
                    self.lost_slots.fetch_add(1, Ordering::Relaxed);
                    if let Some(run) = hold.run() {
                        error!(job.uuid = run.uuid, queue = %hold.queue, "{} ignores that its time is over; its slot is lost until it ends", run.name);
                        stuck(run);
                    }
                }
            }
        }
    }

    async fn wait_for_some(&self) {
        let some = self.some.notified();
        tokio::pin!(some);
        some.as_mut().enable();
        if self.is_empty() {
            some.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Hold>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
