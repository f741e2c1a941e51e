//! Makes this process known, so that `worker status` can tell who consumes what and how far jobs are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};
use uuid::Uuid;

use super::App;
use crate::runner::php::pool::Pool;
use crate::runtime::engine::Engine;
use crate::store::Kind;
use crate::store::port::{PhpProcess, Process, Running};

/// How often the process looks at itself.
const LOOK: Duration = Duration::from_secs(2);
/// How often it speaks when nothing has changed.
const BEAT: Duration = Duration::from_secs(10);
/// How long it says nothing after its word was refused: a missing table is not there two seconds later.
const REFUSED: Duration = Duration::from_secs(60);
/// How long its word holds.
const HOLDS_FOR: Duration = Duration::from_secs(35);
/// Jobs that run for less than this are not worth a word, in seconds.
const WORTH_TELLING_S: i64 = 2;
/// The most running jobs that are told.
const MOST: usize = 100;

/// Speaks for this process until the task is ended.
pub async fn beat(app: App, engine: Arc<Engine>, pool: Option<Arc<Pool>>) -> ! {
    let mut process = Process {
        id: process_id(),
        host: host(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        connection: engine.options.connection.clone(),
        started_at: engine.clock.unix_s(),
        state: String::new(),
        queues: Vec::new(),
        running: Vec::new(),
        php: Vec::new(),
    };
    let mut said: Option<(Process, Instant)> = None;
    let mut refused = false;
    let pulse = engine.pulse.beat("the word about this process");
    loop {
        engine.state.word().clone_into(&mut process.state);
        let served = engine.state.served().into_iter();
        process.queues = served
            .map(|(queue, slots)| (queue.as_str().to_owned(), slots))
            .collect();
        process.running = running(&engine);
        let news = said
            .as_ref()
            .is_none_or(|(last, at)| *last != process || at.elapsed() >= BEAT);
        if news {
            let saying = Process {
                php: pool.as_deref().map(php).unwrap_or_default(),
                ..process.clone()
            };
            // Asked at least every ten seconds, so a store that does not answer shows on an idle worker too.
            match pulse.asking(app.stores.presence.beat(&saying, HOLDS_FOR)).await {
                Ok(()) => said = Some((process.clone(), Instant::now())),
                Err(error) if error.kind() == Kind::Refused => {
                    if !std::mem::replace(&mut refused, true) {
                        warn!("`worker status` does not know of this process: failed to {error}");
                    }
                    pulse.during(tokio::time::sleep(REFUSED)).await;
                }
                Err(error) => debug!("This process could not make itself known: {error}"),
            }
        }
        pulse.during(tokio::time::sleep(LOOK)).await;
    }
}

/// Not part of what is news: jobs and memory change all the time.
fn php(pool: &Pool) -> Vec<PhpProcess> {
    let seen = pool.seen().into_iter().map(|process| PhpProcess {
        pid: process.pid,
        jobs: process.jobs,
        job: process.job,
        age_s: process.age.as_secs(),
        memory_mb: process.memory_mb,
    });
    seen.take(MOST).collect()
}

fn running(engine: &Engine) -> Vec<Running> {
    let now = engine.clock.unix_s();
    let mut running: Vec<_> = engine
        .holds
        .snapshot()
        .iter()
        .filter_map(|hold| {
            let run = hold.run().filter(|run| now - run.started_at >= WORTH_TELLING_S)?;
            Some(Running {
                uuid: run.uuid.clone(),
                name: run.name.clone(),
                queue: hold.queue.as_str().to_owned(),
                attempt: run.attempt,
                started_at: run.started_at,
                progress: run.progress.get(),
            })
        })
        .collect();
    running.sort_by_key(|job| job.started_at);
    running.truncate(MOST);
    running
}

/// Takes this process off the list; failing that, its word lapses by itself.
pub async fn leave(app: &App) {
    let id = process_id();
    match tokio::time::timeout(Duration::from_secs(2), app.stores.presence.leave(&id)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("This process could not be taken off the list: {error}"),
        Err(_) => debug!("This process could not be taken off the list in time"),
    }
}

/// The same for the whole life of the process.
fn process_id() -> String {
    static ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ID.get_or_init(|| Uuid::new_v4().to_string()).clone()
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}
