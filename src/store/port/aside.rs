//! Jobs set aside: waiting jobs that are kept from every worker for a while, in order to be moved elsewhere.

use std::time::Duration;

use bytes::Bytes;

use super::queue::{NewJob, Receipt};

/// Which waiting jobs are to be set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Those that are set aside already, by a call that nobody finished. All of them come at once.
    Left,
    /// Those available now, in the order in which workers would take them.
    Ready,
    /// Those whose time has not come, the next one due first.
    Delayed,
}

/// A job set aside: no worker takes it, ours or PHP's, until its hold is over.
#[derive(Debug, Clone)]
pub struct Aside {
    /// The payload as it lies in the queue, byte for byte.
    pub payload: Bytes,
    /// Attempts counted so far, where a column counts them; `None` where the payload does.
    pub attempts: Option<u32>,
    /// Whole seconds until it is due; `None` when it is available. It never says less than is left.
    pub delay: Option<Duration>,
    /// Which entry of the store this is: the same however often it is set aside, and never another's.
    pub identity: String,
    /// Proof that it was set aside.
    pub receipt: Receipt,
}

/// What becomes of a job that was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsideEnd {
    /// It is elsewhere now: remove it here.
    Remove,
    /// It stays: put it back where it was.
    PutBack,
}

/// A job to be pushed once.
#[derive(Debug, Clone)]
pub struct OnceJob {
    /// What tells that this was done before.
    pub marker: String,
    /// The job.
    pub job: NewJob,
    /// Attempts counted so far, for a store whose column counts them (see
    /// [`Queue::carries_attempts`](super::Queue::carries_attempts)).
    pub attempts: u32,
}
