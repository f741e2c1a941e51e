//! Failures in a `failed_jobs` table.

use std::sync::Once;

use bytes::Bytes;
use jiff::{Timestamp, ToSpan};

use super::database::Database;
use super::dialect::{FailedLine, FailedRecord, FailedWhich};
use super::queue::row_of;
use crate::store::Error;
use crate::store::port::QueueName;
use crate::store::port::{FailedFilter, FailedJob, FailedJobs, FailedRow, Retried, Retry};
use crate::wire::raw::{self, Nul};

/// Rows removed in one transaction.
const CHUNK: u32 = 1000;

/// The failures of one table.
#[derive(Debug, Clone)]
pub struct SqlFailed {
    db: Database,
    with_jobs: bool,
}

impl SqlFailed {
    /// The failures in `db`, when the queue lives elsewhere.
    #[must_use]
    pub fn new(db: &Database) -> Self {
        Self {
            db: db.clone(),
            with_jobs: false,
        }
    }

    /// The failures in `db`, where the queue's table lives too: [`FailedJobs::retry`] is one transaction.
    #[must_use]
    pub fn with_jobs(db: &Database) -> Self {
        Self {
            db: db.clone(),
            with_jobs: true,
        }
    }

    async fn remove(&self, which: &FailedWhich) -> Result<u64, Error> {
        let mut removed = 0;
        loop {
            let some = self.db.dialect.forget(which, CHUNK).await?;
            removed += some;
            if some < u64::from(CHUNK) {
                return Ok(removed);
            }
        }
    }
}

#[async_trait::async_trait]
impl FailedJobs for SqlFailed {
    async fn record(&self, failures: &[FailedJob]) -> Result<(), Error> {
        if failures.is_empty() {
            return Ok(());
        }
        let rows = failures
            .iter()
            .map(|failed| record_of(&self.db, failed))
            .collect();
        self.db.dialect.record(rows).await
    }

    async fn list(&self, filter: &FailedFilter, limit: u32) -> Result<Vec<FailedRow>, Error> {
        let lines = self.db.dialect.failures(&which(filter), limit).await?;
        Ok(lines.into_iter().map(row).collect())
    }

    async fn retry(&self, retry: &Retry) -> Result<Option<Retried>, Error> {
        if !self.with_jobs {
            return Ok(None);
        }
        let pushed = self.db.dialect.retry(retry.id, row_of(&retry.job)).await?;
        Ok(Some(if pushed { Retried::Pushed } else { Retried::Gone }))
    }

    async fn forget(&self, filter: &FailedFilter) -> Result<u64, Error> {
        self.remove(&which(filter)).await
    }

    async fn flush(&self, hours: u32) -> Result<u64, Error> {
        let which = match hours {
            0 => FailedWhich::All,
            hours => FailedWhich::Until(local_time(&self.db, hours)),
        };
        self.remove(&which).await
    }

    async fn prune(&self, hours: u32) -> Result<Option<u64>, Error> {
        let which = FailedWhich::Before(local_time(&self.db, hours));
        self.remove(&which).await.map(Some)
    }
}

/// Failures that nobody keeps (`QUEUE_FAILED_DRIVER=null`). Says so once.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullFailed;

#[async_trait::async_trait]
impl FailedJobs for NullFailed {
    async fn record(&self, failures: &[FailedJob]) -> Result<(), Error> {
        static SAID: Once = Once::new();
        if !failures.is_empty() {
            SAID.call_once(|| {
                tracing::warn!("Failed jobs are recorded nowhere, because QUEUE_FAILED_DRIVER is null");
            });
        }
        Ok(())
    }

    async fn list(&self, _filter: &FailedFilter, _limit: u32) -> Result<Vec<FailedRow>, Error> {
        Ok(Vec::new())
    }

    async fn retry(&self, _retry: &Retry) -> Result<Option<Retried>, Error> {
        Ok(None)
    }

    async fn forget(&self, _filter: &FailedFilter) -> Result<u64, Error> {
        Ok(0)
    }

    async fn flush(&self, _hours: u32) -> Result<u64, Error> {
        Ok(0)
    }

    async fn prune(&self, _hours: u32) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}

/// The row of a failure: bytes that are no text in a wrapper, the exception with what is no text replaced.
pub(super) fn record_of(db: &Database, failed: &FailedJob) -> FailedRecord {
    let nul = db.dialect.nul();
    let readable = |text: &str| match nul {
        Nul::Fits => text.to_owned(),
        Nul::Refused => text.replace('\0', "\u{fffd}"),
    };
    FailedRecord {
        uuid: readable(&failed.uuid),
        connection: readable(&failed.connection),
        queue: readable(failed.queue.as_str()),
        payload: raw::to_text(&failed.payload, nul),
        exception: readable(&failed.exception),
        failed_at: local_time(db, 0),
    }
}

/// The application's local time `hours` ago, as Laravel writes it: `Y-m-d H:i:s`.
fn local_time(db: &Database, hours: u32) -> String {
    let now = Timestamp::from_second(db.options.clock.unix_s()).unwrap_or(Timestamp::UNIX_EPOCH);
    let then = now
        .checked_sub(i64::from(hours).hours())
        .unwrap_or(Timestamp::UNIX_EPOCH);
    db.options
        .timezone
        .to_datetime(then)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

fn which(filter: &FailedFilter) -> FailedWhich {
    match filter {
        FailedFilter::All => FailedWhich::All,
        FailedFilter::Queue(queue) => FailedWhich::Queue(queue.as_str().to_owned()),
        FailedFilter::Range(from, to) => FailedWhich::Range(*from, *to),
        FailedFilter::Id(id) => FailedWhich::Id(id.clone()),
    }
}

fn row(line: FailedLine) -> FailedRow {
    let unwrapped = std::str::from_utf8(&line.payload).ok().and_then(raw::unwrap);
    FailedRow {
        id: line.id,
        uuid: line.uuid.filter(|uuid| !uuid.is_empty()),
        connection: line.connection,
        queue: QueueName::new(&line.queue),
        payload: unwrapped.map_or(line.payload, Bytes::from),
        exception: line.exception,
        failed_at: line.failed_at,
    }
}
