//! Taking jobs.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};

use super::connection::Connection;
use super::doubt::Calls;
use super::failure::Failure;
use super::keys::Keys;
use super::receipt::{Difference, PARTS, Reservation};
use super::script;
use crate::store::Kind;
use crate::store::port::{QueueName, Receipt, Reserved};

/// Jobs that one call takes at most, so that the server is not held for long.
const MOST: usize = 1000;
/// Jobs that one call promotes from each sorted set, when it takes fewer.
const PROMOTE: usize = 200;
/// The same when it takes more.
const PROMOTE_MOST: usize = 500;
/// Bytes of payload after which a batch ends.
const WEIGHT: usize = 8 << 20;

/// Takes up to `max` jobs from the first of `queues` first.
pub(super) async fn reserve(
    (connection, keys, calls): (&Connection, &Keys, &Calls),
    queues: &[QueueName],
    max: usize,
    lease: Duration,
) -> Result<Vec<Reserved>, Failure> {
    calls.recover(connection, keys).await?;
    if queues.is_empty() || max == 0 {
        return Ok(Vec::new());
    }
    let max = max.min(MOST);
    let mark = fastrand::u32(1..PARTS);
    let call = calls.open(queues, lease);
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 4 + 1);
        call.write_keys(keys, command);
        command
            .arg(max)
            .arg(lease.as_secs_f64())
            .arg(mark)
            .arg(max.clamp(PROMOTE, PROMOTE_MOST))
            .arg(WEIGHT)
            .arg(call.name());
    };
    let answer: Result<Vec<Vec<Value>>, Failure> = connection.run(&script::RESERVE, fill).await;
    if !answer.as_ref().is_err_and(|failure| failure.kind == Kind::Lost) {
        call.known();
    }
    let groups = answer?;
    let mut jobs = Vec::with_capacity(groups.iter().map(|group| group.len() / 2).sum());
    for group in groups {
        let mut values = group.into_iter();
        let queue = values
            .next()
            .and_then(|index| queues.get(number(&index)?))
            .ok_or_else(Failure::odd_reply)?;
        while let Some(text) = values.next() {
            let job = read(queue, text, values.next(), mark).ok_or_else(Failure::odd_reply)?;
            jobs.push(job);
        }
    }
    Ok(jobs)
}

fn read(queue: &QueueName, text: Value, difference: Option<Value>, mark: u32) -> Option<Reserved> {
    let Value::BulkString(text) = text else {
        return None;
    };
    let original = Bytes::from(text);
    let difference = match difference? {
        Value::Int(0) => Difference::None,
        Value::Int(place) => Difference::counted(&original, usize::try_from(place).ok()?.checked_sub(1)?)?,
        Value::Array(anew) => read_anew(anew)?,
        _ => return None,
    };
    let reservation = Reservation {
        original: original.clone(),
        difference,
        mark,
    };
    Some(Reserved {
        row: None,
        queue: queue.clone(),
        payload: original,
        attempts: reservation.attempts(),
        receipt: Receipt::new(reservation),
    })
}

fn read_anew(anew: Vec<Value>) -> Option<Difference> {
    let Ok([Value::BulkString(copy), Value::Int(attempts)]) = <[Value; 2]>::try_from(anew) else {
        return None;
    };
    Some(Difference::Anew {
        copy: Bytes::from(copy),
        attempts: u32::try_from(attempts.max(1)).unwrap_or(u32::MAX),
    })
}

fn number(value: &Value) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}
