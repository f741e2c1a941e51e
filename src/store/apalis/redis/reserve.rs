//! Taking tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};
use tracing::warn;

use super::keys::TaskKeys;
use super::push::PRIORITY;
use super::script;
use super::settle::TaskReceipt;
use crate::store::port::{QueueName, Receipt, Reserved};
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;
use crate::wire::task::{MAX_ATTEMPTS, Task};

/// Tasks that one call takes at most, so that the server is not held for long.
const MOST: usize = 1000;
/// Tasks that one call promotes from each sorted set, when it takes fewer.
const PROMOTE: usize = 200;
/// Bytes of data after which a batch ends.
const WEIGHT: usize = 8 << 20;

/// Takes up to `max` tasks from the first of `queues` first.
pub(super) async fn reserve(
    connection: &Connection,
    worker: &str,
    queues: &[QueueName],
    max: usize,
    lease: Duration,
) -> Result<Vec<Reserved>, Failure> {
    if queues.is_empty() || max == 0 {
        return Ok(Vec::new());
    }
    let max = max.min(MOST);
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 7);
        for keys in queues.iter().map(TaskKeys::of) {
            command
                .arg(keys.active())
                .arg(keys.scheduled())
                .arg(keys.signal());
            command.arg(keys.data()).arg(keys.meta());
            command.arg(keys.workers()).arg(keys.leases());
        }
        command.arg(max).arg(lease.as_secs_f64()).arg(worker);
        command.arg(max.max(PROMOTE)).arg(WEIGHT);
    };
    let values: Vec<Value> = connection.run(&script::RESERVE, fill).await?;
    let mut values = values.into_iter();
    let mut jobs = Vec::new();
    while let Some(index) = values.next() {
        let queue = index_of(&index).and_then(|index| queues.get(index));
        let queue = queue.ok_or_else(Failure::odd_reply)?;
        let (Some(id), Some(data)) = (values.next(), values.next()) else {
            return Err(Failure::odd_reply());
        };
        let id = text(id).ok_or_else(Failure::odd_reply)?;
        let Value::BulkString(data) = data else {
            warn!(%queue, "The apalis queue {queue} named the task {id}, which has no data any more or is held already; the entry was dropped");
            continue;
        };
        let fields = values.next().and_then(fields).ok_or_else(Failure::odd_reply)?;
        jobs.push(reserved(queue, worker, Fields::read(id, data.into(), fields)));
    }
    Ok(jobs)
}

/// A task, and its attempts so far.
pub(super) struct Fields {
    pub(super) task: Task,
    pub(super) attempts: u32,
}

impl Fields {
    /// Reads what stands beside a task. What is no number counts as apalis' default.
    pub(super) fn read(id: String, data: Bytes, mut fields: BTreeMap<String, String>) -> Self {
        let mut number = |name: &str| fields.remove(name).and_then(|text| text.parse::<u32>().ok());
        let attempts = number("attempts").unwrap_or(0);
        let max_attempts = number("max_attempts").unwrap_or(MAX_ATTEMPTS);
        let priority = fields.remove(PRIORITY).and_then(|text| text.parse().ok());
        let priority = priority.unwrap_or_default();
        for own in ["status", "locked_at", "locked_by", "result", "done_at"] {
            fields.remove(own);
        }
        let task = Task {
            idempotency_key: fields.remove("idempotency_key").filter(|key| !key.is_empty()),
            id,
            data,
            max_attempts,
            priority,
            metadata: fields,
        };
        Self { task, attempts }
    }
}

fn reserved(queue: &QueueName, worker: &str, fields: Fields) -> Reserved {
    let attempts = fields.attempts.saturating_add(1);
    Reserved {
        queue: queue.clone(),
        payload: fields.task.payload(queue.as_str()),
        attempts,
        row: None,
        receipt: Receipt::new(TaskReceipt {
            worker: worker.to_owned(),
            id: fields.task.id,
            attempts,
        }),
    }
}

fn index_of(value: &Value) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    }
}

pub(super) fn fields(value: Value) -> Option<BTreeMap<String, String>> {
    let Value::Array(values) = value else {
        return None;
    };
    let mut values = values.into_iter();
    let mut fields = BTreeMap::new();
    while let Some(name) = values.next() {
        fields.insert(text(name)?, text(values.next()?)?);
    }
    Some(fields)
}
