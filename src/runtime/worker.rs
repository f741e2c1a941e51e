//! The apalis worker of one lane: carries reserved jobs to their attempts, and ends when told to.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis::prelude::{ParallelizeExt, Task, WorkerBuilder, WorkerContext};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tower::Service;
use tracing::error;

use super::attempt;
use super::engine::Engine;
use super::lane::Lane;
use super::reserve::{Dry, Leased, Reserver};
use super::unknown::Share;
use crate::store::backend::ChannelBackend;

/// Runs one attempt for each job that it is called with.
#[derive(Debug, Clone)]
struct AttemptService {
    engine: Arc<Engine>,
    lane: Arc<Lane>,
    share: Arc<Share>,
}

impl Service<Task<Leased>> for AttemptService {
    type Response = ();
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Leased>) -> Self::Future {
        let Self { engine, lane, share } = self.clone();
        let (leased, _) = task.take();
        Box::pin(async move {
            attempt::run(&engine, &lane, &share, leased).await;
            Ok(())
        })
    }
}

/// Runs a lane until the worker stops and its last job has ended. Jobs run on `jobs`, a runtime of their
/// own, so that code which never awaits cannot hold up leases and verdicts.
pub async fn run_lane(engine: Arc<Engine>, lane: Arc<Lane>, dry: Arc<Dry>, jobs: Handle) {
    let share = Arc::new(Share::default());
    let (sender, receiver) = mpsc::channel(lane.slots);
    let reserver = Reserver::new(Arc::clone(&engine), Arc::clone(&lane), Arc::clone(&share), dry);
    let context = WorkerContext::new(&lane.name);
    let worker = WorkerBuilder::new(&context)
        .backend(ChannelBackend::new(receiver))
        .parallelize(move |attempt| jobs.spawn(attempt))
        .build(AttemptService {
            engine: Arc::clone(&engine),
            lane: Arc::clone(&lane),
            share,
        });
    let reserve = async {
        reserver.run(sender).await;
        // apalis refuses to stop a worker that was not polled yet.
        while context.stop().is_err() {
            tokio::task::yield_now().await;
        }
    };
    let work: BoxFuture<'_, _> = Box::pin(worker.run());
    let ((), ended) = tokio::join!(reserve, work);
    if let Err(error) = ended {
        error!("The lane {} ended early: {error}", lane.name);
    }
}
