//! Runs jobs, unchanged, in warm PHP processes.
//!
//! The framework's own worker fires the job there, with all its events, middleware and locks, and says what
//! becomes of it; the daemon keeps the reservation, the time limit and the record. This room knows processes
//! and frames, and nothing of queues.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::seats::Seats;
use super::{Decided, Ended, Refusal, Request, Runner, Work};
use crate::wire::Exception;

pub mod children;
pub mod frame;
pub mod output;
mod pace;
pub mod pool;
pub mod process;
pub mod script;
pub mod settings;

use self::frame::{Done, Outcome};
use self::pool::{CheckedOut, Pool};
use self::process::{Answer, Death};

/// How long a job that was told to end may take before it is killed.
const GRACE: Duration = Duration::from_millis(300);
/// How long a job that has failed waits for a process that tells it so.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a job's `failed` may take once it has a process.
const FAILED_LIMIT: Duration = Duration::from_secs(30);

/// The class recorded for a process that ended in the middle of a job.
const DIED: &str = r"Worker\PhpProcessDiedException";

/// Runs jobs in the processes of a pool.
#[derive(Debug, Clone)]
pub struct PhpRunner {
    pool: Arc<Pool>,
    kept_for: Duration,
}

impl PhpRunner {
    /// A runner over `pool`. A job that says nothing of what becomes of it comes back after `kept_for`.
    #[must_use]
    pub fn new(pool: Arc<Pool>, kept_for: Duration) -> Self {
        Self { pool, kept_for }
    }

    /// Who may use how many of its processes.
    #[must_use]
    pub fn seats(&self) -> &Arc<Seats> {
        self.pool.seats()
    }
}

impl Runner for PhpRunner {
    fn prepare(&self, request: Request<'_>) -> Result<Box<dyn Work>, Refusal> {
        Ok(Box::new(PhpWork {
            runner: self.clone(),
            call: Call::new(&request),
            cancel: request.attempt.cancellation.clone(),
            process: Mutex::default(),
            told: AtomicBool::new(false),
        }))
    }

    fn seats(&self) -> Option<&Arc<Seats>> {
        Some(self.pool.seats())
    }
}

/// What PHP is to run.
#[derive(Debug)]
struct Call {
    uuid: String,
    name: String,
    class: String,
    members: serde_json::Map<String, serde_json::Value>,
    payload: bytes::Bytes,
}

impl Call {
    fn new(request: &Request<'_>) -> Self {
        let payload = request.payload;
        let handler = payload.job();
        let class = payload
            .command_name()
            .unwrap_or_else(|| handler.split_once('@').map_or(handler, |(class, _)| class));
        let backoff: Vec<_> = request.backoff.iter().map(u64::to_string).collect();
        let members = [
            ("connection", json!(request.connection)),
            ("queue", json!(request.attempt.queue)),
            (
                "id",
                request.row.map_or_else(|| json!(payload.id()), |row| json!(row)),
            ),
            ("attempts", json!(request.attempt.number)),
            ("tries", json!(request.tries)),
            (
                "backoff",
                json!(if backoff.is_empty() {
                    "0".to_owned()
                } else {
                    backoff.join(",")
                }),
            ),
            ("timeout", json!(request.limit.map_or(0, |limit| limit.as_secs()))),
        ];
        Self {
            uuid: request.attempt.uuid.clone(),
            name: payload.name().to_owned(),
            class: class.to_owned(),
            members: members
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
            payload: payload.text().clone(),
        }
    }

    fn frame(&self, kind: u8, more: &[(&str, serde_json::Value)]) -> bytes::Bytes {
        let mut members = self.members.clone();
        members.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        frame::encode(
            kind,
            serde_json::Value::Object(members).to_string().as_bytes(),
            &self.payload,
        )
    }
}

struct PhpWork {
    runner: PhpRunner,
    call: Call,
    cancel: CancellationToken,
    process: Mutex<Option<CheckedOut>>,
    told: AtomicBool,
}

impl PhpWork {
    async fn check_out(&self, patience: Duration) -> Option<CheckedOut> {
        let pool = &self.runner.pool;
        pool.check_out(&self.call.class, &self.call.name, patience).await
    }

    fn take(&self) -> Option<CheckedOut> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn work(&self) -> Ended {
        let died = |what: &str| Ended::Died(Exception::new(DIED, what));
        let Some(mut taken) = self.take() else {
            return died("there was no PHP process for the job");
        };
        let Some(process) = taken.process() else {
            return died("there was no PHP process for the job");
        };
        let frame = self.call.frame(b'R', &[("run", json!(process.next_run()))]);
        let talk = async {
            process.ask(frame, &self.call.uuid).await;
            process.answer().await
        };
        let answer = tokio::select! {
            biased;
            answer = talk => Some(answer),
            () = self.cancel.cancelled() => None,
        };
        match answer {
            Some(Answer::Done(done)) => {
                if !done.spoilt {
                    taken.give_back();
                }
                self.decided(done)
            }
            Some(Answer::Died(death)) => self.died(death),
            None => match kill(process).await {
                Answer::Done(done) => self.decided(done),
                Answer::Died(death) => self.died(death),
            },
        }
    }

    fn decided(&self, done: Done) -> Ended {
        if !done.changed.is_empty() {
            debug!(
                job.uuid = self.call.uuid,
                "{} had changed what outlives it: {}",
                self.call.name,
                done.changed.join(", ")
            );
        }
        Ended::Decided(match done.outcome {
            Outcome::Deleted => Decided::Deleted,
            Outcome::Released => Decided::Released {
                after: Duration::from_secs(done.delay),
                exception: done.exception.map(Exception::from),
            },
            Outcome::Kept => Decided::Released {
                after: self.runner.kept_for,
                exception: done.exception.map(Exception::from),
            },
            Outcome::Failed => {
                self.told.store(true, Ordering::Release);
                let reason = done.reason.or(done.exception).map(Exception::from);
                Decided::Failed {
                    exception: reason.unwrap_or_else(Exception::manually_failed),
                }
            }
        })
    }

    fn died(&self, death: Death) -> Ended {
        match death.given_up {
            Some(exception) => {
                warn!(
                    job.uuid = self.call.uuid,
                    "The process of {} ended while the job was told that it has failed: {}",
                    self.call.name,
                    death.what
                );
                self.told.store(true, Ordering::Release);
                Ended::Decided(Decided::Failed { exception })
            }
            None => Ended::Died(Exception::new(
                DIED,
                format!(
                    "The PHP process of {} ended before the job did: {}",
                    self.call.name, death.what
                ),
            )),
        }
    }

    async fn tell(&self, exception: &Exception) {
        let (uuid, name) = (&self.call.uuid, &self.call.name);
        let Some(mut taken) = self.check_out(PATIENCE).await else {
            return warn!(
                job.uuid = uuid,
                "No PHP process could tell {name} that it has failed"
            );
        };
        let Some(process) = taken.process() else { return };
        let timed_out = Exception::timeout_exceeded("");
        let classes = [exception.class(), Exception::max_attempts_exceeded("").class()].map(str::to_owned);
        let known = exception.class() == timed_out.class() || exception.class() == classes[1];
        let frame = self.call.frame(
            b'F',
            &[
                ("run", json!(process.next_run())),
                ("classes", if known { json!(classes) } else { json!([]) }),
                ("message", json!(exception.message())),
                ("timed_out", json!(exception.class() == timed_out.class())),
            ],
        );
        let talk = async {
            process.ask(frame, uuid).await;
            process.answer().await
        };
        match tokio::time::timeout(FAILED_LIMIT, talk).await {
            Ok(Answer::Done(done)) => {
                taken.give_back();
                if let Some(told) = done.exception.map(Exception::from) {
                    warn!(
                        job.uuid = uuid,
                        "The failed hook of {name} threw {}: {}",
                        told.class(),
                        told.message()
                    );
                }
            }
            Ok(Answer::Died(death)) => {
                warn!(
                    job.uuid = uuid,
                    "The process of the failed hook of {name} ended: {}", death.what
                );
            }
            Err(_) => warn!(
                job.uuid = uuid,
                "The failed hook of {name} was cut off after {} s",
                FAILED_LIMIT.as_secs()
            ),
        }
    }
}

/// Ends a process in the middle of a run: asks it, and kills it when it does not listen. A job that comes to
/// its end meanwhile has ended.
async fn kill(process: &mut process::Process) -> Answer {
    process.group().terminate();
    match tokio::time::timeout(GRACE, process.answer()).await {
        Ok(answer) => answer,
        Err(_) => {
            process.group().kill();
            process.answer().await
        }
    }
}

impl Work for PhpWork {
    fn is_in_framework(&self) -> bool {
        true
    }

    fn ready(&self, patience: Duration) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            let Some(taken) = self.check_out(patience).await else {
                self.runner.pool.was_too_late();
                return Err(Refusal::Busy);
            };
            self.process
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .replace(taken);
            Ok(())
        }
        .boxed()
    }

    fn run(&self) -> BoxFuture<'_, Ended> {
        self.work().boxed()
    }

    fn failed<'a>(&'a self, exception: &'a Exception) -> BoxFuture<'a, ()> {
        async {
            if !self.told.load(Ordering::Acquire) {
                self.tell(exception).await;
            }
        }
        .boxed()
    }

    fn failed_limit(&self) -> Duration {
        PATIENCE + FAILED_LIMIT + GRACE
    }
}
