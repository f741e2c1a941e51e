//! The layouts of `apalis-postgres` and `apalis-sqlite`, behind the port.
//!
//! Both keep one table of tasks and one of workers. What they share is here; what an engine does in its own way
//! is behind [`Table`], and SQL is written there and nowhere else.
//!
//! A task that we hold is `Running`, its `lock_by` names a worker of ours for its queue, and its `lock_at` says
//! when the lease ends; stock workers write that column and never read it. `attempts` counts ended attempts, as
//! theirs do: it goes up when an attempt ends or its lease does.

mod postgres;
mod receipt;
mod sqlite;
mod table;
mod watch;
mod workers;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use self::postgres::PostgresTable;
use self::receipt::{SetAside, TaskReceipt, aside_name, fate, reserved, set_aside};
use self::sqlite::SqliteTable;
use self::table::{AsideAsk, Claim, Fate, Hold, NewTask, REACH, Table, TaskRow};
use self::watch::Watch;
use self::workers::{Workers, beat};
use super::ids::Ids;
use crate::store::port::{
    Aside, AsideEnd, Depth, Held, NewJob, OnceJob, Queue, QueueName, Receipt, Reserved, Settlement, Waiting,
};
use crate::store::sql::{PostgresOptions, SqliteOptions, rounds};
use crate::store::{Error, Kind};
use crate::wire::task::Task;

/// Data of one reservation together, in bytes; one task alone may be larger.
const BATCH_BYTES: i64 = 8 << 20;
/// The same of one batch of tasks set aside.
const ASIDE_BYTES: i64 = 4 << 20;
/// Rows named in one statement at most.
const CHUNK: usize = 1000;
/// Rows deleted in one transaction by `clear`.
const CLEAR_CHUNK: i64 = 5000;
/// The longest time between two looks for leases that have ended.
const LAPSE: Duration = Duration::from_millis(500);

/// The queues of stock producers in one SQL database.
#[derive(Debug)]
pub struct ApalisSql {
    table: Arc<dyn Table>,
    ids: Ids,
    workers: Arc<Workers>,
    watch: Watch,
    markers: Mutex<HashMap<String, QueueName>>,
    heart: Mutex<JoinSet<()>>,
}

impl ApalisSql {
    /// The queues in an SQLite file that `SqliteStorage::setup` prepared. It is opened when it is first needed.
    #[must_use]
    pub fn sqlite(options: &SqliteOptions) -> Self {
        Self::new(Arc::new(SqliteTable::new(options)))
    }

    /// The queues in a PostgreSQL database that `PostgresStorage::setup` prepared. Connections are made when they
    /// are first needed.
    #[must_use]
    pub fn postgres(options: &PostgresOptions) -> Self {
        Self::new(Arc::new(PostgresTable::new(options)))
    }

    fn new(table: Arc<dyn Table>) -> Self {
        Self {
            watch: Watch::new(Arc::clone(&table)),
            table,
            ids: Ids::default(),
            workers: Arc::new(Workers::new()),
            markers: Mutex::default(),
            heart: Mutex::default(),
        }
    }

    /// The name of the table of tasks, if it is not there.
    pub(super) async fn missing_table(&self) -> Result<Option<&'static str>, Error> {
        Ok(self.table.ping().await?.map(|_| self.table.name()))
    }

    /// Makes sure that the worker for `queue` is known, and takes back what has lapsed now and then.
    async fn prepare(&self, queue: &QueueName) -> Result<(), Error> {
        let looked = self.workers.looked(queue);
        if looked.is_none() {
            self.table.beat(&self.workers.of(queue), queue).await?;
            let mut heart = self.heart.lock().unwrap_or_else(PoisonError::into_inner);
            if heart.is_empty() {
                heart.spawn(beat(Arc::clone(&self.table), Arc::clone(&self.workers)));
            }
        }
        if looked.is_none_or(|at| at.elapsed() > LAPSE) {
            self.table.lapse(queue).await?;
            self.workers.look(queue);
        }
        Ok(())
    }

    async fn take(&self, queue: &QueueName, max: usize, lease: Duration) -> Result<Vec<TaskRow>, Error> {
        self.prepare(queue).await?;
        let claim = Claim {
            queue: queue.clone(),
            worker: self.workers.of(queue),
            max: i64::try_from(max.min(CHUNK)).unwrap_or(i64::MAX),
            max_bytes: BATCH_BYTES,
            lease_s: lease.as_secs_f64(),
        };
        self.table.claim(&claim).await
    }

    /// On which queues tasks were marked, so that their markers are found again without a search.
    fn marked(&self) -> std::sync::MutexGuard<'_, HashMap<String, QueueName>> {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_task(&self, job: &NewJob, marker: Option<String>, attempts: u32) -> NewTask {
        NewTask {
            queue: job.queue.clone(),
            task: Task::of(&job.payload, job.queue.as_str(), &self.ids.next()),
            delay_s: job.delay.map_or(0.0, |delay| delay.as_secs_f64()),
            marker,
            attempts,
        }
    }

    async fn add(&self, tasks: &[NewTask]) -> Result<Vec<bool>, Error> {
        let mut added = Vec::with_capacity(tasks.len());
        for chunk in tasks.chunks(CHUNK) {
            match self.table.push(chunk).await {
                Ok(pushed) => added.extend(pushed),
                Err(error) if added.is_empty() || error.is_ambiguous() => return Err(error),
                Err(error) => return Err(Error::new(Kind::Lost, "push all of many tasks", error)),
            }
        }
        Ok(added)
    }
}

#[async_trait::async_trait]
impl Queue for ApalisSql {
    async fn reserve(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Vec<Reserved>, Error> {
        let mut taken = Vec::new();
        for queue in queues {
            if taken.len() >= max {
                break;
            }
            match self.take(queue, max - taken.len(), lease).await {
                Ok(rows) => {
                    let worker = self.workers.of(queue);
                    taken.extend(rows.into_iter().map(|row| reserved(queue, worker.clone(), row)));
                }
                // What is in our hands is run; the error comes again with the next call.
                Err(error) if taken.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    async fn renew(&self, receipts: &[(QueueName, Receipt)], lease: Duration) -> Result<Vec<Held>, Error> {
        let mut answers = vec![Held::Lost; receipts.len()];
        let holds: Vec<(usize, &Hold)> = (receipts.iter().enumerate())
            .filter_map(|(place, (_, receipt))| Some((place, TaskReceipt::hold(receipt)?)))
            .collect();
        for chunk in rounds(holds, |(_, hold)| &hold.id)
            .iter()
            .flat_map(|round| round.chunks(CHUNK))
        {
            let asked: Vec<&Hold> = chunk.iter().map(|(_, hold)| *hold).collect();
            let held = self.table.renew(&asked, lease.as_secs_f64()).await?;
            for (place, hold) in chunk {
                if held.contains(&hold.id) {
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
            if let Some(hold) = TaskReceipt::hold(&settlement.receipt)
                && seen.insert(hold)
            {
                asked.push((place, (hold, fate(&settlement.settle)?)));
            }
        }
        for chunk in rounds(asked, |(_, (hold, _))| &hold.id)
            .iter()
            .flat_map(|round| round.chunks(CHUNK))
        {
            let rows: Vec<(&Hold, &Fate)> = chunk.iter().map(|(_, (hold, fate))| (*hold, fate)).collect();
            let held = self.table.settle(&rows).await?;
            for (place, (hold, _)) in chunk {
                if held.contains(&hold.id) {
                    answers[*place] = Held::Yes;
                }
                if let Some(settlement) = batch.get(*place) {
                    TaskReceipt::spend(&settlement.receipt);
                }
            }
        }
        Ok(answers)
    }

    async fn push(&self, jobs: &[NewJob]) -> Result<(), Error> {
        let tasks: Vec<_> = jobs.iter().map(|job| self.new_task(job, None, 0)).collect();
        self.add(&tasks).await.map(drop)
    }

    async fn push_once(&self, jobs: &[OnceJob]) -> Result<Vec<bool>, Error> {
        self.marked().extend(
            jobs.iter()
                .map(|once| (once.marker.clone(), once.job.queue.clone())),
        );
        let tasks: Vec<_> = (jobs.iter())
            .map(|once| self.new_task(&once.job, Some(marker_key(&once.marker)), once.attempts))
            .collect();
        self.add(&tasks).await
    }

    async fn drop_markers(&self, markers: &[String]) -> Result<(), Error> {
        let mut by_queue: HashMap<Option<QueueName>, Vec<String>> = HashMap::new();
        for marker in markers {
            let queue = self.marked().remove(marker);
            by_queue.entry(queue).or_default().push(marker_key(marker));
        }
        for (queue, keys) in by_queue {
            for chunk in keys.chunks(CHUNK) {
                self.table.unmark(queue.as_ref(), chunk).await?;
            }
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
        self.table.lapse(queue).await?;
        let ask = AsideAsk {
            queue: queue.clone(),
            worker: aside_name(queue),
            which,
            max: i64::try_from(max.min(CHUNK)).unwrap_or(i64::MAX),
            max_bytes: ASIDE_BYTES,
            hold_s: hold.as_secs_f64(),
        };
        let rows = self.table.set_aside(&ask).await?;
        Ok(rows.into_iter().map(|row| set_aside(queue, row)).collect())
    }

    async fn end_aside(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        end: AsideEnd,
    ) -> Result<Vec<Held>, Error> {
        let action = "end setting tasks aside";
        let foreign = || Error::new(Kind::Refused, action, "the receipt was given by another store");
        let ids = receipts
            .iter()
            .map(|receipt| Ok(receipt.read::<SetAside>().ok_or_else(foreign)?.0.clone()))
            .collect::<Result<Vec<String>, Error>>()?;
        let mut answers = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let ended = self.table.end_aside(&aside_name(queue), chunk, end).await?;
            let held = |id| if ended.contains(id) { Held::Yes } else { Held::Lost };
            answers.extend(chunk.iter().map(held));
        }
        Ok(answers)
    }

    async fn wait(&self, queues: &[QueueName], at_most: Duration) -> Result<(), Error> {
        self.watch.wait(queues, at_most).await;
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error> {
        let mut depths = Vec::with_capacity(queues.len());
        for queue in queues {
            depths.push(self.table.depth(queue).await?);
        }
        Ok(depths)
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        self.table.queues().await
    }

    async fn clear(&self, queue: &QueueName) -> Result<u64, Error> {
        let mut cleared = 0;
        loop {
            let some = self.table.clear(queue, CLEAR_CHUNK).await?;
            cleared += some;
            if some == 0 {
                return Ok(cleared);
            }
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        let Some(said) = self.table.ping().await? else {
            return Ok(());
        };
        let what = format!(
            "{said}: the producer makes apalis' tables, with PostgresStorage::setup or SqliteStorage::setup; an SQLite \
             file cannot have Laravel's table jobs beside apalis' Jobs"
        );
        Err(Error::new(Kind::Refused, REACH, what))
    }

    fn carries_attempts(&self) -> bool {
        false
    }

    fn records_failures(&self) -> bool {
        false
    }

    fn takes_tasks(&self) -> bool {
        true
    }
}

/// A marker as the key against doubles of the task that it came with.
fn marker_key(marker: &str) -> String {
    format!("worker:{marker}")
}
