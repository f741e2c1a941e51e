//! The one writer of verdicts.
//!
//! Verdicts of all lanes arrive on one channel and are written in batches: at once when idle, as many as
//! have arrived when busy. Failures go their own way, so that a failed store which is down holds up nobody
//! else: record first, delete second, and try again until both are done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::engine::Troubles;
use super::hold::{Hold, Holds};
use super::report::{End, Reporter};
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
    /// How long a lease is.
    pub lease: Duration,
}

impl Writer {
    /// Writes all verdicts and all failures, each on its own way, until the settlers are gone.
    pub async fn run(&self, orders: Orders) {
        tokio::join!(
            self.write_verdicts(orders.verdicts),
            self.write_failures(orders.failures)
        );
    }

    async fn write_verdicts(&self, mut orders: mpsc::Receiver<Order>) {
        let mut batch = Vec::with_capacity(BATCH);
        while orders.recv_many(&mut batch, BATCH).await > 0 {
            self.write_batch(&mut batch, "the queue").await;
        }
    }

    /// Writes a batch, trying again until it is written. Leaves `batch` empty.
    async fn write_batch(&self, batch: &mut Vec<Order>, subject: &str) {
        let mut resent = false;
        let mut wait = FIRST_WAIT;
        while !batch.is_empty() {
            let settlements: Vec<_> = batch.iter().map(settlement).collect();
            match self.queue.settle(&settlements).await {
                Ok(answers) => {
                    self.recovered(subject);
                    for (order, held) in batch.iter().zip(answers) {
                        self.tell(order, held, resent);
                    }
                    self.holds.release(batch.iter().map(|order| &*order.hold));
                    batch.clear();
                }
                Err(error) => {
                    self.trouble(subject, &error);
                    if error.is_ambiguous() {
                        resent = true;
                        self.let_refunds_lapse(batch);
                    }
                    wait_before_retry(&mut wait).await;
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

    async fn write_failures(&self, mut orders: mpsc::Receiver<Order>) {
        let mut batch = Vec::with_capacity(64);
        while orders.recv_many(&mut batch, 64).await > 0 {
            if self.queue.records_failures() {
                self.write_batch(&mut batch, "failed jobs").await;
            } else {
                self.record_then_delete(&mut batch).await;
            }
        }
    }

    async fn record_then_delete(&self, batch: &mut Vec<Order>) {
        let mut wait = FIRST_WAIT;
        while let Err(error) = self.record(batch).await {
            self.trouble("failed jobs", &error);
            wait_before_retry(&mut wait).await;
        }
        self.recovered("failed jobs");
        for order in batch.iter_mut() {
            order.settle = Settle::Delete;
        }
        self.write_batch(batch, "the queue").await;
    }

    /// Records the failures of jobs that are still ours; drops the others from the batch.
    async fn record(&self, batch: &mut Vec<Order>) -> Result<(), Error> {
        let receipts: Vec<_> = batch
            .iter()
            .map(|order| (order.hold.queue.clone(), order.hold.receipt.clone()))
            .collect();
        let mut answers = self.queue.renew(&receipts, self.lease).await?.into_iter();
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
            Ok(())
        } else {
            self.failed.record(&failures).await
        }
    }

    fn tell(&self, order: &Order, held: Held, resent: bool) {
        match held {
            Held::Lost if resent => debug!("A verdict was sent twice; the first had arrived"),
            Held::Lost => {
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

    fn trouble(&self, subject: &str, error: &Error) {
        let hint = match error.kind() {
            Kind::Refused => "the jobs stay reserved until this is mended",
            _ => "trying again",
        };
        if self.troubles.set(subject, error.to_string()) {
            error!("Failed to write verdicts to {subject}, {hint}: {error}");
        }
    }

    fn recovered(&self, subject: &str) {
        if self.troubles.clear(subject) {
            warn!("Writing verdicts to {subject} works again");
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

async fn wait_before_retry(wait: &mut Duration) {
    tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    *wait = (*wait * 2).min(LONGEST_WAIT);
}
