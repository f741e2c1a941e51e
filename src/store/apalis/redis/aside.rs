//! Setting tasks aside, and ending that.

use std::time::Duration;

use redis::{Cmd, Value};

use super::keys::TaskKeys;
use super::reserve::{Fields, fields, text};
use super::script;
use super::settle::flags_of;
use crate::store::port::{Aside, AsideEnd, Held, QueueName, Receipt, Waiting};
use crate::store::redis::batch::calls;
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;

/// Tasks that one call sets aside at most.
const MOST: usize = 1000;
/// Bytes of data after which a batch ends.
const WEIGHT: usize = 4 << 20;
/// How long it is remembered what is set aside.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What proves that a task was set aside: its id, and where it stands among those to come.
#[derive(Debug)]
struct SetAside {
    id: String,
    score: String,
}

/// Sets tasks of a queue aside.
pub(super) async fn set_aside(
    connection: &Connection,
    queue: &QueueName,
    which: Waiting,
    (max, hold): (usize, Duration),
) -> Result<Vec<Aside>, Failure> {
    let keys = TaskKeys::of(queue);
    let fill = |command: &mut Cmd| {
        command.arg(7);
        command
            .arg(keys.active())
            .arg(keys.scheduled())
            .arg(keys.signal());
        command.arg(keys.data()).arg(keys.meta());
        command.arg(keys.leases()).arg(keys.aside());
        command
            .arg(match which {
                Waiting::Left => "left",
                Waiting::Ready => "ready",
                Waiting::Delayed => "delayed",
            })
            .arg(max.min(MOST))
            .arg(hold.as_secs_f64())
            .arg(WEIGHT)
            .arg(REMEMBERED.as_secs());
    };
    let values: Vec<Value> = connection.run(&script::SET_ASIDE, fill).await?;
    let mut values = values.into_iter();
    let mut jobs = Vec::with_capacity(values.len() / 5);
    while let Some(id) = values.next() {
        let rest = [values.next(), values.next(), values.next(), values.next()];
        jobs.push(read(queue, id, rest).ok_or_else(Failure::odd_reply)?);
    }
    Ok(jobs)
}

fn read(queue: &QueueName, id: Value, rest: [Option<Value>; 4]) -> Option<Aside> {
    let [
        Some(Value::BulkString(data)),
        Some(found),
        Some(Value::Int(left)),
        Some(score),
    ] = rest
    else {
        return None;
    };
    let (id, score) = (text(id)?, text(score)?);
    let Fields { task, attempts } = Fields::read(id.clone(), data.into(), fields(found)?);
    Some(Aside {
        payload: task.payload(queue.as_str()),
        attempts: Some(attempts),
        delay: u64::try_from(left).ok().map(Duration::from_secs),
        identity: id.clone(),
        receipt: Receipt::new(SetAside { id, score }),
    })
}

/// Ends it for each task that still stands as it was left.
pub(super) async fn end_aside(
    connection: &Connection,
    queue: &QueueName,
    receipts: &[Receipt],
    end: AsideEnd,
) -> Result<Vec<Held>, Failure> {
    let tasks = receipts
        .iter()
        .map(|receipt| receipt.read::<SetAside>().ok_or_else(Failure::odd_receipt))
        .collect::<Result<Vec<_>, _>>()?;
    let keys = TaskKeys::of(queue);
    let mut parts: Vec<Vec<Held>> = Vec::new();
    // The last first, as within the script.
    for range in calls(tasks.iter().map(|task| task.id.len())).into_iter().rev() {
        let part = tasks.get(range).unwrap_or_default();
        let fill = |command: &mut Cmd| {
            command.arg(6);
            command
                .arg(keys.active())
                .arg(keys.scheduled())
                .arg(keys.signal());
            command.arg(keys.data()).arg(keys.meta()).arg(keys.aside());
            command.arg(match end {
                AsideEnd::Remove => "remove",
                AsideEnd::PutBack => "return",
            });
            for task in part {
                command.arg(&task.id).arg(&task.score);
            }
        };
        let flags: Result<Vec<u8>, Failure> = connection.run(&script::END_ASIDE, fill).await;
        match flags {
            Ok(flags) => parts.push(flags_of(&flags, part.len())?.collect()),
            Err(failure) if parts.is_empty() => return Err(failure),
            Err(failure) => return Err(failure.half_done()),
        }
    }
    Ok(parts.into_iter().rev().flatten().collect())
}
