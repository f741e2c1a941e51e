//! The one writer of verdicts.
//!
//! Verdicts of all lanes arrive on one channel and are written in batches: at once when idle, as many as
//! have arrived when busy. Failures go their own way, so that a failed store which is down holds up nobody
//! else: record first, delete second, and try again until both are done. What a store refuses is told from
//! the rest, which goes on without it ([`way`]).

mod way;

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
use way::{Batch, Way, Witnesses};

/// The most verdicts in one call.
const BATCH: usize = 512;
/// The most failures in one call.
const FAILURES: usize = 64;
/// Verdicts that may wait to be written; beyond that, slots wait with theirs.
const WAITING: usize = 4096;

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

impl Writer {
    /// Writes all verdicts and all failures, each on its own way, until the settlers are gone.
    pub async fn run(&self, orders: Orders) {
        let verdicts = Way::new(orders.verdicts, BATCH, self.witnesses("verdicts"));
        let failures = Way::new(orders.failures, FAILURES, self.witnesses("failures"));
        tokio::join!(self.write_all(verdicts), self.write_all(failures));
    }

    fn witnesses(&self, what: &str) -> (Beat, Witnesses) {
        let witness = |subject, doing| Witness::new(&self.troubles, subject, format!("{doing} {what}"));
        let witnesses = Witnesses {
            store: witness(Subject::Store, "write"),
            failed: witness(Subject::FailedJobs, "record"),
        };
        (self.pulse.beat(format!("the writing of {what}")), witnesses)
    }

    async fn write_all(&self, mut way: Way) {
        while let Some(mut batch) = way.next().await {
            match self.write(&mut batch, &way.beat).await {
                Ok(()) => way.written(&batch),
                Err((subject, error)) => way.put_off(batch, subject, &error),
            }
        }
    }

    /// Writes a batch, or says what is in the way of what.
    async fn write(&self, batch: &mut Batch, beat: &Beat) -> Result<(), (Subject, Error)> {
        let fails = |order: &Order| matches!(order.settle, Settle::Fail(_));
        let records = batch.orders.iter().any(fails);
        if records && !self.queue.records_failures() {
            self.record(batch, beat).await?;
        }
        if batch.orders.is_empty() {
            return Ok(());
        }
        let settlements: Vec<_> = batch.orders.iter().map(settlement).collect();
        failpoint::pass(failpoint::SETTLING);
        match beat.asking(self.queue.settle(&settlements)).await {
            Ok(answers) => {
                failpoint::pass(failpoint::SETTLED);
                for (order, held) in batch.orders.iter().zip(answers) {
                    self.tell(order, held, batch.resent);
                }
                self.holds.release(batch.orders.iter().map(|order| &*order.hold));
                Ok(())
            }
            Err(error) => {
                if error.is_ambiguous() {
                    batch.resent = true;
                    self.let_refunds_lapse(&mut batch.orders);
                }
                // Where both stores are one, a refusal is about the table of failures, all else about the
                // store.
                let is_of_failures = batch.orders.iter().any(fails) && error.kind() == Kind::Refused;
                let subject = match is_of_failures {
                    true => Subject::FailedJobs,
                    false => Subject::Store,
                };
                Err((subject, error))
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

    /// Records the failures of jobs that are still ours, whose jobs then are to be ended; drops the others from
    /// the batch.
    async fn record(&self, batch: &mut Batch, beat: &Beat) -> Result<(), (Subject, Error)> {
        let receipts: Vec<_> = batch
            .orders
            .iter()
            .map(|order| (order.hold.queue.clone(), order.hold.receipt.clone()))
            .collect();
        let renewed = beat.asking(self.queue.renew(&receipts, self.lease)).await;
        let mut answers = renewed.map_err(|error| (Subject::Store, error))?.into_iter();
        batch.orders.retain(|order| {
            let held = answers.next() != Some(Held::Lost);
            if !held {
                self.tell(order, Held::Lost, false);
                self.holds.release([&*order.hold]);
            }
            held
        });
        let failure = |order: &Order| match &order.settle {
            Settle::Fail(failure) => Some((**failure).clone()),
            _ => None,
        };
        let failures: Vec<FailedJob> = batch.orders.iter().filter_map(failure).collect();
        if failures.is_empty() {
            return Ok(());
        }
        failpoint::pass(failpoint::RECORDING);
        let recorded = beat.asking(self.failed.record(&failures)).await;
        recorded.map_err(|error| (Subject::FailedJobs, error))?;
        failpoint::pass(failpoint::RECORDED);
        for order in &mut batch.orders {
            if let Settle::Fail(failure) = std::mem::replace(&mut order.settle, Settle::Delete) {
                order.settle = Settle::Failed(failure);
            }
        }
        Ok(())
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
