//! What the queues look like to somebody who asks only questions.

use super::{ApalisRedis, ApalisSql};
use crate::store::Error;
use crate::store::port::survey::{Ask, QUEUES_MOST, QueueState};
use crate::store::port::{Depth, Queue};

/// Looks at the tasks of one store. Nothing is changed.
#[derive(Debug)]
pub enum TaskSurvey {
    /// Those in Redis.
    Redis(ApalisRedis),
    /// Those in a database.
    Sql(ApalisSql),
}

impl TaskSurvey {
    /// The name of the table of tasks, if it is not there.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn missing_table(&self) -> Result<Option<&'static str>, Error> {
        match self {
            Self::Redis(_) => Ok(None),
            Self::Sql(tasks) => tasks.missing_table().await,
        }
    }

    /// The queues that were asked about and those that hold tasks; [`QUEUES_MOST`] of these at most. No data is
    /// looked at.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn queues(&self, ask: &Ask) -> Result<Vec<QueueState>, Error> {
        let queue: &dyn Queue = match self {
            Self::Redis(tasks) => tasks,
            Self::Sql(tasks) => tasks,
        };
        let mut names = queue.queues().await?;
        names.truncate(QUEUES_MOST);
        let depths = queue.depth(&names).await?;
        Ok(ask.complete(depths.iter().map(|depth| state(depth, ask)).collect()))
    }
}

/// Of tasks that waited too long the oldest is known alone.
fn state(depth: &Depth, ask: &Ask) -> QueueState {
    let old = depth.oldest_s.is_some_and(|oldest| oldest > ask.old.as_secs());
    QueueState {
        pending: depth.pending,
        delayed: depth.delayed,
        reserved: depth.reserved,
        oldest_s: depth.oldest_s,
        old: u64::from(old),
        old_at_least: true,
        ..QueueState::empty(&depth.queue)
    }
}
