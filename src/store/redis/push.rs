//! Adding jobs.

use std::time::Duration;

use redis::{Cmd, RedisWrite};

use super::batch::{calls, queues_of};
use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::script;
use crate::store::port::NewJob;

/// How long it is remembered that a marked job was pushed.
const MARKER_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Adds jobs in order. What fits one call (500 jobs, 4 MB) is added whole or not at all.
pub(super) async fn push(connection: &Connection, keys: &Keys, jobs: &[NewJob]) -> Result<(), Failure> {
    let ranges = calls(jobs.iter().map(|job| job.payload.len()));
    for (number, range) in ranges.into_iter().enumerate() {
        let part = jobs.get(range).unwrap_or_default();
        let (queues, indexes) = queues_of(part.iter().map(|job| &job.queue));
        let fill = |command: &mut Cmd| {
            command.arg(queues.len() * 3);
            for queue in &queues {
                command
                    .arg(keys.list(queue))
                    .arg(keys.delayed(queue))
                    .arg(keys.notify(queue));
            }
            for (job, index) in part.iter().zip(&indexes) {
                command.arg(*index);
                write_delay(job.delay, command);
                command.write_arg(&job.payload);
            }
        };
        let pushed: Result<(), Failure> = connection.run(&script::PUSH, fill).await;
        match pushed {
            Ok(()) => {}
            Err(failure) if number == 0 => return Err(failure),
            Err(failure) => return Err(failure.half_done()),
        }
    }
    Ok(())
}

/// Adds a job unless `marker` is set, and sets it. Returns whether it was added.
pub(super) async fn push_once(
    connection: &Connection,
    keys: &Keys,
    marker: &str,
    job: &NewJob,
) -> Result<bool, Failure> {
    let fill = |command: &mut Cmd| {
        command
            .arg(4)
            .arg(keys.list(&job.queue))
            .arg(keys.delayed(&job.queue))
            .arg(keys.notify(&job.queue))
            .arg(marker_key(keys, marker));
        write_delay(job.delay, command);
        command.write_arg(&job.payload);
        command.arg(MARKER_TTL.as_secs());
    };
    connection.run(&script::PUSH_ONCE, fill).await
}

/// Forgets a marker.
pub(super) async fn drop_marker(connection: &Connection, keys: &Keys, marker: &str) -> Result<(), Failure> {
    connection
        .send(redis::cmd("DEL").arg(marker_key(keys, marker)))
        .await
}

/// Delays are whole seconds in Laravel's sets; a part of one counts as one.
pub(super) fn whole_seconds(delay: Duration) -> u64 {
    let seconds = delay
        .as_secs()
        .saturating_add(u64::from(delay.subsec_nanos() > 0));
    // Far beyond any date, and exact in a score.
    seconds.min(1 << 40)
}

fn write_delay(delay: Option<Duration>, command: &mut Cmd) {
    match delay {
        None => command.write_arg(b""),
        Some(delay) => command.write_arg_fmt(whole_seconds(delay)),
    }
}

fn marker_key(keys: &Keys, marker: &str) -> String {
    keys.own(&format!("retry:{marker}"))
}
