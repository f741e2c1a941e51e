//! A process in the hands of one job.

use std::sync::Arc;

use tracing::debug;

use super::Pool;
use crate::runner::php::process::Process;

/// A process checked out of the pool. Dropped without being given back, it is killed and replaced, unless it
/// never began anything.
#[derive(Debug)]
pub struct CheckedOut {
    pub(super) pool: Arc<Pool>,
    pub(super) process: Option<Process>,
    pub(super) begun: bool,
}

impl CheckedOut {
    /// The process; `None` once it was given back.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Gives the process back: it may run another job.
    pub fn give_back(mut self) {
        if let Some(process) = self.process.take() {
            self.pool.give_back(process);
        }
    }
}

impl Drop for CheckedOut {
    fn drop(&mut self) {
        match self.process.take() {
            Some(process) if self.begun => {
                debug!(pid = process.group().id(), "A PHP process is of no use any more");
                self.pool.bury(process);
            }
            Some(process) => self.pool.give_back(process),
            None => {}
        }
    }
}
