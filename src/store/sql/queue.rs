//! The queue in a `jobs` table, next to PHP workers.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use super::aside;
use super::database::Database;
use super::dialect::{Claim, Fate, Hold, JobRecord, OnceRecord};
use super::failed::record_of;
use super::receipt::SqlReceipt;
use crate::store::port::{
    Aside, AsideEnd, Depth, Held, NewJob, OnceJob, Queue, QueueName, Receipt, Reserved, Settle, Settlement,
    Waiting,
};
use crate::store::{Error, Kind};

/// Payloads of one reservation together, in bytes; one payload alone may be larger.
const BATCH_BYTES: u64 = 8 << 20;

/// Rows named in one statement at most.
pub(super) const CHUNK: usize = 1000;

/// Rows deleted in one transaction by `clear`.
const CLEAR_CHUNK: u32 = 5000;

/// The queues of one `jobs` table.
///
/// We write `reserved_at = now + lease - retry_after`: PHP workers, who add `retry_after`, see the same
/// expiry as we do.
#[derive(Debug, Clone)]
pub struct SqlQueue {
    db: Database,
    records_failures: bool,
}

impl SqlQueue {
    /// The queues in `db`'s table of jobs. Failures are not taken: see [`SqlQueue::with_failures`].
    #[must_use]
    pub fn new(db: &Database) -> Self {
        Self {
            db: db.clone(),
            records_failures: false,
        }
    }

    /// The queues in `db`'s table of jobs, whose failures are kept in the same database.
    #[must_use]
    pub fn with_failures(db: &Database) -> Self {
        Self {
            db: db.clone(),
            records_failures: true,
        }
    }

    fn fate(&self, settle: &Settle) -> Result<Fate, Error> {
        Ok(match settle {
            Settle::Delete | Settle::Failed(_) => Fate::Delete,
            Settle::Release { delay } => Fate::Free {
                uncount: false,
                delay_s: Some(whole_seconds(*delay)),
            },
            // Without a delay `available_at` stays as it was: it came before all that became due since,
            // so the job stands at the head again, and among refunds the old order holds.
            Settle::Refund { delay } => Fate::Free {
                uncount: true,
                delay_s: delay.map(whole_seconds),
            },
            Settle::Fail(failed) if self.records_failures => {
                Fate::Fail(Box::new(record_of(&self.db, failed)))
            }
            Settle::Fail(_) => {
                let reason = "failures are not kept in this database";
                return Err(Error::new(Kind::Refused, "record a failure", reason));
            }
        })
    }
}

#[async_trait::async_trait]
impl Queue for SqlQueue {
    async fn reserve(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Vec<Reserved>, Error> {
        if queues.is_empty() || max == 0 {
            return Ok(Vec::new());
        }
        let claim = Claim {
            queues: queues.to_vec(),
            max,
            max_bytes: BATCH_BYTES,
            lease_s: lease_seconds(lease),
        };
        let claimed = self.db.dialect.claim(claim).await?;
        let reserved = claimed.into_iter().map(|row| Reserved {
            queue: row.queue,
            payload: row.payload,
            row: Some(row.hold.id),
            attempts: u32::try_from(row.hold.attempts.max(1)).unwrap_or(u32::MAX),
            receipt: Receipt::new(SqlReceipt::new(row.hold)),
        });
        Ok(reserved.collect())
    }

    async fn renew(&self, receipts: &[(QueueName, Receipt)], lease: Duration) -> Result<Vec<Held>, Error> {
        let lease_s = lease_seconds(lease);
        let mut answers = vec![Held::Lost; receipts.len()];
        let holds: Vec<(usize, Hold)> = (receipts.iter().enumerate())
            .filter_map(|(place, (_, receipt))| Some((place, SqlReceipt::hold(receipt)?)))
            .collect();
        for chunk in rounds(holds, |(_, hold)| hold.id)
            .iter()
            .flat_map(|round| round.chunks(CHUNK))
        {
            let asked = chunk.iter().map(|(_, hold)| *hold).collect();
            let renewed = self.db.dialect.renew(asked, lease_s).await?;
            for ((place, _), reserved_at) in chunk.iter().zip(renewed) {
                if let (Some(reserved_at), Some((_, receipt))) = (reserved_at, receipts.get(*place)) {
                    SqlReceipt::renewed(receipt, reserved_at);
                    answers[*place] = Held::Yes;
                }
            }
        }
        Ok(answers)
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Held>, Error> {
        let mut answers = vec![Held::Lost; batch.len()];
        let mut asked = Vec::with_capacity(batch.len());
        let mut seen = HashSet::with_capacity(batch.len());
        for (place, settlement) in batch.iter().enumerate() {
            if let Some(hold) = SqlReceipt::hold(&settlement.receipt)
                && seen.insert(hold)
            {
                asked.push((place, hold, self.fate(&settlement.settle)?));
            }
        }
        for chunk in rounds(asked, |(_, hold, _)| hold.id)
            .iter()
            .flat_map(|round| round.chunks(CHUNK))
        {
            let rows = chunk
                .iter()
                .map(|(_, hold, fate)| (*hold, fate.clone()))
                .collect();
            let held = self.db.dialect.settle(rows).await?;
            for ((place, ..), held) in chunk.iter().zip(held) {
                if held {
                    answers[*place] = Held::Yes;
                }
                if let Some(settlement) = batch.get(*place) {
                    SqlReceipt::spend(&settlement.receipt);
                }
            }
        }
        Ok(answers)
    }

    async fn push(&self, jobs: &[NewJob]) -> Result<(), Error> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.db.dialect.push(jobs.iter().map(row_of).collect()).await
    }

    async fn push_once(&self, jobs: &[OnceJob]) -> Result<Vec<bool>, Error> {
        let mut pushed = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(CHUNK) {
            let records = chunk.iter().map(once_of).collect();
            pushed.extend(self.db.dialect.push_once(records).await?);
        }
        Ok(pushed)
    }

    async fn drop_markers(&self, markers: &[String]) -> Result<(), Error> {
        for chunk in markers.chunks(CHUNK) {
            self.db.dialect.drop_markers(chunk.to_vec()).await?;
        }
        Ok(())
    }

    async fn set_aside(
        &self,
        queue: &QueueName,
        which: Waiting,
        max: usize,
        hold: Duration,
    ) -> Result<Vec<Aside>, Error> {
        aside::set_aside(&self.db, queue, which, (max, hold)).await
    }

    async fn end_aside(
        &self,
        _queue: &QueueName,
        receipts: &[Receipt],
        end: AsideEnd,
    ) -> Result<Vec<Held>, Error> {
        aside::end_aside(&self.db, receipts, end).await
    }

    async fn wait(&self, queues: &[QueueName], at_most: Duration) -> Result<(), Error> {
        match tokio::time::timeout(at_most, self.db.dialect.wait(queues)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Ok(()),
        }
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error> {
        self.db.dialect.depth(queues).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        self.db.dialect.queues().await
    }

    async fn clear(&self, queue: &QueueName) -> Result<u64, Error> {
        let mut cleared = 0;
        loop {
            let some = self.db.dialect.clear(queue, CLEAR_CHUNK).await?;
            cleared += some;
            if some < u64::from(CLEAR_CHUNK) {
                return Ok(cleared);
            }
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        self.db.dialect.ping().await
    }

    fn carries_attempts(&self) -> bool {
        false
    }

    fn records_failures(&self) -> bool {
        self.records_failures
    }
}

/// The row of a job to be pushed.
pub(super) fn row_of(job: &NewJob) -> JobRecord {
    JobRecord {
        queue: job.queue.clone(),
        payload: job.payload.clone(),
        delay_s: job.delay.map_or(0, whole_seconds),
        attempts: 0,
    }
}

fn once_of(once: &OnceJob) -> OnceRecord {
    OnceRecord {
        marker: once.marker.clone(),
        job: JobRecord {
            attempts: once.attempts,
            ..row_of(&once.job)
        },
    }
}

/// Splits what is asked so that each part names a row once, in order: a row's answer is told by its id, and an
/// old receipt of it must not be taken for the one that holds it now.
pub(in crate::store) fn rounds<T, K: Eq + Hash>(asked: Vec<T>, id_of: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut rounds: Vec<(HashSet<K>, Vec<T>)> = Vec::new();
    for entry in asked {
        let id = id_of(&entry);
        match rounds.iter_mut().find(|(ids, _)| !ids.contains(&id)) {
            Some((ids, round)) => {
                ids.insert(id);
                round.push(entry);
            }
            None => rounds.push((HashSet::from([id]), vec![entry])),
        }
    }
    rounds.into_iter().map(|(_, round)| round).collect()
}

/// Seconds, rounded up: a job never comes early. At most about 68 years, so that sums fit Laravel's columns.
pub(super) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::from(i32::try_from(seconds).unwrap_or(i32::MAX))
}

/// Seconds that a reservation is written to last. The clock of the column has whole seconds and may be
/// about to tick, so one more makes the lease last no less than was asked for.
pub(super) fn lease_seconds(lease: Duration) -> i64 {
    whole_seconds(lease).max(1) + 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::whole_seconds;

    #[test]
    fn seconds_are_rounded_up_and_bounded() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(90)), 90);
        assert_eq!(whole_seconds(Duration::MAX), 2_147_483_647);
    }
}
