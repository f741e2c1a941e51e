//! One attempt of one job: read it, find who runs it, run it under its limit, and hand the verdict on.

mod put_off;

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::{Instrument, info_span, warn};
use uuid::Uuid;
use worker_jobs::{Attempt, Progress};

use super::decide::{self, Outcome, Policy, Tried, Verdict};
use super::engine::Engine;
use super::hold::{Cause, GRACE, Hold};
use super::lane::{Lane, QueueRules};
use super::report::{End, Told};
use super::reserve::Leased;
use super::settle::Order;
use super::unknown::Share;
use crate::failpoint;
use crate::runner::seats::TURN;
use crate::runner::{Decided, Ended, Refusal, Request, Work};
use crate::store::port::{FailedJob, Reserved, Settle};
use crate::wire::{Exception, Payload};

/// How long counting an exception may take; a slot waits for it.
const COUNT_LIMIT: Duration = Duration::from_secs(2);
/// How long exceptions of one job are counted, as Laravel does (`Queue/Worker.php`).
const EXCEPTIONS_LIVE: Duration = Duration::from_hours(24);

/// Bytes of a payload from which on reading it takes so long that others must not wait for it.
const LARGE: usize = 1 << 20;

/// The most characters of a name from outside that are kept for logs, lists and records.
const NAME: usize = 250;

/// The class recorded for an error or a panic of a native job.
const NATIVE: &str = r"Worker\NativeJobException";
/// The class recorded for a payload or a command that cannot be read.
const UNREADABLE: &str = r"Worker\UnreadablePayloadException";
/// The class recorded for a job that nobody here runs, when such jobs are to fail.
const UNKNOWN: &str = r"Worker\UnknownJobException";

/// A job whose payload was read and whose runner is known.
pub struct Run {
    /// The payload's uuid, or one derived from where the job lay.
    pub uuid: String,
    /// The job's name.
    pub name: String,
    /// The number of this attempt.
    pub attempt: u32,
    /// Unix time of its start, in seconds.
    pub started_at: i64,
    /// What the job says of its progress.
    pub progress: Progress,
    id: Option<String>,
    started: Instant,
    policy: Policy,
    reserved: Reserved,
    hold: Arc<Hold>,
    work: Option<Box<dyn Work>>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("uuid", &self.uuid)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Runs a reserved job to its verdict. A worker that is stopping gives it back instead.
pub async fn run(engine: &Arc<Engine>, lane: &Lane, share: &Share, mut leased: Leased) {
    if engine.state.stopping().is_cancelled() {
        return;
    }
    let read = || aside(&leased, || read(engine, lane, &leased));
    let Ok((run, ready)) = std::panic::catch_unwind(AssertUnwindSafe(read)) else {
        let mut run = Run::unread(engine, &leased);
        run.uuid = uuid_of(engine, &leased.reserved);
        let exception = Exception::new(UNREADABLE, "the job's own code panicked while its data was read");
        return conclude(engine, &run, Verdict::Fail { exception }, None).await;
    };
    let (mut run, ready) = begin(&mut leased, run, ready).await;
    let known = !matches!(&ready, Ready::NotHere(refusal) if *refusal != Refusal::Busy);
    share.count(known);
    run.started = Instant::now();
    let run = Arc::new(run);
    match ready {
        Ready::Run(limit) => {
            let deadline = limit.and_then(|limit| run.started.checked_add(limit));
            leased.hold.start(&run, deadline);
            let span = info_span!("job", job.uuid = run.uuid, job.name = run.name, job.attempt = run.attempt, queue = %leased.reserved.queue);
            failpoint::pass(failpoint::STARTED);
            let outcome = execute(engine, &run).instrument(span).await;
            failpoint::pass(failpoint::RAN);
            finish(engine, &run, outcome).await;
        }
        Ready::Over(verdict) => conclude(engine, &run, verdict, None).await,
        Ready::NotHere(refusal) => put_off::put_off(engine, share, &run, refusal).await,
    }
    if !engine.options.rest.is_zero() {
        let rest = tokio::time::sleep(engine.options.rest);
        let _ = engine.state.stopping().run_until_cancelled(rest).await;
    }
}

/// Waits until a job that was read can begin: one for the framework needs a seat and a process, and its
/// time runs from then on. Any other leaves its seat to those that do.
async fn begin(leased: &mut Leased, run: Run, ready: Ready) -> (Run, Ready) {
    let work = run.work.as_ref().filter(|work| work.is_in_framework());
    let (Ready::Run(_), Some(work)) = (&ready, work) else {
        leased.seat = None;
        return (run, ready);
    };
    let Some(seat) = &leased.seat else {
        let class = run.name.clone();
        return (run, Ready::NotHere(Refusal::NoPhp { class }));
    };
    let begun = async {
        let until = Instant::now() + TURN;
        let turn = tokio::time::timeout(TURN, seat.turn()).await;
        turn.map_err(|_| Refusal::Busy)?;
        work.ready(until.saturating_duration_since(Instant::now()))
            .await?;
        seat.begun();
        Ok(())
    };
    match leased.hold.cancel.run_until_cancelled(begun).await {
        Some(Err(refusal)) => (run, Ready::NotHere(refusal)),
        Some(Ok(())) | None => (run, ready),
    }
}

/// What to do with a job that was read.
enum Ready {
    /// Run it, for at most this long.
    Run(Option<Duration>),
    /// Nothing to run: this is the verdict.
    Over(Verdict),
    /// Nobody here runs it.
    NotHere(Refusal),
}

/// Reads a payload; a large one so that nothing else waits for this thread meanwhile.
fn aside<T>(leased: &Leased, read: impl FnOnce() -> T) -> T {
    let has_threads = || Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if leased.reserved.payload.len() >= LARGE && has_threads() {
        tokio::task::block_in_place(read)
    } else {
        read()
    }
}

fn read(engine: &Arc<Engine>, lane: &Lane, leased: &Leased) -> (Run, Ready) {
    let reserved = &leased.reserved;
    let mut run = Run::unread(engine, leased);
    let payload = match Payload::parse(reserved.payload.clone()) {
        Ok(payload) => payload,
        Err(error) => {
            run.uuid = derived_uuid(engine, reserved);
            let exception = Exception::new(UNREADABLE, error.to_string());
            return (run, Ready::Over(Verdict::Fail { exception }));
        }
    };
    run.uuid = payload
        .uuid()
        .map_or_else(|| derived_uuid(engine, reserved), str::to_owned);
    run.name = shown(payload.name());
    run.id = payload.id().map(str::to_owned);
    let rules = lane.rules(&reserved.queue);
    run.policy = rules.policy(&payload);
    let ready = prepare(engine, &mut run, &payload, &rules);
    (run, ready)
}

fn prepare(engine: &Arc<Engine>, run: &mut Run, payload: &Payload, rules: &QueueRules) -> Ready {
    let limit = rules.limit(payload);
    let attempt = Attempt {
        uuid: run.uuid.clone(),
        number: run.attempt,
        queue: run.reserved.queue.as_str().to_owned(),
        deadline: limit.and_then(|limit| run.started.checked_add(limit)),
        cancellation: run.hold.cancel.clone(),
        progress: run.progress.clone(),
        dispatcher: Arc::clone(&engine.dispatcher),
    };
    let request = Request {
        payload,
        attempt,
        connection: &engine.options.connection,
        row: run.reserved.row,
        tries: rules.tries,
        backoff: &rules.backoff,
        limit,
    };
    match engine.runner.prepare(request) {
        Ok(work) => run.work = Some(work),
        Err(Refusal::Unreadable { reason }) => {
            return Ready::Over(Verdict::Fail {
                exception: Exception::new(UNREADABLE, reason),
            });
        }
        Err(refusal) => return Ready::NotHere(refusal),
    }
    // The framework looks for itself whether a job has any try left, with all its events.
    let looks_itself = run.work.as_ref().is_some_and(|work| work.is_in_framework());
    match decide::gate(&run.policy, &run.tried(engine, None)) {
        Some(verdict) if !looks_itself => Ready::Over(verdict),
        _ => Ready::Run(limit),
    }
}

/// A name from outside, cut to what a log line can bear.
fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(NAME).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}

/// The payload's uuid, or a derived one when it has none or cannot be read.
fn uuid_of(engine: &Engine, reserved: &Reserved) -> String {
    let payload = Payload::parse(reserved.payload.clone()).ok();
    let uuid = payload.as_ref().and_then(Payload::uuid);
    uuid.map_or_else(|| derived_uuid(engine, reserved), str::to_owned)
}

/// A payload without uuid gets one that is the same on every attempt, so that its failure is recorded once.
fn derived_uuid(engine: &Engine, reserved: &Reserved) -> String {
    let mut name = format!("{}\n{}\n", engine.options.connection, reserved.queue).into_bytes();
    match reserved.row {
        Some(row) => name.extend_from_slice(row.to_string().as_bytes()),
        None => name.extend_from_slice(&reserved.payload),
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &name).to_string()
}

/// Runs the work until it ends or is told to; a panic is an error like any other.
async fn execute(engine: &Engine, run: &Run) -> Outcome {
    let Some(work) = &run.work else {
        return Outcome::Interrupted;
    };
    if engine.reporter.wants_starts() {
        engine.reporter.started(&run.told(engine));
    }
    let hold = &run.hold;
    let ended = tokio::select! {
        biased;
        ended = AssertUnwindSafe(work.run()).catch_unwind() => Some(ended),
        () = told_to_end(hold) => None,
    };
    let cause = hold.cause();
    match (ended, cause) {
        (_, Cause::Lost) => Outcome::Lost,
        (Some(Ok(Ended::As(outcome))), _) => of_job(outcome),
        (Some(Ok(Ended::Decided(decided))), _) => Outcome::Decided(decided),
        (_, Cause::Timeout) => Outcome::TimedOut,
        (_, Cause::Stop) => Outcome::Interrupted,
        (Some(Ok(Ended::Error(error))), Cause::None) => {
            let retry_after = error.wanted_delay();
            Outcome::Error {
                exception: Exception::new(NATIVE, error.to_string()),
                retry_after,
            }
        }
        (Some(Ok(Ended::Died(exception))), Cause::None) => Outcome::Error {
            exception,
            retry_after: None,
        },
        (Some(Err(panic)), Cause::None) => {
            let exception = Exception::new(NATIVE, format!("panicked: {}", panic_text(&*panic)));
            Outcome::Error {
                exception,
                retry_after: None,
            }
        }
        (None, Cause::None) => Outcome::Interrupted,
    }
}

/// Returns a moment after the attempt was told to end, when it had time to end by itself.
async fn told_to_end(hold: &Hold) {
    hold.cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

fn of_job(outcome: worker_jobs::Outcome) -> Outcome {
    match outcome {
        worker_jobs::Outcome::Done => Outcome::Done,
        worker_jobs::Outcome::Release { after } => Outcome::Released { after },
        worker_jobs::Outcome::Fail { reason } => Outcome::FailedByJob { reason },
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// Turns the outcome of an attempt into a verdict and hands it on; only the first call for a run counts.
pub async fn finish(engine: &Engine, run: &Run, outcome: Outcome) {
    if !run.hold.claim() {
        return;
    }
    let unsuccessful = matches!(outcome, Outcome::Error { .. } | Outcome::TimedOut);
    let exceptions = if unsuccessful {
        run.count_exception(engine).await
    } else {
        None
    };
    let error = match &outcome {
        Outcome::Error { exception, .. } => Some(exception.clone()),
        Outcome::Decided(Decided::Released { exception, .. }) => exception.clone(),
        Outcome::TimedOut => Some(Exception::timeout_exceeded(&run.name)),
        _ => None,
    };
    let verdict = decide::decide(&run.policy, &run.tried(engine, exceptions), outcome);
    hand_on(engine, run, verdict, error).await;
}

/// Hands the verdict on a job that did not run on.
async fn conclude(engine: &Engine, run: &Run, verdict: Verdict, error: Option<Exception>) {
    if run.hold.claim() {
        hand_on(engine, run, verdict, error).await;
    }
}

/// Hands a verdict on; a job that has failed for good is told so first. The caller has claimed the hold.
async fn hand_on(engine: &Engine, run: &Run, verdict: Verdict, error: Option<Exception>) {
    if let (Verdict::Fail { exception }, Some(work)) = (&verdict, &run.work) {
        let limit = work.failed_limit();
        let failed = AssertUnwindSafe(work.failed(exception)).catch_unwind();
        match tokio::time::timeout(limit, failed).await {
            Ok(Ok(())) => {}
            Ok(Err(panic)) => warn!(
                job.uuid = run.uuid,
                "The failed hook of {} panicked: {}",
                run.name,
                panic_text(&*panic)
            ),
            Err(_) => warn!(
                job.uuid = run.uuid,
                "The failed hook of {} was cut off after {} s",
                run.name,
                limit.as_secs()
            ),
        }
    }
    if matches!(verdict, Verdict::Fail { .. }) {
        failpoint::pass(failpoint::HOOKED);
    }
    let settle = match &verdict {
        Verdict::Delete => Settle::Delete,
        Verdict::Release { delay } => Settle::Release { delay: *delay },
        Verdict::Refund { delay } => Settle::Refund { delay: *delay },
        Verdict::Fail { exception } => Settle::Fail(Box::new(run.failure(engine, exception).await)),
        Verdict::Abandon => {
            engine.holds.release([&*run.hold]);
            return;
        }
    };
    let error = match &verdict {
        Verdict::Fail { exception } => Some(exception),
        _ => error.as_ref(),
    };
    remember(engine, run, &verdict, error).await;
    let error = error.map(|exception| (exception.class().to_owned(), exception.message().to_owned()));
    let end = End {
        told: run.told(engine),
        took: run.started.elapsed(),
        verdict,
        error,
    };
    engine
        .settler
        .send(Order {
            hold: Arc::clone(&run.hold),
            settle,
            end: Some(Box::new(end)),
        })
        .await;
}

/// Keeps what went wrong for the record of a job that may fail later; one that is done needs it no more.
async fn remember(engine: &Engine, run: &Run, verdict: &Verdict, error: Option<&Exception>) {
    match (verdict, error) {
        (Verdict::Release { .. }, Some(exception)) => {
            let text = exception.to_string();
            engine.history.keep(&run.uuid, run.attempt, &text).await;
        }
        (Verdict::Delete, _) if run.attempt > 1 => {
            engine.history.forget(&run.uuid).await;
        }
        _ => {}
    }
}

impl Run {
    /// A run of which nothing is known yet but what was reserved.
    fn unread(engine: &Engine, leased: &Leased) -> Self {
        Self {
            uuid: String::new(),
            name: "unreadable payload".to_owned(),
            attempt: leased.reserved.attempts,
            started_at: engine.clock.unix_s(),
            progress: Progress::default(),
            id: None,
            started: Instant::now(),
            policy: Policy::default(),
            reserved: leased.reserved.clone(),
            hold: Arc::clone(&leased.hold),
            work: None,
        }
    }

    fn tried(&self, engine: &Engine, exceptions: Option<i64>) -> Tried<'_> {
        Tried {
            name: &self.name,
            attempt: self.attempt,
            exceptions,
            now: engine.clock.unix_s(),
        }
    }

    fn told(&self, engine: &Engine) -> Told {
        Told {
            id: self.id.clone(),
            row: self.reserved.row,
            uuid: self.uuid.clone(),
            name: self.name.clone(),
            connection: engine.options.connection.clone(),
            queue: self.reserved.queue.clone(),
            attempt: self.attempt,
        }
    }

    async fn failure(&self, engine: &Engine, exception: &Exception) -> FailedJob {
        let earlier = if self.attempt > 1 {
            engine.history.take(&self.uuid).await
        } else {
            String::new()
        };
        FailedJob {
            uuid: self.uuid.clone(),
            connection: engine.options.connection.clone(),
            queue: self.reserved.queue.clone(),
            payload: self.reserved.payload.clone(),
            exception: format!("{exception}{earlier}"),
        }
    }

    /// Counts an error of a job whose errors are limited; `None` when they are not, or nothing can count.
    async fn count_exception(&self, engine: &Engine) -> Option<i64> {
        let most = i64::from(self.policy.max_exceptions?);
        let Some(cache) = &engine.cache else {
            warn!(
                job.uuid = self.uuid,
                "{} limits its exceptions, but there is no cache store to count them in; only its tries count",
                self.name
            );
            return None;
        };
        let key = format!("job-exceptions:{}", self.uuid);
        let count = async {
            let count = cache.increment(&key, EXCEPTIONS_LIVE).await?;
            if count >= most {
                cache.forget(&key).await?;
            }
            Ok::<_, crate::store::Error>(count)
        };
        let why = match tokio::time::timeout(COUNT_LIMIT, count).await {
            Ok(Ok(count)) => return Some(count),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the cache did not answer within {} s", COUNT_LIMIT.as_secs()),
        };
        warn!(
            job.uuid = self.uuid,
            "Failed to count an exception of {}: {why}", self.name
        );
        None
    }
}
