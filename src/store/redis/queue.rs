//! Laravel's queues in Redis, behind the port.

use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::doubt::Calls;
use super::failure::Failure;
use super::keys::Keys;
use super::options::RedisOptions;
use super::wait::Watch;
use super::{aside, clear, depth, push, receipt, renew, reserve, settle};
use crate::store::Error;
use crate::store::port::{
    Aside, AsideEnd, Depth, Held, NewJob, OnceJob, Queue, QueueName, Receipt, Reserved, Settlement, Waiting,
};

/// Laravel's queues in one Redis database.
///
/// All commands share one connection, all waits a second one. Both are made when they are first needed and
/// made again after they broke; the call that finds a connection broken fails, the next one has a new one.
/// A call that takes or settles is one script per 500 entries or 4 MB.
#[derive(Debug)]
pub struct RedisQueue {
    connection: Arc<Connection>,
    keys: Keys,
    calls: Calls,
    watch: Watch,
}

impl RedisQueue {
    /// The queues that `options` name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::store::Kind::Refused) when the options cannot be used.
    pub fn new(options: &RedisOptions) -> Result<Self, Error> {
        let connection = Arc::new(Connection::new(options)?);
        let keys = Keys::new(&options.prefix, options.cluster);
        Ok(Self {
            watch: Watch::new(Arc::clone(&connection), keys.clone()),
            connection,
            keys,
            calls: Calls::new(),
        })
    }
}

fn named<'a>(verb: &str, mut queues: impl Iterator<Item = &'a QueueName>) -> String {
    match (queues.next(), queues.next()) {
        (Some(queue), None) => format!("{verb} queue {queue:?}"),
        (Some(queue), Some(_)) => format!("{verb} queue {queue:?} and others"),
        (None, _) => format!("{verb} no queue"),
    }
}

#[async_trait::async_trait]
impl Queue for RedisQueue {
    async fn reserve(
        &self,
        queues: &[QueueName],
        max: usize,
        lease: Duration,
    ) -> Result<Vec<Reserved>, Error> {
        let store = (&*self.connection, &self.keys, &self.calls);
        reserve::reserve(store, queues, max, lease)
            .await
            .map_err(|failure| failure.during(named("reserve from", queues.iter())))
    }

    async fn renew(&self, receipts: &[(QueueName, Receipt)], lease: Duration) -> Result<Vec<Held>, Error> {
        let action = || named("renew reservations of", receipts.iter().map(|(queue, _)| queue));
        let receipts = receipts
            .iter()
            .map(|(queue, receipt)| Ok((queue, receipt::read(receipt)?)))
            .collect::<Result<Vec<_>, Failure>>()
            .map_err(|failure| failure.during(action()))?;
        renew::renew(&self.connection, &self.keys, &receipts, lease)
            .await
            .map_err(|failure| failure.during(action()))
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Held>, Error> {
        let action = || named("settle jobs of", batch.iter().map(|entry| &entry.queue));
        let entries = batch
            .iter()
            .map(|entry| {
                Ok(settle::Entry {
                    queue: &entry.queue,
                    receipt: receipt::read(&entry.receipt)?,
                    settle: &entry.settle,
                })
            })
            .collect::<Result<Vec<_>, Failure>>()
            .map_err(|failure| failure.during(action()))?;
        settle::settle(&self.connection, &self.keys, &entries)
            .await
            .map_err(|failure| failure.during(action()))
    }

    async fn push(&self, jobs: &[NewJob]) -> Result<(), Error> {
        push::push(&self.connection, &self.keys, jobs)
            .await
            .map_err(|failure| failure.during(named("push to", jobs.iter().map(|job| &job.queue))))
    }

    async fn push_once(&self, jobs: &[OnceJob]) -> Result<Vec<bool>, Error> {
        let action = || named("push to", jobs.iter().map(|once| &once.job.queue));
        push::push_once(&self.connection, &self.keys, jobs)
            .await
            .map_err(|failure| failure.during(action()))
    }

    async fn drop_markers(&self, markers: &[String]) -> Result<(), Error> {
        push::drop_markers(&self.connection, &self.keys, markers)
            .await
            .map_err(|failure| failure.during("forget the markers of a push"))
    }

    async fn set_aside(
        &self,
        queue: &QueueName,
        which: Waiting,
        max: usize,
        hold: Duration,
    ) -> Result<Vec<Aside>, Error> {
        aside::set_aside(&self.connection, &self.keys, queue, which, (max, hold))
            .await
            .map_err(|failure| failure.during(named("set aside jobs of", std::iter::once(queue))))
    }

    async fn end_aside(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        end: AsideEnd,
    ) -> Result<Vec<Held>, Error> {
        let verb = match end {
            AsideEnd::Remove => "remove jobs from",
            AsideEnd::PutBack => "put jobs back on",
        };
        aside::end_aside(&self.connection, &self.keys, queue, receipts, end)
            .await
            .map_err(|failure| failure.during(named(verb, std::iter::once(queue))))
    }

    async fn wait(&self, queues: &[QueueName], at_most: Duration) -> Result<(), Error> {
        self.watch.wait(queues, at_most).await;
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<Depth>, Error> {
        depth::depth(&self.connection, &self.keys, queues)
            .await
            .map_err(|failure| failure.during(named("count jobs of", queues.iter())))
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        depth::queues(&self.connection, &self.keys)
            .await
            .map_err(|failure| failure.during("list the queues"))
    }

    async fn clear(&self, queue: &QueueName) -> Result<u64, Error> {
        clear::clear(&self.connection, &self.keys, queue)
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
        true
    }

    fn records_failures(&self) -> bool {
        false
    }
}
