//! Adding jobs.

use std::time::Duration;

use redis::{Cmd, RedisWrite};

use super::batch::{calls, queues_of};
use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::script;
use crate::store::port::{NewJob, OnceJob};

/// Markers that one call forgets.
const MARKERS: usize = 1000;
/// How long it is remembered that a marked job was pushed, and what is set aside.
pub(super) const MARKER_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

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
                write_job(job, *index, command);
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

/// Adds each job, in order, unless its marker is set, and sets it. Says of each whether it was added.
pub(super) async fn push_once(
    connection: &Connection,
    keys: &Keys,
    jobs: &[OnceJob],
) -> Result<Vec<bool>, Failure> {
    let mut pushed = Vec::with_capacity(jobs.len());
    for range in calls(jobs.iter().map(|once| once.job.payload.len())) {
        let part = jobs.get(range).unwrap_or_default();
        let (queues, indexes) = queues_of(part.iter().map(|once| &once.job.queue));
        let fill = |command: &mut Cmd| {
            command.arg(queues.len() * 4 + part.len());
            for queue in &queues {
                keys.write_all(queue, command);
            }
            for once in part {
                command.arg(keys.own(&once.marker));
            }
            command.arg(MARKER_TTL.as_secs()).arg(queues.len());
            for (once, index) in part.iter().zip(&indexes) {
                write_job(&once.job, *index, command);
            }
        };
        let flags: Result<Vec<u8>, Failure> = connection.run(&script::PUSH_ONCE, fill).await;
        match flags {
            Ok(flags) if flags.len() == part.len() => pushed.extend(flags.iter().map(|flag| *flag == b'1')),
            Ok(_) => return Err(Failure::odd_reply()),
            Err(failure) if pushed.is_empty() => return Err(failure),
            Err(failure) => return Err(failure.half_done()),
        }
    }
    Ok(pushed)
}

/// Forgets markers.
pub(super) async fn drop_markers(
    connection: &Connection,
    keys: &Keys,
    markers: &[String],
) -> Result<(), Failure> {
    for some in markers.chunks(MARKERS) {
        let mut command = redis::cmd("DEL");
        for marker in some {
            command.arg(keys.own(marker));
        }
        connection.send::<()>(&command).await?;
    }
    Ok(())
}

fn write_job(job: &NewJob, queue: usize, command: &mut Cmd) {
    command.arg(queue);
    write_delay(job.delay, command);
    command.write_arg(&job.payload);
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
