//! The life of a worker process: start its lanes, watch over them, drain, end.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use sd_notify::NotifyState;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::App;
use super::lanes::LaneFlags;
use super::php::{self, Runners};
use super::tending::Tending;
use super::watchdog;
use crate::control::signals::Signals;
use crate::control::{cache, limits};
use crate::exit::Exit;
use crate::runner::native::NativeRunner;
use crate::runner::php::PhpRunner;
use crate::runner::php::pool::Pool;
use crate::runner::router::Router;
use crate::runtime::attempt;
use crate::runtime::decide::Outcome;
use crate::runtime::engine::{Budget, Engine, Options};
use crate::runtime::history::History;
use crate::runtime::hold::{Cause, Holds};
use crate::runtime::lane::Lane;
use crate::runtime::pulse::{Beat, Pulse};
use crate::runtime::report::Reporter;
use crate::runtime::reserve::Dry;
use crate::runtime::settle::{Settler, Writer};
use crate::runtime::state::{State, StopReason};
use crate::runtime::troubles::{Subject, Troubles, Witness};
use crate::runtime::unknown::Unknowns;
use crate::runtime::worker::run_lane;
use crate::store::port::QueueName;
use crate::telemetry;

/// How long attempts that were told to end may take before the process leaves without them.
const CUT_OFF: Duration = Duration::from_secs(3);
/// How long the last verdicts may take to be written.
const FLUSH: Duration = Duration::from_secs(30);
/// The same when the end was forced.
const FLUSH_FORCED: Duration = Duration::from_secs(3);
/// How long the start waits to hear which queues are paused.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// How often queues are looked for that no lane serves.
const DISCOVER: Duration = Duration::from_secs(30);

/// What is asked of a worker process.
#[derive(Debug)]
pub struct Plan {
    /// How jobs are run.
    pub options: Options,
    /// Which lanes.
    pub lanes: LaneFlags,
    /// How long a drain may take.
    pub drain: Duration,
    /// End after this time.
    pub max_time: Option<Duration>,
    /// Replace PHP processes at this much memory in megabytes; without any, end at it.
    pub memory_mb: Option<u64>,
    /// Run in maintenance mode too.
    pub force: bool,
    /// Which runners take jobs.
    pub runners: Runners,
    /// Whether a restart ends the process even where it could only replace its PHP processes.
    pub restart_ends: bool,
    /// Whether to run the application's scheduler.
    pub schedule: bool,
    /// Who hears of attempts.
    pub reporter: Arc<dyn Reporter>,
    /// The system's signals, when they are listened to.
    pub signals: Option<Signals>,
}

/// A worker process.
#[derive(Debug)]
pub struct Daemon {
    app: App,
    plan: Plan,
    engine: Arc<Engine>,
    lanes: Vec<Lane>,
    jobs: Runtime,
    pool: Option<Arc<Pool>>,
}

impl Daemon {
    /// Runs until it is told to stop or has nothing left to do.
    ///
    /// # Errors
    /// When it cannot start.
    pub async fn run(app: App, mut plan: Plan, state: State) -> anyhow::Result<Exit> {
        let signals = plan.signals.take();
        let (settler, orders) = Settler::new();
        let children = php::children(&app, plan.runners, plan.schedule)?;
        let pool = match &children {
            Some(children) => php::pool(&app, plan.runners, plan.memory_mb, children)?,
            None => None,
        };
        let engine = engine(&app, &plan, (state, settler), pool.clone())?;
        let mut lanes = plan.lanes.lanes(&app.config, app.default_queue().as_str());
        if plan.lanes.wants_all() {
            let found = app
                .stores
                .queue
                .queues()
                .await
                .map_err(|error| super::unreachable(&error))?;
            let served: Vec<_> = lanes.iter().flat_map(|lane| lane.queues.clone()).collect();
            let fresh = found.iter().filter(|queue| !served.contains(queue));
            lanes.extend(fresh.map(|queue| plan.lanes.lane(&app.config, [queue.as_str()])));
        }
        lanes
            .iter()
            .for_each(|lane| engine.state.serve(&lane.queues, lane.slots));
        let writer = Writer {
            queue: Arc::clone(&engine.queue),
            failed: Arc::clone(&app.stores.failed),
            holds: Arc::clone(&engine.holds),
            reporter: Arc::clone(&engine.reporter),
            troubles: Arc::clone(&engine.troubles),
            pulse: Arc::clone(&engine.pulse),
            lease: engine.options.lease,
        };
        let threads = std::thread::available_parallelism().map_or(4, usize::from).max(4);
        let jobs = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("jobs")
            .enable_all()
            .build()?;
        let _threads = super::threads::keep([jobs.handle().clone(), Handle::current()]).await;
        let mut writing = JoinSet::new();
        let state = engine.state.clone();
        writing.spawn(vital("the writer of verdicts", state, async move {
            writer.run(orders).await;
        }));
        let tending = Tending::begin(&app, &plan, &engine, (pool.clone(), children))?;
        let daemon = Self {
            app,
            plan,
            engine,
            lanes,
            jobs,
            pool,
        };
        let exit = daemon.work(signals).await;
        tending.end().await;
        writing.abort_all();
        daemon.jobs.shutdown_background();
        Ok(exit)
    }

    async fn work(&self, signals: Option<Signals>) -> Exit {
        let (looked, first_look) = oneshot::channel();
        let mut watches = self.watches(looked, signals);
        self.announce();
        // What is paused at the start stays untouched.
        let first_look = tokio::time::timeout(FIRST_LOOK, first_look);
        let _ = self.engine.state.stopping().run_until_cancelled(first_look).await;
        let forced = self.lanes_until_drained().await;
        let forced = self.flush(forced).await;
        watches.abort_all();
        super::presence::leave(&self.app).await;
        telemetry::tell_rest();
        let reason = self.engine.state.reason();
        info!("Stopped: {}", reason.map_or("forced", StopReason::as_str));
        match (forced, reason) {
            (true, _) => Exit::Error,
            (false, Some(StopReason::Memory)) => Exit::Memory,
            (false, _) => Exit::Done,
        }
    }

    /// Waits until the last verdicts are written, for a limited time. Says whether the end was forced, by
    /// now.
    async fn flush(&self, forced: bool) -> bool {
        let state = &self.engine.state;
        let limit = async {
            if !forced {
                let patient = tokio::time::sleep(FLUSH);
                let _ = state.forced().run_until_cancelled(patient).await;
            }
            if state.forced().is_cancelled() {
                tokio::time::sleep(FLUSH_FORCED).await;
            }
        };
        tokio::select! {
            () = self.engine.holds.wait_for_none() => {}
            () = limit => {
                let left = self.engine.holds.len();
                warn!(left, "{left} jobs could not be settled; they come back when their leases end");
            }
        }
        state.forced().is_cancelled()
    }

    /// Runs the lanes; returns when they have ended or their time to drain is over. Says whether the end
    /// was forced.
    async fn lanes_until_drained(&self) -> bool {
        let state = &self.engine.state;
        let mut lanes = JoinSet::new();
        let dry = Arc::new(Dry::default());
        self.lanes.iter().for_each(|_| dry.add());
        for lane in &self.lanes {
            lanes.spawn(self.lane(lane.clone(), &dry));
        }
        if lanes.is_empty() && self.engine.options.stop_when_empty_for.is_some() {
            state.stop(StopReason::Empty);
        }
        let mut discover = tokio::time::interval(DISCOVER);
        while !state.stopping().is_cancelled() {
            tokio::select! {
                () = state.stopping().cancelled() => {}
                ended = lanes.join_next(), if !lanes.is_empty() => {
                    if !state.stopping().is_cancelled() {
                        error!("A lane ended by itself, stopping: {ended:?}");
                        state.force();
                    }
                }
                _ = discover.tick() => {
                    let found = state.stopping().run_until_cancelled(self.discover()).await;
                    for lane in found.unwrap_or_default() {
                        info!(slots = lane.slots, "Lane {}, found in the store: {} at a time", lane.name, lane.slots);
                        state.serve(&lane.queues, lane.slots);
                        dry.add();
                        let (lane, stopping) = (self.lane(lane, &dry), state.stopping().clone());
                        lanes.spawn(async move {
                            // By then it is known whether the queue is paused.
                            let _ = stopping.run_until_cancelled(tokio::time::sleep(FIRST_LOOK)).await;
                            lane.await;
                        });
                    }
                }
            }
        }
        watchdog::tell(&NotifyState::Stopping);
        self.drain(&mut lanes).await
    }

    fn lane(&self, lane: Lane, dry: &Arc<Dry>) -> impl Future<Output = ()> + Send + 'static {
        run_lane(
            Arc::clone(&self.engine),
            Arc::new(lane),
            Arc::clone(dry),
            self.jobs.handle().clone(),
        )
    }

    /// Waits for running jobs, up to the limit or a second signal; then tells them to end.
    async fn drain(&self, lanes: &mut JoinSet<()>) -> bool {
        let state = &self.engine.state;
        let running = self.engine.holds.len();
        if running > 0 {
            info!(
                running,
                "Draining: {running} jobs are running, for up to {} s",
                self.plan.drain.as_secs()
            );
        }
        let all = async { while lanes.join_next().await.is_some() {} };
        tokio::select! {
            () = all => return false,
            () = state.forced().cancelled() => {}
            () = tokio::time::sleep(self.plan.drain) => {
                warn!("The time to drain is over: jobs that still run are cut short and go back uncounted");
            }
        }
        self.engine.holds.end_all(Cause::Stop);
        let all = async { while lanes.join_next().await.is_some() {} };
        if tokio::time::timeout(CUT_OFF, all).await.is_err() {
            warn!("Some jobs ignore that they are cut short; their leases will lapse");
        }
        state.forced().is_cancelled()
    }

    /// With `--queue='*'`, a lane for every queue that holds jobs and that no lane serves; else a word
    /// about those that nobody serves.
    async fn discover(&self) -> Vec<Lane> {
        let Ok(found) = self.engine.queue.queues().await else {
            return Vec::new();
        };
        let served = self.engine.state.served();
        let is_served = |queue: &QueueName| served.iter().any(|(known, _)| known == queue);
        let fresh: Vec<_> = found.into_iter().filter(|queue| !is_served(queue)).collect();
        if self.plan.lanes.wants_all() {
            let lane = |queue: &QueueName| self.plan.lanes.lane(&self.app.config, [queue.as_str()]);
            return fresh.iter().map(lane).collect();
        }
        let others = self.app.stores.presence.list().await.unwrap_or_default();
        let consumed = |name: &str| {
            others
                .iter()
                .any(|process| process.queues.iter().any(|(queue, _)| queue == name))
        };
        let orphans: Vec<_> = fresh
            .iter()
            .map(|queue| queue.as_str())
            .filter(|name| !consumed(name))
            .collect();
        if orphans.is_empty() {
            self.engine.troubles.clear("queues");
        } else {
            let names = orphans.join(", ");
            let what = format!("hold jobs that no worker of this kind consumes: {names}");
            if self.engine.troubles.note("queues", &what) {
                warn!("Queues {what}. Name them with --queue, or consume all with --queue='*'");
            }
        }
        Vec::new()
    }

    fn watches(&self, looked: oneshot::Sender<()>, signals: Option<Signals>) -> JoinSet<()> {
        let mut watches = JoinSet::new();
        let (engine, state) = (&self.engine, self.engine.state.clone());
        let (holds, queue, lease) = (
            Arc::clone(&engine.holds),
            Arc::clone(&engine.queue),
            engine.options.lease,
        );
        let beat = engine.pulse.beat("the renewal of leases");
        let store = Witness::new(&engine.troubles, Subject::Store, "renew leases");
        let renew = async move { holds.renew_leases(&*queue, lease, &beat, &store).await };
        watches.spawn(vital("the renewal of leases", state.clone(), renew));
        let beat = engine.pulse.beat("the watch over limits");
        let limits = watch_limits(Arc::clone(&engine.holds), beat, Arc::downgrade(engine));
        watches.spawn(vital("the watch over limits", state.clone(), limits));
        let watch = cache::Watch {
            cache: self.app.stores.cache.clone(),
            connection: engine.options.connection.clone(),
            base_path: self.app.config.app.base_path.clone(),
            force: self.plan.force,
        };
        let watched = state.clone();
        watches.spawn(async move { watch.run(&watched, looked).await });
        if let Some(caught) = signals {
            let watched = state.clone();
            watches.spawn(async move { caught.listen(&watched).await });
        }
        if let Some(time) = self.plan.max_time {
            let watched = state.clone();
            watches.spawn(async move { limits::time(&watched, time).await });
        }
        if let Some(limit_mb) = self.plan.memory_mb.filter(|mb| *mb > 0 && self.pool.is_none()) {
            watches.spawn(async move { limits::memory(&state, limit_mb).await });
        }
        if let Some(address) = self.app.config.http {
            watches.spawn(super::http::serve(address, Arc::clone(engine)));
        }
        let (app, beating, pool) = (self.app.clone(), Arc::clone(engine), self.pool.clone());
        watches.spawn(async move { super::presence::beat(app, beating, pool).await });
        let watched = Arc::clone(engine);
        watches.spawn(async move { watchdog::watch(watched).await });
        watches
    }

    /// Says what was started, to the log and to systemd.
    fn announce(&self) {
        let version = env!("CARGO_PKG_VERSION");
        let connection = &self.engine.options.connection;
        info!(
            "worker {version} consumes connection {connection}, lease {} s",
            self.engine.options.lease.as_secs()
        );
        for line in super::words::stores(&self.app.config, &self.app.connection) {
            info!("{line}");
        }
        if let Some(pool) = &self.pool {
            let settings = &pool.settings;
            let (processes, base) = (settings.processes, settings.base.display());
            info!(
                processes,
                "PHP jobs of {base} run in {processes} processes, shared by all lanes"
            );
        }
        for lane in &self.lanes {
            info!(slots = lane.slots, "Lane {}: {} at a time", lane.name, lane.slots);
        }
        watchdog::tell(&NotifyState::Ready);
    }
}

/// Runs what a worker cannot do without; should it break, the worker ends rather than go on without.
pub(super) async fn vital(what: &'static str, state: State, task: impl Future<Output = ()> + Send) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        error!("A defect ended {what}; the worker ends, its jobs come back when their leases end");
        state.force();
    }
}

/// Looks at limits, and ends attempts whose code does not end by itself.
async fn watch_limits(holds: Arc<Holds>, beat: Beat, engine: Weak<Engine>) {
    let tracker = TaskTracker::new();
    let finish = |run: Arc<attempt::Run>| {
        if let Some(engine) = engine.upgrade() {
            tracker.spawn(async move { attempt::finish(&engine, &run, Outcome::TimedOut).await });
        }
    };
    holds.watch_limits(&beat, finish).await;
}

fn engine(
    app: &App,
    plan: &Plan,
    (state, settler): (State, Settler),
    pool: Option<Arc<Pool>>,
) -> anyhow::Result<Arc<Engine>> {
    if pool.is_some() && !plan.restart_ends {
        state.allow_reloads();
    }
    let native = if plan.runners == Runners::Php {
        None
    } else {
        Some(NativeRunner::new(Arc::new(app.registry()?), app.keys()?))
    };
    let lease = plan.options.lease;
    let runner = Router {
        native,
        php: pool.map(|pool| PhpRunner::new(pool, lease)),
    };
    Ok(Arc::new(Engine {
        options: plan.options.clone(),
        queue: Arc::clone(&app.stores.queue),
        cache: app.stores.cache.clone(),
        history: History::new(app.stores.cache.clone()),
        runner: Arc::new(runner),
        dispatcher: Arc::new(app.dispatcher()),
        reporter: Arc::clone(&plan.reporter),
        clock: Arc::clone(&app.clock),
        state,
        holds: Arc::new(Holds::new(Arc::clone(&app.clock))),
        settler,
        unknowns: Unknowns::default(),
        budget: Budget::new(plan.options.max_jobs),
        troubles: Arc::new(Troubles::default()),
        pulse: Arc::new(Pulse::default()),
    }))
}
