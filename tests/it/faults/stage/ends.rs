//! How the processes of a stage end: killed, stopped, or by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{DEADLINE, Running, Signal, wait_until};

use super::{Stage, now_ms};
use crate::php::shop::descendants;

impl Stage {
    /// Kills a worker as `kill -9` does, and remembers when it and its PHP processes were gone.
    /// Returns how long the last of these lived on.
    pub(crate) fn kill(&self, worker: &mut Running) -> Duration {
        let children = descendants(worker.pid());
        worker.kill();
        self.mourn(worker.pid(), &children)
    }

    /// Remembers that a process of a worker was killed just now.
    pub(crate) fn died(&self, pid: u32) {
        self.deaths.borrow_mut().insert(pid, now_ms());
    }

    /// Waits until a fail point has killed a worker, and remembers when.
    #[track_caller]
    pub(crate) fn wait_for_death(&self, worker: &mut Running) {
        let mut children = Vec::new();
        wait_until(DEADLINE * 3, || {
            children = Some(descendants(worker.pid()))
                .filter(|now| !now.is_empty())
                .unwrap_or_else(|| std::mem::take(&mut children));
            worker.ended().is_some()
        });
        assert_eq!(worker.wait_exit(DEADLINE), 128 + 9, "it was to be killed");
        self.mourn(worker.pid(), &children);
    }

    /// Stops a worker as an operator does, and waits for its end.
    #[track_caller]
    pub(crate) fn stop(&self, mut worker: Running) {
        worker.signal(Signal::Term);
        assert_eq!(self.end_of(&mut worker, DEADLINE * 3), 0);
    }

    /// Waits for the end of a worker, remembers when, and returns its exit code.
    #[track_caller]
    pub(crate) fn end_of(&self, worker: &mut Running, deadline: Duration) -> i32 {
        let code = worker.wait_exit(deadline);
        self.ends.borrow_mut().insert(worker.pid(), now_ms());
        code
    }

    /// When which process was killed, in milliseconds of Unix time.
    pub(crate) fn deaths(&self) -> BTreeMap<u32, u64> {
        self.deaths.borrow().clone()
    }

    /// When which process ended by itself, in milliseconds of Unix time.
    pub(crate) fn ends(&self) -> BTreeMap<u32, u64> {
        self.ends.borrow().clone()
    }
}
