//! The pool of PHP processes of a worker process: whether there is one, and how it is watched.

use std::path::PathBuf;
use std::sync::Arc;

use super::App;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::runner::php::children::Children;
use crate::runner::php::output::Sink;
use crate::runner::php::pool::{Health, Pool};
use crate::runner::php::settings::{Pattern, Settings};
use crate::runtime::troubles::Troubles;

/// Which runners take jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Runners {
    /// Native ones first, PHP for the rest, where there is an application.
    #[default]
    Both,
    /// Native ones only.
    Native,
    /// PHP only.
    Php,
}

impl Runners {
    /// What the flags `--php-only` and `--native-only` ask for.
    #[must_use]
    pub fn chosen(php_only: bool, native_only: bool) -> Self {
        match (php_only, native_only) {
            (true, _) => Self::Php,
            (_, true) => Self::Native,
            _ => Self::Both,
        }
    }
}

/// Processes for the application at `base`, as configured.
#[must_use]
pub fn settings(config: &Config, base: PathBuf, sink: Sink) -> Settings {
    let (php, of_children) = (&config.php, config.clone());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Settings {
        binary: php.binary.clone(),
        args: php.args.clone(),
        base,
        env: Arc::new(move || of_children.php_env()),
        processes: php.processes.unwrap_or_else(cores),
        max_jobs: php.max_jobs,
        max_age: php.max_age,
        memory_mb: php.memory_mb,
        isolate: php.isolate.iter().map(|class| Pattern::new(class)).collect(),
        sink,
    }
}

/// What starts child processes, when the worker needs any.
///
/// # Errors
/// When an application is needed and there is none; when the system gives no thread.
pub fn children(app: &App, runners: Runners, schedule: bool) -> anyhow::Result<Option<Children>> {
    let needed = match runners {
        Runners::Native => false,
        Runners::Php => base(app, "--php-only").map(|_| true)?,
        Runners::Both => app.config.app.base_path.is_some(),
    };
    if schedule {
        base(app, "--schedule")?;
    }
    let children = (needed || schedule).then(Children::new);
    Ok(children.transpose()?)
}

/// The pool of a worker process, when jobs are to run in PHP and there is an application.
///
/// # Errors
/// When only PHP is to run jobs and there is no application.
pub fn pool(
    app: &App,
    runners: Runners,
    memory_mb: Option<u64>,
    children: &Children,
) -> anyhow::Result<Option<Arc<Pool>>> {
    let base = match runners {
        Runners::Native => return Ok(None),
        Runners::Php => base(app, "--php-only")?,
        Runners::Both => match &app.config.app.base_path {
            Some(base) => base.clone(),
            None => return Ok(None),
        },
    };
    let mut settings = settings(&app.config, base, Sink::Log);
    settings.memory_mb = memory_mb.unwrap_or(settings.memory_mb);
    Ok(Some(Pool::new(settings, children.clone())))
}

/// Where the application is that `flag` needs.
///
/// # Errors
/// When there is none.
pub fn base(app: &App, flag: &str) -> anyhow::Result<PathBuf> {
    let missing = || {
        let what = format!(
            "{flag} needs an application: set WORKER_LARAVEL_PATH to the directory that holds artisan"
        );
        Failure::new(Exit::Config, what)
    };
    Ok(app.config.app.base_path.clone().ok_or_else(missing)?)
}

/// Tells readiness how the pool is, for ever.
pub async fn watch(pool: Arc<Pool>, troubles: Arc<Troubles>) {
    let mut health = pool.health();
    troubles.set("php", "no process is ready yet");
    loop {
        match trouble(&health.borrow_and_update()) {
            Some(what) => drop(troubles.set("php", what)),
            None => drop(troubles.clear("php")),
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}

fn trouble(health: &Health) -> Option<String> {
    match (&health.trouble, health.alive) {
        (Some(why), 0) => Some(why.clone()),
        (Some(why), alive) => Some(format!(
            "new processes cannot start, {alive} old ones go on: {why}"
        )),
        (None, 0) => Some("no process is ready yet".to_owned()),
        (None, _) => None,
    }
}
