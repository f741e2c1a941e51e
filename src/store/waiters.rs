//! Who waits for which queues.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::store::port::QueueName;

/// All waits of the process.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    list: Mutex<List>,
    /// Tells the bell that someone new waits.
    pub(super) bell: Notify,
    /// Tells the look that someone new waits.
    pub(super) look: Notify,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    waiting: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    queues: Vec<QueueName>,
    wake: oneshot::Sender<()>,
}

/// One wait. Dropping it ends it.
#[derive(Debug)]
struct Ticket<'a> {
    waiters: &'a Waiters,
    id: u64,
    woken: oneshot::Receiver<()>,
}

impl Waiters {
    /// Returns when a wait for any of `queues` is ended, or after `at_most`. Cancellation safe.
    pub(super) async fn wait(&self, queues: &[QueueName], at_most: Duration) {
        let ticket = self.register(queues);
        // Woken and out of time are the same to the caller, who looks for himself.
        drop(tokio::time::timeout(at_most, ticket.woken()).await);
    }

    /// Adds a wait for any of `queues`.
    fn register(&self, queues: &[QueueName]) -> Ticket<'_> {
        let (wake, woken) = oneshot::channel();
        let mut list = self.lock();
        let id = list.next;
        list.next += 1;
        list.waiting.insert(
            id,
            Waiter {
                queues: queues.to_vec(),
                wake,
            },
        );
        drop(list);
        self.bell.notify_one();
        self.look.notify_one();
        Ticket {
            waiters: self,
            id,
            woken,
        }
    }

    /// The queues that are waited for, each once: those of the longest wait first, in its order.
    pub(super) fn wanted(&self) -> Vec<QueueName> {
        let mut wanted: Vec<QueueName> = Vec::new();
        for waiter in self.lock().waiting.values() {
            for queue in &waiter.queues {
                if !wanted.contains(queue) {
                    wanted.push(queue.clone());
                }
            }
        }
        wanted
    }

    /// Ends the waits for `queue`. Returns whether there were any.
    pub(super) fn wake(&self, queue: &QueueName) -> bool {
        self.wake_if(|waiter| waiter.queues.contains(queue))
    }

    /// Ends all waits.
    pub(super) fn wake_all(&self) {
        self.wake_if(|_| true);
    }

    fn wake_if(&self, chosen: impl Fn(&Waiter) -> bool) -> bool {
        let mut list = self.lock();
        let woken = list.waiting.extract_if(.., |_, waiter| chosen(waiter));
        // A receiver that is gone has ended its wait itself.
        woken.filter_map(|(_, waiter)| waiter.wake.send(()).ok()).count() > 0
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Returns when the wait is ended from the other side.
    async fn woken(mut self) {
        // The other end is only dropped together with this one.
        drop((&mut self.woken).await);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiters.lock().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<QueueName> {
        names.iter().map(|name| QueueName::new(name)).collect()
    }

    #[test]
    fn each_queue_is_wanted_once_and_in_order() {
        let waiters = Waiters::default();
        let first = waiters.register(&names(&["b", "a"]));
        let second = waiters.register(&names(&["a", "c"]));
        assert_eq!(waiters.wanted(), names(&["b", "a", "c"]));
        drop(first);
        assert_eq!(waiters.wanted(), names(&["a", "c"]));
        drop(second);
        assert!(waiters.wanted().is_empty());
    }

    #[test]
    fn only_those_who_wait_for_the_queue_are_woken() {
        let waiters = Waiters::default();
        let _mail = waiters.register(&names(&["mail"]));
        let _both = waiters.register(&names(&["high", "mail"]));
        assert!(waiters.wake(&QueueName::new("high")));
        assert!(!waiters.wake(&QueueName::new("high")));
        assert_eq!(waiters.wanted(), names(&["mail"]));
    }
}
