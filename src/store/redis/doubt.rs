//! Calls that took jobs, perhaps, and whose answers never came.
//!
//! Such jobs would come back by themselves when their lease ends, with an attempt counted that never ran. So
//! each call that takes jobs has a name, and writes down under a key what it took; after an error that leaves
//! open whether it was carried out, that is looked up, and what it took goes back as it was. Calls share few
//! keys: a key belongs to a desk, and a desk to one call at a time.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::Cmd;
use tracing::warn;

use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::script;
use crate::store::Kind;
use crate::store::port::QueueName;

/// How often a call that left no trace is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long it is looked for once the store answers again: what was on its way may still arrive.
const LOOK_FOR: Duration = Duration::from_secs(10);

/// All calls of one process that took jobs, perhaps.
#[derive(Debug)]
pub(super) struct Calls {
    own: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    desks: u32,
    free: Vec<u32>,
    doubts: Vec<Call>,
}

/// One call.
#[derive(Debug)]
struct Call {
    desk: u32,
    name: u64,
    queues: Vec<QueueName>,
    /// When it was looked for first, and last.
    looked: Option<(Instant, Instant)>,
}

/// A call until its outcome is known; dropped before, it is in doubt.
#[derive(Debug)]
pub(super) struct Open<'a> {
    calls: &'a Calls,
    call: Option<Call>,
}

impl Calls {
    /// No call yet.
    pub(super) fn new() -> Self {
        Self {
            own: fastrand::u64(..),
            state: Mutex::default(),
        }
    }

    /// A call that is about to take jobs.
    pub(super) fn open(&self, queues: &[QueueName]) -> Open<'_> {
        let mut state = self.lock();
        let desk = state.free.pop().unwrap_or_else(|| {
            state.desks += 1;
            state.desks
        });
        let call = Call {
            desk,
            name: fastrand::u64(..),
            queues: queues.to_vec(),
            looked: None,
        };
        Open {
            calls: self,
            call: Some(call),
        }
    }

    /// Puts back what calls in doubt have taken.
    ///
    /// # Errors
    /// When the store cannot be asked; repeating is safe.
    pub(super) async fn recover(&self, connection: &Connection, keys: &Keys) -> Result<(), Failure> {
        while let Some(open) = self.next_doubt() {
            let fill = |command: &mut Cmd| {
                command.arg(open.queues().len() * 4 + 1);
                open.write_keys(keys, command);
                command.arg(open.name());
            };
            match connection.run::<i64>(&script::RECOVER, fill).await {
                Ok(-1) => open.look_again(),
                Ok(back) => {
                    if back > 0 {
                        warn!(
                            "Put {back} jobs back: the answer to their reservation was lost, and they had not begun"
                        );
                    }
                    open.known();
                }
                Err(failure) if matches!(failure.kind, Kind::Transient | Kind::Lost) => return Err(failure),
                Err(failure) => {
                    let error = failure.during("look for jobs whose reservation was not answered");
                    warn!("Failed to {error}; they come back when their lease ends");
                    open.known();
                }
            }
        }
        Ok(())
    }

    /// Takes a call that is to be looked for out of the list.
    fn next_doubt(&self) -> Option<Open<'_>> {
        let mut state = self.lock();
        let is_due = |call: &Call| call.looked.is_none_or(|(_, last)| last.elapsed() >= LOOK);
        let at = state.doubts.iter().position(is_due)?;
        let call = Some(state.doubts.swap_remove(at));
        Some(Open { calls: self, call })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open<'_> {
    /// The name of the call, as the store is told.
    pub(super) fn name(&self) -> String {
        format!("{:016x}", self.call.as_ref().map_or(0, |call| call.name))
    }

    /// Writes the keys of all queues, and the one of the desk.
    pub(super) fn write_keys(&self, keys: &Keys, command: &mut Cmd) {
        for queue in self.queues() {
            keys.write_all(queue, command);
        }
        let desk = self.call.as_ref().map_or(0, |call| call.desk);
        command.arg(keys.taken(self.queues().first(), Desk(self.calls.own, desk)));
    }

    fn queues(&self) -> &[QueueName] {
        self.call.as_ref().map_or(&[], |call| &call.queues)
    }

    /// What the call did is known.
    pub(super) fn known(mut self) {
        if let Some(call) = self.call.take() {
            self.calls.lock().free.push(call.desk);
        }
    }

    /// The store answers, and has seen nothing of the call so far.
    fn look_again(mut self) {
        let now = Instant::now();
        let first = self
            .call
            .as_ref()
            .and_then(|call| call.looked)
            .map_or(now, |(first, _)| first);
        if now.duration_since(first) >= LOOK_FOR {
            return self.known();
        }
        if let Some(call) = &mut self.call {
            call.looked = Some((first, now));
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.calls.lock().doubts.push(call);
        }
    }
}

/// The part of a key that names a desk.
struct Desk(u64, u32);

impl fmt::Display for Desk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}:{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(first_ago: Duration, last_ago: Duration) -> Option<(Instant, Instant)> {
        let ago = |time| Instant::now().checked_sub(time);
        ago(first_ago).zip(ago(last_ago))
    }

    #[test]
    fn desks_are_used_again() {
        let calls = Calls::new();
        let (one, other) = (calls.open(&[]), calls.open(&[]));
        let desk = |open: &Open<'_>| open.call.as_ref().map(|call| call.desk);
        assert_eq!((desk(&one), desk(&other)), (Some(1), Some(2)));
        let names = (one.name(), other.name());
        assert_ne!(names.0, names.1);
        one.known();
        assert_eq!(desk(&calls.open(&[])), Some(1));
    }

    #[test]
    fn a_call_in_doubt_is_looked_for_again_and_not_for_ever() {
        let calls = Calls::new();
        drop(calls.open(&[]));
        let doubt = calls.next_doubt();
        assert!(
            doubt.is_some() && calls.next_doubt().is_none(),
            "one looks for it"
        );
        doubt.map_or_else(|| (), Open::look_again);
        assert!(calls.next_doubt().is_none(), "it was looked for just now");
        let set = |times| {
            calls
                .lock()
                .doubts
                .iter_mut()
                .for_each(|call| call.looked = times)
        };
        set(looked(LOOK, LOOK));
        drop(calls.next_doubt());
        assert_eq!(calls.lock().doubts.len(), 1, "who gave up leaves it to others");
        set(looked(LOOK_FOR, LOOK));
        calls.next_doubt().map_or_else(|| (), Open::look_again);
        let state = calls.lock();
        assert!(state.doubts.is_empty());
        assert_eq!(state.free, [1]);
    }
}
