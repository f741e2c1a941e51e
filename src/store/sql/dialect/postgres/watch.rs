//! The one task that knows when there may be jobs: it listens, looks at the table now and then, and answers
//! those who wait.
//!
//! All waits of a process share it. With triggers on the table (`worker migrate --notify`) it hears of rows;
//! otherwise it looks, often while there is work and ever less often while there is none. Each look says
//! when the next row comes due, so that a timer is enough for that. What was heard while nobody waited is
//! remembered, so that nothing slips through between a reservation that found nothing and the wait after it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::error::Failure;
use super::listen::{Ears, Note};
use super::pool::Use;
use crate::store::port::QueueName;
use crate::store::{Error, Kind};

/// The pause between two looks while there is work.
const SHORTEST: Duration = Duration::from_millis(20);

/// The longest pause while announcements are heard: some things are not announced, such as reservations
/// that lapse.
const LISTENING: Duration = Duration::from_secs(5);

/// Looks may take one part in so many of the time, unless they are very slow.
const SHARE: u32 = 10;
const COSTLY: Duration = Duration::from_secs(1);

/// A row that comes due is looked for this much after the second has begun.
const MARGIN: Duration = Duration::from_millis(2);

/// Queues remembered by name; when there are more it might be any.
const REMEMBERED: usize = 1000;

/// Waits that may arrive at once before callers are held back.
const QUEUED: usize = 256;

/// Someone who waits for jobs.
struct Waiter {
    queues: Vec<QueueName>,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// The task, started with the first wait.
#[derive(Debug)]
pub(super) struct Watcher {
    asks: mpsc::Sender<Waiter>,
    _task: JoinSet<()>,
}

impl Watcher {
    pub(super) fn start(db: Arc<Shared>) -> Self {
        let (asks, waiters) = mpsc::channel(QUEUED);
        let mut task = JoinSet::new();
        task.spawn(Watch::new(db).run(waiters));
        Self { asks, _task: task }
    }

    /// Returns when one of `queues` may hold a row to claim. Cancellation safe.
    pub(super) async fn wait(&self, queues: &[QueueName]) -> Result<(), Error> {
        let gone = || Error::new(Kind::Lost, "wait for jobs", "the database is being closed");
        let (reply, answer) = oneshot::channel();
        let queues = queues.to_vec();
        if self.asks.send(Waiter { queues, reply }).await.is_err() {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Queues in which rows came or became free.
#[derive(Debug, Default)]
struct Heard {
    any: bool,
    queues: HashSet<QueueName>,
}

impl Heard {
    fn add(&mut self, queue: QueueName) {
        self.queues.insert(queue);
        if self.queues.len() > REMEMBERED {
            self.queues.clear();
            self.any = true;
        }
    }

    /// Whether something came in one of `queues`; once told it is forgotten.
    fn take(&mut self, queues: &[QueueName]) -> bool {
        let named = queues.iter().filter(|queue| self.queues.remove(*queue)).count();
        std::mem::take(&mut self.any) || named > 0
    }
}

/// What this process itself does with the table, as far as it concerns those who wait.
#[derive(Debug, Default)]
pub(super) struct Hints {
    stirred: AtomicBool,
    heard: Mutex<Heard>,
    bell: Notify,
}

impl Hints {
    /// There is work: whoever waits next looks soon.
    pub(super) fn stir(&self) {
        self.stirred.store(true, Ordering::Release);
    }

    /// Rows became free, or will.
    pub(super) fn freed(&self) {
        self.stir();
        self.bell.notify_one();
    }

    /// Rows came that are due.
    pub(super) fn came(&self, queues: impl IntoIterator<Item = QueueName>) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        queues.into_iter().for_each(|queue| heard.add(queue));
        drop(heard);
        self.bell.notify_one();
    }

    fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Watch {
    db: Arc<Shared>,
    ears: Ears,
    waiters: Vec<Waiter>,
    heard: Heard,
    due: HashMap<QueueName, Instant>,
    looked: Instant,
    cost: Duration,
    pause: Duration,
}

impl Watch {
    fn new(db: Arc<Shared>) -> Self {
        Self {
            db,
            ears: Ears::new(),
            waiters: Vec::new(),
            heard: Heard::default(),
            due: HashMap::new(),
            looked: Instant::now(),
            cost: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }

    /// Serves until the last asker is gone.
    async fn run(mut self, mut asks: mpsc::Receiver<Waiter>) {
        let db = Arc::clone(&self.db);
        loop {
            let next = self.next_event();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(waiter) => self.arrive(waiter),
                    None => return,
                },
                () = db.hints.bell.notified() => self.take_hints(),
                note = self.ears.next() => self.hear(note),
                () = sleep_until(next) => self.act().await,
            }
        }
    }

    fn arrive(&mut self, waiter: Waiter) {
        self.take_hints();
        let now = Instant::now();
        let due = |queue: &QueueName| self.due.get(queue).is_some_and(|at| *at <= now);
        let is_due = waiter.queues.iter().any(due);
        if is_due {
            self.due.retain(|_, at| *at > now);
        }
        if self.heard.take(&waiter.queues) || is_due {
            drop(waiter.reply.send(Ok(())));
        } else {
            self.waiters.push(waiter);
        }
    }

    fn take_hints(&mut self) {
        if self.db.hints.stirred.swap(false, Ordering::AcqRel) {
            self.pause = self.pause.min(SHORTEST);
        }
        let heard = self.db.hints.take();
        heard.queues.into_iter().for_each(|queue| self.heard.add(queue));
        self.heard.any |= heard.any;
        self.tell();
    }

    fn hear(&mut self, note: Note) {
        match note {
            Note::Queue(queue) if queue.is_empty() => self.heard.any = true,
            Note::Queue(queue) => self.heard.add(QueueName::new(&queue)),
            Note::Lost => {}
        }
        // A row may have come that is not due yet, or one that was not announced any more.
        self.pause = self.pause.min(SHORTEST);
        self.tell();
    }

    /// Answers those who wait for what was heard.
    fn tell(&mut self) {
        if !self.heard.any && self.heard.queues.is_empty() {
            return;
        }
        let mut told = Heard::default();
        for waiter in std::mem::take(&mut self.waiters) {
            let named = waiter
                .queues
                .iter()
                .filter(|queue| self.heard.queues.contains(*queue));
            let named: Vec<QueueName> = named.cloned().collect();
            if !self.heard.any && named.is_empty() {
                self.waiters.push(waiter);
            } else if waiter.reply.send(Ok(())).is_ok() {
                told.any |= self.heard.any;
                told.queues.extend(named);
            }
        }
        self.heard.any &= !told.any;
        self.heard.queues.retain(|queue| !told.queues.contains(queue));
    }

    fn next_event(&self) -> Option<Instant> {
        let look = (!self.waiters.is_empty()).then(|| self.look_at());
        let queues = self.waiters.iter().flat_map(|waiter| &waiter.queues);
        let due = queues.filter_map(|queue| self.due.get(queue).copied()).min();
        [look, due, self.ears.check_at()].into_iter().flatten().min()
    }

    fn look_at(&self) -> Instant {
        let longest = match self.ears.are_open() {
            true => LISTENING,
            false => self.db.sleep,
        };
        let pause = self.pause.min(longest.max(SHORTEST));
        let look = self.looked + pause.max(self.cost * SHARE);
        match self.ears.retry_at() {
            // A look is what tells whether there is something to listen to.
            Some(retry) => look.min(retry.max(self.looked + SHORTEST)),
            None => look,
        }
    }

    /// Does what is due: looks after the listener, at the clock, at the table.
    async fn act(&mut self) {
        let now = Instant::now();
        if self.ears.check_at().is_some_and(|at| at <= now) && !self.ears.check().await {
            // What broke this connection may have broken the others.
            self.db.pool.distrust();
            self.pause = Duration::ZERO;
        }
        let due = self.due.iter().filter(|(_, at)| **at <= now);
        let due: Vec<QueueName> = due.map(|(queue, _)| queue.clone()).collect();
        for queue in due {
            self.due.remove(&queue);
            self.heard.add(queue);
        }
        self.tell();
        self.waiters.retain(|waiter| !waiter.reply.is_closed());
        if !self.waiters.is_empty() && self.look_at() <= now {
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let queues = self.waiters.iter().flat_map(|waiter| waiter.queues.clone());
        let queues: HashSet<QueueName> = queues.collect();
        let queues: Vec<QueueName> = queues.into_iter().collect();
        let began = Instant::now();
        let seen = look(&self.db, &queues).await;
        self.looked = Instant::now();
        self.cost = match seen {
            Ok(_) => self.looked.duration_since(began).min(COSTLY),
            Err(_) => Duration::ZERO,
        };
        self.pause = (self.pause * 2).max(SHORTEST).min(LISTENING.max(self.db.sleep));
        match seen {
            Err(failure) => {
                for waiter in std::mem::take(&mut self.waiters) {
                    drop(waiter.reply.send(Err(failure.during("look for jobs"))));
                }
            }
            Ok(seen) => {
                for (queue, next) in seen.queues {
                    match next {
                        Some(Duration::ZERO) => self.heard.add(queue),
                        Some(wait) => drop(self.due.insert(queue, self.looked + wait + MARGIN)),
                        None => drop(self.due.remove(&queue)),
                    }
                }
                self.tell();
                if self.ears.tune(&self.db, seen.channel.as_deref()).await {
                    // What came between the look and the listening.
                    self.pause = Duration::ZERO;
                }
            }
        }
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What a look at the table showed.
struct Seen {
    /// The channel on which the table announces new rows, if it does.
    channel: Option<String>,
    /// How long until each queue has something; `None` when nothing is foreseeable.
    queues: Vec<(QueueName, Option<Duration>)>,
}

async fn look(db: &Shared, queues: &[QueueName]) -> Result<Seen, Failure> {
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let query = db.sql.look.query().bind(names).bind(db.sql.retry_after_s);
    let rows = db.pool.fetch_all(Use::Take, query).await?;
    let mut seen = Seen {
        channel: None,
        queues: Vec::with_capacity(rows.len()),
    };
    for row in &rows {
        let place: i64 = row.try_get(0)?;
        let now: f64 = row.try_get(1)?;
        seen.channel = row.try_get(2)?;
        let next: Option<i64> = row.try_get(3)?;
        let wait = next.map(|next| seconds_between(now, next));
        if let Some(queue) = usize::try_from(place - 1).ok().and_then(|at| queues.get(at)) {
            seen.queues.push((queue.clone(), wait));
        }
    }
    Ok(seen)
}

/// How long from `now` until the second `then` begins; at most a day.
#[expect(
    clippy::cast_precision_loss,
    reason = "Unix times in seconds are far below 2^52"
)]
fn seconds_between(now: f64, then: i64) -> Duration {
    let wait = (then as f64 - now).clamp(0.0, 86_400.0);
    Duration::try_from_secs_f64(wait).unwrap_or_default()
}
