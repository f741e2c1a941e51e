//! Batches of jobs: Laravel's `job_batches`.

use std::fmt;

use crate::store::Error;

/// Which batches are pruned. Times are compared strictly, as Laravel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneBatches {
    /// Those that finished, or were cancelled, longer ago than the time given.
    Finished,
    /// Those that have not finished, made longer ago.
    Unfinished,
    /// Those that were cancelled, made longer ago.
    Cancelled,
}

/// Where batches are kept.
#[async_trait::async_trait]
pub trait Batches: Send + Sync + fmt::Debug {
    /// The uuids of the jobs of a batch that failed; `None` when there is no such batch.
    ///
    /// # Errors
    /// When the store cannot be asked, has no table of batches, or holds something else than a list there.
    async fn failed_jobs(&self, batch: &str) -> Result<Option<Vec<String>>, Error>;

    /// Removes batches that are older than `hours`, in bounded steps; returns how many.
    ///
    /// # Errors
    /// When the store cannot be asked, or has no table of batches.
    async fn prune(&self, which: PruneBatches, hours: u32) -> Result<u64, Error>;
}
