//! Looks after the child processes of a worker process, and what they were started with.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::App;
use super::daemon::{Plan, vital};
use super::php;
use super::schedule::Schedule;
use crate::runner::php::children::Children;
use crate::runner::php::pool::Pool;
use crate::runtime::engine::Engine;

/// What looks after child processes, until the last job has ended.
#[derive(Debug)]
pub(super) struct Tending {
    pool: Option<Arc<Pool>>,
    tasks: JoinSet<()>,
    others: JoinSet<()>,
}

impl Tending {
    /// Starts what is needed.
    ///
    /// # Errors
    /// When the schedule is to be run and there is no application.
    pub(super) fn begin(
        app: &App,
        plan: &Plan,
        engine: &Engine,
        (pool, children): (Option<Arc<Pool>>, Option<Children>),
    ) -> anyhow::Result<Self> {
        let (mut tasks, mut others) = (JoinSet::new(), JoinSet::new());
        if let Some(children) = children {
            if plan.schedule {
                let schedule = Schedule {
                    app: app.clone(),
                    base: php::base(app, "--schedule")?,
                    children: children.clone(),
                    troubles: Arc::clone(&engine.troubles),
                    stopping: engine.state.stopping().clone(),
                    forced: engine.state.forced().clone(),
                };
                tasks.spawn(schedule.run(plan.drain));
            }
            others.spawn(async move { children.reap().await });
        }
        others.spawn(super::logins::follow(app.clone(), pool.clone()));
        if let Some(pool) = &pool {
            let (watched, troubles) = (Arc::clone(pool), Arc::clone(&engine.troubles));
            others.spawn(php::watch(watched, troubles));
            let (reloaded, mut reloads) = (Arc::clone(pool), engine.state.reloads());
            others.spawn(async move {
                while reloads.changed().await.is_ok() {
                    reloaded.reload();
                }
            });
            let tended = Arc::clone(pool).tend();
            tasks.spawn(vital("the care for PHP processes", engine.state.clone(), tended));
        }
        Ok(Self { pool, tasks, others })
    }

    /// Ends all processes, and waits for their ends.
    pub(super) async fn end(mut self) {
        if let Some(pool) = &self.pool {
            pool.stop();
        }
        while self.tasks.join_next().await.is_some() {}
        self.others.abort_all();
    }
}
