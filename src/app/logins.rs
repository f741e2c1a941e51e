//! Has all that was started with an old login follow a new one.

use std::sync::Arc;

use tracing::info;
use worker_jobs::resources::Pool as JobsPool;

use super::App;
use crate::runner::php::pool::Pool;
use crate::store::connect;

/// Gives the pool of native jobs each new login, and replaces PHP processes, which have read the old one; for ever.
pub(super) async fn follow(app: App, php: Option<Arc<Pool>>) {
    let mut changes = app.config.logins.changes();
    while changes.changed().await.is_ok() {
        app.renew_jobs_database();
        if let Some(pool) = &php {
            info!("Replacing the PHP processes, which have read the old login");
            pool.reload();
        }
    }
}

impl App {
    /// New connections of native jobs use the login that is in use by now.
    fn renew_jobs_database(&self) {
        let (Some(jobs), Ok(database)) = (self.jobs_database.get(), self.config.databases.default()) else {
            return;
        };
        match &jobs.pool {
            JobsPool::Postgres(pool) => {
                if let Some(postgres) = connect::postgres(&self.config, database) {
                    pool.set_connect_options(super::postgres_options(&postgres));
                }
            }
            JobsPool::Mysql(pool) => {
                if let Some(mysql) = connect::mysql(&self.config, database) {
                    pool.set_connect_options(mysql.connect_options());
                }
            }
            JobsPool::Sqlite(_) => {}
        }
    }
}
