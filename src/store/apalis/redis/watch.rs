//! Waking those who wait: one look for all of them, every few milliseconds.
//!
//! A stock producer puts its tasks into the sorted set and tells nobody. So while anyone waits, one script asks
//! for all queues waited for whether they hold something; nobody is asked anything while no one waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::Cmd;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::keys::TaskKeys;
use crate::store::port::QueueName;
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;
use crate::store::redis::script;
use crate::store::waiters::Waiters;

/// From one look to the next.
const PERIOD: Duration = Duration::from_millis(25);
/// The same after a look that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The watcher; it starts with the first wait.
#[derive(Debug)]
pub(super) struct Watch {
    connection: Arc<Connection>,
    waiters: Arc<Waiters>,
    task: Mutex<JoinSet<()>>,
}

impl Watch {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            waiters: Arc::default(),
            task: Mutex::default(),
        }
    }

    /// Returns when one of `queues` may hold an available task, or after `at_most`. Cancellation safe.
    pub(super) async fn wait(&self, queues: &[QueueName], at_most: Duration) {
        {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if task.is_empty() {
                task.spawn(run(Arc::clone(&self.connection), Arc::clone(&self.waiters)));
            }
        }
        self.waiters.wait(queues, at_most).await;
    }
}

#[expect(clippy::infinite_loop, reason = "the task's owner aborts it")]
async fn run(connection: Arc<Connection>, waiters: Arc<Waiters>) {
    loop {
        let wanted = waiters.wanted();
        if wanted.is_empty() {
            waiters.look.notified().await;
            continue;
        }
        let start = Instant::now();
        match look(&connection, &wanted).await {
            Ok(answers) => {
                for (queue, _) in wanted.iter().zip(answers).filter(|(_, answer)| *answer == 0) {
                    waiters.wake(queue);
                }
                sleep_until(start + PERIOD).await;
            }
            // Those who wait meet the error themselves and know what to do about it.
            Err(_) => {
                waiters.wake_all();
                sleep_until(start + AFTER_FAILURE).await;
            }
        }
    }
}

async fn look(connection: &Connection, queues: &[QueueName]) -> Result<Vec<i64>, Failure> {
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 3);
        for keys in queues.iter().map(TaskKeys::of) {
            command
                .arg(keys.active())
                .arg(keys.scheduled())
                .arg(keys.leases());
        }
        command.arg(0);
    };
    connection.run(&script::LOOK, fill).await
}
