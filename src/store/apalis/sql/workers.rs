//! The names under which this process takes tasks, and saying that they live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::table::Table;
use crate::store::apalis::worker_name;
use crate::store::port::QueueName;

/// From one beat to the next; far less than any stock worker waits before it takes another for dead.
const BEAT: Duration = Duration::from_secs(5);

/// The names under which this process takes tasks: one per queue, since a worker has one queue there.
#[derive(Debug)]
pub(super) struct Workers {
    name: String,
    known: Mutex<HashMap<QueueName, Instant>>,
}

impl Workers {
    pub(super) fn new() -> Self {
        Self {
            name: worker_name(),
            known: Mutex::default(),
        }
    }

    /// The name for a queue.
    pub(super) fn of(&self, queue: &QueueName) -> String {
        format!("{}/{queue}", self.name)
    }

    /// When leases of a queue were last looked at; `None` when its worker is not known yet.
    pub(super) fn looked(&self, queue: &QueueName) -> Option<Instant> {
        self.known().get(queue).copied()
    }

    pub(super) fn look(&self, queue: &QueueName) {
        self.known().insert(queue.clone(), Instant::now());
    }

    fn known(&self) -> MutexGuard<'_, HashMap<QueueName, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that our workers live, for as long as it is let, and gives back what dead ones of theirs held.
#[expect(clippy::infinite_loop, reason = "the task's owner aborts it")]
pub(super) async fn beat(table: Arc<dyn Table>, workers: Arc<Workers>) {
    loop {
        tokio::time::sleep(BEAT).await;
        let queues: Vec<QueueName> = workers.known().keys().cloned().collect();
        for queue in queues {
            match table.beat(&workers.of(&queue), &queue).await {
                Ok(0) => {}
                Ok(count) => info!("{count} tasks of apalis workers that died are back on {queue}"),
                // Whoever reserves meets the same error and says so.
                Err(error) => debug!("Failed to make this worker known to apalis: {error}"),
            }
        }
    }
}
