//! MySQL and MariaDB: short READ COMMITTED transactions of one or two round trips over a few connections.
//!
//! Several statements travel in one text (`text`), so a verb costs one round trip, a claim two. Rows are locked
//! by their ids and nothing else is (`heads`, `claim`). What another transaction was in the way of is tried
//! again (`sessions`); a server that is gone, silent or read only is found out and left (`error`). A MySQL
//! tells nobody of new rows, so one task looks for all lanes that wait (`watch`).
//!
//! Written for what both servers have, from 5.6 on; no statement differs between them but for `SKIP LOCKED`.

mod admin;
mod aside;
mod batches;
mod claim;
mod engine;
mod error;
mod failures;
mod form;
mod head;
mod heads;
mod insert;
mod jobs;
mod look;
mod markers;
mod names;
mod session;
mod sessions;
mod signals;
mod survey;
mod text;
mod verb;
mod version;
mod watch;

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use self::engine::Engine;
use self::names::Names;
use self::sessions::Sessions;
pub(in crate::store::sql) use self::survey::MysqlSurvey;
use self::watch::{Waiter, Watch};
use super::{
    AsideAsk, AsideHold, AsideLine, CacheLine, Claim, Claimed, Dialect, FailedLine, FailedRecord,
    FailedWhich, Fate, Hold, JobRecord, Lives, OnceRecord,
};
use crate::store::port::{AsideEnd, Depth, PruneBatches, QueueName};
use crate::store::sql::migrate::Migration;
use crate::store::sql::options::{MysqlOptions, SqlOptions};
use crate::store::{Error, Kind};
use crate::wire::raw::Nul;

/// Waits that may be on their way to the task that looks.
const QUEUED: usize = 256;

/// An open database.
pub(in crate::store::sql) struct Mysql {
    engine: Arc<Engine>,
    waits: mpsc::Sender<Waiter>,
    happened: Arc<Notify>,
    claims: TaskTracker,
    _watch: JoinSet<()>,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").finish_non_exhaustive()
    }
}

impl Mysql {
    /// Prepares to connect, and starts the task that looks for jobs. Connections are made when they are needed.
    pub(in crate::store::sql) fn open(mysql: &MysqlOptions, options: &SqlOptions) -> Self {
        let (schema, table) = names::schema_and_name(&options.tables.jobs);
        let setup = session::setup(&schema, &table);
        let sessions = Sessions::new(session::Door::new(mysql, setup));
        let engine = Arc::new(Engine::new(Names::new(options), sessions));
        let happened = Arc::new(Notify::new());
        let (waits, asks) = mpsc::channel(QUEUED);
        let watch = Watch::new(Arc::clone(&engine), Arc::clone(&happened), options.sleep);
        let mut task = JoinSet::new();
        task.spawn(watch.run(asks));
        Self {
            engine,
            waits,
            happened,
            claims: TaskTracker::new(),
            _watch: task,
        }
    }

    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.engine.names)
    }

    /// Takes note of rows that we added or freed, and has them looked for.
    fn changed(&self, freed: impl IntoIterator<Item = i64>) {
        self.engine.changed(freed);
        self.happened.notify_one();
    }
}

fn closed(action: String) -> Error {
    Error::new(Kind::Lost, action, "the database is being closed")
}

#[async_trait::async_trait]
impl Dialect for Mysql {
    /// A claim that nobody waits for any more is carried out, and its rows go back as they were.
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, Error> {
        let action = claim::action(&claim);
        let engine = Arc::clone(&self.engine);
        let (reply, answer) = oneshot::channel();
        self.claims.spawn(async move {
            let claimed = engine.claim(&claim).await;
            if let Err(Ok(unwanted)) = reply.send(claimed) {
                let back = |row: Claimed| {
                    let fate = Fate::Free {
                        uncount: true,
                        delay_s: None,
                    };
                    (row.hold, fate)
                };
                let batch: Vec<(Hold, Fate)> = unwanted.into_iter().map(back).collect();
                if !batch.is_empty() {
                    let names = Arc::clone(&engine.names);
                    // If it fails the rows come back by themselves when their lease ends.
                    drop(engine.run(jobs::Settle { names, batch }).await);
                    engine.changed([]);
                }
            }
        });
        let claimed = answer.await.unwrap_or_else(|_| Err(closed(action)))?;
        if !claimed.is_empty() {
            self.happened.notify_one();
        }
        Ok(claimed)
    }

    async fn renew(&self, holds: Vec<Hold>, lease_s: i64) -> Result<Vec<Option<i64>>, Error> {
        let names = self.names();
        self.engine
            .run(jobs::Renew {
                names,
                holds,
                lease_s,
            })
            .await
    }

    async fn settle(&self, batch: Vec<(Hold, Fate)>) -> Result<Vec<bool>, Error> {
        let freed = |(hold, fate): &(Hold, Fate)| matches!(fate, Fate::Free { .. }).then_some(hold.id);
        let freed: Vec<i64> = batch.iter().filter_map(freed).collect();
        let names = self.names();
        let settled = self.engine.run(jobs::Settle { names, batch }).await;
        if !freed.is_empty() {
            self.changed(freed);
        }
        settled
    }

    async fn push(&self, jobs: Vec<JobRecord>) -> Result<(), Error> {
        let names = self.names();
        let pushed = self.engine.run(jobs::Push { names, jobs }).await;
        self.changed([]);
        pushed
    }

    async fn push_once(&self, jobs: Vec<OnceRecord>) -> Result<Vec<bool>, Error> {
        let names = self.names();
        let pushed = self.engine.run(markers::PushOnce { names, jobs }).await;
        self.changed([]);
        pushed
    }

    async fn drop_markers(&self, markers: Vec<String>) -> Result<(), Error> {
        let names = self.names();
        self.engine.run(markers::DropMarkers { names, markers }).await
    }

    async fn set_aside(&self, ask: AsideAsk) -> Result<Vec<AsideLine>, Error> {
        let names = self.names();
        let set = self.engine.run(aside::SetAside { names, ask }).await;
        self.changed([]);
        set
    }

    async fn end_aside(&self, rows: Vec<AsideHold>, end: AsideEnd) -> Result<Vec<bool>, Error> {
        let names = self.names();
        let freed: Vec<i64> = match end {
            AsideEnd::Remove => Vec::new(),
            AsideEnd::PutBack => rows.iter().map(|row| row.id).collect(),
        };
        let ended = self.engine.run(aside::EndAside { names, rows, end }).await;
        self.changed(freed);
        ended
    }

    async fn wait(&self, queues: &[QueueName]) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let queues = queues.to_vec();
        let gone = || closed("wait for jobs".to_owned());
        if self.waits.send(Waiter { queues, reply }).await.is_err() {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error> {
        let (names, queues) = (self.names(), queues.to_vec());
        self.engine.run(admin::CountJobs { names, queues }).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        let names = self.names();
        self.engine.run(admin::Queues { names }).await
    }

    async fn clear(&self, queue: &QueueName, limit: u32) -> Result<u64, Error> {
        let (names, queue) = (self.names(), queue.clone());
        self.engine.run(admin::Clear { names, queue, limit }).await
    }

    async fn ping(&self) -> Result<(), Error> {
        let names = self.names();
        self.engine.run(admin::Ping { names }).await
    }

    fn nul(&self) -> Nul {
        Nul::Fits
    }

    async fn record(&self, failures: Vec<FailedRecord>) -> Result<(), Error> {
        let names = self.names();
        self.engine.run(failures::Record { names, failures }).await
    }

    async fn failures(&self, which: &FailedWhich, limit: u32) -> Result<Vec<FailedLine>, Error> {
        let (names, which) = (self.names(), which.clone());
        self.engine.run(failures::List { names, which, limit }).await
    }

    async fn forget(&self, which: &FailedWhich, limit: u32) -> Result<u64, Error> {
        let (names, which) = (self.names(), which.clone());
        self.engine.run(failures::Forget { names, which, limit }).await
    }

    async fn batch_failures(&self, batch: &str) -> Result<Option<String>, Error> {
        let (names, batch) = (self.names(), batch.to_owned());
        self.engine.run(batches::Failures { names, batch }).await
    }

    async fn prune_batches(&self, which: PruneBatches, before: i64, limit: u32) -> Result<u64, Error> {
        let names = self.names();
        let prune = batches::Prune {
            names,
            which,
            before,
            limit,
        };
        self.engine.run(prune).await
    }

    async fn retry(&self, failure: i64, job: JobRecord) -> Result<bool, Error> {
        let names = self.names();
        let retried = self.engine.run(failures::Retry { names, failure, job }).await;
        self.changed([]);
        retried
    }

    async fn cached(&self, keys: &[String]) -> Result<Vec<CacheLine>, Error> {
        let (names, keys) = (self.names(), keys.to_vec());
        self.engine.run(signals::Cached { names, keys }).await
    }

    async fn cache(&self, keys: &[String], value: &[u8], lives: Lives) -> Result<(), Error> {
        let (names, keys, value) = (self.names(), keys.to_vec(), value.to_vec());
        self.engine
            .run(signals::Put {
                names,
                keys,
                value,
                lives,
            })
            .await
    }

    async fn uncache(&self, keys: &[String]) -> Result<(), Error> {
        let (names, keys) = (self.names(), keys.to_vec());
        self.engine.run(signals::Uncache { names, keys }).await
    }

    async fn increment(&self, keys: &[String], lives: Lives) -> Result<i64, Error> {
        let (names, keys) = (self.names(), keys.to_vec());
        self.engine.run(signals::Increment { names, keys, lives }).await
    }

    async fn beat(&self, id: &str, beat: &str, ttl_s: i64) -> Result<(), Error> {
        let (names, id, beat) = (self.names(), id.to_owned(), beat.to_owned());
        self.engine
            .run(signals::Beat {
                names,
                id,
                beat,
                ttl_s,
            })
            .await
    }

    async fn leave(&self, id: &str) -> Result<(), Error> {
        let (names, id) = (self.names(), id.to_owned());
        self.engine.run(signals::Leave { names, id }).await
    }

    async fn beats(&self) -> Result<Vec<String>, Error> {
        let names = self.names();
        self.engine.run(signals::Beats { names }).await
    }

    fn migrations(&self) -> &'static [Migration] {
        admin::MIGRATIONS
    }

    async fn migrate(&self, migration: &Migration) -> Result<bool, Error> {
        self.engine
            .run(admin::Migrate::new(migration, &self.engine.names))
            .await
    }

    async fn index_jobs(&self) -> Result<bool, Error> {
        let names = self.names();
        self.engine.run(admin::Index { names }).await
    }
}
