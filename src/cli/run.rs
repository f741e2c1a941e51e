//! `worker run` and `worker work`: consume queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Common;
use super::session::{Session, block_on_threads};
use crate::app::App;
use crate::app::daemon::{Daemon, Plan};
use crate::app::lanes::LaneFlags;
use crate::app::php::Runners;
use crate::app::report::{JsonReporter, LogReporter, QuietReporter};
use crate::config::{Config, OnUnknown};
use crate::control::signals::Signals;
use crate::exit::Exit;
use crate::runtime::engine::{self, Options};
use crate::runtime::report::Reporter;
use crate::runtime::state::State;

const AFTER: &str = "\
Examples:
  worker run                              every configured queue, each in its own lane
  worker run --queue einvoice             one queue
  worker run --queue high,default         one lane, strictly in this order
  worker run --queue high --queue '*'     a lane for high, and one for every other queue found
  worker run --stop-when-empty            work off what is there, then end

SIGTERM, SIGINT and SIGQUIT finish what runs and take nothing new; a second one ends at once and gives
running jobs back uncounted. SIGHUP replaces PHP processes, SIGUSR2 pauses, SIGCONT resumes.
Exit codes: 0 as asked, 1 forced, 12 memory limit, 69 store not reachable, 78 invalid configuration.";

/// Arguments of `worker run` and `worker work`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The connection: redis, database, or one of the application's named Redis connections [default:
    /// `QUEUE_CONNECTION`]. Consumes that connection's own queue only, as queue:work does.
    connection: Option<String>,
    /// Queues of one lane, in strict order, separated by commas. Repeat it for more lanes; '*' adds a lane
    /// for every queue found.
    #[arg(long, value_name = "LIST")]
    queue: Vec<String>,
    /// Jobs at a time in each lane [default: 10, migration 2].
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Run one job, then end.
    #[arg(long)]
    once: bool,
    /// End when nothing is left.
    #[arg(long)]
    stop_when_empty: bool,
    /// End when nothing came for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    stop_when_empty_for: u64,
    /// End after this many jobs; 0 for never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_jobs: u64,
    /// End after this many seconds; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    max_time: u64,
    /// Replace a PHP process at this much resident memory in MB [default: `WORKER_PHP_MEMORY_MB`]; where there
    /// are none, end the worker at it. 0 for never.
    #[arg(long, value_name = "MB")]
    memory: Option<u64>,
    /// Tries of a job whose payload says nothing; 0 for no limit [default: 1].
    #[arg(long, value_name = "N")]
    tries: Option<u32>,
    /// Time limit in seconds of a job whose payload says nothing, in place of its queue's; 0 for none.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Seconds before the next attempt of a job whose payload says nothing: one number, or a list by attempt.
    #[arg(long, value_name = "LIST")]
    backoff: Option<String>,
    /// Seconds between two looks, at most, at an empty queue of a store that cannot wake the worker. Redis and
    /// SQLite can, and PostgreSQL with `worker migrate --notify`.
    #[arg(long, value_name = "SECONDS")]
    sleep: Option<String>,
    /// Pause in seconds of each slot after a job; fractions allowed.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    rest: f64,
    /// Run in maintenance mode too.
    #[arg(long)]
    force: bool,
    /// Print one JSON object per job, as queue:work --json does.
    #[arg(long)]
    json: bool,
    /// How long a drain may take, in seconds or as 90s, 10m [default: 600].
    #[arg(long, value_name = "TIME")]
    drain: Option<String>,
    /// Serve health (/livez, /readyz) here; `$PORT` stands for the variable PORT [default: `WORKER_HTTP`].
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<String>,
    /// What happens to jobs that nobody here runs: release puts them off uncounted for workers beside this
    /// one, fail fails them [default: release].
    #[arg(long, value_name = "WHAT")]
    on_unknown: Option<String>,
    /// Run every job in PHP, also those of classes that this worker runs natively.
    #[arg(long, conflicts_with = "native_only")]
    php_only: bool,
    /// Start no PHP; run native jobs only.
    #[arg(long)]
    native_only: bool,
    /// Run `artisan schedule:run` of the application every minute too, in one process of this host.
    #[arg(long)]
    schedule: bool,
    /// What queue:restart and SIGHUP do where there are PHP processes: reload replaces them, exit ends the
    /// worker once its jobs have ended.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnRestart::Reload)]
    on_restart: OnRestart,
    /// Taken for compatibility; has no effect.
    #[arg(long, hide = true)]
    name: Option<String>,
    /// Taken for compatibility; has no effect.
    #[arg(long, hide = true)]
    daemon: bool,
    /// Laravel's old name of --backoff; the larger of both counts.
    #[arg(long, hide = true)]
    delay: Option<u64>,
}

/// What a restart does where there are PHP processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnRestart {
    /// Replaces them.
    Reload,
    /// Ends the worker.
    Exit,
}

/// Whose manners to follow where no queue is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Every configured queue in a lane of its own.
    Ours,
    /// The connection's own queue.
    Laravel,
}

/// Consumes queues until told to stop.
///
/// # Errors
/// Exit 78 for an invalid configuration, 69 when the store is not reachable within the start-up limit.
pub(super) fn run(common: &Common, args: &Args, manner: Manner) -> anyhow::Result<Exit> {
    let session = Session::load(common, args.settings())?;
    session.start_log(common);
    args.tell_what_has_no_effect();
    let connection = session.connection(args.connection.as_deref())?;
    block_on_threads(async {
        let patience = session.loaded.config.worker.start_wait;
        let mut signals = Signals::catch()?;
        let app = tokio::select! {
            app = App::open(session.loaded.config.clone(), connection, patience) => app?,
            () = signals.stop() => return Ok(Exit::Done),
        };
        tell_what_is_odd(&app).await;
        let mut plan = args.plan(common, &app, manner);
        plan.signals = Some(signals);
        Box::pin(Daemon::run(app, plan, State::default())).await
    })
}

/// Says what keeps signals or jobs from arriving, as far as it shows at start.
async fn tell_what_is_odd(app: &App) {
    if app.stores.cache.is_none() {
        tracing::warn!(
            "The cache store (CACHE_STORE) cannot be read from here: queue:restart and queue:pause cannot arrive"
        );
    }
    match app.elsewhere().await {
        Ok(Some((prefix, queues))) => {
            let names: Vec<_> = queues.iter().map(|queue| queue.as_str()).collect();
            let ours = &app.config.redis.prefix;
            tracing::warn!(
                "No queue is under the prefix {ours:?}, but under {prefix:?} there are: {}. Set REDIS_PREFIX",
                names.join(", ")
            );
        }
        Ok(None) => {}
        Err(error) => tracing::debug!("The other prefix could not be looked at: {error}"),
    }
}

impl Args {
    /// The flags that replace settings.
    fn settings(&self) -> BTreeMap<String, String> {
        let backoff = match (&self.backoff, self.delay) {
            (Some(list), Some(delay)) if list.parse::<u64>().is_ok_and(|backoff| backoff < delay) => {
                Some(delay.to_string())
            }
            (None, Some(delay)) => Some(delay.to_string()),
            (list, _) => list.clone(),
        };
        [
            ("concurrency", self.concurrency.map(|n| n.to_string())),
            ("tries", self.tries.map(|n| n.to_string())),
            ("timeout", self.timeout.map(|n| n.to_string())),
            ("backoff", backoff),
            ("sleep", self.sleep.clone()),
            ("drain", self.drain.clone()),
            ("on-unknown", self.on_unknown.clone()),
            ("http", self.http.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }

    fn tell_what_has_no_effect(&self) {
        let given = [("--name", self.name.is_some()), ("--daemon", self.daemon)];
        for (flag, _) in given.iter().filter(|(_, given)| *given) {
            tracing::warn!("{flag} is known to Laravel but has no effect here");
        }
    }

    fn plan(&self, common: &Common, app: &App, manner: Manner) -> Plan {
        let config = &app.config;
        Plan {
            options: self.options(config, &app.connection.name),
            lanes: LaneFlags {
                queues: self.queue.clone(),
                only_default: manner == Manner::Laravel || self.connection.is_some(),
                slots: None,
            },
            drain: config.worker.drain,
            max_time: seconds(self.max_time),
            memory_mb: self.memory,
            force: self.force,
            runners: Runners::chosen(self.php_only, self.native_only),
            schedule: self.schedule,
            restart_ends: self.on_restart == OnRestart::Exit,
            reporter: self.reporter(common, app),
            signals: None,
        }
    }

    fn options(&self, config: &Config, connection: &str) -> Options {
        let max_jobs = if self.once {
            Some(1)
        } else {
            (self.max_jobs > 0).then_some(self.max_jobs)
        };
        let at_once = (self.once || self.stop_when_empty).then_some(Duration::ZERO);
        Options {
            connection: connection.to_owned(),
            lease: config.worker.lease,
            on_unknown: match config.worker.on_unknown {
                OnUnknown::Release => engine::OnUnknown::Release,
                OnUnknown::Fail => engine::OnUnknown::Fail,
            },
            rest: Duration::try_from_secs_f64(self.rest).unwrap_or_default(),
            max_jobs,
            stop_when_empty_for: at_once.or_else(|| seconds(self.stop_when_empty_for)),
        }
    }

    fn reporter(&self, common: &Common, app: &App) -> Arc<dyn Reporter> {
        if self.json {
            Arc::new(JsonReporter::new(Arc::clone(&app.clock), app.timezone()))
        } else if common.is_quiet() {
            Arc::new(QuietReporter)
        } else {
            Arc::new(LogReporter)
        }
    }
}

fn seconds(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
