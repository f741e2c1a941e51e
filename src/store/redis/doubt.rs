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
    /// When what it may have taken lapses.
    until: Instant,
    /// When the store first answered that it has seen nothing of it.
    unseen: Option<Instant>,
    /// When it answered so last.
    looked: Option<Instant>,
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

    /// A call that is about to take jobs for so long.
    pub(super) fn open(&self, queues: &[QueueName], lease: Duration) -> Open<'_> {
        let mut state = self.lock();
        let desk = state.free.pop().unwrap_or_else(|| {
            state.desks += 1;
            state.desks
        });
        let call = Call {
            desk,
            name: fastrand::u64(..),
            queues: queues.to_vec(),
            until: Instant::now() + lease,
            unseen: None,
            looked: None,
        };
        Open {
            calls: self,
            call: Some(call),
        }
    }

    /// Puts back what calls in doubt have taken. A store that refuses only this is asked again later, as long as
    /// there is something to put back.
    ///
    /// # Errors
    /// When the store cannot be asked; repeating is safe.
    pub(super) async fn recover(&self, connection: &Connection, keys: &Keys) -> Result<(), Failure> {
        for _ in 0..self.doubts() {
            let Some(open) = self.next_doubt() else {
                break;
            };
            let fill = |command: &mut Cmd| {
                command.arg(open.queues().len() * 4 + 1);
                open.write_keys(keys, command);
                command.arg(open.name());
            };
            match connection.run::<i64>(&script::RECOVER, fill).await {
                Ok(-1) => open.was_not_seen(),
                Ok(back) => {
                    if back > 0 {
                        warn!(
                            "Put {back} jobs back: the answer to their reservation was lost, and they had not begun"
                        );
                    }
                    open.known();
                }
                Err(failure) if matches!(failure.kind, Kind::Transient | Kind::Lost) => return Err(failure),
                Err(failure) if open.is_over() => {
                    let error = failure.during("look for jobs whose reservation was not answered");
                    warn!("Failed to {error}; their lease has ended");
                    open.known();
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn doubts(&self) -> usize {
        self.lock().doubts.len()
    }

    /// Takes the call that is to be looked for first out of the list; dropped, it is the last one there.
    fn next_doubt(&self) -> Option<Open<'_>> {
        let mut state = self.lock();
        let is_due = |call: &Call| call.looked.is_none_or(|last| last.elapsed() >= LOOK);
        let at = state.doubts.iter().position(is_due)?;
        let call = Some(state.doubts.remove(at));
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
    fn was_not_seen(mut self) {
        let now = Instant::now();
        let first = self.call.as_mut().map(|call| {
            call.looked = Some(now);
            *call.unseen.get_or_insert(now)
        });
        if first.is_none_or(|first| first.elapsed() >= LOOK_FOR) {
            self.known();
        }
    }

    /// Whether what the call may have taken has lapsed.
    fn is_over(&self) -> bool {
        self.call.as_ref().is_none_or(|call| call.until <= Instant::now())
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

    #[test]
    fn desks_are_used_again() {
        let calls = Calls::new();
        let (one, other) = (calls.open(&[], LOOK), calls.open(&[], LOOK));
        let desk = |open: &Open<'_>| open.call.as_ref().map(|call| call.desk);
        assert_eq!((desk(&one), desk(&other)), (Some(1), Some(2)));
        let names = (one.name(), other.name());
        assert_ne!(names.0, names.1);
        one.known();
        assert_eq!(desk(&calls.open(&[], LOOK)), Some(1));
    }

    #[test]
    fn a_call_in_doubt_is_looked_for_again_and_not_for_ever() {
        let calls = Calls::new();
        drop(calls.open(&[], LOOK));
        let doubt = calls.next_doubt();
        assert!(
            doubt.is_some() && calls.next_doubt().is_none(),
            "one looks for it"
        );
        drop(doubt);
        let again = calls.next_doubt();
        again.expect("who gave up leaves it to others").was_not_seen();
        assert!(calls.next_doubt().is_none(), "it was looked for just now");
        let later = |ago: Duration| {
            for call in &mut calls.lock().doubts {
                call.looked = Instant::now().checked_sub(LOOK);
                call.unseen = call.unseen.and_then(|first| first.checked_sub(ago));
            }
        };
        later(LOOK);
        calls.next_doubt().expect("it is due").was_not_seen();
        later(LOOK);
        calls.next_doubt().expect("it is due").was_not_seen();
        assert_eq!(calls.lock().doubts.len(), 1, "it may still come");
        later(LOOK_FOR);
        calls.next_doubt().expect("it is due").was_not_seen();
        let state = calls.lock();
        assert!(state.doubts.is_empty());
        assert_eq!(state.free, [1]);
    }
}
