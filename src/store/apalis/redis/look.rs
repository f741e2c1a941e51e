//! What an operator sees and does.

use std::collections::BTreeSet;

use redis::{Cmd, Value};

use super::keys::{PATTERN, TaskKeys, queue_of};
use super::script;
use crate::store::port::{Depth, QueueName};
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;
use crate::wire::task::Task;

/// Keys that one step of a scan looks at.
const SCAN_STEP: usize = 1000;
/// Tasks that one call removes.
const CLEAR_STEP: u64 = 1000;

/// How many tasks each queue holds, asked in one round trip.
pub(super) async fn depth(connection: &Connection, queues: &[QueueName]) -> Result<Vec<Depth>, Failure> {
    if queues.is_empty() {
        return Ok(Vec::new());
    }
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 4);
        for keys in queues.iter().map(TaskKeys::of) {
            command.arg(keys.active()).arg(keys.scheduled());
            command.arg(keys.workers()).arg(keys.meta());
        }
    };
    let mut replies: Vec<Value> = connection.run(&script::DEPTH, fill).await?;
    let Some(Value::Int(now)) = replies.pop() else {
        return Err(Failure::odd_reply());
    };
    let now = u64::try_from(now).unwrap_or_default();
    (queues.iter().zip(replies))
        .map(|(queue, counts)| read(queue, counts, now).ok_or_else(Failure::odd_reply))
        .collect()
}

fn read(queue: &QueueName, counts: Value, now: u64) -> Option<Depth> {
    let Value::Array(counts) = counts else {
        return None;
    };
    let (Value::Int(pending), Value::Int(delayed), Value::Int(reserved)) =
        (counts.first()?, counts.get(1)?, counts.get(2)?)
    else {
        return None;
    };
    let made = match counts.get(3) {
        Some(Value::BulkString(id)) => std::str::from_utf8(id).ok().and_then(Task::made_at_ms),
        _ => None,
    };
    Some(Depth {
        queue: queue.clone(),
        pending: u64::try_from(*pending).ok()?,
        delayed: u64::try_from(*delayed).ok()?,
        reserved: u64::try_from(*reserved).ok()?,
        oldest_s: made.map(|ms| now.saturating_sub(ms / 1000)),
    })
}

/// The names of all queues with tasks that are not ended, sorted.
pub(super) async fn queues(connection: &Connection) -> Result<Vec<QueueName>, Failure> {
    let mut names = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(PATTERN);
        command.arg("COUNT").arg(SCAN_STEP);
        let (next, found): (u64, Vec<Vec<u8>>) = connection.send(&command).await?;
        let found = found.iter().filter_map(|key| std::str::from_utf8(key).ok());
        names.extend(found.filter_map(queue_of));
        if next == 0 {
            return Ok(names.into_iter().collect());
        }
        cursor = next;
    }
}

/// Removes every task of a queue that is not ended; returns how many.
pub(super) async fn clear(connection: &Connection, queue: &QueueName) -> Result<u64, Failure> {
    let keys = TaskKeys::of(queue);
    let fill = |command: &mut Cmd| {
        command.arg(8);
        command
            .arg(keys.active())
            .arg(keys.scheduled())
            .arg(keys.signal());
        command.arg(keys.data()).arg(keys.meta()).arg(keys.workers());
        command.arg(keys.leases()).arg(keys.aside()).arg(CLEAR_STEP);
    };
    let mut removed = 0;
    loop {
        let some: u64 = connection.run(&script::CLEAR, fill).await?;
        removed += some;
        if some == 0 {
            return Ok(removed);
        }
    }
}
