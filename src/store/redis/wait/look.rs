//! The look: once a second, are there jobs, and when do the next come due?

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::time::{Instant, sleep_until};

use crate::store::port::QueueName;
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;
use crate::store::redis::keys::Keys;
use crate::store::redis::script;
use crate::store::waiters::Waiters;

/// From one look to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// How long an answer may take before the connection counts as dead. Nothing rests on a look that was given up, so it
/// may be the first to notice: what takes or keeps jobs waits for longer.
const ANSWER: Duration = Duration::from_secs(5);

/// Looks for as long as it is let.
#[expect(clippy::infinite_loop, reason = "the task's owner aborts it")]
pub(super) async fn run(connection: Arc<Connection>, keys: Keys, waiters: Arc<Waiters>) {
    loop {
        let wanted = waiters.wanted();
        if wanted.is_empty() {
            waiters.look.notified().await;
            continue;
        }
        let start = Instant::now();
        let mut coming = match look(&connection, &keys, &wanted).await {
            Ok(answers) => sort_out(&waiters, wanted, &answers),
            // Those who wait meet the error themselves and know what to do about it.
            Err(_) => {
                waiters.wake_all();
                Vec::new()
            }
        };
        coming.sort_by_key(|(after, _)| *after);
        for (after, queue) in coming {
            sleep_until((start + after).min(start + PERIOD)).await;
            waiters.wake(&queue);
        }
        sleep_until(start + PERIOD).await;
    }
}

async fn look(connection: &Connection, keys: &Keys, queues: &[QueueName]) -> Result<Vec<i64>, Failure> {
    let fill = |command: &mut Cmd| {
        command.arg(queues.len() * 3);
        for queue in queues {
            command
                .arg(keys.list(queue))
                .arg(keys.delayed(queue))
                .arg(keys.reserved(queue));
        }
        command.arg(PERIOD.as_millis());
    };
    let answer = tokio::time::timeout(ANSWER, connection.run(&script::LOOK, fill)).await;
    answer.unwrap_or_else(|_elapsed| {
        connection.distrust();
        Err(Failure::silent())
    })
}

/// Wakes those whose queue has a job; returns when the others' next jobs come due.
fn sort_out(waiters: &Waiters, wanted: Vec<QueueName>, answers: &[i64]) -> Vec<(Duration, QueueName)> {
    let mut coming = Vec::new();
    for (queue, answer) in wanted.into_iter().zip(answers) {
        match u64::try_from(*answer) {
            Ok(0) => {
                waiters.wake(&queue);
            }
            Ok(ms) => coming.push((Duration::from_millis(ms), queue)),
            Err(_) => {}
        }
    }
    coming
}
