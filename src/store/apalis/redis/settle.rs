//! Keeping reservations and ending them.

use std::time::Duration;

use redis::Cmd;

use super::keys::TaskKeys;
use super::script;
use crate::store::apalis::{DONE_TEXT, error_text};
use crate::store::port::{Held, QueueName, Settle};
use crate::store::redis::batch::{calls, queues_of};
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;

/// How a held task is told from all others, and from itself in other hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TaskReceipt {
    pub(super) worker: String,
    pub(super) id: String,
    /// The attempt that it was taken for.
    pub(super) attempts: u32,
}

/// One settlement with its receipt read.
pub(super) struct Entry<'a> {
    pub(super) queue: &'a QueueName,
    pub(super) receipt: &'a TaskReceipt,
    pub(super) settle: &'a Settle,
}

/// About how much of a call one entry takes, in bytes.
const WEIGHT: usize = 200;

/// Extends each lease that is still ours.
pub(super) async fn renew(
    connection: &Connection,
    receipts: &[(&QueueName, &TaskReceipt)],
    lease: Duration,
) -> Result<Vec<Held>, Failure> {
    let mut held = Vec::with_capacity(receipts.len());
    for range in calls(receipts.iter().map(|_| WEIGHT)) {
        let part = receipts.get(range).unwrap_or_default();
        let (queues, indexes) = queues_of(part.iter().map(|(queue, _)| *queue));
        let fill = |command: &mut Cmd| {
            command.arg(queues.len() * 3);
            for keys in queues.iter().copied().map(TaskKeys::of) {
                command.arg(keys.meta()).arg(keys.workers()).arg(keys.leases());
            }
            command.arg(lease.as_secs_f64());
            for ((_, receipt), index) in part.iter().zip(&indexes) {
                receipt.write(*index, command);
            }
        };
        let flags: Vec<u8> = connection.run(&script::RENEW, fill).await?;
        held.extend(flags_of(&flags, part.len())?);
    }
    Ok(held)
}

/// Writes what becomes of each reservation that is still ours.
pub(super) async fn settle(connection: &Connection, entries: &[Entry<'_>]) -> Result<Vec<Held>, Failure> {
    if entries
        .iter()
        .any(|entry| matches!(entry.settle, Settle::Fail(_)))
    {
        return Err(Failure::unsupported());
    }
    let mut parts: Vec<Vec<Held>> = Vec::new();
    // The last first, as within the script: tasks returned to the head keep their order.
    for range in calls(entries.iter().map(|_| WEIGHT)).into_iter().rev() {
        let part = entries.get(range).unwrap_or_default();
        match settle_part(connection, part).await {
            Ok(held) => parts.push(held),
            Err(failure) if parts.is_empty() => return Err(failure),
            Err(failure) => return Err(failure.half_done()),
        }
    }
    Ok(parts.into_iter().rev().flatten().collect())
}

async fn settle_part(connection: &Connection, part: &[Entry<'_>]) -> Result<Vec<Held>, Failure> {
    let (queues, indexes) = queues_of(part.iter().map(|entry| entry.queue));
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 7);
        for keys in queues.iter().copied().map(TaskKeys::of) {
            command
                .arg(keys.active())
                .arg(keys.scheduled())
                .arg(keys.signal());
            command.arg(keys.meta()).arg(keys.done()).arg(keys.dead());
            command.arg(keys.leases());
        }
        for (entry, index) in part.iter().zip(&indexes) {
            entry.write(*index, command);
        }
    };
    let flags: Vec<u8> = connection.run(&script::SETTLE, fill).await?;
    Ok(flags_of(&flags, part.len())?.collect())
}

impl TaskReceipt {
    fn write(&self, queue: usize, command: &mut Cmd) {
        command
            .arg(queue)
            .arg(&self.worker)
            .arg(&self.id)
            .arg(self.attempts);
    }
}

impl Entry<'_> {
    fn write(&self, queue: usize, command: &mut Cmd) {
        let (verb, delay, result) = match self.settle {
            Settle::Delete => ("done", Duration::ZERO, DONE_TEXT.to_owned()),
            Settle::Fail(failure) | Settle::Failed(failure) => {
                ("failed", Duration::ZERO, error_text(&failure.exception))
            }
            Settle::Release { delay } => ("release", *delay, String::new()),
            Settle::Refund { delay: None } => ("return", Duration::ZERO, String::new()),
            Settle::Refund { delay: Some(delay) } => ("defer", *delay, String::new()),
        };
        command.arg(verb);
        self.receipt.write(queue, command);
        command.arg(delay.as_secs_f64()).arg(result);
    }
}

/// Reads one character per receipt.
pub(super) fn flags_of(flags: &[u8], count: usize) -> Result<impl Iterator<Item = Held>, Failure> {
    if flags.len() != count {
        return Err(Failure::odd_reply());
    }
    Ok(flags
        .iter()
        .map(|flag| if *flag == b'1' { Held::Yes } else { Held::Lost }))
}
