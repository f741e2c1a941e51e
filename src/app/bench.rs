//! Measures this worker: enqueue, drain, latency, memory, and what it costs when idle.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::task::JoinSet;
use worker_jobs::Dispatch;

use super::App;
use super::daemon::{Daemon, Plan};
use super::lanes::LaneFlags;
use crate::config::{Config, Database, Env, Files, Inputs};
use crate::control::limits::resident_bytes;
use crate::runtime::engine::Options;
use crate::runtime::report::{End, Reporter, Told};
use crate::runtime::state::{State, StopReason};
use crate::store::port::QueueName;

/// The queue that is measured.
const QUEUE: &str = "bench";
/// Jobs pushed in one call.
const BATCH: usize = 1000;
/// Jobs pushed one by one to measure latency.
const PINGS: usize = 400;
/// The pause between them: 200 jobs/s.
const PING_EVERY: Duration = Duration::from_millis(5);
/// How long the idle worker is watched.
const IDLE: Duration = Duration::from_secs(10);

/// Where to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The configured Redis server, under a prefix of its own: nothing of it is left a minute later.
    Redis,
    /// An SQLite file of its own in the temporary directory.
    Sqlite,
    /// The configured PostgreSQL database, whose table of jobs must be empty.
    Postgres,
    /// The configured MySQL or MariaDB database, whose table of jobs must be empty.
    Mysql,
}

impl Store {
    fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// The store.
    pub store: &'static str,
    /// Jobs drained.
    pub jobs: usize,
    /// Slots of the lane.
    pub slots: usize,
    /// Bytes of one payload.
    pub payload_bytes: usize,
    /// Jobs pushed per second, in batches.
    pub enqueue_per_s: f64,
    /// Jobs drained per second, from start to the last verdict written.
    pub drain_per_s: f64,
    /// Worker CPU per drained job, in microseconds.
    pub cpu_us_per_job: Option<f64>,
    /// Push to start at 200 jobs/s, median, in milliseconds.
    pub latency_p50_ms: f64,
    /// The same, 99 of 100.
    pub latency_p99_ms: f64,
    /// Resident memory after all this, in megabytes.
    pub resident_mb: Option<f64>,
    /// Commands that the idle worker sends per second with five lanes; Redis only.
    pub idle_commands_per_s: Option<f64>,
    /// Processor share of the idle worker, in per cent of one core.
    pub idle_cpu_percent: Option<f64>,
}

/// Runs all measurements.
///
/// # Errors
/// When the store cannot be used, or a job ran twice or not at all.
pub async fn measure(store: Store, jobs: usize, slots: usize, env: &dyn Env) -> anyhow::Result<Figures> {
    let scratch = std::env::temp_dir().join(format!("worker-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).with_context(|| format!("failed to make {}", scratch.display()))?;
    let bench = Bench {
        store,
        slots,
        config: config(store, &scratch, env)?,
    };
    let figures = bench.run(jobs).await;
    std::fs::remove_dir_all(&scratch).with_context(|| format!("failed to remove {}", scratch.display()))?;
    figures
}

/// Settings of a measurement: the caller's server, names of our own.
fn config(store: Store, scratch: &std::path::Path, env: &dyn Env) -> anyhow::Result<Config> {
    let file = scratch.join("bench.sqlite").display().to_string();
    let mut vars = BTreeMap::from([("WORKER_DATABASE".to_owned(), file)]);
    let prefixes: &[&str] = match store {
        Store::Redis => &["REDIS_"],
        Store::Sqlite => &[],
        Store::Postgres | Store::Mysql => &["DB_", "DATABASE_URL", "MYSQL"],
    };
    for name in env.names() {
        if prefixes.iter().any(|prefix| name.starts_with(prefix))
            && let Some(value) = env.get(&name).and_then(|value| value.into_string().ok())
        {
            vars.insert(name, value);
        }
    }
    if let Store::Postgres | Store::Mysql = store {
        let name = if store == Store::Mysql { "mysql" } else { "pgsql" };
        vars.entry("DB_CONNECTION".to_owned())
            .or_insert_with(|| name.to_owned());
        vars.insert("QUEUE_CONNECTION".to_owned(), "database".to_owned());
        vars.insert("QUEUE_FAILED_DRIVER".to_owned(), "null".to_owned());
    }
    if store == Store::Redis {
        vars.insert("QUEUE_CONNECTION".to_owned(), "redis".to_owned());
        vars.insert(
            "REDIS_PREFIX".to_owned(),
            format!("worker_bench_{}_", uuid::Uuid::new_v4().simple()),
        );
        vars.insert("CACHE_STORE".to_owned(), "redis".to_owned());
        vars.insert("QUEUE_FAILED_DRIVER".to_owned(), "null".to_owned());
    }
    let inputs = Inputs {
        env: &vars,
        working_dir: scratch.to_path_buf(),
        files: Files::default(),
        flags: BTreeMap::new(),
    };
    let config = Config::load(&inputs)?.config;
    let is_named = match (store, config.databases.default()) {
        (Store::Redis | Store::Sqlite, _) => true,
        (Store::Postgres, database) => matches!(database, Ok(Database::Postgres { .. })),
        (Store::Mysql, database) => matches!(database, Ok(Database::Mysql { .. })),
    };
    ensure!(
        is_named,
        "DB_CONNECTION and the other DB_ variables must name a {} database",
        store.name()
    );
    Ok(config)
}

struct Bench {
    store: Store,
    slots: usize,
    config: Config,
}

impl Bench {
    async fn run(&self, jobs: usize) -> anyhow::Result<Figures> {
        let app = self.app().await?;
        let found = app.stores.queue.queues().await?;
        ensure!(
            found.is_empty(),
            "there are jobs on {} queues; the measurement needs a table without any",
            found.len()
        );
        let (enqueue_per_s, payload_bytes) = self.enqueue(&app, jobs).await?;
        let cpu = cpu_time();
        let drain_per_s = self.drain(&app, jobs).await?;
        let spent = cpu
            .zip(cpu_time())
            .map(|(before, after)| after.saturating_sub(before));
        let mut latencies = self.latencies(&app).await?;
        latencies.sort_unstable();
        let (idle_commands_per_s, idle_cpu_percent) = self.idle(&app).await?;
        app.stores.queue.clear(&QueueName::new(QUEUE)).await?;
        Ok(Figures {
            store: self.store.name(),
            jobs,
            slots: self.slots,
            payload_bytes,
            enqueue_per_s,
            drain_per_s,
            cpu_us_per_job: spent.map(|spent| micros(spent) / count(jobs)),
            latency_p50_ms: quantile(&latencies, 0.5),
            latency_p99_ms: quantile(&latencies, 0.99),
            resident_mb: resident_bytes().map(bytes_as_mb),
            idle_commands_per_s,
            idle_cpu_percent,
        })
    }

    async fn app(&self) -> anyhow::Result<App> {
        App::open(
            self.config.clone(),
            self.config.queue.clone(),
            Duration::from_secs(5),
        )
        .await
    }

    async fn enqueue(&self, app: &App, jobs: usize) -> anyhow::Result<(f64, usize)> {
        let dispatcher = app.dispatcher();
        let noop = noop();
        let mut bytes = 0;
        let started = Instant::now();
        for start in (0..jobs).step_by(BATCH) {
            let batch = (start..jobs.min(start + BATCH)).map(|_| Ok(dispatcher.compose(&noop)?.0));
            let batch = batch.collect::<anyhow::Result<Vec<_>>>()?;
            bytes = batch.first().map_or(bytes, |job| job.payload.len());
            app.stores.queue.push(&batch).await?;
        }
        Ok((count(jobs) / started.elapsed().as_secs_f64(), bytes))
    }

    async fn drain(&self, app: &App, jobs: usize) -> anyhow::Result<f64> {
        let state = State::default();
        let counter = Arc::new(Counter {
            left: AtomicU64::new(u64::try_from(jobs)?),
            state: state.clone(),
        });
        let started = Instant::now();
        Box::pin(Daemon::run(
            app.clone(),
            self.plan(counter.clone(), &[QUEUE]),
            state,
        ))
        .await?;
        let took = started.elapsed().as_secs_f64();
        let left = counter.left.load(Ordering::Acquire);
        let depth = app.stores.queue.depth(&[QueueName::new(QUEUE)]).await?;
        let still: u64 = depth
            .iter()
            .map(|depth| depth.pending + depth.delayed + depth.reserved)
            .sum();
        ensure!(
            left == 0 && still == 0,
            "{left} jobs did not run and {still} are still on the queue"
        );
        Ok(count(jobs) / took)
    }

    /// Push to start at a steady pace, on an otherwise idle worker.
    async fn latencies(&self, app: &App) -> anyhow::Result<Vec<Duration>> {
        let state = State::default();
        let watch = Arc::new(StopWatch {
            started: Mutex::default(),
            left: AtomicU64::new(PINGS as u64),
            state: state.clone(),
        });
        let plan = self.plan(watch.clone(), &[QUEUE]);
        let mut daemon = JoinSet::new();
        let served = app.clone();
        daemon.spawn(async move { Box::pin(Daemon::run(served, plan, state)).await.map(drop) });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let dispatcher = app.dispatcher();
        let mut pushed = HashMap::new();
        let mut pace = tokio::time::interval(PING_EVERY);
        for _ in 0..PINGS {
            pace.tick().await;
            let (job, uuid) = dispatcher.compose(&noop())?;
            pushed.insert(uuid, Instant::now());
            app.stores.queue.push(&[job]).await?;
        }
        while let Some(ended) = daemon.join_next().await {
            ended??;
        }
        let started = watch.started.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(started
            .iter()
            .filter_map(|(uuid, at)| Some(at.duration_since(*pushed.get(uuid)?)))
            .collect())
    }

    /// What five idle lanes cost.
    async fn idle(&self, app: &App) -> anyhow::Result<(Option<f64>, Option<f64>)> {
        let state = State::default();
        let plan = self.plan(Arc::new(Silent), &["a", "b", "c", "d", "e"]);
        let mut daemon = JoinSet::new();
        let (served, stopper) = (app.clone(), state.clone());
        daemon.spawn(async move { Box::pin(Daemon::run(served, plan, state)).await.map(drop) });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let cpu = cpu_time();
        let commands = match self.store {
            Store::Redis => Some(self.commands(IDLE).await?),
            Store::Sqlite | Store::Postgres | Store::Mysql => {
                tokio::time::sleep(IDLE).await;
                None
            }
        };
        let spent = cpu
            .zip(cpu_time())
            .map(|(before, after)| after.saturating_sub(before));
        stopper.stop(StopReason::Empty);
        while let Some(ended) = daemon.join_next().await {
            ended??;
        }
        let per_s = commands.map(|commands| count(commands) / IDLE.as_secs_f64());
        Ok((
            per_s,
            spent.map(|spent| 100.0 * spent.as_secs_f64() / IDLE.as_secs_f64()),
        ))
    }

    /// How many commands clients send to the server within `time`; what scripts run does not count.
    async fn commands(&self, time: Duration) -> anyhow::Result<usize> {
        let crate::config::Address::Tcp { host, port, .. } = &self.config.redis.address else {
            return Ok(0);
        };
        let client = redis::Client::open(format!("redis://{host}:{port}"))?;
        let monitor = client
            .get_async_monitor()
            .await
            .context("failed to watch the server with MONITOR")?;
        let lines = monitor.into_on_message::<String>();
        let sent = lines
            .take_until(tokio::time::sleep(time))
            .filter(|line| std::future::ready(!line.contains(" lua]")));
        Ok(sent.count().await)
    }

    fn plan(&self, reporter: Arc<dyn Reporter>, queues: &[&str]) -> Plan {
        Plan {
            options: Options {
                connection: self.config.queue.name.clone(),
                ..Options::default()
            },
            lanes: LaneFlags {
                queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
                only_default: false,
                slots: Some(self.slots),
            },
            drain: Duration::from_secs(10),
            max_time: None,
            memory_mb: None,
            runners: super::php::Runners::Native,
            restart_ends: true,
            schedule: false,
            force: true,
            reporter,
            signals: None,
        }
    }
}

/// A no-op job whose payload has about 400 bytes, as one of Laravel's.
fn noop() -> Dispatch {
    Dispatch::new(r"Worker\Bench\Noop").on_queue(QUEUE)
}

/// Stops the worker after the last job.
#[derive(Debug)]
struct Counter {
    left: AtomicU64,
    state: State,
}

impl Reporter for Counter {
    fn ended(&self, _: &End) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.state.stop(StopReason::Empty);
        }
    }
}

/// Notes when each job starts.
#[derive(Debug)]
struct StopWatch {
    started: Mutex<HashMap<String, Instant>>,
    left: AtomicU64,
    state: State,
}

impl Reporter for StopWatch {
    fn wants_starts(&self) -> bool {
        true
    }

    fn started(&self, told: &Told) {
        self.started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(told.uuid.clone(), Instant::now());
    }

    fn ended(&self, _: &End) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.state.stop(StopReason::Empty);
        }
    }
}

#[derive(Debug)]
struct Silent;

impl Reporter for Silent {
    fn ended(&self, _: &End) {}
}

/// Processor time of this process so far; `None` where the system does not tell.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok();
    let own: u64 = text?.split_whitespace().next()?.parse().ok()?;
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let all: u64 = tasks.flatten().filter_map(of).sum();
    Some(Duration::from_nanos(all.max(own)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]
fn count(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "memory in bytes is far below 2^52")]
fn bytes_as_mb(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The value below which `share` of the sorted times lie, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index between 0 and the length"
)]
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (count(last) * share).round() as usize;
    sorted
        .get(index.min(last))
        .map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
