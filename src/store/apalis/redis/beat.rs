//! Making a worker known, as stock workers make themselves known, and taking back what dead ones hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis_redis::Config;
use redis::Cmd;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{debug, info};

use super::keys::TaskKeys;
use super::script;
use crate::store::port::QueueName;
use crate::store::redis::connection::Connection;

/// From one beat to the next; far less than any stock worker waits before it takes another for dead.
const PERIOD: Duration = Duration::from_secs(5);
/// Tasks given back by one beat, per queue.
const GIVE_BACK: usize = 500;

/// Beats for one worker, on every queue that it reserves from.
#[derive(Debug)]
pub(super) struct Heart {
    connection: Arc<Connection>,
    worker: Arc<str>,
    served: Arc<Served>,
    task: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Served {
    queues: Mutex<BTreeSet<QueueName>>,
    more: Notify,
}

impl Heart {
    pub(super) fn new(connection: Arc<Connection>, worker: String) -> Self {
        Self {
            connection,
            worker: worker.into(),
            served: Arc::default(),
            task: Mutex::default(),
        }
    }

    /// The worker's name.
    pub(super) fn worker(&self) -> &str {
        &self.worker
    }

    /// Beats for these queues too, from now on.
    pub(super) fn beat_for(&self, queues: &[QueueName]) {
        let mut served = self.served.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let known = served.len();
        for queue in queues {
            if !served.contains(queue) {
                served.insert(queue.clone());
            }
        }
        if served.len() == known {
            return;
        }
        drop(served);
        self.served.more.notify_one();
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_empty() {
            let (connection, worker) = (Arc::clone(&self.connection), Arc::clone(&self.worker));
            task.spawn(run(connection, worker, Arc::clone(&self.served)));
        }
    }
}

#[expect(clippy::infinite_loop, reason = "the task's owner aborts it")]
async fn run(connection: Arc<Connection>, worker: Arc<str>, served: Arc<Served>) {
    loop {
        let queues: Vec<QueueName> = {
            let served = served.queues.lock().unwrap_or_else(PoisonError::into_inner);
            served.iter().cloned().collect()
        };
        let fill = |command: &mut Cmd| {
            command.arg(queues.len() * 5);
            for keys in queues.iter().map(TaskKeys::of) {
                command.arg(keys.workers()).arg(keys.worker(&worker));
                command.arg(keys.active()).arg(keys.signal()).arg(keys.meta());
            }
            command.arg(&*worker);
            command.arg(Config::default().orphaned_duration().as_secs());
            command.arg(GIVE_BACK);
        };
        match connection.run::<u64>(&script::BEAT, fill).await {
            Ok(0) => {}
            Ok(count) => info!("{count} tasks of apalis workers that died are back on their queues"),
            // Whoever reserves meets the same error and says so.
            Err(failure) => debug!("Failed to make this worker known to apalis: {failure}"),
        }
        // A time-out and a new queue are the same: the next beat.
        drop(tokio::time::timeout(PERIOD, served.more.notified()).await);
    }
}
