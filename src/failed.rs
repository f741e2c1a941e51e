//! Failed jobs, for the person who looks after them: list, retry, forget, flush.
//!
//! The command line and, later, the dashboard call this room, so that they cannot drift apart.

use std::sync::Arc;

use crate::clock::Clock;
use crate::runtime::dispatch::random_id;
use crate::store::Error;
use crate::store::port::{
    FailedFilter, FailedId, FailedJobs, FailedRow, NewJob, OnceJob, Queue, Retried, Retry,
};
use crate::wire::edit;

/// The most rows that one call lists or retries; commands go on until nothing is left.
pub const PAGE: u32 = 500;

/// Puts failed jobs back on their queues.
#[derive(Debug)]
pub struct Retrier {
    /// Where failures are kept.
    pub failed: Arc<dyn FailedJobs>,
    /// Where the jobs go.
    pub queue: Arc<dyn Queue>,
    /// The time, for jobs that may be tried until a time.
    pub clock: Arc<dyn Clock>,
}

/// What became of one failure.
#[derive(Debug)]
pub enum Outcome {
    /// It is back on its queue.
    Pushed,
    /// Someone else dealt with it at the same time.
    Gone,
}

impl Retrier {
    /// Pushes one failed job again and removes its row: neither lost nor doubled, whatever happens between.
    ///
    /// Within one database both happen in one transaction. Across two stores the push carries a marker of
    /// this failure, so that a retry of a retry that died half way does not push again.
    ///
    /// # Errors
    /// When a store cannot be asked; calling again is safe.
    pub async fn retry(&self, row: &FailedRow) -> Result<Outcome, Error> {
        let retry = Retry {
            id: row.id,
            job: self.renewed(row),
        };
        if let Some(retried) = self.failed.retry(&retry).await? {
            return Ok(match retried {
                Retried::Pushed => Outcome::Pushed,
                Retried::Gone => Outcome::Gone,
            });
        }
        let this = FailedFilter::Id(FailedId::Number(row.id));
        // The row may have been read long ago: another retry may have dealt with it and dropped its marker.
        if self.failed.list(&this, 1).await?.is_empty() {
            return Ok(Outcome::Gone);
        }
        let marker = format!("retry:{}:{}", row.id, row.uuid.as_deref().unwrap_or("-"));
        let once = OnceJob {
            marker: marker.clone(),
            job: retry.job,
            attempts: 0,
        };
        self.queue.push_once(&[once]).await?;
        self.failed.forget(&this).await?;
        self.queue.drop_markers(&[marker]).await?;
        Ok(Outcome::Pushed)
    }

    /// The job to push. What is no payload at all goes back byte for byte: whoever asks for it may run
    /// workers that know more.
    fn renewed(&self, row: &FailedRow) -> NewJob {
        let payload = self
            .renewed_text(row)
            .map_or_else(|_| row.payload.clone(), Into::into);
        NewJob {
            queue: row.queue.clone(),
            payload,
            delay: None,
        }
    }

    /// The payload with its attempts at zero, its time to be tried moved by its original window, and the
    /// members that this store's payloads carry.
    fn renewed_text(&self, row: &FailedRow) -> Result<Vec<u8>, crate::wire::Error> {
        let text = edit::for_retry(&row.payload, row.uuid.as_deref(), self.clock.unix_s())?;
        if self.queue.carries_attempts() {
            edit::with_id_and_attempts(&text, &random_id(), 0)
        } else {
            edit::without_members(&text, &["id", "attempts"])
        }
    }
}
