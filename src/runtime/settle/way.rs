//! One of the two ways that verdicts go: what is to be written next, and what could not be written yet.
//!
//! While the store is away nothing new is taken, and the same batch is tried again, ever less often. A batch
//! that the store refuses is halved until what it refuses is alone: that stays, and all else goes on.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Order;
use crate::runtime::pulse::Beat;
use crate::runtime::troubles::{Subject, Witness};
use crate::store::{Error, Kind};

/// Batches that may be put off; beyond that, nothing new is taken.
const PUT_OFF: usize = 1024;
/// The first wait after an error; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait after an error.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Verdicts that are written together.
pub(super) struct Batch {
    pub(super) orders: Vec<Order>,
    /// Whether an earlier try may have been carried out.
    pub(super) resent: bool,
    /// What was in the way, for a batch that is not to be halved.
    trouble: Option<Subject>,
}

/// The stores as one way sees them.
pub(super) struct Witnesses {
    /// Where jobs lie.
    pub(super) store: Witness,
    /// Where failures are kept.
    pub(super) failed: Witness,
}

impl Witnesses {
    fn of(&self, subject: Subject) -> &Witness {
        match subject {
            Subject::Store => &self.store,
            Subject::FailedJobs => &self.failed,
        }
    }
}

/// The channel of one way, and what was put off.
pub(super) struct Way {
    orders: mpsc::Receiver<Order>,
    is_open: bool,
    /// The most verdicts in one call.
    most: usize,
    put_off: VecDeque<Batch>,
    /// When the first of them is tried again, and how long it takes after that.
    due: Instant,
    wait: Duration,
    /// Whether the store is away.
    is_away: bool,
    /// Whether the last batch that was tried again went through.
    is_mended: bool,
    pub(super) beat: Beat,
    witnesses: Witnesses,
}

impl Way {
    pub(super) fn new(
        orders: mpsc::Receiver<Order>,
        most: usize,
        (beat, witnesses): (Beat, Witnesses),
    ) -> Self {
        Self {
            orders,
            is_open: true,
            most,
            put_off: VecDeque::new(),
            due: Instant::now(),
            wait: FIRST_WAIT,
            is_away: false,
            is_mended: false,
            beat,
            witnesses,
        }
    }

    /// What is to be written next; `None` when all is written and nobody can send any more.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        let mut orders = Vec::new();
        loop {
            let takes = self.is_open && !self.is_away && self.put_off.len() < PUT_OFF;
            let next = async {
                tokio::select! {
                    taken = self.orders.recv_many(&mut orders, self.most), if takes => Some(taken),
                    () = tokio::time::sleep_until(self.due), if !self.put_off.is_empty() => None,
                    else => Some(0),
                }
            };
            match self.beat.during(next).await {
                None => return self.again(),
                Some(0) if self.put_off.is_empty() => return None,
                Some(0) => self.is_open = false,
                Some(_) => {
                    return Some(Batch {
                        orders,
                        resent: false,
                        trouble: None,
                    });
                }
            }
        }
    }

    /// The first of what was put off, alone; with those after it, once one has gone through.
    fn again(&mut self) -> Option<Batch> {
        let mut batch = self.put_off.pop_front()?;
        while self.is_mended
            && let Some(next) = self.put_off.front()
            && next.resent == batch.resent
            && next.orders.len() + batch.orders.len() <= self.most
            && let Some(next) = self.put_off.pop_front()
        {
            batch.orders.extend(next.orders);
        }
        Some(batch)
    }

    /// A batch is written.
    pub(super) fn written(&mut self, batch: &Batch) {
        self.is_away = false;
        if batch.trouble.is_some() {
            self.is_mended = true;
            self.wait = FIRST_WAIT;
            self.due = Instant::now();
        }
        for subject in [Subject::Store, Subject::FailedJobs] {
            if self.put_off.iter().all(|batch| batch.trouble != Some(subject)) {
                self.witnesses.of(subject).works();
            }
        }
    }

    /// A batch could not be written: keeps it for later, in halves where a part of it may be the reason.
    pub(super) fn put_off(&mut self, mut batch: Batch, subject: Subject, error: &Error) {
        self.is_mended = false;
        let count = batch.orders.len();
        let is_refused = matches!(error.kind(), Kind::Refused | Kind::Corrupt);
        self.is_away = count > 0 && !is_refused;
        if count > 1 && is_refused {
            batch.trouble = None;
            let half = Batch {
                orders: batch.orders.split_off(count / 2),
                resent: batch.resent,
                trouble: None,
            };
            self.put_off.push_front(half);
            self.put_off.push_front(batch);
            self.wait = FIRST_WAIT;
            self.due = Instant::now();
            return;
        }
        self.witnesses.of(subject).failed(error);
        if count == 0 {
            return;
        }
        if self.put_off.is_empty() && batch.trouble.is_none() {
            self.wait = FIRST_WAIT;
        }
        // A new one does not keep the others from their turn.
        if self.due <= Instant::now() {
            self.due = Instant::now() + self.wait.mul_f64(0.5 + fastrand::f64() / 2.0);
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        batch.trouble = Some(subject);
        if self.is_away {
            self.put_off.push_front(batch);
        } else {
            self.put_off.push_back(batch);
        }
    }
}
