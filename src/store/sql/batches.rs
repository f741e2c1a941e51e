//! Batches in a `job_batches` table.

use super::database::Database;
use crate::store::port::{Batches, PruneBatches};
use crate::store::{Error, Kind};

/// Rows removed in one transaction.
const CHUNK: u32 = 1000;

/// The batches of one table.
#[derive(Debug, Clone)]
pub struct SqlBatches {
    db: Database,
}

impl SqlBatches {
    /// The batches in `db`.
    #[must_use]
    pub fn new(db: &Database) -> Self {
        Self { db: db.clone() }
    }
}

#[async_trait::async_trait]
impl Batches for SqlBatches {
    async fn failed_jobs(&self, batch: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(text) = self.db.dialect.batch_failures(batch).await? else {
            return Ok(None);
        };
        let ids: Option<Vec<String>> = serde_json::from_str(&text).map_err(|e| {
            Error::new(
                Kind::Corrupt,
                format!("read the failed jobs of batch {batch:?}"),
                e,
            )
        })?;
        Ok(Some(ids.unwrap_or_default()))
    }

    async fn prune(&self, which: PruneBatches, hours: u32) -> Result<u64, Error> {
        let before = self.db.options.clock.unix_s() - i64::from(hours) * 3600;
        let mut removed = 0;
        loop {
            let some = self.db.dialect.prune_batches(which, before, CHUNK).await?;
            removed += some;
            if some < u64::from(CHUNK) {
                return Ok(removed);
            }
        }
    }
}
