//! Takes as many jobs as a lane has free slots, and waits when there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tracing::warn;

use super::engine::Engine;
use super::hold::Hold;
use super::lane::Lane;
use super::pulse::Beat;
use super::settle::Order;
use super::state::{Pauses, StopReason};
use super::troubles::{Subject, Witness};
use super::unknown::Share;
use crate::failpoint;
use crate::runner::seats::{Granted, Place, Seat};
use crate::store::Error;
use crate::store::port::{QueueName, Reserved, Settle};

/// The longest wait for a wake-up; the drivers look for due jobs more often themselves.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a worker that is to end when nothing is left looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a lane that sees mostly unknown classes leaves the queue to others.
const STAND_BACK: Duration = Duration::from_secs(10);
/// The first wait after an error; doubles.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The pause after a wait for jobs that failed.
const WAIT_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait after an error: a store that is back is used again within five seconds.
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// How often a lane says again that it leaves its jobs to others.
const REMINDER: Duration = Duration::from_secs(600);

/// A reserved job on its way to a slot. Dropped unstarted, it is given back uncounted.
#[derive(Debug)]
pub struct Leased {
    /// What was reserved.
    pub reserved: Reserved,
    /// Our hold on it.
    pub hold: Arc<Hold>,
    /// The slot it will run in; free again when this is dropped.
    pub slot: Option<OwnedSemaphorePermit>,
    /// Its seat, should it turn out to be a job for PHP.
    pub seat: Option<Seat>,
    engine: Arc<Engine>,
}

impl Drop for Leased {
    /// A job without a verdict goes back: uncounted when it never started, else for another attempt.
    fn drop(&mut self) {
        if self.hold.claim() {
            let settle = match self.hold.has_started() {
                false => Settle::Refund { delay: None },
                true => Settle::Release {
                    delay: Duration::ZERO,
                },
            };
            let order = Order {
                hold: Arc::clone(&self.hold),
                settle,
                end: None,
            };
            if !self.engine.settler.send_now(order) {
                self.engine.holds.release([&*self.hold]);
            }
        }
        self.engine.holds.recover(&self.hold);
    }
}

/// Which lanes found nothing at their last look, to know when a worker that stops when empty is done.
#[derive(Debug, Default)]
pub struct Dry {
    lanes: AtomicUsize,
    dry: AtomicUsize,
}

impl Dry {
    /// Counts a lane that is about to start; it is not dry yet.
    pub fn add(&self) {
        self.lanes.fetch_add(1, Ordering::AcqRel);
    }
}

/// The reserving half of one lane.
#[derive(Debug)]
pub struct Reserver {
    engine: Arc<Engine>,
    lane: Arc<Lane>,
    slots: Arc<Semaphore>,
    share: Arc<Share>,
    dry: Arc<Dry>,
    place: Option<Place>,
    is_dry: bool,
    dry_since: Option<Instant>,
    store: Witness,
    waiting: Witness,
    stood_back: Option<Instant>,
    retry: Duration,
}

impl Reserver {
    /// A reserver for `lane`; all lanes of a process share one `dry`.
    #[must_use]
    pub fn new(engine: Arc<Engine>, lane: Arc<Lane>, share: Arc<Share>, dry: Arc<Dry>) -> Self {
        let slots = Arc::new(Semaphore::new(lane.slots));
        let witness = |what: &str| {
            let doing = format!("{what} on lane {}", lane.name);
            Witness::new(&engine.troubles, Subject::Store, doing)
        };
        let seats = engine.runner.seats().filter(|_| lane.php > 0);
        let place = seats.map(|seats| seats.place(lane.php, lane.longest()));
        Self {
            store: witness("take jobs"),
            waiting: witness("wait for jobs"),
            engine,
            lane,
            slots,
            share,
            dry,
            place,
            is_dry: false,
            dry_since: None,
            stood_back: None,
            retry: FIRST_RETRY,
        }
    }

    /// Reserves until the worker stops, or nobody takes the jobs any more.
    pub async fn run(mut self, jobs: mpsc::Sender<Leased>) {
        let beat = self.engine.pulse.beat(format!("lane {}", self.lane.name));
        let stopping = self.engine.state.stopping().clone();
        while let Some((permits, queues, pauses)) = beat.during(self.free_slots()).await {
            if jobs.is_closed() {
                return;
            }
            let taking = stopping.run_until_cancelled(self.seats(permits.num_permits()));
            let Some((most, seats)) = beat.during(taking).await else {
                return;
            };
            let asking = stopping.run_until_cancelled(self.engine.budget.take(most));
            let Some(asked) = beat.during(asking).await else {
                return;
            };
            if asked == 0 {
                drop(permits);
                let all_done = self.engine.holds.wait_for_none();
                let _ = beat.during(stopping.run_until_cancelled(all_done)).await;
                self.engine.state.stop(StopReason::MaxJobs);
                return;
            }
            match beat.asking(self.reserve(&queues, asked)).await {
                Ok(reserved) => {
                    if !reserved.is_empty() {
                        failpoint::pass(failpoint::RESERVED);
                    }
                    self.store.works();
                    self.retry = FIRST_RETRY;
                    let found = reserved.len();
                    self.hand_on(reserved, permits, seats, &jobs).await;
                    self.engine.budget.settle(asked, found);
                    if found == 0 {
                        self.idle(&beat, &queues, pauses).await;
                    } else {
                        self.set_dry(false);
                    }
                }
                Err(error) => {
                    self.engine.budget.settle(asked, 0);
                    self.back_off(&beat, &error).await;
                }
            }
        }
    }

    async fn reserve(&self, queues: &[QueueName], most: usize) -> Result<Vec<Reserved>, Error> {
        let (queue, lease) = (&*self.engine.queue, self.engine.options.lease);
        self.engine.holds.renew_overdue(queue, lease).await?;
        queue.reserve(queues, most, lease).await
    }

    /// Waits before the store is asked again, longer each time.
    async fn back_off(&mut self, beat: &Beat, error: &Error) {
        self.store.failed(error);
        let wait = self.retry.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
        let wait = tokio::time::sleep(wait);
        let _ = beat
            .during(self.engine.state.stopping().run_until_cancelled(wait))
            .await;
    }

    /// Waits for at least one free slot and one queue that may be consumed; `None` when the worker stops.
    async fn free_slots(
        &mut self,
    ) -> Option<(OwnedSemaphorePermit, Vec<QueueName>, watch::Receiver<Pauses>)> {
        let stopping = self.engine.state.stopping().clone();
        if self.share.is_mostly_unknown() {
            self.stand_back().await;
        }
        if let Some(until) = self.share.left_until(Instant::now()) {
            let others = tokio::time::sleep_until(until.into());
            stopping.run_until_cancelled(others).await?;
        }
        loop {
            let slots = Arc::clone(&self.slots);
            let mut permits = stopping.run_until_cancelled(slots.acquire_owned()).await?.ok()?;
            let more = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
            if let Ok(others) = Arc::clone(&self.slots).try_acquire_many_owned(more) {
                permits.merge(others);
            }
            if stopping.is_cancelled() {
                return None;
            }
            let mut pauses = self.engine.state.pauses();
            let queues: Vec<_> = {
                let pauses = pauses.borrow_and_update();
                self.lane
                    .queues
                    .iter()
                    .filter(|queue| pauses.allow(queue))
                    .cloned()
                    .collect()
            };
            if !queues.is_empty() {
                return Some((permits, queues, pauses));
            }
            drop(permits);
            let at_most = match self.engine.options.stop_when_empty_for {
                Some(patience) => {
                    self.stop_if_empty(patience).await;
                    LOOK_AGAIN
                }
                None => LONGEST_WAIT,
            };
            let changed = tokio::time::timeout(at_most, pauses.changed());
            drop(stopping.run_until_cancelled(changed).await?);
        }
    }

    /// How many of `slots` jobs may be reserved, and the seats for those among them that are for PHP. While
    /// PHP cannot run there are none, and jobs for it go back.
    async fn seats(&self, slots: usize) -> (usize, Vec<Seat>) {
        let Some(place) = &self.place else {
            return (slots, Vec::new());
        };
        match place.take(slots).await {
            Granted::Seats(seats) => (seats.len(), seats),
            Granted::Closed => (slots, Vec::new()),
        }
    }

    async fn hand_on(
        &self,
        reserved: Vec<Reserved>,
        mut permits: OwnedSemaphorePermit,
        mut seats: Vec<Seat>,
        jobs: &mpsc::Sender<Leased>,
    ) {
        seats.truncate(reserved.len());
        let mut seats = seats.into_iter();
        for reserved in reserved {
            let hold = self
                .engine
                .holds
                .take(reserved.queue.clone(), reserved.receipt.clone());
            let slot = permits.split(1);
            let leased = Leased {
                reserved,
                hold,
                slot,
                seat: seats.next(),
                engine: Arc::clone(&self.engine),
            };
            if jobs.send(leased).await.is_err() {
                warn!("The lane {} has ended; its job goes back", self.lane.name);
            }
        }
    }

    /// Nothing is there: ends the worker when that was asked for, else waits for something.
    async fn idle(&mut self, beat: &Beat, queues: &[QueueName], mut pauses: watch::Receiver<Pauses>) {
        let stopping = self.engine.state.stopping().clone();
        let at_most = match self.engine.options.stop_when_empty_for {
            Some(patience) => {
                beat.asking(self.stop_if_empty(patience)).await;
                LOOK_AGAIN
            }
            // A short wait tells soon whether waiting works again.
            None if self.waiting.is_ill() => WAIT_AGAIN,
            None => LONGEST_WAIT,
        };
        let wait = async {
            tokio::select! {
                waited = self.engine.queue.wait(queues, at_most) => waited,
                _ = pauses.changed() => Ok(()),
            }
        };
        match beat.during(stopping.run_until_cancelled(wait)).await {
            None => {}
            Some(Ok(())) => self.waiting.works(),
            Some(Err(error)) => {
                self.waiting.failed(&error);
                let wait = tokio::time::sleep(WAIT_AGAIN);
                let _ = beat.during(stopping.run_until_cancelled(wait)).await;
            }
        }
    }

    /// Ends the worker when no lane found anything, none runs anything, and a last look at all queues
    /// agrees, for as long as asked.
    async fn stop_if_empty(&mut self, patience: Duration) {
        self.set_dry(self.slots.available_permits() == self.lane.slots);
        let all_dry = self.dry.dry.load(Ordering::Acquire) >= self.dry.lanes.load(Ordering::Acquire);
        if !all_dry || !self.engine.holds.is_empty() {
            self.dry_since = None;
            return;
        }
        let since = *self.dry_since.get_or_insert_with(Instant::now);
        if since.elapsed() < patience {
            return;
        }
        let pauses = self.engine.state.pauses().borrow().clone();
        let served = self.engine.state.served().into_iter().map(|(queue, _)| queue);
        let queues: Vec<_> = served.filter(|queue| pauses.allow(queue)).collect();
        let left = self.engine.queue.depth(&queues).await;
        if left.is_ok_and(|depths| depths.iter().all(|depth| depth.pending == 0)) {
            self.engine.state.stop(StopReason::Empty);
        }
    }

    fn set_dry(&mut self, dry: bool) {
        if self.is_dry != dry {
            self.is_dry = dry;
            if dry {
                self.dry.dry.fetch_add(1, Ordering::AcqRel);
            } else {
                self.dry.dry.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Leaves the lane's queues to others for a while.
    async fn stand_back(&mut self) {
        let subject = format!("lane {}", self.lane.name);
        let classes = self.engine.unknowns.classes();
        let what = format!("most jobs are of classes that nobody here runs: {classes}");
        self.engine.troubles.set(&subject, what);
        if self.stood_back.is_none_or(|said| said.elapsed() >= REMINDER) {
            self.stood_back = Some(Instant::now());
            warn!(
                "Lane {} sees mostly jobs of unknown classes ({classes}); leaving them to other workers, 10 s at a time",
                self.lane.name
            );
        }
        let _ = self
            .engine
            .state
            .stopping()
            .run_until_cancelled(tokio::time::sleep(STAND_BACK))
            .await;
        self.engine.troubles.clear(&subject);
    }
}
