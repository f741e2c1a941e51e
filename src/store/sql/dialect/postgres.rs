//! PostgreSQL: each verb one statement where it can be, over a few connections of our own.
//!
//! Rows are locked with `for update skip locked` and claimed in the same statement, so many processes take
//! from one table without waiting for each other. Statements of one process run at the same time on
//! several connections (`pool`); one more listens for announcements of new rows, if the table makes them
//! (`announce`, `listen`), and one task answers all who wait (`watch`). A pooler in front of the server is
//! recognised when connecting (`connect`): nothing is then kept in a session.

mod admin;
mod announce;
mod aside;
mod batches;
pub(in crate::store) mod connect;
pub(in crate::store) mod error;
mod failures;
mod jobs;
mod listen;
pub(in crate::store) mod pool;
mod signals;
pub(in crate::store) mod statements;
mod survey;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use self::connect::Door;
use self::error::Failure;
use self::pool::Pool;
use self::statements::Statements;
pub(in crate::store::sql) use self::survey::PostgresSurvey;
use self::watch::{Hints, Watcher};
use super::{
    AsideAsk, AsideHold, AsideLine, CacheLine, Claim, Claimed, Dialect, FailedLine, FailedRecord,
    FailedWhich, Fate, Hold, JobRecord, Lives, OnceRecord,
};
use crate::store::port::{AsideEnd, Depth, PruneBatches, QueueName};
use crate::store::sql::migrate::{Announce, Migration};
use crate::store::sql::options::{PostgresOptions, SqlOptions};
use crate::store::{Error, Kind};
use crate::wire::raw::Nul;

/// A reservation that takes longer may want the index.
const SLOW: Duration = Duration::from_millis(500);

/// A PostgreSQL database.
#[derive(Debug)]
pub(in crate::store::sql) struct Postgres {
    db: Arc<Shared>,
    watcher: OnceLock<Watcher>,
    claims: TaskTracker,
}

/// What all verbs work with.
#[derive(Debug)]
struct Shared {
    pool: Arc<Pool>,
    sql: Statements,
    hints: Hints,
    failures: failures::Known,
    /// The longest pause between two looks at a table that announces nothing.
    sleep: Duration,
    /// Whether it was said that taking jobs is slow.
    said_slow: AtomicBool,
}

impl Postgres {
    /// A database whose connections are made when they are first needed.
    pub(in crate::store::sql) fn new(postgres: &PostgresOptions, options: &SqlOptions) -> Self {
        let db = Shared {
            pool: Arc::new(Pool::new(Door::new(postgres))),
            sql: Statements::new(options),
            hints: Hints::default(),
            failures: failures::Known::default(),
            sleep: options.sleep,
            said_slow: AtomicBool::new(false),
        };
        Self {
            db: Arc::new(db),
            watcher: OnceLock::new(),
            claims: TaskTracker::new(),
        }
    }
}

/// What a failure is called while doing `action`.
fn during<T>(outcome: Result<T, Failure>, action: impl Into<String>) -> Result<T, Error> {
    outcome.map_err(|failure| failure.during(action))
}

#[async_trait::async_trait]
impl Dialect for Postgres {
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, Error> {
        let names: Vec<&str> = claim.queues.iter().map(QueueName::as_str).collect();
        let action = format!("reserve from queue {:?}", names.join(","));
        let (reply, answer) = oneshot::channel();
        let db = Arc::clone(&self.db);
        // A task of its own, so that what was claimed is known when the caller has gone away.
        self.claims.spawn(async move {
            let claimed = jobs::claim(&db, &claim).await;
            let took = claimed.as_ref().map_or(Duration::ZERO, |taken| taken.took);
            if let Err(Ok(unwanted)) = reply.send(claimed) {
                give_back(&db, &unwanted.rows).await;
            }
            if took > SLOW && !db.said_slow.load(Ordering::Acquire) {
                advise(&db, took).await;
            }
        });
        let gone = |_| Error::new(Kind::Lost, action.clone(), "the database is being closed");
        let claimed = during(answer.await.map_err(gone)?, action)?.rows;
        if !claimed.is_empty() {
            self.db.hints.stir();
        }
        Ok(claimed)
    }

    async fn renew(&self, holds: Vec<Hold>, lease_s: i64) -> Result<Vec<Option<i64>>, Error> {
        let renewed = jobs::renew(&self.db, &holds, lease_s).await;
        during(renewed, format!("renew {} reservations", holds.len()))
    }

    async fn settle(&self, mut batch: Vec<(Hold, Fate)>) -> Result<Vec<bool>, Error> {
        let ids: Vec<i64> = batch.iter().map(|(hold, _)| hold.id).collect();
        let frees = (batch.iter()).any(|(_, fate)| matches!(fate, Fate::Free { .. }));
        let settled = jobs::settle(&self.db, &mut batch).await;
        let held = during(settled, format!("settle {} jobs", ids.len()))?;
        if frees {
            self.db.hints.freed();
        }
        Ok(ids.iter().map(|id| held.contains(id)).collect())
    }

    async fn push(&self, jobs: Vec<JobRecord>) -> Result<(), Error> {
        let pushed = jobs::push(&self.db, &jobs).await;
        let action = || match jobs.as_slice() {
            [job] => format!("push to queue {:?}", job.queue),
            jobs => format!("push {} jobs", jobs.len()),
        };
        pushed.map_err(|failure| failure.during(action()))?;
        self.db.came(&jobs);
        Ok(())
    }

    async fn push_once(&self, jobs: Vec<OnceRecord>) -> Result<Vec<bool>, Error> {
        let pushed = jobs::push_once(&self.db, &jobs).await;
        let mut new = during(pushed, format!("push {} jobs once", jobs.len()))?;
        let pushed = jobs.iter().map(|once| new.remove(&once.marker)).collect();
        let jobs: Vec<JobRecord> = jobs.into_iter().map(|once| once.job).collect();
        self.db.came(&jobs);
        Ok(pushed)
    }

    async fn drop_markers(&self, markers: Vec<String>) -> Result<(), Error> {
        during(jobs::drop_markers(&self.db, markers).await, "forget markers")
    }

    async fn set_aside(&self, ask: AsideAsk) -> Result<Vec<AsideLine>, Error> {
        let set = aside::set_aside(&self.db, &ask).await;
        during(set, format!("set aside jobs of queue {:?}", ask.queue))
    }

    async fn end_aside(&self, rows: Vec<AsideHold>, end: AsideEnd) -> Result<Vec<bool>, Error> {
        let action = match end {
            AsideEnd::Remove => format!("remove {} jobs that were moved", rows.len()),
            AsideEnd::PutBack => format!("put {} jobs back", rows.len()),
        };
        let ended = during(aside::end_aside(&self.db, &rows, end).await, action)?;
        if end == AsideEnd::PutBack {
            self.db.hints.freed();
        }
        Ok(rows.iter().map(|row| ended.contains(&row.id)).collect())
    }

    async fn wait(&self, queues: &[QueueName]) -> Result<(), Error> {
        let watcher = self.watcher.get_or_init(|| Watcher::start(Arc::clone(&self.db)));
        watcher.wait(queues).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error> {
        during(admin::depth(&self.db, queues).await, "count jobs")
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        during(admin::queues(&self.db).await, "list queues")
    }

    async fn clear(&self, queue: &QueueName, limit: u32) -> Result<u64, Error> {
        let cleared = admin::clear(&self.db, queue, limit).await;
        during(cleared, format!("clear queue {queue:?}"))
    }

    async fn ping(&self) -> Result<(), Error> {
        during(admin::ping(&self.db).await, "reach the database")
    }

    fn nul(&self) -> Nul {
        Nul::Refused
    }

    async fn record(&self, failures: Vec<FailedRecord>) -> Result<(), Error> {
        let recorded = failures::record(&self.db, &failures).await;
        during(recorded, format!("record {} failed jobs", failures.len()))
    }

    async fn failures(&self, which: &FailedWhich, limit: u32) -> Result<Vec<FailedLine>, Error> {
        during(failures::list(&self.db, which, limit).await, "list failed jobs")
    }

    async fn forget(&self, which: &FailedWhich, limit: u32) -> Result<u64, Error> {
        let forgotten = failures::forget(&self.db, which, limit).await;
        during(forgotten, "forget failed jobs")
    }

    async fn batch_failures(&self, batch: &str) -> Result<Option<String>, Error> {
        let found = batches::failures(&self.db, batch).await;
        during(found, format!("read batch {batch:?}"))
    }

    async fn prune_batches(&self, which: PruneBatches, before: i64, limit: u32) -> Result<u64, Error> {
        let pruned = batches::prune(&self.db, which, before, limit).await;
        during(pruned, "prune batches")
    }

    async fn retry(&self, failure: i64, job: JobRecord) -> Result<bool, Error> {
        let pushed = failures::retry(&self.db, failure, &job).await;
        let pushed = during(pushed, format!("retry failed job {failure}"))?;
        self.db.came(&[job]);
        Ok(pushed)
    }

    async fn cached(&self, keys: &[String]) -> Result<Vec<CacheLine>, Error> {
        during(signals::cached(&self.db, keys).await, "read the cache")
    }

    async fn cache(&self, keys: &[String], value: &[u8], lives: Lives) -> Result<(), Error> {
        let written = signals::put(&self.db, keys, value, lives).await;
        during(written, "write to the cache")
    }

    async fn uncache(&self, keys: &[String]) -> Result<(), Error> {
        during(signals::remove(&self.db, keys).await, "remove from the cache")
    }

    async fn increment(&self, keys: &[String], lives: Lives) -> Result<i64, Error> {
        let sum = signals::increment(&self.db, keys, lives).await;
        during(sum, "count in the cache")
    }

    async fn beat(&self, id: &str, beat: &str, ttl_s: i64) -> Result<(), Error> {
        let said = signals::beat(&self.db, id, beat, ttl_s).await;
        during(said, "say that this process lives")
    }

    async fn leave(&self, id: &str) -> Result<(), Error> {
        during(
            signals::leave(&self.db, id).await,
            "say that this process is gone",
        )
    }

    async fn beats(&self) -> Result<Vec<String>, Error> {
        during(signals::beats(&self.db).await, "list worker processes")
    }

    fn migrations(&self) -> &'static [Migration] {
        admin::MIGRATIONS
    }

    async fn migrate(&self, migration: &Migration) -> Result<bool, Error> {
        let made = admin::migrate(&self.db, migration).await;
        during(made, format!("migrate {}", migration.name))
    }

    async fn index_jobs(&self) -> Result<bool, Error> {
        let made = admin::index_jobs(&self.db).await;
        during(made, "make the index of the table of jobs")
    }

    async fn announce(&self, announce: Announce) -> Result<bool, Error> {
        let changed = announce::change(&self.db, announce).await;
        during(changed, "change how new jobs are announced")
    }
}

impl Shared {
    /// Tells those who wait in this process of jobs that it has pushed.
    fn came(&self, jobs: &[JobRecord]) {
        let (due, late): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.delay_s <= 0);
        if !late.is_empty() {
            self.hints.freed();
        }
        if !due.is_empty() {
            self.hints.came(due.into_iter().map(|job| job.queue.clone()));
        }
    }
}

/// Says what would make reservations faster, when that is known.
async fn advise(db: &Shared, took: Duration) {
    if matches!(admin::wants_index(db).await, Ok(true)) && !db.said_slow.swap(true, Ordering::AcqRel) {
        tracing::warn!(
            duration_ms = took.as_millis(),
            "Reserving took {} ms, since the table {} has no index for it: `worker migrate --indexes` makes one",
            took.as_millis(),
            db.sql.tables.jobs
        );
    }
}

/// Frees rows that were claimed for a caller who has gone away, as they were.
async fn give_back(db: &Shared, claimed: &[Claimed]) {
    let back = Fate::Free {
        uncount: true,
        delay_s: None,
    };
    let rows = claimed.iter().map(|row| (row.hold, back.clone()));
    let mut rows: Vec<(Hold, Fate)> = rows.collect();
    if rows.is_empty() {
        return;
    }
    match jobs::settle(db, &mut rows).await {
        Ok(_) => db.hints.freed(),
        Err(failure) => {
            let error = failure.during(format!("give back {} jobs", rows.len()));
            tracing::warn!("Failed to {error}; they come back when their reservation ends");
        }
    }
}
