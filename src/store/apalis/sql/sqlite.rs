//! SQLite: one connection writes, in short transactions that take the lock before they read; two read.
//!
//! Stock indexes serve every statement here: rows are looked for by priority, one level at a time, so that
//! what is not due yet is never passed over row by row.

mod statements;
mod take;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use apalis_sqlite::Config;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Row, Sqlite, SqlitePool, Transaction};
use tokio::sync::Mutex;

use self::statements as sql;
use super::table::{AsideAsk, AsideRow, Claim, Fate, Hold, NewTask, REACH, Ready, Table, TaskRow};
use crate::store::Error;
use crate::store::port::{AsideEnd, Depth, QueueName};
use crate::store::sql::SqliteOptions;
use crate::store::sql::dialect::sqlite::error::store_error;
use crate::store::sql::dialect::sqlite::watch::Watch;

/// Tasks given back at once.
const GIVE_BACK: i64 = 500;

/// The tables in one file.
pub(super) struct SqliteTable {
    writer: SqlitePool,
    readers: SqlitePool,
    changes: Mutex<Watch>,
}

impl fmt::Debug for SqliteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTable").finish_non_exhaustive()
    }
}

impl SqliteTable {
    /// The tables in this file, which is not opened yet; its journal is left as the application set it.
    pub(super) fn new(options: &SqliteOptions) -> Self {
        let connect = SqliteConnectOptions::new()
            .filename(&options.path)
            .busy_timeout(options.busy_timeout)
            .thread_name(|_| "worker-apalis".to_owned())
            .disable_statement_logging();
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(options.busy_timeout.saturating_add(Duration::from_secs(5)))
                .max_lifetime(None)
                .test_before_acquire(false)
                .connect_lazy_with(connect.clone())
        };
        Self {
            writer: pool(1),
            readers: pool(2),
            changes: Mutex::new(Watch::new(&options.path)),
        }
    }

    async fn write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    async fn is_due(&self, queue: &QueueName) -> Result<bool, sqlx::Error> {
        let due = sqlx::query(sql::DUE).bind(queue.as_str().to_owned());
        due.fetch_one(&self.readers).await?.try_get(0)
    }

    async fn try_settle(&self, batch: &[(&Hold, &Fate)]) -> Result<HashSet<String>, sqlx::Error> {
        let mut transaction = self.write().await?;
        let mut held = HashSet::with_capacity(batch.len());
        for (hold, fate) in batch {
            let statement = match fate {
                Fate::Done => sqlx::query(sql::DONE),
                Fate::Failed(_) => sqlx::query(sql::FAILED),
                Fate::Free { .. } => sqlx::query(sql::FREE),
            };
            let mut statement = statement
                .bind(hold.id.clone())
                .bind(hold.worker.clone())
                .bind(hold.attempts);
            match fate {
                Fate::Done => {}
                Fate::Failed(result) => statement = statement.bind(result.clone()),
                Fate::Free { counted, delay_s } => statement = statement.bind(*counted).bind(*delay_s),
            }
            if statement.execute(&mut *transaction).await?.rows_affected() > 0 {
                held.insert(hold.id.clone());
            }
        }
        transaction.commit().await?;
        Ok(held)
    }

    async fn try_push(&self, tasks: &[NewTask]) -> Result<Vec<bool>, sqlx::Error> {
        let mut transaction = self.write().await?;
        let mut added = Vec::with_capacity(tasks.len());
        for new in tasks {
            let push = sqlx::query(sql::PUSH)
                .bind(new.task.data.to_vec())
                .bind(new.task.id.clone())
                .bind(new.queue.as_str().to_owned())
                .bind(i64::from(new.task.max_attempts))
                .bind(new.delay_s.ceil())
                .bind(new.task.priority)
                .bind(serde_json::to_string(&new.task.metadata).unwrap_or_default())
                .bind(new.marker.clone())
                .bind(new.attempts);
            added.push(push.execute(&mut *transaction).await?.rows_affected() > 0);
        }
        transaction.commit().await?;
        Ok(added)
    }

    async fn try_lapse(&self, queue: &QueueName) -> Result<(), sqlx::Error> {
        let over = sqlx::query(sql::OVER).bind(queue.as_str().to_owned());
        if !over.fetch_one(&self.readers).await?.try_get::<bool, _>(0)? {
            return Ok(());
        }
        let lapse = sqlx::query(sql::LAPSE)
            .bind(queue.as_str().to_owned())
            .bind(GIVE_BACK);
        lapse.execute(&self.writer).await.map(drop)
    }

    async fn try_beat(&self, worker: &str, queue: &QueueName) -> Result<u64, sqlx::Error> {
        let dead_for = Config::default().orphaned_duration().as_secs();
        let mut transaction = self.write().await?;
        sqlx::query(sql::BEAT)
            .bind(worker.to_owned())
            .bind(queue.as_str().to_owned())
            .execute(&mut *transaction)
            .await?;
        let orphans = sqlx::query(sql::ORPHANS)
            .bind(queue.as_str().to_owned())
            .bind(i64::try_from(dead_for).unwrap_or(i64::MAX))
            .bind(GIVE_BACK);
        let count = orphans.execute(&mut *transaction).await?.rows_affected();
        sqlx::query(sql::BURY).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(count)
    }

    async fn try_ready(&self, queues: &[QueueName]) -> Result<Vec<Ready>, sqlx::Error> {
        let mut ready = Vec::with_capacity(queues.len());
        for queue in queues {
            let next = sqlx::query(sql::NEXT).bind(queue.as_str().to_owned());
            let seconds: Option<f64> = next.fetch_one(&self.readers).await?.try_get(0)?;
            ready.push(Ready {
                queue: queue.clone(),
                after: seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))),
            });
        }
        Ok(ready)
    }
}

#[async_trait::async_trait]
impl Table for SqliteTable {
    async fn claim(&self, claim: &Claim) -> Result<Vec<TaskRow>, Error> {
        let action = || format!("reserve from apalis queue {:?}", claim.queue);
        self.try_claim(claim)
            .await
            .map_err(|error| store_error(action(), &error))
    }

    async fn renew(&self, holds: &[&Hold], lease_s: f64) -> Result<HashSet<String>, Error> {
        let renew = async {
            let mut transaction = self.write().await?;
            let mut held = HashSet::with_capacity(holds.len());
            for hold in holds {
                let renew = sqlx::query(sql::RENEW)
                    .bind(hold.id.clone())
                    .bind(hold.worker.clone())
                    .bind(hold.attempts)
                    .bind(lease_s);
                if renew.execute(&mut *transaction).await?.rows_affected() > 0 {
                    held.insert(hold.id.clone());
                }
            }
            transaction.commit().await?;
            Ok(held)
        };
        renew.await.map_err(|error| store_error("renew leases", &error))
    }

    async fn settle(&self, batch: &[(&Hold, &Fate)]) -> Result<HashSet<String>, Error> {
        let settled = self.try_settle(batch).await;
        settled.map_err(|error| store_error(format!("settle {} tasks", batch.len()), &error))
    }

    async fn push(&self, tasks: &[NewTask]) -> Result<Vec<bool>, Error> {
        let pushed = self.try_push(tasks).await;
        pushed.map_err(|error| store_error(format!("push {} tasks", tasks.len()), &error))
    }

    async fn unmark(&self, queue: Option<&QueueName>, markers: &[String]) -> Result<(), Error> {
        let unmark = sqlx::query(sql::UNMARK)
            .bind(queue.map(|queue| queue.as_str().to_owned()))
            .bind(serde_json::to_string(markers).unwrap_or_default());
        let done = unmark.execute(&self.writer).await;
        done.map(drop)
            .map_err(|error| store_error("forget markers", &error))
    }

    async fn set_aside(&self, ask: &AsideAsk) -> Result<Vec<AsideRow>, Error> {
        let set = self.try_set_aside(ask).await;
        set.map_err(|error| store_error(format!("set tasks of {} aside", ask.queue), &error))
    }

    async fn end_aside(&self, worker: &str, ids: &[String], end: AsideEnd) -> Result<HashSet<String>, Error> {
        let ending = async {
            let mut transaction = self.write().await?;
            let mut ended = HashSet::with_capacity(ids.len());
            for id in ids {
                let statement = sqlx::query(match end {
                    AsideEnd::Remove => sql::REMOVE,
                    AsideEnd::PutBack => sql::PUT_BACK,
                });
                let statement = statement.bind(id.clone()).bind(worker.to_owned());
                if statement.execute(&mut *transaction).await?.rows_affected() > 0 {
                    ended.insert(id.clone());
                }
            }
            transaction.commit().await?;
            Ok(ended)
        };
        ending
            .await
            .map_err(|error| store_error("end setting tasks aside", &error))
    }

    async fn beat(&self, worker: &str, queue: &QueueName) -> Result<u64, Error> {
        let beaten = self.try_beat(worker, queue).await;
        beaten.map_err(|error| store_error("make this worker known to apalis", &error))
    }

    async fn lapse(&self, queue: &QueueName) -> Result<(), Error> {
        let lapsed = self.try_lapse(queue).await;
        lapsed.map_err(|error| store_error(format!("take back lapsed tasks of {queue}"), &error))
    }

    async fn ready(&self, queues: &[QueueName]) -> Result<Vec<Ready>, Error> {
        let ready = self.try_ready(queues).await;
        ready.map_err(|error| store_error("watch for tasks", &error))
    }

    async fn news(&self) {
        let mut changes = self.changes.lock().await;
        changes.listen();
        let pause = changes.longest_pause();
        drop(tokio::time::timeout(pause, changes.changed()).await);
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, Error> {
        let count = async {
            let counted = sqlx::query(sql::DEPTH).bind(queue.as_str().to_owned());
            let row = counted.fetch_one(&self.readers).await?;
            let number = |place: usize| {
                row.try_get::<i64, _>(place)
                    .map(|n| u64::try_from(n).unwrap_or(0))
            };
            Ok(Depth {
                queue: queue.clone(),
                pending: number(0)?,
                delayed: number(1)?,
                reserved: number(2)?,
                oldest_s: row
                    .try_get::<Option<i64>, _>(3)?
                    .map(|age| u64::try_from(age).unwrap_or(0)),
            })
        };
        count.await.map_err(|error| store_error("count tasks", &error))
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        let list = async {
            let rows = sqlx::query(sql::QUEUES).fetch_all(&self.readers).await?;
            let names = rows.iter().map(|row| Ok(QueueName::new(row.try_get(0)?)));
            names.collect::<Result<Vec<_>, sqlx::Error>>()
        };
        list.await
            .map_err(|error| store_error("list the apalis queues", &error))
    }

    async fn clear(&self, queue: &QueueName, limit: i64) -> Result<u64, Error> {
        let clear = sqlx::query(sql::CLEAR)
            .bind(queue.as_str().to_owned())
            .bind(limit);
        let cleared = clear.execute(&self.writer).await;
        cleared
            .map(|done| done.rows_affected())
            .map_err(|error| store_error(format!("clear apalis queue {queue:?}"), &error))
    }

    async fn ping(&self) -> Result<Option<String>, Error> {
        let Err(error) = sqlx::query(sql::PING).fetch_optional(&self.readers).await else {
            return Ok(None);
        };
        match error.as_database_error() {
            Some(said) if said.message().starts_with("no such") => Ok(Some(said.message().to_owned())),
            _ => Err(store_error(REACH, &error)),
        }
    }

    fn name(&self) -> &'static str {
        "Jobs"
    }
}
