//! Where each queue begins: the ids of the next jobs in order, so that a claim locks its rows by their ids.
//!
//! `InnoDB` locks what a locking query reads, and Laravel's table has an index on `queue` alone: asked for the
//! first rows by (`available_at`, `id`) under lock, it would lock the whole queue, and whoever skips locked
//! rows would find it empty. So the first rows are looked up without any lock, and claimed by id, where each
//! is checked again. What stands here is only ever a hint. One look serves many claims and all lanes; how
//! often there is one depends on what it costs the server. With the index of `worker migrate --indexes` it
//! costs nothing worth mention, however long the queue is.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::head::{Head, Look, Place};
use super::verb::{LONG, QUICK};
use crate::store::port::QueueName;

/// How long a row that was tried is left alone: it is ours, or in the hands of others.
const HIDDEN: Duration = Duration::from_secs(1);

/// A row to be claimed.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    pub(super) id: i64,
    pub(super) queue: QueueName,
    available_at: i64,
}

/// What was seen of one queue.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) queue: QueueName,
    pub(super) look: Look,
    pub(super) rows: Vec<Place>,
    /// What it cost the server.
    pub(super) cost: Duration,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) seen: Vec<Seen>,
    /// The database's clock at the end, in microseconds.
    pub(super) clock: i64,
    /// The highest id of the table.
    pub(super) highest: i64,
}

/// The moment from which a look saw the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Instant,
    changes: u64,
}

/// What is remembered of all queues that were asked for.
#[derive(Debug, Default)]
pub(super) struct Heads {
    queues: HashMap<QueueName, Head>,
    hidden: HashMap<i64, Instant>,
    /// The database's clock in microseconds, and when it was read.
    clock: Option<(i64, Instant)>,
    /// How often we have added or freed rows.
    changes: u64,
    /// The highest id at the last look.
    highest: i64,
    /// Whether the last look had no answer, or a late one.
    is_slow: bool,
}

impl Heads {
    /// What to look at before `wanted` rows of `queues` are claimed.
    pub(super) fn wants(&self, queues: &[QueueName], wanted: usize) -> Vec<(QueueName, Look)> {
        let now = self.now();
        let look = |queue: &QueueName| {
            let look = match self.queues.get(queue) {
                Some(head) => head.wants(wanted, now, self.changes)?,
                None => Look::FIRST,
            };
            Some((queue.clone(), look))
        };
        queues.iter().filter_map(look).collect()
    }

    /// The moment of a look that begins now.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            at: Instant::now(),
            changes: self.changes,
        }
    }

    /// How long the next look may take. The first answer is waited for as for everything else, since a dead
    /// connection looks no different; then it may be a table that takes long to read.
    pub(super) fn patience(&self) -> Duration {
        if self.is_slow { LONG } else { QUICK }
    }

    /// Takes note of a look that failed.
    pub(super) fn saw_nothing(&mut self, moment: Moment) {
        self.is_slow = moment.at.elapsed() >= QUICK;
    }

    /// The highest id at the last look.
    pub(super) fn highest(&self) -> i64 {
        self.highest
    }

    /// Takes note of what was seen.
    pub(super) fn saw(&mut self, sight: Sight, moment: Moment) {
        let Sight { seen, clock, highest } = sight;
        self.clock = Some((clock, Instant::now()));
        self.is_slow = moment.at.elapsed() >= QUICK / 4;
        self.highest = highest;
        self.hidden.retain(|_, since| since.elapsed() < HIDDEN);
        let at = (moment.at, moment.changes);
        for seen in seen {
            let limit = match seen.look {
                Look::First(limit) => Some(limit),
                Look::Newer => None,
            };
            let full = limit.is_some_and(|limit| seen.rows.len() >= limit);
            let rows = seen
                .rows
                .into_iter()
                .filter(|(_, id)| !self.hidden.contains_key(id));
            let rows: BTreeSet<Place> = rows.collect();
            match (limit, self.queues.get_mut(&seen.queue)) {
                (None, Some(head)) => head.newer(rows, at),
                (None, None) => {}
                (Some(_), _) => {
                    drop(
                        self.queues
                            .insert(seen.queue, Head::scanned(rows, full, seen.cost, at)),
                    );
                }
            }
        }
    }

    /// Takes the next due rows of the first of `queues`, then of the next: `max` at most.
    pub(super) fn pick(&mut self, queues: &[QueueName], max: usize) -> Vec<Pick> {
        let now = self.now();
        let mut picks = Vec::new();
        for queue in queues {
            let Some(head) = self.queues.get_mut(queue) else {
                continue;
            };
            while picks.len() < max
                && let Some((available_at, id)) = head.take(now)
            {
                self.hidden.insert(id, Instant::now());
                let queue = queue.clone();
                picks.push(Pick {
                    id,
                    queue,
                    available_at,
                });
            }
        }
        picks
    }

    /// Puts back rows that were picked and not needed.
    pub(super) fn put_back(&mut self, picks: Vec<Pick>) {
        for pick in picks {
            self.hidden.remove(&pick.id);
            if let Some(head) = self.queues.get_mut(&pick.queue) {
                head.put_back((pick.available_at, pick.id));
            }
        }
    }

    /// Takes note of rows that we added or freed: those of these ids are no longer left alone.
    pub(super) fn changed(&mut self, ids: impl IntoIterator<Item = i64>) {
        self.changes += 1;
        for id in ids {
            self.hidden.remove(&id);
        }
    }

    /// Whether one of `queues` seems to have a job now.
    pub(super) fn is_due(&self, queues: &[QueueName]) -> bool {
        self.until_due(queues) == Some(Duration::ZERO)
    }

    /// The time until one of `queues` seems to have a job, if that is known.
    pub(super) fn until_due(&self, queues: &[QueueName]) -> Option<Duration> {
        let first = |queue| self.queues.get(queue).and_then(Head::first_due);
        let first = queues.iter().filter_map(first).min()?;
        let micros = first.saturating_mul(1_000_000).saturating_sub(self.micros());
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }

    /// The database's clock in microseconds; the beginning of time before it was ever read.
    fn micros(&self) -> i64 {
        self.clock.map_or(0, |(clock, read)| {
            let since = i64::try_from(read.elapsed().as_micros()).unwrap_or(i64::MAX);
            clock.saturating_add(since)
        })
    }

    fn now(&self) -> i64 {
        self.micros().div_euclid(1_000_000)
    }
}
