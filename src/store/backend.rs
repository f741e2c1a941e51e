//! Reserved jobs as an apalis backend.
//!
//! The backend only hands on what a reserver task has taken; it never touches the store itself, so that
//! reserving, running and settling overlap. It never fails either: one error from a backend would end the
//! apalis worker and drop what it runs. This file and `runtime/worker.rs` are the only ones that name apalis.

use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::task_id::RandomId;
use apalis_core::worker::context::WorkerContext;
use tokio::sync::mpsc;
use tower::layer::util::Identity;

/// Hands jobs of type `J` from a channel to an apalis worker.
pub struct ChannelBackend<J> {
    jobs: mpsc::Receiver<J>,
}

impl<J> ChannelBackend<J> {
    /// A backend that yields what arrives on `jobs`. When the worker stops, what is left in the channel is
    /// dropped: its guards give the jobs back.
    #[must_use]
    pub fn new(jobs: mpsc::Receiver<J>) -> Self {
        Self { jobs }
    }
}

impl<J> fmt::Debug for ChannelBackend<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBackend")
    }
}

impl<J> Unpin for ChannelBackend<J> {}

impl<J> Backend for ChannelBackend<J> {
    type Task = Task<J>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<J>, Infallible>>> {
        self.jobs
            .poll_recv(cx)
            .map(|job| job.map(|job| Ok(Task::new(job))))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.jobs.close();
        while self.jobs.try_recv().is_ok() {}
        Poll::Ready(Ok(()))
    }
}

impl<J> BackendConfig for ChannelBackend<J> {
    type Args = J;
    type Id = RandomId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
