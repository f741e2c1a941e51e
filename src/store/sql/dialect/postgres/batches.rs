//! The table of batches.

use sqlx::Row;

use super::Shared;
use super::error::Failure;
use super::pool::Use;
use super::statements::Sql;
use crate::store::port::PruneBatches;

/// The column `failed_job_ids` of a batch.
pub(super) async fn failures(db: &Shared, batch: &str) -> Result<Option<String>, Failure> {
    let table = db.sql.tables.job_batches.quoted('"');
    let find = Sql::new(format!("select failed_job_ids::text from {table} where id = $1"));
    let rows = db
        .pool
        .fetch_all(Use::Take, find.query().bind(batch.to_owned()))
        .await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}

/// Deletes batches.
pub(super) async fn prune(db: &Shared, which: PruneBatches, before: i64, limit: u32) -> Result<u64, Failure> {
    let table = db.sql.tables.job_batches.quoted('"');
    let condition = match which {
        PruneBatches::Finished => "finished_at < $1",
        PruneBatches::Unfinished => "finished_at is null and created_at < $1",
        PruneBatches::Cancelled => "cancelled_at is not null and created_at < $1",
    };
    let prune = Sql::new(format!(
        "delete from {table} where id in (select id from {table} where {condition} limit $2)"
    ));
    let prune = prune.query().bind(before).bind(i64::from(limit));
    db.pool.execute(Use::Take, prune).await
}
