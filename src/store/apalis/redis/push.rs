//! Adding tasks.

use std::time::Duration;

use redis::{Cmd, RedisWrite};

use super::keys::TaskKeys;
use super::script;
use crate::store::apalis::ids::Ids;
use crate::store::port::NewJob;
use crate::store::redis::batch::{calls, queues_of};
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;
use crate::wire::task::Task;

/// How long it is remembered that a marked task was pushed.
const MARKER_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The field that keeps a priority for the way back to a store that has such.
pub(super) const PRIORITY: &str = "worker.priority";

/// A job to be added.
pub(super) struct Push<'a> {
    /// The key of its marker; empty for none.
    pub(super) marker: String,
    pub(super) job: &'a NewJob,
    /// Attempts counted so far.
    pub(super) attempts: u32,
}

/// Adds jobs in order, each unless its marker is set; says of each whether it was added. What
/// fits one call (500 jobs, 4 MB) is added whole or not at all.
pub(super) async fn push(
    connection: &Connection,
    ids: &Ids,
    jobs: &[Push<'_>],
) -> Result<Vec<bool>, Failure> {
    let mut added = Vec::with_capacity(jobs.len());
    for range in calls(jobs.iter().map(|push| push.job.payload.len())) {
        let part = jobs.get(range).unwrap_or_default();
        let (queues, indexes) = queues_of(part.iter().map(|push| &push.job.queue));
        let tasks: Vec<Task> = (part.iter())
            .map(|push| Task::of(&push.job.payload, push.job.queue.as_str(), &ids.next()))
            .collect();
        let fill = |command: &mut Cmd| {
            command.arg(queues.len() * 5);
            for keys in queues.iter().copied().map(TaskKeys::of) {
                command
                    .arg(keys.active())
                    .arg(keys.scheduled())
                    .arg(keys.signal());
                command.arg(keys.data()).arg(keys.meta());
            }
            command.arg(MARKER_TTL.as_secs());
            for ((push, index), task) in part.iter().zip(&indexes).zip(&tasks) {
                command.arg(*index).arg(&push.marker).arg(&task.id);
                command.write_arg(&task.data);
                match push.job.delay {
                    None => command.write_arg(b""),
                    Some(delay) => command.write_arg_fmt(delay.as_secs_f64()),
                }
                write_fields(task, push.attempts, command);
            }
        };
        let flags: Result<Vec<u8>, Failure> = connection.run(&script::PUSH, fill).await;
        match flags {
            Ok(flags) if flags.len() == part.len() => added.extend(flags.iter().map(|flag| *flag == b'1')),
            Ok(_) => return Err(Failure::odd_reply()),
            Err(failure) if added.is_empty() => return Err(failure),
            Err(failure) => return Err(failure.half_done()),
        }
    }
    Ok(added)
}

/// The fields that the crate's own script writes, by name.
fn write_fields(task: &Task, attempts: u32, command: &mut Cmd) {
    let ranked = task.priority != 0;
    command.arg(4 + usize::from(ranked) + task.metadata.len());
    command.arg("attempts").arg(attempts);
    command.arg("max_attempts").arg(task.max_attempts);
    command.arg("status").arg("Pending");
    // A key is good for one task; the one that had it before still does.
    command.arg("idempotency_key").arg("");
    if ranked {
        command.arg(PRIORITY).arg(task.priority);
    }
    for (name, value) in &task.metadata {
        command.arg(name).arg(value);
    }
}
