//! Keeping reservations.

use std::time::Duration;

use redis::Cmd;

use super::batch::{calls, queues_of};
use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::receipt::Reservation;
use super::script;
use crate::store::port::{Held, QueueName};

/// Extends each reservation that is still ours.
pub(super) async fn renew(
    connection: &Connection,
    keys: &Keys,
    receipts: &[(&QueueName, &Reservation)],
    lease: Duration,
) -> Result<Vec<Held>, Failure> {
    let mut held = Vec::with_capacity(receipts.len());
    for range in calls(receipts.iter().map(|(_, receipt)| receipt.weight())) {
        let part = receipts.get(range).unwrap_or_default();
        let (queues, indexes) = queues_of(part.iter().map(|(queue, _)| *queue));
        let fill = |command: &mut Cmd| {
            command.arg(queues.len());
            for queue in &queues {
                command.arg(keys.reserved(queue));
            }
            command.arg(lease.as_secs_f64());
            for ((_, receipt), index) in part.iter().zip(&indexes) {
                command.arg(*index).arg(receipt.mark);
                receipt.write_copy(command);
            }
        };
        let flags: Vec<u8> = connection.run(&script::RENEW, fill).await?;
        held.extend(flags_of(&flags, part.len())?);
    }
    Ok(held)
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
