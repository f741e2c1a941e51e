//! Waiting for jobs: one task looks for all lanes that wait, ever less often while nothing happens.
//!
//! A MySQL server tells nobody of new rows. The first look comes soon after the last thing that happened, the
//! pauses grow to `--sleep`; known due times are kept to the moment. Lanes that come to wait share the next
//! look unless their queues were not looked at just now.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::engine::Engine;
use crate::store::Error;
use crate::store::port::QueueName;

/// The pause after something happened.
const SOON: Duration = Duration::from_millis(30);

/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(10);

/// How much longer each pause is than the one before.
const SLOWER: f64 = 1.5;

/// A lane that waits.
pub(super) struct Waiter {
    pub(super) queues: Vec<QueueName>,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
}

/// The task's state.
pub(super) struct Watch {
    engine: Arc<Engine>,
    happened: Arc<Notify>,
    sleep: Duration,
    waiters: Vec<Waiter>,
    pause: Duration,
}

impl Watch {
    pub(super) fn new(engine: Arc<Engine>, happened: Arc<Notify>, sleep: Duration) -> Self {
        let sleep = sleep.max(SHORTEST);
        Self {
            engine,
            happened,
            sleep,
            waiters: Vec::new(),
            pause: SOON.min(sleep),
        }
    }

    /// Serves until there is nobody left to ask.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Waiter>) {
        loop {
            if self.waiters.is_empty() {
                let Some(waiter) = asks.recv().await else { return };
                self.waiters.push(waiter);
            }
            while let Ok(waiter) = asks.try_recv() {
                self.waiters.push(waiter);
            }
            self.look().await;
            if self.waiters.is_empty() {
                continue;
            }
            let until = Instant::now() + self.next();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(waiter) => self.waiters.push(waiter),
                    None => return,
                },
                () = self.happened.notified() => self.pause = SOON.min(self.sleep),
                () = tokio::time::sleep_until(until) => {
                    self.pause = self.pause.mul_f64(SLOWER).min(self.sleep);
                }
            }
        }
    }

    /// Looks and answers the waits whose time has come.
    async fn look(&mut self) {
        self.waiters.retain(|waiter| !waiter.reply.is_closed());
        let mut queues: Vec<QueueName> = (self.waiters.iter())
            .flat_map(|waiter| waiter.queues.clone())
            .collect();
        queues.sort_unstable();
        queues.dedup();
        let looked = self.engine.look(&queues, 1).await;
        for waiter in std::mem::take(&mut self.waiters) {
            match &looked {
                Err(e) => {
                    let again = Error::new(e.kind(), "watch for jobs", e.to_string());
                    drop(waiter.reply.send(Err(again)));
                }
                Ok(()) if self.engine.is_due(&waiter.queues) => {
                    self.pause = SOON.min(self.sleep);
                    drop(waiter.reply.send(Ok(())));
                }
                Ok(()) => self.waiters.push(waiter),
            }
        }
    }

    /// The time until the next look: the pause, or less when something is known to be due before.
    fn next(&self) -> Duration {
        let due = self
            .waiters
            .iter()
            .map(|waiter| self.engine.until_due(&waiter.queues));
        let first = due.flatten().min().unwrap_or(self.pause);
        self.pause.min(first.max(SHORTEST))
    }
}
