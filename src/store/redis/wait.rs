//! Waking those who wait for jobs: one watcher for the whole process, however many wait.
//!
//! Two tasks serve all waits. `bell` blocks on the `:notify` lists of the queues waited for, on a
//! connection of its own; `look` asks once a second, in one command, whether any of them holds a job or has
//! one coming due. The first makes waking fast, the second makes it sure. Both end with the [`Watch`].

mod bell;
mod look;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::connection::Connection;
use super::keys::Keys;
use crate::store::port::QueueName;
use crate::store::waiters::Waiters;

/// The watcher; it starts with the first wait.
#[derive(Debug)]
pub(super) struct Watch {
    connection: Arc<Connection>,
    keys: Keys,
    waiters: Arc<Waiters>,
    tasks: Mutex<JoinSet<()>>,
}

impl Watch {
    /// A watcher of the queues below `keys`.
    pub(super) fn new(connection: Arc<Connection>, keys: Keys) -> Self {
        Self {
            connection,
            keys,
            waiters: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// Returns when one of `queues` may hold an available job, or after `at_most`. Cancellation safe.
    pub(super) async fn wait(&self, queues: &[QueueName], at_most: Duration) {
        self.start();
        self.waiters.wait(queues, at_most).await;
    }

    fn start(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.is_empty() {
            tasks.spawn(bell::run(
                Arc::clone(&self.connection),
                self.keys.clone(),
                Arc::clone(&self.waiters),
            ));
            tasks.spawn(look::run(
                Arc::clone(&self.connection),
                self.keys.clone(),
                Arc::clone(&self.waiters),
            ));
        }
    }
}
