//! Deletes what has expired: cache rows, sessions, old failed jobs and finished batches.

use serde::Deserialize;

use crate::resources::{Database, Dialect};
use crate::{Job, JobContext, JobError, Outcome};

/// Prunes the application's database in small batches, so that no lock is held for long.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PruneExpiredRecords {
    /// Sessions without activity for this many minutes go.
    pub(super) session_minutes: u32,
    /// Failed jobs older than this many hours go.
    pub(super) failed_hours: u32,
    /// Batches finished this many hours ago go.
    pub(super) batch_hours: u32,
    /// Rows per statement, 1 to 10000.
    pub(super) chunk: u32,
}

impl Default for PruneExpiredRecords {
    fn default() -> Self {
        Self {
            session_minutes: 120,
            failed_hours: 24 * 30,
            batch_hours: 24 * 30,
            chunk: 1000,
        }
    }
}

/// One table to prune: rows for which `condition` holds, with the time that its `?` stands for.
struct Target {
    table: &'static str,
    key: &'static str,
    condition: &'static str,
    before: i64,
}

impl Job for PruneExpiredRecords {
    const CLASS: &'static str = r"App\Jobs\PruneExpiredRecords";
    type Resources = Option<Database>;

    async fn handle(&self, job: &JobContext<Option<Database>>) -> Result<Outcome, JobError> {
        let Some(database) = job.resources() else {
            return Ok(Outcome::Fail {
                reason: "there is no application database: set DB_CONNECTION".into(),
            });
        };
        let targets = self.targets(database, database.unix_s().await?);
        let mut deleted = 0;
        for (done, target) in (0_u8..).zip(&targets) {
            job.progress(done * 20, &format!("pruning {}", target.table));
            deleted += self.prune(job, database, target).await?;
        }
        job.progress(100, &format!("{deleted} rows deleted"));
        tracing::info!(deleted, "Pruned {deleted} expired rows");
        Ok(Outcome::Done)
    }
}

impl PruneExpiredRecords {
    fn targets(&self, database: &Database, now: i64) -> [Target; 5] {
        let hours_ago = |hours: u32| now - i64::from(hours) * 3600;
        let older_failures = match database.dialect() {
            Dialect::Sqlite => "failed_at < datetime(?, 'unixepoch')",
            Dialect::Mysql => "failed_at < date_add('1970-01-01', interval ? second)",
            Dialect::Postgres => "failed_at < timestamp 'epoch' + ? * interval '1 second'",
        };
        let cache_key = if database.dialect() == Dialect::Postgres {
            "\"key\""
        } else {
            "`key`"
        };
        let idle_since = now - i64::from(self.session_minutes) * 60;
        let failed_before = database.local_s(hours_ago(self.failed_hours));
        [
            Target {
                table: "cache",
                key: cache_key,
                condition: "expiration <= ?",
                before: now,
            },
            Target {
                table: "cache_locks",
                key: cache_key,
                condition: "expiration <= ?",
                before: now,
            },
            Target {
                table: "sessions",
                key: "id",
                condition: "last_activity <= ?",
                before: idle_since,
            },
            Target {
                table: "failed_jobs",
                key: "id",
                condition: older_failures,
                before: failed_before,
            },
            Target {
                table: "job_batches",
                key: "id",
                condition: "finished_at is not null and finished_at < ?",
                before: hours_ago(self.batch_hours),
            },
        ]
    }

    async fn prune(
        &self,
        job: &JobContext<Option<Database>>,
        database: &Database,
        target: &Target,
    ) -> Result<u64, JobError> {
        if !database.has_table(target.table).await? {
            return Ok(0);
        }
        let Target {
            table,
            key,
            condition,
            before,
        } = target;
        let sql = match database.dialect() {
            Dialect::Mysql => format!("delete from {table} where {condition} limit ?"),
            _ => format!(
                "delete from {table} where {key} in (select {key} from {table} where {condition} limit ?)"
            ),
        };
        let chunk = u64::from(self.chunk.clamp(1, 10_000));
        let mut deleted = 0;
        loop {
            let rows = database
                .execute(&sql, &[*before, i64::from(self.chunk.clamp(1, 10_000))])
                .await?;
            deleted += rows;
            if rows < chunk || job.cancellation().is_cancelled() {
                return Ok(deleted);
            }
        }
    }
}
