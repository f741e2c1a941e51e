//! Ending reservations.

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
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 4);
        for queue in &queues {
            keys.write_all(queue, command);
        }
        for (entry, index) in part.iter().zip(&indexes) {
            command.arg(*index).arg(entry.receipt.mark);
            entry.receipt.write_copy(command);
            entry.write_verb(command);
        }
    };
    let flags: Vec<u8> = connection.run(&script::SETTLE, fill).await?;
    Ok(flags_of(&flags, part.len())?.collect())
}

impl Entry<'_> {
    fn weight(&self) -> usize {
        match self.settle {
            Settle::Refund { .. } => 2 * self.receipt.weight(),
            _ => self.receipt.weight(),
        }
    }

    fn write_verb(&self, command: &mut Cmd) {
        match self.settle {
            Settle::Delete | Settle::Fail(_) => command.arg("delete"),
            Settle::Release { delay } => command.arg("release").arg(whole_seconds(*delay)),
            Settle::Refund { delay } => {
                command.arg(if delay.is_some() { "defer" } else { "return" });
                command.write_arg(&self.receipt.original);
                match delay {
                    Some(delay) => command.arg(whole_seconds(*delay)),
                    None => command,
                }
            }
        };
    }
}
