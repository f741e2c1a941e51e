//! Restart, pause and maintenance, as Laravel says them through its cache store and a file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::runtime::state::{Pauses, State, StopReason};
use crate::store::Error;
use crate::store::port::{Cache, CacheValue, Names, QueueName};

/// The key of `queue:restart` (`Queue/Worker.php`).
const RESTART: &str = "illuminate:queue:restart";
/// The key that pauses every queue (`Queue/QueueManager.php`, 13.x).
const PAUSED: &str = "illuminate:queues:paused";
/// The key of maintenance mode kept in a cache (`Foundation/CacheBasedMaintenanceMode.php`).
const DOWN: &str = "illuminate:foundation:down";
/// How often the values are looked at.
const LOOK: Duration = Duration::from_secs(2);

fn paused_key(connection: &str, queue: &QueueName) -> String {
    format!("illuminate:queue:paused:{connection}:{queue}")
}

/// Watches the cache for one worker process.
#[derive(Debug)]
pub struct Watch {
    /// The store, or `None` when there is none that can be read; then only the file is looked at.
    pub cache: Option<Arc<dyn Cache>>,
    /// The connection's name, part of the keys that pause queues.
    pub connection: String,
    /// The application's root, where maintenance mode leaves a file.
    pub base_path: Option<PathBuf>,
    /// Whether to run in maintenance mode too.
    pub force: bool,
}

/// What was last heard.
#[derive(Debug, Clone, Default, PartialEq)]
struct Heard {
    restart: Option<CacheValue>,
    everywhere: bool,
    down: bool,
    queues: HashSet<QueueName>,
}

impl Watch {
    /// Watches for ever, and says through `looked` when it has looked for the first time.
    ///
    /// The restart value is compared with the one met first; while the cache is down the last known state
    /// stands.
    pub async fn run(&self, state: &State, looked: oneshot::Sender<()>) -> ! {
        let mut looked = Some(looked);
        let mut first: Option<Option<CacheValue>> = None;
        let mut reachable = true;
        loop {
            match self.hear(state).await {
                Ok(heard) => {
                    if !reachable {
                        info!("The cache store answers again; restart and pause arrive");
                    }
                    reachable = true;
                    if *first.get_or_insert_with(|| heard.restart.clone()) != heard.restart {
                        first = Some(heard.restart.clone());
                        if state.restart(StopReason::Restart) {
                            info!("queue:restart was called: replacing the PHP processes");
                        } else {
                            info!("queue:restart was called: finishing what runs, then ending");
                        }
                    }
                    self.apply(state, &heard);
                }
                Err(error) if reachable => {
                    reachable = false;
                    warn!(
                        "The cache store does not answer, restart and pause cannot arrive; going on as before: {error}"
                    );
                }
                Err(_) => {}
            }
            if let Some(looked) = looked.take()
                && looked.send(()).is_err()
            {
                warn!("The cache store was slow to answer: the lanes went on without knowing what is paused");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn hear(&self, state: &State) -> Result<Heard, Error> {
        let file_down = self.base_path.as_deref().is_some_and(is_down);
        let Some(cache) = &self.cache else {
            return Ok(Heard {
                down: file_down,
                ..Heard::default()
            });
        };
        let served: Vec<_> = state.served().into_iter().map(|(queue, _)| queue).collect();
        let paused: Vec<_> = served
            .iter()
            .map(|queue| paused_key(&self.connection, queue))
            .collect();
        let mut keys = vec![RESTART, PAUSED, DOWN];
        keys.extend(paused.iter().map(String::as_str));
        let mut values = cache.get(&keys).await?.into_iter();
        let mut next = || values.next().flatten();
        let restart = next();
        let everywhere = next().is_some();
        let down = next().is_some() || file_down;
        let queues = served.into_iter().filter(|_| next().is_some()).collect();
        Ok(Heard {
            restart,
            everywhere,
            down,
            queues,
        })
    }

    fn apply(&self, state: &State, heard: &Heard) {
        let mut before = Pauses::default();
        let changed = state.pause(|pauses| {
            before = pauses.clone();
            pauses.everywhere = heard.everywhere;
            pauses.maintenance = heard.down && !self.force;
            pauses.queues.clone_from(&heard.queues);
        });
        if changed {
            tell(&before, &state.pauses().borrow());
        }
    }
}

fn tell(before: &Pauses, now: &Pauses) {
    match (before.maintenance, now.maintenance) {
        (false, true) => {
            info!("The application is in maintenance mode; jobs wait (--force runs them anyway)");
        }
        (true, false) => info!("Maintenance mode is over"),
        _ => {}
    }
    match (before.everywhere, now.everywhere) {
        (false, true) => info!("All queues were paused"),
        (true, false) => info!("All queues were resumed"),
        _ => {}
    }
    for queue in now.queues.difference(&before.queues) {
        info!(%queue, "Queue {queue} was paused");
    }
    for queue in before.queues.difference(&now.queues) {
        info!(%queue, "Queue {queue} was resumed");
    }
}

fn is_down(base_path: &Path) -> bool {
    base_path.join("storage/framework/down").exists()
}

/// Asks every worker of the application to end after its present job, as `queue:restart` does.
///
/// # Errors
/// When the cache store cannot be written.
pub async fn restart(cache: &dyn Cache, clock: &dyn Clock) -> Result<(), Error> {
    cache
        .put(RESTART, &CacheValue::Int(clock.unix_s()), None, Names::All)
        .await
}

/// Pauses a queue of a connection for every worker, or all queues.
///
/// Written under the one name that frameworks with pauses use, so that `php artisan queue:resume` undoes it.
///
/// # Errors
/// When the cache store cannot be written.
pub async fn pause(cache: &dyn Cache, connection: &str, queue: Option<&QueueName>) -> Result<(), Error> {
    let key = queue.map_or_else(|| PAUSED.to_owned(), |queue| paused_key(connection, queue));
    cache
        .put(&key, &CacheValue::Bool(true), None, Names::Present)
        .await
}

/// Undoes [`pause`]. Resuming all does not undo single pauses, as in Laravel.
///
/// # Errors
/// When the cache store cannot be written.
pub async fn resume(cache: &dyn Cache, connection: &str, queue: Option<&QueueName>) -> Result<(), Error> {
    let key = queue.map_or_else(|| PAUSED.to_owned(), |queue| paused_key(connection, queue));
    cache.forget(&key).await
}
