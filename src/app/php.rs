//! The pool of PHP processes of a worker process: whether there is one, and how it is watched.

use std::path::PathBuf;
use std::sync::Arc;

use super::App;
use crate::runner::php::children::Children;
use crate::runner::php::output::Sink;
use crate::runner::php::pool::{Health, Pool};
use crate::runner::php::settings::{Pattern, Settings};
use crate::runtime::engine::Troubles;

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

/// Processes for the application at `base`, as configured.
#[must_use]
pub fn settings(app: &App, base: PathBuf, sink: Sink) -> Settings {
    let php = &app.config.php;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Settings {
        binary: php.binary.clone(),
        args: php.args.clone(),
        base,
        env: php.env.0.clone(),
        processes: php.processes.unwrap_or_else(cores),
        max_jobs: php.max_jobs,
        max_age: php.max_age,
        memory_mb: php.memory_mb,
        isolate: php.isolate.iter().map(|class| Pattern::new(class)).collect(),
        sink,
    }
}

/// The pool of a worker process, when jobs are to run in PHP and there is an application.
///
/// # Errors
/// When only PHP is to run jobs and there is no application; when the system gives no thread.
pub fn pool(
    app: &App,
    runners: Runners,
    memory_mb: Option<u64>,
) -> anyhow::Result<Option<(Arc<Pool>, Children)>> {
    let base = match (&app.config.app.base_path, runners) {
        (_, Runners::Native) => return Ok(None),
        (Some(base), _) => base.clone(),
        (None, Runners::Both) => return Ok(None),
        (None, Runners::Php) => {
            let what = "--php-only needs an application: set WORKER_LARAVEL_PATH to the directory that holds artisan";
            return Err(crate::exit::Failure::new(crate::exit::Exit::Config, what).into());
        }
    };
    let mut settings = settings(app, base, Sink::Log);
    settings.memory_mb = memory_mb.unwrap_or(settings.memory_mb);
    let children = Children::new()?;
    Ok(Some((Pool::new(settings, children.clone()), children)))
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
