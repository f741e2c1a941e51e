//! Moving the jobs that wait in one store to another: in order, with their delays and attempts, none lost and
//! none doubled whenever the process dies.
//!
//! A batch is set aside in the source, so that no worker takes it; pushed to the target with a marker of each
//! entry; and removed from the source. A process that dies in between leaves a batch that is set aside and
//! comes back by itself, and markers by which the next run knows what was pushed. This room knows the ports
//! and the two forms of a payload, and nothing of who asks.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::store::Error;
use crate::store::port::{Aside, AsideEnd, Held, NewJob, OnceJob, Queue, QueueName, Receipt, Waiting};
use crate::wire::{self, Payload, edit};

/// How long a batch is kept from workers in the source. After a crash its jobs are back there within this time.
pub const HOLD: Duration = Duration::from_secs(600);
/// Jobs of one batch.
const BATCH: usize = 500;
/// How old a batch may be when it is pushed: the hold must not end meanwhile.
const FRESH: Duration = Duration::from_secs(300);
/// How long a marker outlives its job's removal, so that another run which had seen the same job knows.
const LINGER: Duration = Duration::from_secs(10);

/// From where to where.
#[derive(Debug)]
pub struct Mover {
    /// The source.
    pub from: Arc<dyn Queue>,
    /// The target.
    pub to: Arc<dyn Queue>,
}

/// What became of the jobs of one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Moved, available.
    pub moved: u64,
    /// Moved, not due yet.
    pub moved_delayed: u64,
    /// Among both: pushed by an earlier run that died, and only removed now.
    pub resumed: u64,
    /// Payloads that cannot be read: they stayed where they were.
    pub unreadable: u64,
    /// Pushed, but taken or changed in the source meanwhile: these may run on both sides.
    pub lost: u64,
    /// In the hands of workers: left where they are.
    pub reserved: u64,
    /// Still waiting in the source, having come meanwhile.
    pub waiting: u64,
}

impl Tally {
    /// Jobs that were looked at.
    #[must_use]
    pub const fn handled(&self) -> u64 {
        self.moved + self.moved_delayed + self.unreadable + self.lost
    }
}

impl Mover {
    /// Moves what waits in `queue`: as many jobs as there are now; those that come meanwhile are counted, not
    /// followed. After each batch `told` hears how far it is, and may say to stop.
    ///
    /// # Errors
    /// When a store cannot be asked; moving again goes on where this ended.
    pub async fn queue(
        &self,
        queue: &QueueName,
        told: &mut (dyn FnMut(&Tally) -> ControlFlow<()> + Send),
    ) -> Result<Tally, Error> {
        let mut run = Run {
            mover: self,
            queue,
            tally: Tally::default(),
            kept: Vec::new(),
            known: HashMap::new(),
            markers: VecDeque::new(),
            told,
        };
        let ran = run.all().await;
        let ended = run.end().await;
        let stopped = ran?;
        ended?;
        let depth = self.from.depth(std::slice::from_ref(queue)).await?;
        for depth in depth {
            run.tally.reserved = depth.reserved;
            run.tally.waiting = (depth.pending + depth.delayed).saturating_sub(run.tally.unreadable);
        }
        debug!(?stopped, "Moved queue {queue}: {:?}", run.tally);
        Ok(run.tally)
    }

    /// The payload in the target's form, and the attempts counted so far.
    ///
    /// What Redis payloads carry and SQL payloads do not is spliced in or out; nothing else changes. The id is
    /// made from the entry's identity: the same when it is moved again, and different for twins.
    fn fitted(&self, aside: &Aside) -> Result<(Bytes, u32), wire::Error> {
        let payload = Payload::parse(aside.payload.clone())?;
        let attempts = aside.attempts.unwrap_or_else(|| {
            let counted = payload.attempts().unwrap_or(0);
            u32::try_from(counted).unwrap_or(u32::MAX)
        });
        let text = &aside.payload;
        let fitted = match (self.from.carries_attempts(), self.to.carries_attempts()) {
            (true, true) if payload.attempts().is_some() => text.clone(),
            (false, false) => text.clone(),
            (_, true) => {
                let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, aside.identity.as_bytes());
                edit::with_id_and_attempts(text, &id.simple().to_string(), attempts.into())?.into()
            }
            (true, false) => edit::without_members(text, &["id", "attempts"])?.into(),
        };
        Ok((fitted, attempts))
    }
}

/// One queue on its way.
struct Run<'a> {
    mover: &'a Mover,
    queue: &'a QueueName,
    tally: Tally,
    /// Payloads that cannot be read, in order: they are put back at the end, or they would come again.
    kept: Vec<Receipt>,
    /// Their places, by identity.
    known: HashMap<String, usize>,
    /// Markers of what is moved, by the time of its removal.
    markers: VecDeque<(Instant, Vec<String>)>,
    told: &'a mut (dyn FnMut(&Tally) -> ControlFlow<()> + Send),
}

impl Run<'_> {
    async fn all(&mut self) -> Result<ControlFlow<()>, Error> {
        if self.some(Waiting::Left, 1).await?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let depth = self.mover.from.depth(std::slice::from_ref(self.queue)).await?;
        let (mut ready, mut delayed) = (0, 0);
        for depth in depth {
            // Reservations may lapse meanwhile.
            ready = depth.pending + depth.reserved;
            delayed = depth.delayed;
        }
        let total = self.tally.handled() + ready + delayed;
        loop {
            let before = self.tally.handled();
            for (which, most) in [(Waiting::Ready, ready), (Waiting::Delayed, delayed)] {
                if self.some(which, most).await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            let handled = self.tally.handled();
            if handled == before || handled >= total {
                return Ok(ControlFlow::Continue(()));
            }
            // What became due or lapsed meanwhile is in another place now.
            (ready, delayed) = (total - handled, total - handled);
        }
    }

    /// Moves jobs of one kind, `most` at most; those left over come all at once.
    async fn some(&mut self, which: Waiting, most: u64) -> Result<ControlFlow<()>, Error> {
        let mut left = usize::try_from(most).unwrap_or(usize::MAX);
        while left > 0 {
            let since = Instant::now();
            let from = &self.mover.from;
            let batch = from.set_aside(self.queue, which, left.min(BATCH), HOLD).await?;
            if batch.is_empty() {
                break;
            }
            left = left.saturating_sub(batch.len());
            self.pass(batch, since).await?;
            if (self.told)(&self.tally).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if which == Waiting::Left {
                break;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Moves one batch.
    async fn pass(&mut self, batch: Vec<Aside>, since: Instant) -> Result<(), Error> {
        let (batch, jobs) = self.sort(batch, since);
        let receipts: Vec<Receipt> = batch.iter().map(|aside| aside.receipt.clone()).collect();
        let from = &self.mover.from;
        if since.elapsed() > FRESH {
            // This process stood still for so long that the hold may end any moment.
            from.end_aside(self.queue, &receipts, AsideEnd::PutBack).await?;
            return Ok(());
        }
        let pushed = match self.mover.to.push_once(&jobs).await {
            Ok(pushed) => pushed,
            Err(error) => {
                // When it may have been carried out the batch stays aside, so that the next run knows its jobs.
                if !error.is_ambiguous() {
                    from.end_aside(self.queue, &receipts, AsideEnd::PutBack).await?;
                }
                return Err(error);
            }
        };
        let removed = from.end_aside(self.queue, &receipts, AsideEnd::Remove).await?;
        let mut markers = Vec::with_capacity(jobs.len());
        for ((once, pushed), held) in jobs.into_iter().zip(pushed).zip(removed) {
            if held == Held::Lost {
                self.tally.lost += 1;
                self.tell_lost(&once.job);
                continue;
            }
            match once.job.delay {
                None => self.tally.moved += 1,
                Some(_) => self.tally.moved_delayed += 1,
            }
            self.tally.resumed += u64::from(!pushed);
            markers.push(once.marker);
        }
        self.markers.push_back((Instant::now(), markers));
        self.drop_markers(LINGER).await
    }

    /// What can be moved, with what is to be pushed; the rest is kept aside.
    fn sort(&mut self, batch: Vec<Aside>, since: Instant) -> (Vec<Aside>, Vec<OnceJob>) {
        let mut movable = Vec::with_capacity(batch.len());
        let mut jobs = Vec::with_capacity(batch.len());
        for aside in batch {
            match self.mover.fitted(&aside) {
                Ok((payload, attempts)) => {
                    // Rounded down, as the source rounded up: never early, and a second late at most.
                    let passed = Duration::from_secs(since.elapsed().as_secs());
                    let job = NewJob {
                        queue: self.queue.clone(),
                        payload,
                        delay: aside.delay.map(|delay| delay.saturating_sub(passed)),
                    };
                    jobs.push(OnceJob {
                        marker: format!("move:{}", aside.identity),
                        job,
                        attempts,
                    });
                    movable.push(aside);
                }
                Err(error) => {
                    debug!("A job of queue {} stays: failed to {error}", self.queue);
                    self.keep(aside);
                }
            }
        }
        (movable, jobs)
    }

    /// Keeps a job aside. One that was kept before came back by itself, because this takes so long.
    fn keep(&mut self, aside: Aside) {
        match self
            .known
            .get(&aside.identity)
            .and_then(|place| self.kept.get_mut(*place))
        {
            Some(receipt) => *receipt = aside.receipt,
            None => {
                self.known.insert(aside.identity, self.kept.len());
                self.kept.push(aside.receipt);
                self.tally.unreadable += 1;
            }
        }
    }

    fn tell_lost(&self, job: &NewJob) {
        let uuid = Payload::parse(job.payload.clone())
            .ok()
            .and_then(|payload| payload.uuid().map(str::to_owned));
        warn!(
            "Job {} was pushed, but was taken or changed on queue {} meanwhile: it may run on both sides",
            uuid.as_deref().unwrap_or("without a uuid"),
            self.queue
        );
    }

    /// Puts back what was kept aside and forgets all markers.
    async fn end(&mut self) -> Result<(), Error> {
        let from = &self.mover.from;
        let put_back = from.end_aside(self.queue, &self.kept, AsideEnd::PutBack).await;
        self.drop_markers(Duration::ZERO).await?;
        put_back.map(drop)
    }

    async fn drop_markers(&mut self, age: Duration) -> Result<(), Error> {
        while let Some((_, markers)) = self.markers.pop_front_if(|(removed, _)| removed.elapsed() >= age) {
            self.mover.to.drop_markers(&markers).await?;
        }
        Ok(())
    }
}
