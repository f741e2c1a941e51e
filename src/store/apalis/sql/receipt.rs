//! What a reservation and a setting aside are to the port, and what proves them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::table::{AsideRow, Fate, Hold, TaskRow};
use crate::store::apalis::error_text;
use crate::store::port::{Aside, QueueName, Receipt, Reserved, Settle};
use crate::store::{Error, Kind};

/// What the names under which tasks are set aside begin with; stands in the SQL, too.
const ASIDE: &str = "laravel.worker/aside/";

/// Proof of a reservation, and whether it was used.
#[derive(Debug)]
pub(super) struct TaskReceipt {
    hold: Hold,
    spent: AtomicBool,
}

/// Proof that the task with this id was set aside.
#[derive(Debug)]
pub(super) struct SetAside(pub(super) String);

impl TaskReceipt {
    /// What the receipt proves, unless it was used.
    pub(super) fn hold(receipt: &Receipt) -> Option<&Hold> {
        let receipt = receipt.read::<Self>()?;
        let spent = receipt.spent.load(Ordering::Acquire);
        (!spent).then_some(&receipt.hold)
    }

    /// Says that the receipt was used: a refunded task that this process takes again has the same marks.
    pub(super) fn spend(receipt: &Receipt) {
        if let Some(receipt) = receipt.read::<Self>() {
            receipt.spent.store(true, Ordering::Release);
        }
    }
}

/// A claimed task.
pub(super) fn reserved(queue: &QueueName, worker: String, row: TaskRow) -> Reserved {
    Reserved {
        queue: queue.clone(),
        payload: row.task.payload(queue.as_str()),
        attempts: u32::try_from(row.attempts.max(0))
            .unwrap_or(u32::MAX)
            .saturating_add(1),
        row: None,
        receipt: Receipt::new(TaskReceipt {
            hold: Hold {
                id: row.task.id,
                worker,
                attempts: row.attempts,
            },
            spent: false.into(),
        }),
    }
}

/// What becomes of a task.
pub(super) fn fate(settle: &Settle) -> Result<Fate, Error> {
    Ok(match settle {
        Settle::Delete => Fate::Done,
        Settle::Failed(failure) => Fate::Failed(error_text(&failure.exception)),
        Settle::Release { delay } => Fate::Free {
            counted: true,
            delay_s: Some(delay.as_secs_f64()),
        },
        Settle::Refund { delay } => Fate::Free {
            counted: false,
            delay_s: delay.map(|delay| delay.as_secs_f64()),
        },
        Settle::Fail(_) => {
            let reason = "failures are not kept among apalis' tasks";
            return Err(Error::new(Kind::Refused, "record a failure", reason));
        }
    })
}

/// The name under which tasks of a queue are set aside: of ours, and of no worker.
pub(super) fn aside_name(queue: &QueueName) -> String {
    format!("{ASIDE}{queue}")
}

/// A task set aside.
pub(super) fn set_aside(queue: &QueueName, aside: AsideRow) -> Aside {
    let TaskRow { task, attempts } = aside.row;
    let delay_s = u64::try_from(aside.delay_s).ok().filter(|delay_s| *delay_s > 0);
    Aside {
        payload: task.payload(queue.as_str()),
        attempts: Some(u32::try_from(attempts.max(0)).unwrap_or(u32::MAX)),
        delay: delay_s.map(Duration::from_secs),
        identity: task.id.clone(),
        receipt: Receipt::new(SetAside(task.id)),
    }
}
