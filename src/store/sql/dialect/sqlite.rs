//! SQLite: one connection writes, for the whole process and in grouped transactions; a few others read.
//!
//! SQLite lets one connection write at a time, in this process or another. So all writes go through one
//! task (`writer`), which takes what has arrived, runs it in one transaction and then answers; the lock is
//! asked for (`lock`) before anything is read, so a transaction never has to be given up half-way because
//! another writer was faster. The same task watches for other processes' changes and remembers where each
//! queue begins (`heads`), so that a reservation touches the rows it takes and no others, whatever indexes
//! the table has.

mod admin;
mod aside;
mod batches;
mod claim;
pub(in crate::store) mod error;
mod failures;
mod head;
mod heads;
mod jobs;
mod lock;
mod open;
mod signals;
mod statements;
mod survey;
pub(in crate::store) mod watch;
mod work;
mod writer;

use std::fmt;
use std::sync::Arc;

use sqlx::SqlitePool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::error::store_error;
use self::lock::Lock;
use self::statements::Statements;
pub(in crate::store::sql) use self::survey::SqliteSurvey;
use self::work::{Ask, Task, Waiter, Write};
use self::writer::Writer;
use super::{
    AsideAsk, AsideHold, AsideLine, CacheLine, Claim, Claimed, Dialect, FailedLine, FailedRecord,
    FailedWhich, Fate, Hold, JobRecord, Lives, OnceRecord,
};
use crate::store::port::{AsideEnd, Depth, PruneBatches, QueueName};
use crate::store::sql::migrate::Migration;
use crate::store::sql::options::{SqlOptions, SqliteOptions};
use crate::store::{Error, Kind};
use crate::wire::raw::Nul;

/// Requests that may wait for the writer before callers are held back.
const QUEUED: usize = 1024;

/// An open SQLite file.
pub(in crate::store::sql) struct Sqlite {
    asks: mpsc::Sender<Ask>,
    readers: SqlitePool,
    sql: Arc<Statements>,
    _writer: JoinSet<()>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the file and starts its writer.
    pub(in crate::store::sql) async fn open(
        sqlite: SqliteOptions,
        options: &SqlOptions,
    ) -> Result<Self, Error> {
        let sql = Arc::new(Statements::new(options));
        let connect = open::prepare(&sqlite).await?;
        let connection = open::connect(&connect).await?;
        let readers = open::readers(&connect, sqlite.busy_timeout);
        let (asks, queue) = mpsc::channel(QUEUED);
        let lock = if sqlite.own_file {
            Lock::Own
        } else {
            Lock::Shared(sqlite.busy_timeout)
        };
        let writer = Writer::new(connect, lock, connection, Arc::clone(&sql));
        let mut task = JoinSet::new();
        task.spawn(writer.run(queue));
        Ok(Self {
            asks,
            readers,
            sql,
            _writer: task,
        })
    }

    /// Has the writer carry out `write`, in one transaction with what others want at the same time.
    async fn write<W: Write>(&self, write: W) -> Result<W::Out, Error> {
        let action = write.action();
        let (task, answer) = Task::attended(write);
        let gone = || Error::new(Kind::Lost, action, "the database is being closed");
        if self.asks.send(Ask::Work(task)).await.is_err() {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

#[async_trait::async_trait]
impl Dialect for Sqlite {
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, Error> {
        self.write(claim::Reserve(claim)).await
    }

    async fn renew(&self, holds: Vec<Hold>, lease_s: i64) -> Result<Vec<Option<i64>>, Error> {
        self.write(jobs::Renew { holds, lease_s }).await
    }

    async fn settle(&self, batch: Vec<(Hold, Fate)>) -> Result<Vec<bool>, Error> {
        self.write(jobs::Settle(batch)).await
    }

    async fn push(&self, jobs: Vec<JobRecord>) -> Result<(), Error> {
        self.write(jobs::Push(jobs)).await
    }

    async fn push_once(&self, jobs: Vec<OnceRecord>) -> Result<Vec<bool>, Error> {
        self.write(jobs::PushOnce(jobs)).await
    }

    async fn drop_markers(&self, markers: Vec<String>) -> Result<(), Error> {
        self.write(jobs::DropMarkers(markers)).await
    }

    async fn set_aside(&self, ask: AsideAsk) -> Result<Vec<AsideLine>, Error> {
        self.write(aside::SetAside(ask)).await
    }

    async fn end_aside(&self, rows: Vec<AsideHold>, end: AsideEnd) -> Result<Vec<bool>, Error> {
        self.write(aside::EndAside { rows, end }).await
    }

    async fn wait(&self, queues: &[QueueName]) -> Result<(), Error> {
        let gone = || Error::new(Kind::Lost, "wait for jobs", "the database is being closed");
        let (reply, answer) = tokio::sync::oneshot::channel();
        let queues = queues.to_vec();
        if self.asks.send(Ask::Wait(Waiter { queues, reply })).await.is_err() {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error> {
        let counted = admin::depth(&self.readers, &self.sql, queues).await;
        counted.map_err(|e| store_error("count jobs", &e))
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        let names = admin::queues(&self.readers, &self.sql).await;
        names.map_err(|e| store_error("list queues", &e))
    }

    async fn clear(&self, queue: &QueueName, limit: u32) -> Result<u64, Error> {
        let queue = queue.clone();
        self.write(admin::Clear { queue, limit }).await
    }

    async fn ping(&self) -> Result<(), Error> {
        let answer = admin::ping(&self.readers, &self.sql).await;
        answer.map_err(|e| store_error("reach the database", &e))
    }

    fn nul(&self) -> Nul {
        // PHP's driver binds and reads with lengths, too.
        Nul::Fits
    }

    async fn record(&self, failures: Vec<FailedRecord>) -> Result<(), Error> {
        self.write(failures::Record(failures)).await
    }

    async fn failures(&self, which: &FailedWhich, limit: u32) -> Result<Vec<FailedLine>, Error> {
        let lines = failures::list(&self.readers, &self.sql, which, limit).await;
        lines.map_err(|e| store_error("list failed jobs", &e))
    }

    async fn forget(&self, which: &FailedWhich, limit: u32) -> Result<u64, Error> {
        let which = which.clone();
        self.write(failures::Forget { which, limit }).await
    }

    async fn batch_failures(&self, batch: &str) -> Result<Option<String>, Error> {
        let found = batches::failures(&self.readers, &self.sql, batch).await;
        found.map_err(|e| store_error(format!("read batch {batch:?}"), &e))
    }

    async fn prune_batches(&self, which: PruneBatches, before: i64, limit: u32) -> Result<u64, Error> {
        let prune = batches::Prune { which, before, limit };
        self.write(prune).await
    }

    async fn retry(&self, failure: i64, job: JobRecord) -> Result<bool, Error> {
        self.write(failures::Retry { failure, job }).await
    }

    async fn cached(&self, keys: &[String]) -> Result<Vec<CacheLine>, Error> {
        let lines = signals::cached(&self.readers, &self.sql, keys).await;
        lines.map_err(|e| store_error("read the cache", &e))
    }

    async fn cache(&self, keys: &[String], value: &[u8], lives: Lives) -> Result<(), Error> {
        let (keys, value) = (keys.to_vec(), value.to_vec());
        self.write(signals::Put { keys, value, lives }).await
    }

    async fn uncache(&self, keys: &[String]) -> Result<(), Error> {
        self.write(signals::Uncache(keys.to_vec())).await
    }

    async fn increment(&self, keys: &[String], lives: Lives) -> Result<i64, Error> {
        let keys = keys.to_vec();
        self.write(signals::Increment { keys, lives }).await
    }

    async fn beat(&self, id: &str, beat: &str, ttl_s: i64) -> Result<(), Error> {
        let (id, beat) = (id.to_owned(), beat.to_owned());
        self.write(signals::Beat { id, beat, ttl_s }).await
    }

    async fn leave(&self, id: &str) -> Result<(), Error> {
        self.write(signals::Leave(id.to_owned())).await
    }

    async fn beats(&self) -> Result<Vec<String>, Error> {
        let beats = signals::beats(&self.readers, &self.sql).await;
        beats.map_err(|e| store_error("list worker processes", &e))
    }

    fn migrations(&self) -> &'static [Migration] {
        admin::MIGRATIONS
    }

    async fn migrate(&self, migration: &Migration) -> Result<bool, Error> {
        self.write(admin::Migrate::new(migration, &self.sql)).await
    }

    async fn index_jobs(&self) -> Result<bool, Error> {
        self.write(admin::Index).await
    }
}
