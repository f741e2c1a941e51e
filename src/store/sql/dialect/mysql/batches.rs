//! The table of batches.

use std::sync::Arc;

use super::claim::bytes;
use super::names::Names;
use super::session::Session;
use super::text::text;
use super::verb::{LONG, Verb};
use crate::store::port::PruneBatches;

/// Reads the column `failed_job_ids` of a batch.
pub(super) struct Failures {
    pub(super) names: Arc<Names>,
    pub(super) batch: String,
}

#[async_trait::async_trait]
impl Verb for Failures {
    type Out = Option<String>;

    fn action(&self) -> String {
        format!("read batch {:?}", self.batch)
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<Option<String>, sqlx::Error> {
        let table = self.names.tables.job_batches.quoted('`');
        let find = format!(
            "select failed_job_ids from {table} where id = {}",
            text(&self.batch)
        );
        let rows = session.rows(find).await?;
        let ids = rows.first().map(|row| bytes(row, 0)).transpose()?;
        Ok(ids.map(|ids| String::from_utf8_lossy(&ids).into_owned()))
    }
}

/// Deletes batches.
pub(super) struct Prune {
    pub(super) names: Arc<Names>,
    pub(super) which: PruneBatches,
    pub(super) before: i64,
    pub(super) limit: u32,
}

#[async_trait::async_trait]
impl Verb for Prune {
    type Out = u64;

    fn action(&self) -> String {
        "prune batches".to_owned()
    }

    fn patience(&self) -> std::time::Duration {
        LONG
    }

    async fn run(&self, session: &mut Session) -> Result<u64, sqlx::Error> {
        let table = self.names.tables.job_batches.quoted('`');
        let before = self.before;
        let condition = match self.which {
            PruneBatches::Finished => format!("finished_at < {before}"),
            PruneBatches::Unfinished => format!("finished_at is null and created_at < {before}"),
            PruneBatches::Cancelled => format!("cancelled_at is not null and created_at < {before}"),
        };
        let prune = format!("delete from {table} where {condition} limit {}", self.limit);
        session.execute(prune).await
    }
}
