//! Waking those who wait: one task for all of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::table::Table;
use crate::store::port::QueueName;
use crate::store::waiters::Waiters;

/// The longest time between two looks while anyone waits: due times and ended leases are seen then.
const PERIOD: Duration = Duration::from_secs(1);
/// From the first sign of a change to the last look for it: a commit is not seen with its first bytes.
const SIGHT: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(3),
    Duration::from_millis(8),
    Duration::from_millis(20),
];
/// The wait after a look that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The watcher; it starts with the first wait.
#[derive(Debug)]
pub(super) struct Watch {
    table: Arc<dyn Table>,
    waiters: Arc<Waiters>,
    task: Mutex<JoinSet<()>>,
}

impl Watch {
    pub(super) fn new(table: Arc<dyn Table>) -> Self {
        Self {
            table,
            waiters: Arc::default(),
            task: Mutex::default(),
        }
    }

    /// Returns when one of `queues` may hold an available task, or after `at_most`. Cancellation safe.
    pub(super) async fn wait(&self, queues: &[QueueName], at_most: Duration) {
        {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if task.is_empty() {
                task.spawn(run(Arc::clone(&self.table), Arc::clone(&self.waiters)));
            }
        }
        self.waiters.wait(queues, at_most).await;
    }
}

async fn run(table: Arc<dyn Table>, waiters: Arc<Waiters>) {
    loop {
        let until = look(&*table, &waiters).await;
        if waiters.wanted().is_empty() {
            waiters.look.notified().await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = waiters.look.notified() => {}
            () = table.news() => {
                for pause in SIGHT {
                    tokio::time::sleep(pause).await;
                    drop(timeout_at(Instant::now() + PERIOD, look(&*table, &waiters)).await);
                }
            }
        }
    }
}

/// Wakes those whose queue has a task; when to look again at the latest.
async fn look(table: &dyn Table, waiters: &Waiters) -> Instant {
    let now = Instant::now();
    let wanted = waiters.wanted();
    if wanted.is_empty() {
        return now + PERIOD;
    }
    let Ok(found) = table.ready(&wanted).await else {
        // Those who wait meet the error themselves and know what to do about it.
        waiters.wake_all();
        return now + AFTER_FAILURE;
    };
    let mut next = PERIOD;
    for ready in found {
        match ready.after {
            Some(Duration::ZERO) => drop(waiters.wake(&ready.queue)),
            Some(after) => next = next.min(after),
            None => {}
        }
    }
    now + next
}
