//! What every command begins with: settings, the log, a runtime, the application.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing::warn;

use super::Common;
use crate::app::App;
use crate::config::{Config, Files, Inputs, Loaded, LogFormat, ProcessEnv, QueueConnection};
use crate::exit::{Exit, Failure};
use crate::telemetry::{self, Format};

/// How long a command waits for a store; `worker run` waits as configured.
const PATIENCE: Duration = Duration::from_secs(5);
/// Threads that a worker must be able to have at a time: those of its runtime, and those that wait for files, for
/// names of hosts and for PHP processes to start.
const THREADS: usize = 16;

/// The settings of one command.
#[derive(Debug)]
pub(super) struct Session {
    /// The settings, with what there is to say about them.
    pub(super) loaded: Loaded,
}

impl Session {
    /// Reads all settings; `flags` are those of the command that replace some.
    ///
    /// # Errors
    /// Exit 78 with every mistake at once.
    pub(super) fn load(common: &Common, flags: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let env = ProcessEnv::capture();
        let refused = |problems: crate::config::Problems| Failure::new(Exit::Config, problems.to_string());
        let inputs = inputs(common, &env, flags)?;
        Ok(Self {
            loaded: Config::load(&inputs).map_err(refused)?,
        })
    }

    /// Reads all settings and starts the log at a command's level: only warnings, unless asked for more.
    ///
    /// # Errors
    /// As [`Session::load`].
    pub(super) fn start(common: &Common) -> anyhow::Result<Self> {
        let session = Self::load(common, BTreeMap::new())?;
        telemetry::start(common.filter("warn"), Format::Human);
        Ok(session)
    }

    /// Starts the log of a worker, and says what is odd about the settings.
    pub(super) fn start_log(&self, common: &Common) {
        let config = &self.loaded.config;
        let format = match config.worker.log_format {
            LogFormat::Auto => Format::Auto,
            LogFormat::Human => Format::Human,
            LogFormat::Json => Format::Json,
        };
        telemetry::start(common.filter(&config.app.log_filter), format);
        for (flag, _) in [("--ansi", common.ansi), ("--no-ansi", common.no_ansi)]
            .iter()
            .filter(|(_, given)| *given)
        {
            warn!("{flag} is known to Laravel but has no effect here");
        }
        for warning in &self.loaded.warnings {
            warn!("{warning}");
        }
    }

    /// A connection by name, or the one of `QUEUE_CONNECTION`.
    ///
    /// # Errors
    /// Exit 78 when there is no such connection.
    pub(super) fn connection(&self, name: Option<&str>) -> anyhow::Result<QueueConnection> {
        let config = &self.loaded.config;
        let Some(name) = name else {
            return Ok(config.queue.clone());
        };
        config.connection(name).map_err(|problem| invalid(&problem))
    }

    /// The application over a connection; waits a few seconds for its store.
    ///
    /// # Errors
    /// Exit 78 or 69, see [`App::open`].
    pub(super) async fn app(&self, connection: Option<&str>) -> anyhow::Result<App> {
        App::open(self.loaded.config.clone(), self.connection(connection)?, PATIENCE).await
    }
}

/// Everything that settings are made from.
///
/// # Errors
/// When there is no working directory.
pub(super) fn inputs<'a>(
    common: &Common,
    env: &'a ProcessEnv,
    mut flags: BTreeMap<String, String>,
) -> anyhow::Result<Inputs<'a>> {
    let working_dir = working_dir()?;
    flags.extend(common.env.clone().map(|name| ("env".to_owned(), name)));
    Ok(Inputs {
        files: Files::read(env, &flags, &working_dir),
        env,
        working_dir,
        flags,
    })
}

impl Common {
    /// The log's filter: `usual`, unless the flags ask for less or more.
    pub(super) fn filter<'a>(&self, usual: &'a str) -> &'a str {
        match (self.is_quiet(), self.verbose) {
            (true, _) => "error",
            (false, 0) => usual,
            (false, 1) => "info,worker=debug,worker_jobs=debug",
            (false, _) => "debug,worker=trace,worker_jobs=trace",
        }
    }

    /// Whether questions may be asked.
    pub(super) fn may_ask(&self) -> bool {
        !self.no_interaction && std::io::IsTerminal::is_terminal(&std::io::stdin())
    }

    /// Whether only errors are wanted.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet || self.silent
    }
}

/// A setting that cannot be used, as the end of a command.
pub(super) fn invalid(problem: &crate::config::Problem) -> anyhow::Error {
    Failure::new(Exit::Config, format!("invalid configuration:\n  {problem}")).into()
}

/// Runs a command's future on a small runtime.
///
/// # Errors
/// Those of the command.
pub(super) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    install_tls();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

/// Runs a worker's future on a runtime of two threads.
///
/// # Errors
/// Exit 1 when the system lets this process have too few threads; those of the command.
pub(super) fn block_on_threads<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    look_for_threads()?;
    give_back_memory();
    install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

/// Has the system's allocator give the memory of a large payload back when it is freed. Left alone it learns from each
/// one up to 32 MB to keep such pieces, several times the payload for each thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "std has no word for the allocator's settings")]
fn give_back_memory() {
    const PIECE: libc::c_int = 1 << 20;
    // SAFETY: it sets a number of the allocator, which takes its own lock.
    if unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, PIECE) } == 0 {
        tracing::debug!("The allocator keeps the memory of large payloads");
    }
}

/// Other allocators do by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_memory() {}

/// Starts as many threads as a worker needs, and lets them end: the runtime panics where the system gives none, and
/// later on would wait for one for ever.
fn look_for_threads() -> Result<(), Failure> {
    let mut waiting = Vec::with_capacity(THREADS);
    for had in 0..THREADS {
        let (end, ended) = mpsc::channel::<()>();
        // It ends when `end` is dropped.
        let started = thread::Builder::new().spawn(move || ended.recv().is_ok());
        let thread = started.map_err(|error| too_few_threads(had, &error))?;
        waiting.push((end, thread));
    }
    for (end, thread) in waiting {
        drop(end);
        if thread.join().is_err() {
            tracing::debug!("A thread that did nothing panicked");
        }
    }
    Ok(())
}

fn too_few_threads(had: usize, error: &std::io::Error) -> Failure {
    let message = format!(
        "the system gives this process {had} of the {THREADS} threads that it needs: {error}; raise the limit of \
         processes and threads: `ulimit -u`, LimitNPROC= and TasksMax= of systemd, --pids-limit of a container"
    );
    Failure::new(Exit::Error, message)
}

fn install_tls() {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("TLS was set up before");
    }
}

fn working_dir() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("failed to find the working directory")
}
