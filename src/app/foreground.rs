//! One job, run here and now in front of a person: nothing is taken from a queue, and nothing is settled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_jobs::{Attempt, Outcome, Progress};

use super::App;
use super::lanes::LaneFlags;
use super::php::{self, Runners};
use crate::exit::{Exit, Failure};
use crate::runner::native::NativeRunner;
use crate::runner::php::PhpRunner;
use crate::runner::php::children::Children;
use crate::runner::php::output::Sink;
use crate::runner::php::pool::Pool;
use crate::runner::router::Router;
use crate::runner::{Decided, Ended, Refusal, Request, Runner, Work};
use crate::store::port::QueueName;
use crate::wire::Payload;

/// How long the job waits for the process that is up.
const START: Duration = Duration::from_secs(10);
/// How long a job that ran out of time may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// A job to be run.
#[derive(Debug)]
pub struct Job {
    /// Its payload.
    pub payload: Bytes,
    /// The connection it says it came from.
    pub connection: String,
    /// The queue it says it came from, whose limits hold.
    pub queue: QueueName,
    /// Who may run it.
    pub runners: Runners,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// Whether the job is done.
    pub done: bool,
    /// What became of it, in words.
    pub what: String,
    /// How long it ran.
    pub took: Duration,
}

/// Runs a job as its first attempt. What PHP prints goes to this process' own output.
///
/// # Errors
/// When the payload cannot be read, or nobody here runs the job.
pub async fn run(app: &App, job: Job) -> anyhow::Result<Ran> {
    let unreadable = |error: crate::wire::Error| Failure::new(Exit::Unreadable, format!("failed to {error}"));
    let payload = Payload::parse(job.payload.clone()).map_err(unreadable)?;
    let (mut tasks, mut reaper) = (JoinSet::new(), JoinSet::new());
    let pool = match (&app.config.app.base_path, job.runners) {
        (Some(base), Runners::Both | Runners::Php) => {
            Some(pool(app, base.clone(), (&mut tasks, &mut reaper))?)
        }
        _ => None,
    };
    let native = match job.runners {
        Runners::Php => None,
        Runners::Both | Runners::Native => Some(NativeRunner::new(Arc::new(app.registry()?), app.keys()?)),
    };
    let router = Router {
        native,
        php: pool
            .clone()
            .map(|pool| PhpRunner::new(pool, app.config.worker.lease)),
    };
    let lane = LaneFlags::default().lane(&app.config, [job.queue.as_str()]);
    let rules = lane.rules(&job.queue);
    let limit = rules.limit(&payload);
    let cancellation = CancellationToken::new();
    let request = Request {
        payload: &payload,
        attempt: Attempt {
            uuid: payload.uuid().unwrap_or_default().to_owned(),
            number: 1,
            queue: job.queue.as_str().to_owned(),
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
            cancellation: cancellation.clone(),
            progress: Progress::default(),
            dispatcher: Arc::new(app.dispatcher()),
        },
        connection: &job.connection,
        row: None,
        tries: rules.tries,
        backoff: &rules.backoff,
        limit,
    };
    let work = router.prepare(request).map_err(refused)?;
    ready(&*work, pool.as_deref()).await?;
    let started = Instant::now();
    let (done, what) = words(within(&*work, limit, &cancellation).await, limit);
    let took = started.elapsed();
    drop(work);
    if let Some(pool) = &pool {
        // What the job printed is shown by the time its process has ended.
        pool.stop();
        tasks.join_next().await;
    }
    Ok(Ran { done, what, took })
}

fn pool(
    app: &App,
    base: PathBuf,
    (tasks, reaper): (&mut JoinSet<()>, &mut JoinSet<()>),
) -> anyhow::Result<Arc<Pool>> {
    let mut settings = php::settings(&app.config, base, Sink::Terminal);
    settings.processes = 1;
    let children = Children::new()?;
    let pool = Pool::new(settings, children.clone());
    reaper.spawn(async move { children.reap().await });
    tasks.spawn(Arc::clone(&pool).tend());
    Ok(pool)
}

/// Waits until the job can begin; an application that does not boot is no reason to wait.
async fn ready(work: &dyn Work, pool: Option<&Pool>) -> anyhow::Result<()> {
    if let Some(pool) = pool.filter(|_| work.is_in_framework()) {
        let mut health = pool.health();
        let up = health.wait_for(|health| health.alive > 0 || health.trouble.is_some());
        let trouble = up.await.ok().and_then(|health| health.trouble.clone());
        if let Some(why) = trouble {
            return Err(anyhow::anyhow!(why));
        }
    }
    work.ready(START).await.map_err(refused)
}

async fn within(work: &dyn Work, limit: Option<Duration>, cancellation: &CancellationToken) -> Option<Ended> {
    let mut run = work.run();
    let Some(limit) = limit else {
        return Some(run.await);
    };
    if let Ok(ended) = tokio::time::timeout(limit, &mut run).await {
        return Some(ended);
    }
    cancellation.cancel();
    match tokio::time::timeout(GRACE, run).await {
        Ok(ended @ (Ended::As(_) | Ended::Decided(_))) => Some(ended),
        _ => None,
    }
}

fn words(ended: Option<Ended>, limit: Option<Duration>) -> (bool, String) {
    let released = |after: Duration| format!("released itself for {} s", after.as_secs());
    match ended {
        None => {
            let limit = limit.unwrap_or_default().as_secs();
            (
                false,
                format!("ran longer than its limit of {limit} s and was ended"),
            )
        }
        Some(Ended::As(Outcome::Done) | Ended::Decided(Decided::Deleted)) => (true, "done".to_owned()),
        Some(
            Ended::As(Outcome::Release { after })
            | Ended::Decided(Decided::Released {
                after,
                exception: None,
            }),
        ) => (false, released(after)),
        Some(Ended::As(Outcome::Fail { reason })) => (false, format!("failed: {reason}")),
        Some(Ended::Error(error)) => (false, format!("failed: {error}")),
        Some(Ended::Decided(Decided::Released {
            after,
            exception: Some(exception),
        })) => (
            false,
            format!(
                "threw, and would be tried again in {} s\n{exception}",
                after.as_secs()
            ),
        ),
        Some(Ended::Decided(Decided::Failed { exception }) | Ended::Died(exception)) => {
            (false, format!("failed\n{exception}"))
        }
    }
}

fn refused(refusal: Refusal) -> anyhow::Error {
    let what = match refusal {
        Refusal::Unknown { class } => format!("nobody here runs {class}"),
        Refusal::NeedsFramework { class, what } => format!("nobody here runs {class}: {what}"),
        Refusal::NoPhp { class } => format!("no PHP process came up to run {class}"),
        Refusal::Busy => "no PHP process came up in time".to_owned(),
        Refusal::Unreadable { reason } => format!("the job cannot be read: {reason}"),
    };
    anyhow::anyhow!(what)
}
