//! The layout of `apalis-redis`, behind the port.
//!
//! Ids wait in a list or, until they are due, in a sorted set; data and fields stand in hashes; each worker has
//! a set of what it holds. The stock ways through it are not taken where they do not hold up: promoting all
//! that is due in one script ends at about 8,000, locking looks through the whole list, and a push of a stock
//! producer tells nobody, so that an idle queue is looked at every few milliseconds here.
//!
//! Ours beside theirs: `QUEUE:worker:leases`, a sorted set of `WORKER|ID` by the end of the lease.

mod aside;
mod beat;
mod keys;
mod look;
mod push;
mod reserve;
mod script;
mod settle;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use self::beat::Heart;
use self::push::Push;
use self::settle::{Entry, TaskReceipt};
use self::watch::Watch;
use super::ids::Ids;
use super::worker_name;
use crate::store::Error;
use crate::store::port::{
    Aside, AsideEnd, Depth, Held, NewJob, OnceJob, Queue, QueueName, Receipt, Reserved, Settlement, Waiting,
};
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;
use crate::store::redis::{Keys, RedisOptions};

/// Markers forgotten in one call.
const MARKERS: usize = 1000;

/// The queues of stock producers in one Redis database.
#[derive(Debug)]
pub struct ApalisRedis {
    connection: Arc<Connection>,
    /// What is named below the application's prefix: markers. apalis knows no prefix.
    own: Keys,
    ids: Ids,
    heart: Heart,
    watch: Watch,
}

impl ApalisRedis {
    /// The queues in the database that `options` name; their prefix is for what is the worker's own. Nothing is
    /// sent yet.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::store::Kind::Refused) when the options cannot be used.
    pub fn new(options: &RedisOptions) -> Result<Self, Error> {
        let connection = Arc::new(Connection::new(options)?);
        Ok(Self {
            own: Keys::new(&options.prefix, false),
            ids: Ids::default(),
            heart: Heart::new(Arc::clone(&connection), worker_name()),
            watch: Watch::new(Arc::clone(&connection)),
            connection,
        })
    }

    fn marker(&self, marker: &str) -> String {
        self.own.own(&format!("once:{marker}"))
    }
}

fn named<'a>(verb: &str, mut queues: impl Iterator<Item = &'a QueueName>) -> String {
    match (queues.next(), queues.next()) {
        (Some(queue), None) => format!("{verb} apalis queue {queue:?}"),
        (Some(queue), Some(_)) => format!("{verb} apalis queue {queue:?} and others"),
        (None, _) => format!("{verb} no queue"),
    }
}

fn receipts<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> Result<Vec<&'a TaskReceipt>, Failure> {
    receipts
        .map(|receipt| receipt.read().ok_or_else(Failure::odd_receipt))
        .collect()
}

#[async_trait::async_trait]
impl Queue for ApalisRedis {
    async fn reserve(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Vec<Reserved>, Error> {
        self.heart.beat_for(queues);
        reserve::reserve(&self.connection, self.heart.worker(), queues, max, lease)
            .await
            .map_err(|failure| failure.during(named("reserve from", queues.iter())))
    }

    async fn renew(&self, batch: &[(QueueName, Receipt)], lease: Duration) -> Result<Vec<Held>, Error> {
        let action = || named("renew leases of", batch.iter().map(|(queue, _)| queue));
        let read = receipts(batch.iter().map(|(_, receipt)| receipt));
        let read = read.map_err(|failure| failure.during(action()))?;
        let held: Vec<_> = batch.iter().map(|(queue, _)| queue).zip(read).collect();
        settle::renew(&self.connection, &held, lease)
            .await
            .map_err(|failure| failure.during(action()))
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Held>, Error> {
        let action = || named("settle jobs of", batch.iter().map(|entry| &entry.queue));
        let read = receipts(batch.iter().map(|entry| &entry.receipt));
        let read = read.map_err(|failure| failure.during(action()))?;
        let entries = (batch.iter().zip(read)).map(|(entry, receipt)| Entry {
            queue: &entry.queue,
            receipt,
            settle: &entry.settle,
        });
        let entries: Vec<_> = entries.collect();
        settle::settle(&self.connection, &entries)
            .await
            .map_err(|failure| failure.during(action()))
    }

    async fn push(&self, jobs: &[NewJob]) -> Result<(), Error> {
        let all: Vec<Push<'_>> = (jobs.iter())
            .map(|job| Push {
                marker: String::new(),
                job,
                attempts: 0,
            })
            .collect();
        let pushed = push::push(&self.connection, &self.ids, &all).await;
        pushed
            .map(drop)
            .map_err(|failure| failure.during(named("push to", jobs.iter().map(|job| &job.queue))))
    }

    async fn push_once(&self, jobs: &[OnceJob]) -> Result<Vec<bool>, Error> {
        let all: Vec<Push<'_>> = (jobs.iter())
            .map(|once| Push {
                marker: self.marker(&once.marker),
                job: &once.job,
                attempts: once.attempts,
            })
            .collect();
        let pushed = push::push(&self.connection, &self.ids, &all).await;
        pushed.map_err(|failure| failure.during(named("push to", jobs.iter().map(|once| &once.job.queue))))
    }

    async fn drop_markers(&self, markers: &[String]) -> Result<(), Error> {
        for some in markers.chunks(MARKERS) {
            let mut command = redis::cmd("DEL");
            for marker in some {
                command.arg(self.marker(marker));
            }
            let dropped = self.connection.send::<()>(&command).await;
            dropped.map_err(|failure| failure.during("forget markers of pushes"))?;
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
        aside::set_aside(&self.connection, queue, which, (max, hold))
            .await
            .map_err(|failure| failure.during(named("set tasks aside in", std::iter::once(queue))))
    }

    async fn end_aside(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        end: AsideEnd,
    ) -> Result<Vec<Held>, Error> {
        aside::end_aside(&self.connection, queue, receipts, end)
            .await
            .map_err(|failure| failure.during(named("end setting tasks aside in", std::iter::once(queue))))
    }

    async fn wait(&self, queues: &[QueueName], at_most: Duration) -> Result<(), Error> {
        self.watch.wait(queues, at_most).await;
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error> {
        look::depth(&self.connection, queues)
            .await
            .map_err(|failure| failure.during(named("count jobs of", queues.iter())))
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        look::queues(&self.connection)
            .await
            .map_err(|failure| failure.during("list the apalis queues"))
    }

    async fn clear(&self, queue: &QueueName) -> Result<u64, Error> {
        look::clear(&self.connection, queue)
            .await
            .map_err(|failure| failure.during(named("clear", std::iter::once(queue))))
    }

    async fn ping(&self) -> Result<(), Error> {
        self.connection
            .send(&redis::cmd("PING"))
            .await
            .map_err(|failure| failure.during("ping Redis"))
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
