//! Looking at queues without changing them.

use std::collections::BTreeSet;

use redis::Value;

use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use crate::store::port::{Depth, QueueName};

/// Keys that one step of a scan looks at.
const SCAN_STEP: usize = 1000;

/// How many jobs each queue holds, asked in one round trip.
pub(super) async fn depth(
    connection: &Connection,
    keys: &Keys,
    queues: &[QueueName],
) -> Result<Vec<Depth>, Failure> {
    if queues.is_empty() {
        return Ok(Vec::new());
    }
    let mut commands = redis::pipe();
    commands.cmd("TIME");
    for queue in queues {
        let list = keys.list(queue);
        commands.cmd("LLEN").arg(&list);
        commands.cmd("ZCARD").arg(keys.delayed(queue));
        commands.cmd("ZCARD").arg(keys.reserved(queue));
        commands.cmd("LINDEX").arg(list).arg(0);
    }
    let replies: Vec<Value> = connection.send_all(&commands).await?;
    let (time, counts) = replies.split_first().ok_or_else(Failure::odd_reply)?;
    let now = seconds(time).ok_or_else(Failure::odd_reply)?;
    queues
        .iter()
        .zip(counts.chunks(4))
        .map(|(queue, counts)| read(queue, counts, now).ok_or_else(Failure::odd_reply))
        .collect()
}

/// The names of all queues that hold jobs, sorted.
pub(super) async fn queues(connection: &Connection, keys: &Keys) -> Result<Vec<QueueName>, Failure> {
    let pattern = keys.queues_pattern();
    let mut names = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut command = redis::cmd("SCAN");
        command
            .arg(cursor)
            .arg("MATCH")
            .arg(&pattern)
            .arg("COUNT")
            .arg(SCAN_STEP);
        let (next, found): (u64, Vec<Vec<u8>>) = connection.send(&command).await?;
        let found = found.iter().filter_map(|key| std::str::from_utf8(key).ok());
        names.extend(found.filter_map(|key| keys.queue_of(key)));
        if next == 0 {
            return Ok(names.into_iter().collect());
        }
        cursor = next;
    }
}

fn read(queue: &QueueName, counts: &[Value], now: u64) -> Option<Depth> {
    let [
        Value::Int(pending),
        Value::Int(delayed),
        Value::Int(reserved),
        head,
    ] = counts
    else {
        return None;
    };
    let oldest = match head {
        Value::BulkString(payload) => created_at(payload),
        _ => None,
    };
    Some(Depth {
        queue: queue.clone(),
        pending: u64::try_from(*pending).ok()?,
        delayed: u64::try_from(*delayed).ok()?,
        reserved: u64::try_from(*reserved).ok()?,
        oldest_s: oldest.map(|created| now.saturating_sub(created)),
    })
}

fn seconds(time: &Value) -> Option<u64> {
    let Value::Array(parts) = time else {
        return None;
    };
    let Some(Value::BulkString(seconds)) = parts.first() else {
        return None;
    };
    std::str::from_utf8(seconds).ok()?.parse().ok()
}

/// When a payload was made, if it says so (Laravel 12 and later), as Unix time in seconds. Laravel writes
/// its own member after the data, so the last one is meant.
pub(super) fn created_at(payload: &[u8]) -> Option<u64> {
    const MEMBER: &[u8] = b"\"createdAt\":";
    let start = memchr::memmem::rfind(payload, MEMBER)? + MEMBER.len();
    let digits: Vec<u8> = payload
        .get(start..)?
        .iter()
        .copied()
        .take_while(u8::is_ascii_digit)
        .collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::created_at;

    #[test]
    fn the_payloads_own_time_is_read() {
        let payload = br#"{"data":{"createdAt":5},"createdAt":1768471200,"id":"a","attempts":0}"#;
        assert_eq!(created_at(payload), Some(1_768_471_200));
        for none in [&b"{}"[..], b"\"createdAt\":", b"\"createdAt\":null", b"\xff"] {
            assert_eq!(created_at(none), None);
        }
    }
}
