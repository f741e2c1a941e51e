//! What all verbs share: the connections, the names of the tables, and where queues begin.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::{Claim, Claimed};
use super::claim::Take;
use super::heads::{Heads, Pick};
use super::look::LookAt;
use super::names::Names;
use super::sessions::Sessions;
use super::verb::Verb;
use crate::store::Error;
use crate::store::port::QueueName;

/// Rows tried at once, when those at the head turn out to be taken by others.
const MOST_TRIED: usize = 1000;

/// Rounds of one claim at most.
const ROUNDS: usize = 10;

/// An open database.
pub(super) struct Engine {
    pub(super) names: Arc<Names>,
    pub(super) sessions: Sessions,
    heads: Mutex<Heads>,
}

/// A claim under way.
struct SoFar {
    claimed: Vec<Claimed>,
    /// How many bytes of payload may still come.
    bytes: u64,
    /// How many rows to try at least.
    tried: usize,
}

impl Engine {
    pub(super) fn new(names: Names, sessions: Sessions) -> Self {
        Self {
            names: Arc::new(names),
            sessions,
            heads: Mutex::default(),
        }
    }

    /// Carries out a verb.
    pub(super) async fn run<V: Verb>(&self, verb: V) -> Result<V::Out, Error> {
        self.sessions.run(&verb).await
    }

    /// Looks where `queues` begin unless that is known well enough to claim `wanted` rows.
    pub(super) async fn look(&self, queues: &[QueueName], wanted: usize) -> Result<(), Error> {
        let (look, moment) = {
            let heads = self.heads();
            let look = LookAt {
                names: Arc::clone(&self.names),
                queues: heads.wants(queues, wanted),
                highest: heads.highest(),
                patience: heads.patience(),
            };
            (look, heads.moment())
        };
        if look.queues.is_empty() {
            return Ok(());
        }
        match self.sessions.run(&look).await {
            Ok(sight) => {
                self.heads().saw(sight, moment);
                Ok(())
            }
            Err(error) => {
                self.heads().saw_nothing(moment);
                Err(error)
            }
        }
    }

    /// Claims rows: what is first in line when nobody else claims, else what others leave.
    pub(super) async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, Error> {
        let mut so_far = SoFar {
            claimed: Vec::new(),
            bytes: claim.max_bytes,
            tried: 0,
        };
        for _ in 0..ROUNDS {
            match self.claim_more(claim, &mut so_far).await {
                Ok(true) => {}
                // What was claimed before is not lost over an error; the next call meets it again.
                Err(error) if so_far.claimed.is_empty() => return Err(error),
                Ok(false) | Err(_) => break,
            }
        }
        Ok(so_far.claimed)
    }

    /// One round of a claim; says whether there should be another.
    async fn claim_more(&self, claim: &Claim, so_far: &mut SoFar) -> Result<bool, Error> {
        let wanted = claim.max - so_far.claimed.len();
        self.look(&claim.queues, wanted).await?;
        let picks = self.heads().pick(&claim.queues, so_far.tried.max(wanted));
        if picks.is_empty() {
            return Ok(false);
        }
        let take = Take {
            names: Arc::clone(&self.names),
            picks,
            wanted,
            max_bytes: so_far.bytes,
            alone: so_far.claimed.is_empty(),
            lease_s: claim.lease_s,
            is_marking: AtomicBool::new(false),
        };
        let taken = match self.sessions.run(&take).await {
            Ok(taken) => taken,
            Err(error) => {
                self.heads().put_back(take.picks);
                return Err(error);
            }
        };
        let size: usize = taken.claimed.iter().map(|row| row.payload.len()).sum();
        so_far.bytes = so_far
            .bytes
            .saturating_sub(u64::try_from(size).unwrap_or(u64::MAX));
        let is_full = !taken.left.is_empty();
        if taken.claimed.len() < take.picks.len() {
            // Others were faster, and what is remembered is old. More are tried at once then, whichever of them
            // are to be had.
            self.heads().changed([]);
            so_far.tried = (so_far.tried.max(claim.max) * 2).min(MOST_TRIED);
        }
        self.put_back(&take, taken.left, &taken.claimed);
        so_far.claimed.extend(taken.claimed);
        Ok(!is_full && so_far.claimed.len() < claim.max)
    }

    /// Puts back what was picked in vain: rows that were left, and, since rows are locked in the order of their
    /// ids, those behind the last one when there were enough before.
    fn put_back(&self, take: &Take, mut left: Vec<Pick>, claimed: &[Claimed]) {
        if claimed.len() >= take.wanted {
            let last = claimed.iter().map(|row| row.hold.id).max().unwrap_or(i64::MAX);
            left.extend(take.picks.iter().filter(|pick| pick.id > last).cloned());
        }
        self.heads().put_back(left);
    }

    /// Takes note of rows that we added or freed.
    pub(super) fn changed(&self, freed: impl IntoIterator<Item = i64>) {
        self.heads().changed(freed);
    }

    /// Whether one of `queues` seems to have a job now.
    pub(super) fn is_due(&self, queues: &[QueueName]) -> bool {
        self.heads().is_due(queues)
    }

    /// The time until one of `queues` seems to have a job, if that is known.
    pub(super) fn until_due(&self, queues: &[QueueName]) -> Option<Duration> {
        self.heads().until_due(queues)
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
