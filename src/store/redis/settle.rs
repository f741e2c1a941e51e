//! Ending reservations.

use std::time::Duration;

use redis::{Cmd, RedisWrite};

use super::batch::{calls, queues_of};
use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::push::whole_seconds;
use super::receipt::Reservation;
use super::renew::flags_of;
use super::script;
use crate::store::port::{Held, QueueName, Settle};

/// One settlement with its receipt read.
pub(super) struct Entry<'a> {
    pub(super) queue: &'a QueueName,
    pub(super) receipt: &'a Reservation,
    pub(super) settle: &'a Settle,
}

/// Writes what becomes of each reservation that is still ours.
pub(super) async fn settle(
    connection: &Connection,
    keys: &Keys,
    entries: &[Entry<'_>],
) -> Result<Vec<Held>, Failure> {
    if entries
        .iter()
        .any(|entry| matches!(entry.settle, Settle::Fail(_)))
    {
        return Err(Failure::unsupported());
    }
    let mut parts: Vec<Vec<Held>> = Vec::new();
    // The last first, as within the script: jobs returned to the head keep their order.
    for range in calls(entries.iter().map(Entry::weight)).into_iter().rev() {
        let part = entries.get(range).unwrap_or_default();
        match settle_part(connection, keys, part).await {
            Ok(held) => parts.push(held),
            Err(failure) if parts.is_empty() => return Err(failure),
            Err(failure) => return Err(failure.half_done()),
        }
    }
    Ok(parts.into_iter().rev().flatten().collect())
}

async fn settle_part(connection: &Connection, keys: &Keys, part: &[Entry<'_>]) -> Result<Vec<Held>, Failure> {
    let (queues, indexes) = queues_of(part.iter().map(|entry| entry.queue));
    let heads: Vec<Head> = part
        .iter()
        .zip(&indexes)
        .map(|(entry, queue)| entry.head(*queue))
        .collect();
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 4);
        for queue in &queues {
            keys.write_all(queue, command);
        }
        let mut rest = part.iter();
        for run in heads.chunk_by(PartialEq::eq) {
            for head in run.iter().take(1) {
                head.write(run.len(), command);
            }
            for entry in rest.by_ref().take(run.len()) {
                entry.write(command);
            }
        }
    };
    let flags: Vec<u8> = connection.run(&script::SETTLE, fill).await?;
    Ok(flags_of(&flags, part.len())?.collect())
}

/// What settlements of one run have in common.
#[derive(PartialEq, Eq)]
struct Head {
    verb: &'static str,
    queue: usize,
    mark: u32,
    seconds: u64,
}

impl Head {
    fn write(&self, count: usize, command: &mut Cmd) {
        command
            .arg(self.verb)
            .arg(self.queue)
            .arg(self.mark)
            .arg(self.seconds)
            .arg(count);
    }
}

impl Entry<'_> {
    fn weight(&self) -> usize {
        match self.settle {
            Settle::Refund { .. } => 2 * self.receipt.weight(),
            _ => self.receipt.weight(),
        }
    }

    fn head(&self, queue: usize) -> Head {
        let (verb, delay) = match self.settle {
            Settle::Delete | Settle::Fail(_) | Settle::Failed(_) => ("delete", Duration::ZERO),
            Settle::Release { delay } => ("release", *delay),
            Settle::Refund { delay: None } => ("return", Duration::ZERO),
            Settle::Refund { delay: Some(delay) } => ("defer", *delay),
        };
        Head {
            verb,
            queue,
            mark: self.receipt.mark,
            seconds: whole_seconds(delay),
        }
    }

    fn write(&self, command: &mut Cmd) {
        self.receipt.write_copy(command);
        if let Settle::Refund { .. } = self.settle {
            command.write_arg(&self.receipt.original);
        }
    }
}
