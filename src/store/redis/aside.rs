//! Setting jobs aside, and ending that.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, RedisWrite, Value};

use super::batch::calls;
use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::push::{MARKER_TTL, whole_seconds};
use super::renew::flags_of;
use super::script;
use crate::store::port::{Aside, AsideEnd, Held, QueueName, Receipt, Waiting};

/// Jobs that one call sets aside at most.
const MOST: usize = 1000;
/// Bytes of payload after which a batch ends.
const WEIGHT: usize = 4 << 20;

/// What proves that a job was set aside: its text, and the name that it got.
#[derive(Debug)]
struct SetAside {
    text: Bytes,
    name: String,
}

/// Sets jobs of a queue aside.
pub(super) async fn set_aside(
    connection: &Connection,
    keys: &Keys,
    queue: &QueueName,
    which: Waiting,
    (max, hold): (usize, Duration),
) -> Result<Vec<Aside>, Failure> {
    let name = format!("{:016x}", fastrand::u64(..));
    let fill = |command: &mut Cmd| {
        command.arg(5);
        keys.write_all(queue, command);
        command.arg(keys.aside(queue));
        command
            .arg(match which {
                Waiting::Left => "left",
                Waiting::Ready => "ready",
                Waiting::Delayed => "delayed",
            })
            .arg(max.min(MOST))
            .arg(whole_seconds(hold))
            .arg(&name)
            .arg(WEIGHT)
            .arg(MARKER_TTL.as_secs());
    };
    let reply: Vec<Value> = connection.run(&script::SET_ASIDE, fill).await?;
    let mut values = reply.into_iter();
    let mut jobs = Vec::with_capacity(values.len() / 3);
    while let Some(text) = values.next() {
        let job = read(text, values.next(), values.next()).ok_or_else(Failure::odd_reply)?;
        jobs.push(job);
    }
    Ok(jobs)
}

fn read(text: Value, name: Option<Value>, left: Option<Value>) -> Option<Aside> {
    let (Value::BulkString(text), Value::BulkString(name), Value::Int(left)) = (text, name?, left?) else {
        return None;
    };
    let text = Bytes::from(text);
    let name = String::from_utf8(name).ok()?;
    Some(Aside {
        payload: text.clone(),
        attempts: None,
        delay: u64::try_from(left).ok().map(Duration::from_secs),
        identity: name.clone(),
        receipt: Receipt::new(SetAside { text, name }),
    })
}

/// Ends it for each job that still stands as it was left.
pub(super) async fn end_aside(
    connection: &Connection,
    keys: &Keys,
    queue: &QueueName,
    receipts: &[Receipt],
    end: AsideEnd,
) -> Result<Vec<Held>, Failure> {
    let jobs = receipts
        .iter()
        .map(|receipt| receipt.read::<SetAside>().ok_or_else(Failure::odd_receipt))
        .collect::<Result<Vec<_>, _>>()?;
    let mut parts: Vec<Vec<Held>> = Vec::new();
    // The last first, as within the script.
    for range in calls(jobs.iter().map(|job| job.text.len())).into_iter().rev() {
        let part = jobs.get(range).unwrap_or_default();
        let fill = |command: &mut Cmd| {
            command
                .arg(4)
                .arg(keys.list(queue))
                .arg(keys.delayed(queue))
                .arg(keys.notify(queue))
                .arg(keys.aside(queue));
            command.arg(match end {
                AsideEnd::Remove => "remove",
                AsideEnd::PutBack => "return",
            });
            for job in part {
                command.write_arg(&job.text);
                command.arg(&job.name);
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
