//! The model: what a store is to answer and to hold, in memory and without its engine.
//!
//! There are two, since Redis and tables keep jobs in different ways, as Laravel's do. All differences that
//! the port allows are these:
//!
//! - Order. A table serves by (`available_at`, `id`), so a job keeps its place while it is held and has another
//!   only after a release. In Redis what is due or has lapsed goes to the end of the list when the next one asks.
//! - Counting. A table counts what is due or has lapsed as pending. Redis counts where jobs lie.
//! - The end of a lease. In a table a reservation can be settled until someone else has the job; in Redis until
//!   anyone asked that queue for jobs.
//! - Renewing for less. It shortens a lease in Redis and does nothing in a table.
//! - Twins. Jobs with the same bytes are as different as any in a table. In Redis one of them is reserved at a
//!   time, at the same number of attempts; those pushed with a delay are one, the later time winning; one that is
//!   given back while its twin waits lies among the reserved ones, held by nobody.
//! - A receipt twice in one call. A table takes the first, Redis the last, and of two deletes both.

mod lists;
mod table;

use worker::store::port::Held;

pub(super) use self::lists::Lists;
pub(super) use self::table::Table;
use super::world::Seen;

/// A store as it should be. Times are in seconds, by the clock of the store.
pub(super) trait Reference {
    /// The second that it is. Called before each verb.
    fn begin(&mut self, now: i64);

    /// So many seconds go by, or come back.
    fn pass(&mut self, seconds: i64);

    fn push(&mut self, job: New);

    /// As [`Reference::push`], where a set that holds the text is not written over.
    fn push_once(&mut self, job: New);

    fn reserve(&mut self, queues: &[usize], max: usize, lease: i64) -> Vec<Given>;

    fn renew(&mut self, receipts: &[usize], lease: i64) -> Vec<Held>;

    /// Unless the answer is heard the process does not know that these receipts are used up.
    fn settle(&mut self, batch: &[(usize, Fate)], heard: bool) -> Vec<Held>;

    fn clear(&mut self, queue: usize) -> u64;

    /// Pending, delayed, reserved.
    fn depth(&self, queue: usize) -> [u64; 3];

    /// Says what is different in the store. Takes over the exact times, of which it knows that they are at most
    /// `late` seconds after what it expects.
    ///
    /// # Errors
    /// What is different.
    fn compare(&mut self, seen: &Seen, late: i64) -> Result<(), String>;
}

/// A job to be pushed.
#[derive(Debug, Clone)]
pub(super) struct New {
    pub(super) queue: usize,
    pub(super) text: String,
    /// Seconds.
    pub(super) delay: Option<i64>,
}

/// A job that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) queue: usize,
    pub(super) text: String,
    pub(super) attempts: u32,
    pub(super) row: Option<i64>,
    /// The number of its receipt, counted from the beginning of the history.
    pub(super) receipt: usize,
}

/// What becomes of a job; delays in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Delete,
    Release(i64),
    Refund(Option<i64>),
}

/// A time that the store has chosen within bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct When {
    at: f64,
    is_exact: bool,
}

impl When {
    /// Not before this second, and soon after.
    fn about(second: i64) -> Self {
        let at = f64::from(u32::try_from(second).expect("a time of our century"));
        Self { at, is_exact: false }
    }

    /// Whether this is over in the second `now`.
    fn is_over(self, now: i64) -> bool {
        self.at <= Self::about(now).at
    }

    fn shift(&mut self, seconds: i64) {
        self.at -= f64::from(i32::try_from(seconds).expect("a few leaps"));
    }

    /// Takes over what the store says; whether it may say that.
    fn learn(&mut self, seen: f64, late: i64) -> bool {
        let last = self.at + f64::from(i32::try_from(late).unwrap_or(i32::MAX));
        let is_good = seen == self.at || (!self.is_exact && (self.at..=last).contains(&seen));
        (self.at, self.is_exact) = (seen, true);
        is_good
    }
}

/// Says what is different.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, model: &T, store: &T) -> Result<(), String> {
    if model == store {
        return Ok(());
    }
    Err(format!(
        "{what}\n  is in the model {model:?}\n  and in the store {store:?}"
    ))
}
