//! The table of batches.

use sqlx::{AssertSqlSafe, Row, SqlitePool};

use super::statements::Statements;
use super::work::{Context, Write};
use crate::store::port::PruneBatches;

/// The column `failed_job_ids` of a batch.
pub(super) async fn failures(
    readers: &SqlitePool,
    sql: &Statements,
    batch: &str,
) -> Result<Option<String>, sqlx::Error> {
    let table = sql.tables.job_batches.quoted('"');
    let text = format!("select failed_job_ids from {table} where id = ?1");
    // Holds nothing from outside but a checked and quoted table name.
    let row = sqlx::query(AssertSqlSafe(text))
        .bind(batch.to_owned())
        .fetch_optional(readers)
        .await?;
    row.map(|row| row.try_get_unchecked(0)).transpose()
}

/// Deletes batches.
pub(super) struct Prune {
    pub(super) which: PruneBatches,
    pub(super) before: i64,
    pub(super) limit: u32,
}

#[async_trait::async_trait]
impl Write for Prune {
    type Out = u64;

    fn action(&self) -> String {
        "prune batches".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<u64, sqlx::Error> {
        let table = cx.sql.tables.job_batches.quoted('"');
        let condition = match self.which {
            PruneBatches::Finished => "finished_at < ?1",
            PruneBatches::Unfinished => "finished_at is null and created_at < ?1",
            PruneBatches::Cancelled => "cancelled_at is not null and created_at < ?1",
        };
        let text =
            format!("delete from {table} where id in (select id from {table} where {condition} limit ?2)");
        // As above.
        let prune = sqlx::query(AssertSqlSafe(text))
            .bind(self.before)
            .bind(self.limit);
        Ok(prune.execute(&mut *cx.connection).await?.rows_affected())
    }
}
