//! The demonstration: sample jobs on the five queues of an embedded file, worked while one watches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use worker_jobs::{Dispatch, Dispatcher};

use super::App;
use super::daemon::{Daemon, Plan};
use super::lanes::LaneFlags;
use crate::config::{Config, Files, Inputs};
use crate::control::signals::Signals;
use crate::runtime::decide::Verdict;
use crate::runtime::engine::Options;
use crate::runtime::report::{End, Reporter};
use crate::runtime::state::{State, StopReason};

/// Queue, number of sample jobs, and how long each works, in milliseconds.
const SAMPLES: [(&str, u64, u64); 5] = [
    ("high", 12, 120),
    ("default", 24, 250),
    ("einvoice", 10, 500),
    ("migration", 4, 1200),
    ("background", 12, 200),
];

/// What one queue has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs dispatched.
    pub jobs: u64,
    /// Jobs done.
    pub done: u64,
    /// Attempts that are tried again.
    pub retried: u64,
    /// Jobs that failed for good.
    pub failed: u64,
    /// Time spent in attempts.
    pub busy: Duration,
    /// The longest attempt.
    pub longest: Duration,
}

/// Hears of the demonstration as it goes.
pub trait Audience: Send + Sync + std::fmt::Debug {
    /// A queue has moved on; `end` says by what.
    fn moved(&self, queue: &str, tally: &Tally, end: &End);
}

/// How the demonstration ended.
#[derive(Debug)]
pub struct Outcome {
    /// What each queue has seen, in the order of service.
    pub queues: Vec<(String, Tally)>,
    /// How long the worker took.
    pub took: Duration,
    /// The embedded file.
    pub file: PathBuf,
}

/// The stage: an embedded file with jobs waiting.
#[derive(Debug)]
pub struct Demo {
    app: App,
    file: PathBuf,
    tallies: BTreeMap<String, Tally>,
}

impl Demo {
    /// Makes a new file in `dir` and dispatches the samples. Nothing of the environment counts.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub async fn set_up(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
        let file = dir.join("demo.sqlite");
        for leftover in ["demo.sqlite", "demo.sqlite-wal", "demo.sqlite-shm"] {
            let path = dir.join(leftover);
            if path.exists() {
                std::fs::remove_file(&path)
                    .with_context(|| format!("failed to remove {}", path.display()))?;
            }
        }
        let env = BTreeMap::from([("WORKER_DATABASE".to_owned(), file.display().to_string())]);
        let inputs = Inputs {
            env: &env,
            working_dir: dir.to_path_buf(),
            files: Files::default(),
            flags: BTreeMap::new(),
        };
        let config = Config::load(&inputs)?.config;
        let connection = config.queue.clone();
        let app = App::open(config, connection, Duration::ZERO).await?;
        let mut demo = Self {
            app,
            file,
            tallies: BTreeMap::new(),
        };
        demo.dispatch().await?;
        Ok(demo)
    }

    async fn dispatch(&mut self) -> anyhow::Result<()> {
        let mut jobs = Vec::new();
        for (queue, count, work_ms) in SAMPLES {
            let sample = Dispatch::new(r"Worker\Demo\Sample")
                .with("workMs", json!(work_ms))
                .on_queue(queue);
            jobs.extend((0..count).map(|_| sample.clone()));
        }
        let second_try = Dispatch::new(r"Worker\Demo\Flaky")
            .tries(3)
            .backoff([Duration::from_secs(1)]);
        jobs.push(second_try.on_queue("default"));
        jobs.push(Dispatch::new(r"Worker\Demo\Broken").tries(1).on_queue("einvoice"));
        for job in &jobs {
            let queue = job.queue.clone().unwrap_or_default();
            self.tallies.entry(queue).or_default().jobs += 1;
        }
        self.app.dispatcher().dispatch(jobs).await?;
        Ok(())
    }

    /// The queues in the order of service, with what waits on each.
    #[must_use]
    pub fn queues(&self) -> Vec<(String, Tally)> {
        let tally = |queue: &str| self.tallies.get(queue).cloned().unwrap_or_default();
        SAMPLES
            .iter()
            .map(|(queue, ..)| ((*queue).to_owned(), tally(queue)))
            .collect()
    }

    /// Works everything off.
    ///
    /// # Errors
    /// When the worker cannot start.
    pub async fn work(self, audience: Arc<dyn Audience>) -> anyhow::Result<Outcome> {
        let state = State::default();
        let counter = Arc::new(Counter {
            audience,
            state: state.clone(),
            tallies: Mutex::new(self.tallies),
        });
        let plan = Plan {
            options: Options {
                connection: self.app.connection.name.clone(),
                ..Options::default()
            },
            lanes: LaneFlags::default(),
            drain: Duration::from_secs(10),
            max_time: None,
            memory_mb: None,
            runners: super::php::Runners::Native,
            restart_ends: true,
            schedule: false,
            force: true,
            reporter: Arc::clone(&counter) as Arc<dyn Reporter>,
            signals: Some(Signals::catch()?),
        };
        let started = Instant::now();
        Box::pin(Daemon::run(self.app, plan, state)).await?;
        let took = started.elapsed();
        let tallies = counter.lock().clone();
        let of = |queue: &str| tallies.get(queue).cloned().unwrap_or_default();
        let queues = SAMPLES
            .iter()
            .map(|(queue, ..)| ((*queue).to_owned(), of(queue)))
            .collect();
        Ok(Outcome {
            queues,
            took,
            file: self.file,
        })
    }
}

/// Counts ends, and stops the worker after the last.
#[derive(Debug)]
struct Counter {
    audience: Arc<dyn Audience>,
    state: State,
    tallies: Mutex<BTreeMap<String, Tally>>,
}

impl Counter {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Tally>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Counter {
    fn ended(&self, end: &End) {
        let mut tallies = self.lock();
        let tally = tallies.entry(end.told.queue.as_str().to_owned()).or_default();
        match &end.verdict {
            Verdict::Delete => tally.done += 1,
            Verdict::Fail { .. } => tally.failed += 1,
            Verdict::Release { .. } => tally.retried += 1,
            Verdict::Refund { .. } | Verdict::Abandon => {}
        }
        tally.busy += end.took;
        tally.longest = tally.longest.max(end.took);
        self.audience.moved(end.told.queue.as_str(), &tally.clone(), end);
        if tallies
            .values()
            .all(|tally| tally.done + tally.failed >= tally.jobs)
        {
            self.state.stop(StopReason::Empty);
        }
    }
}
