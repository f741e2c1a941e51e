//! The one writer of verdicts.
//!
//! Verdicts of all lanes arrive on one channel and are written in batches: at once when idle, as many as
//! have arrived when busy. Failures go their own way, so that a failed store which is down holds up nobody
//! else: record first, delete second, and try again until both are done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::hold::{Hold, Holds};
use super::pulse::{Beat, Pulse};
use super::report::{End, Reporter};
use super::troubles::{Subject, Troubles, Witness};
use crate::failpoint;
use crate::store::port::{FailedJob, FailedJobs, Held, Queue, Settle, Settlement};
use crate::store::{Error, Kind};

/// The most verdicts in one call.
const BATCH: usize = 512;
/// Verdicts that may wait to be written; beyond that, slots wait with theirs.
const WAITING: usize = 4096;
/// The first wait after an error; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait after an error.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A verdict on its way to the store.
#[derive(Debug)]
pub struct Order {
    /// The job it is about.
    pub hold: Arc<Hold>,
    /// What becomes of it.
    pub settle: Settle,
    /// What is told once it is written; `None` for jobs that were given back unstarted.
    pub end: Option<Box<End>>,
}

/// Takes verdicts.
#[derive(Debug, Clone)]
pub struct Settler {
    verdicts: mpsc::Sender<Order>,
    failures: mpsc::Sender<Order>,
}

/// The other ends of a [`Settler`]'s channels.
#[derive(Debug)]
pub struct Orders {
    verdicts: mpsc::Receiver<Order>,
    failures: mpsc::Receiver<Order>,
}

impl Settler {
    /// A settler and the orders that it will send.
    #[must_use]
    pub fn new() -> (Self, Orders) {
        let (verdicts, verdict_orders) = mpsc::channel(WAITING);
        let (failures, failure_orders) = mpsc::channel(WAITING / 4);
        (
            Self { verdicts, failures },
            Orders {
                verdicts: verdict_orders,
                failures: failure_orders,
            },
        )
    }

    /// Sends a verdict; waits when the store cannot keep up.
    pub async fn send(&self, order: Order) {
        let channel = if matches!(order.settle, Settle::Fail(_)) {
            &self.failures
        } else {
            &self.verdicts
        };
        if channel.send(order).await.is_err() {
            error!("The settler is gone; the job comes back when its lease ends");
        }
    }

    /// Sends a verdict from where nothing can wait; says whether that was possible. If not, its lease is to
    /// lapse.
    #[must_use]
    pub fn send_now(&self, order: Order) -> bool {
        let sent = self.verdicts.try_send(order).is_ok();
        if !sent {
            warn!("Could not give a job back at once; it comes back when its lease ends");
        }
        sent
    }
}

/// Writes verdicts until no one can send any more.
#[derive(Debug)]
pub struct Writer {
    /// Where jobs lie.
    pub queue: Arc<dyn Queue>,
    /// Where failures are kept.
    pub failed: Arc<dyn FailedJobs>,
    /// What is in our hands.
    pub holds: Arc<Holds>,
    /// Who hears of ends.
    pub reporter: Arc<dyn Reporter>,
    /// What is wrong.
    pub troubles: Arc<Troubles>,
    /// Whether the writing goes on.
    pub pulse: Arc<Pulse>,
    /// How long a lease is.
    pub lease: Duration,
}

/// One of the two ways that verdicts go: whether it moves, and how its stores do.
struct Way {
    beat: Beat,
    store: Witness,
    failed: Witness,
}

impl Way {
    fn new(pulse: &Pulse, troubles: &Arc<Troubles>, what: &str) -> Self {
        Self {
            beat: pulse.beat(format!("the writing of {what}")),
            store: Witness::new(troubles, Subject::Store, format!("write {what}")),
            failed: Witness::new(troubles, Subject::FailedJobs, format!("record {what}")),
        }
    }

    fn works(&self) {
        self.store.works();
        self.failed.works();
    }

    /// Where both stores are one, a refusal is about the table of failures, all else about the store.
    fn failed(&self, batch: &[Order], error: &Error) {
        let records = batch.iter().any(|order| matches!(order.settle, Settle::Fail(_)));
        if records && error.kind() == Kind::Refused {
            self.failed.failed(error);
        } else {
            self.store.failed(error);
        }
    }

    async fn wait_before_retry(&self, wait: &mut Duration) {
        let pause = tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0));
        self.beat.during(pause).await;
        *wait = (*wait * 2).min(LONGEST_WAIT);
    }
}

impl Writer {
    /// Writes all verdicts and all failures, each on its own way, until the settlers are gone.
    pub async fn run(&self, orders: Orders) {
        let way = |what| Way::new(&self.pulse, &self.troubles, what);
        tokio::join!(
            self.write_verdicts(orders.verdicts, way("verdicts")),
            self.write_failures(orders.failures, way("failures"))
        );
    }

    async fn write_verdicts(&self, mut orders: mpsc::Receiver<Order>, way: Way) {
        let mut batch = Vec::with_capacity(BATCH);
        while way.beat.during(orders.recv_many(&mut batch, BATCH)).await > 0 {
            self.write_batch(&mut batch, &way).await;
        }
    }

    /// Writes a batch, trying again until it is written. Leaves `batch` empty.
    async fn write_batch(&self, batch: &mut Vec<Order>, way: &Way) {
        let mut resent = false;
        let mut wait = FIRST_WAIT;
        while !batch.is_empty() {
            let settlements: Vec<_> = batch.iter().map(settlement).collect();
            failpoint::pass(failpoint::SETTLING);
            match way.beat.asking(self.queue.settle(&settlements)).await {
                Ok(answers) => {
                    failpoint::pass(failpoint::SETTLED);
                    way.works();
                    for (order, held) in batch.iter().zip(answers) {
                        self.tell(order, held, resent);
                    }
                    self.holds.release(batch.iter().map(|order| &*order.hold));
                    batch.clear();
                }
                Err(error) => {
                    way.failed(batch, &error);
                    if error.is_ambiguous() {
                        resent = true;
                        self.let_refunds_lapse(batch);
                    }
                    way.wait_before_retry(&mut wait).await;
                }
            }
        }
    }

    /// A refund may have been carried out although its answer never came. Sending it again could take the
    /// job from whoever reserved it since, so it is left to come back by itself when its lease ends.
    fn let_refunds_lapse(&self, batch: &mut Vec<Order>) {
        batch.retain(|order| {
            let refund = matches!(order.settle, Settle::Refund { .. });
            if refund {
                self.holds.release([&*order.hold]);
            }
            !refund
        });
    }

    async fn write_failures(&self, mut orders: mpsc::Receiver<Order>, way: Way) {
        let mut batch = Vec::with_capacity(64);
        while way.beat.during(orders.recv_many(&mut batch, 64)).await > 0 {
            if self.queue.records_failures() {
                self.write_batch(&mut batch, &way).await;
            } else {
                self.record_then_delete(&mut batch, &way).await;
            }
        }
    }

    async fn record_then_delete(&self, batch: &mut Vec<Order>, way: &Way) {
        let mut wait = FIRST_WAIT;
        while !self.record(batch, way).await {
            way.wait_before_retry(&mut wait).await;
        }
        for order in batch.iter_mut() {
            if let Settle::Fail(failure) = std::mem::replace(&mut order.settle, Settle::Delete) {
                order.settle = Settle::Failed(failure);
            }
        }
        self.write_batch(batch, way).await;
    }

    /// Records the failures of jobs that are still ours; drops the others from the batch. Says whether that
    /// worked.
    async fn record(&self, batch: &mut Vec<Order>, way: &Way) -> bool {
        let receipts: Vec<_> = batch
            .iter()
            .map(|order| (order.hold.queue.clone(), order.hold.receipt.clone()))
            .collect();
        let answers = match way.beat.asking(self.queue.renew(&receipts, self.lease)).await {
            Ok(answers) => answers,
            Err(error) => {
                way.store.failed(&error);
                return false;
            }
        };
        way.store.works();
        let mut answers = answers.into_iter();
        batch.retain(|order| {
            let held = answers.next() != Some(Held::Lost);
            if !held {
                self.tell(order, Held::Lost, false);
                self.holds.release([&*order.hold]);
            }
            held
        });
        let failures: Vec<FailedJob> = batch
            .iter()
            .filter_map(|order| match &order.settle {
                Settle::Fail(failure) => Some((**failure).clone()),
                _ => None,
            })
            .collect();
        if failures.is_empty() {
            return true;
        }
        failpoint::pass(failpoint::RECORDING);
        match way.beat.asking(self.failed.record(&failures)).await {
            Ok(()) => {
                failpoint::pass(failpoint::RECORDED);
                way.failed.works();
                true
            }
            Err(error) => {
                way.failed.failed(&error);
                false
            }
        }
    }

    fn tell(&self, order: &Order, held: Held, resent: bool) {
        match held {
            Held::Lost if resent => debug!("A verdict was sent twice; the first had arrived"),
            Held::Lost => {
                self.holds.count_lost(1);
                let name = order.end.as_ref().map_or("a job", |end| end.told.name.as_str());
                warn!(queue = %order.hold.queue, "The result of {name} on {} is void: its lease was lost", order.hold.queue);
                return;
            }
            Held::Yes => {}
        }
        if let Some(end) = &order.end {
            self.reporter.ended(end);
        }
    }
}

fn settlement(order: &Order) -> Settlement {
    Settlement {
        queue: order.hold.queue.clone(),
        receipt: order.hold.receipt.clone(),
        settle: order.settle.clone(),
    }
}
