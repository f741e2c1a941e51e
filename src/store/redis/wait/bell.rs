//! The bell: one blocked connection that hears of every pushed job.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value};
use tokio::time::{Instant, sleep, sleep_until};

use crate::store::port::QueueName;
use crate::store::redis::connection::Connection;
use crate::store::redis::failure::Failure;
use crate::store::redis::keys::Keys;
use crate::store::waiters::Waiters;

/// How long the server holds one blocking call.
const BLOCK: Duration = Duration::from_secs(20);
/// How much later than that an answer must have come, or the connection is dead.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait for the end of a call after asking the server to end it, before asking again.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(20);
/// How often to ask before the connection is dropped instead.
const UNBLOCK_TRIES: u32 = 3;
/// The longest pause before a broken connection is made again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Listens for as long as it is let.
#[expect(clippy::infinite_loop, reason = "the task's owner aborts it")]
pub(super) async fn run(connection: Arc<Connection>, keys: Keys, waiters: Arc<Waiters>) {
    let mut bell = Bell {
        connection,
        keys,
        waiters,
        line: None,
        failures: 0,
        said: false,
        lingering: None,
    };
    loop {
        let wanted = bell.waiters.wanted();
        if wanted.is_empty() {
            bell.waiters.bell.notified().await;
        } else if let Err(failure) = bell.listen(wanted).await {
            bell.broke(&failure).await;
        }
    }
}

struct Bell {
    connection: Arc<Connection>,
    keys: Keys,
    waiters: Arc<Waiters>,
    line: Option<Line>,
    failures: u32,
    /// Whether the log was told that the connection is missing.
    said: bool,
    /// The queue that was heard last. It stays among those listened to once more, so that the worker who
    /// comes back to wait for it need not interrupt the call that the others' waits have begun.
    lingering: Option<QueueName>,
}

/// The connection that blocks.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    id: i64,
}

/// How a blocking call ended.
enum Heard {
    /// An entry for this queue was taken.
    Queue(QueueName),
    /// Nothing was taken.
    Nothing,
    /// The call cannot be ended; the connection must go.
    Stuck,
}

impl Bell {
    async fn listen(&mut self, mut queues: Vec<QueueName>) -> Result<(), Failure> {
        let line = match self.line.take() {
            Some(line) => line,
            None => self.open().await?,
        };
        if let Some(queue) = self.lingering.take()
            && !queues.contains(&queue)
        {
            queues.push(queue);
        }
        let heard = self.block(line.clone(), queues).await?;
        self.failures = 0;
        if std::mem::take(&mut self.said) {
            tracing::warn!("The connection that waits for jobs is back");
        }
        match heard {
            Heard::Queue(queue) => {
                self.line = Some(line);
                self.heard(queue).await;
            }
            Heard::Nothing => self.line = Some(line),
            Heard::Stuck => {}
        }
        Ok(())
    }

    async fn open(&self) -> Result<Line, Failure> {
        let mut connection = self.connection.blocking().await?;
        let mut command = redis::cmd("CLIENT");
        let ask = command.arg("ID").query_async(&mut connection);
        let id = match tokio::time::timeout(GRACE, ask).await {
            // A server before 5, or a user without the right: the connection is dropped instead.
            Ok(Err(error)) if !error.is_unrecoverable_error() => 0,
            Ok(answer) => answer.map_err(|error| Failure::of(&error))?,
            Err(_) => return Err(Failure::silent()),
        };
        Ok(Line { connection, id })
    }

    async fn block(&self, mut line: Line, queues: Vec<QueueName>) -> Result<Heard, Failure> {
        let names: Vec<String> = queues.iter().map(|queue| self.keys.notify(queue)).collect();
        let mut command = Cmd::new();
        command.arg("BLPOP").arg(&names).arg(BLOCK.as_secs());
        let mut answer = std::pin::pin!(command.query_async::<Value>(&mut line.connection));
        let deadline = Instant::now() + BLOCK + GRACE;
        let mut unblock_at = deadline;
        let mut tries = 0;
        loop {
            tokio::select! {
                answer = &mut answer => return heard(answer, &queues, &names),
                () = self.waiters.bell.notified() => {
                    if tries == 0 && self.waiters.wanted().iter().any(|queue| !queues.contains(queue)) {
                        unblock_at = Instant::now();
                    }
                }
                () = sleep_until(unblock_at) => {
                    if Instant::now() >= deadline {
                        return Err(Failure::silent());
                    }
                    if tries == UNBLOCK_TRIES || !self.unblock(line.id).await {
                        return Ok(Heard::Stuck);
                    }
                    tries += 1;
                    unblock_at = Instant::now() + UNBLOCK_AGAIN;
                }
            }
        }
    }

    /// Asks the server to end the blocking call. It may not have begun there yet.
    async fn unblock(&self, id: i64) -> bool {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(id);
        id != 0 && self.connection.send::<Value>(&command).await.is_ok()
    }

    async fn heard(&mut self, queue: QueueName) {
        if self.waiters.wake(&queue) {
            self.lingering = Some(queue);
            return;
        }
        // Nobody here waits for it any more, but a worker elsewhere may.
        let mut command = redis::cmd("RPUSH");
        command.arg(self.keys.notify(&queue)).arg("1");
        if let Err(failure) = self.connection.send::<Value>(&command).await {
            tracing::debug!(error = %failure, %queue, "a wake-up was lost; the next look finds its job");
        }
    }

    /// Whether the store is there all the same. If not, those who take jobs say so.
    async fn store_answers(&self) -> bool {
        let ping = redis::cmd("PING");
        let answer = tokio::time::timeout(GRACE, self.connection.send::<Value>(&ping)).await;
        answer.is_ok_and(|answer| answer.is_ok())
    }

    async fn broke(&mut self, failure: &Failure) {
        self.line = None;
        if self.failures > 0 && !self.said && self.store_answers().await {
            self.said = true;
            tracing::warn!(
                "The connection that waits for jobs cannot be made; looking once a second until it can: {failure}"
            );
        }
        self.failures = self.failures.saturating_add(1);
        let longest = Duration::from_millis(50 << self.failures.min(7)).min(LONGEST_PAUSE);
        sleep(longest.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
    }
}

fn heard(
    answer: Result<Value, RedisError>,
    queues: &[QueueName],
    names: &[String],
) -> Result<Heard, Failure> {
    let Value::Array(taken) = answer.map_err(|error| Failure::of(&error))? else {
        return Ok(Heard::Nothing);
    };
    let Some(Value::BulkString(name)) = taken.first() else {
        return Err(Failure::odd_reply());
    };
    let queue = names
        .iter()
        .zip(queues)
        .find(|(known, _)| known.as_bytes() == name);
    queue.map_or(Err(Failure::odd_reply()), |(_, queue)| {
        Ok(Heard::Queue(queue.clone()))
    })
}
