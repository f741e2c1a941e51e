//! `worker migrate`: create the tables that queues need.

use serde_json::json;

use super::session::{Session, block_on, invalid};
use super::{Common, output};
use crate::app::unreachable;
use crate::exit::{Exit, Failure};
use crate::store::connect::{self, OpenError};
use crate::store::sql::{self, Made};

/// Arguments of `worker migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  worker migrate
  worker migrate --json

Creates jobs, failed_jobs, job_batches, cache, cache_locks and sessions as Laravel's own \
migrations do, and two small tables of the worker's own. What exists is left as it is.")]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Migrates the database of `DB_CONNECTION`, whatever `QUEUE_CONNECTION` is; makes a missing SQLite file.
///
/// # Errors
/// Exit 78 when no database is configured, 69 when it does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    let config = &session.loaded.config;
    let database = config.databases.default().map_err(|problem| invalid(&problem))?;
    block_on(async {
        let db = connect::open_database(config, database)
            .await
            .map_err(|error| match &error {
                OpenError::Config(problem) => invalid(problem),
                OpenError::Store(_) => Failure::new(Exit::Unreachable, format!("failed to {error}")).into(),
            })?;
        let steps = sql::migrate(&db).await.map_err(|error| unreachable(&error))?;
        let word = |made| {
            if made == Made::Created {
                "created"
            } else {
                "exists"
            }
        };
        if args.json {
            let steps: Vec<_> = steps
                .iter()
                .map(|step| json!({ "name": step.name, "result": word(step.made) }))
                .collect();
            output::json(&steps)?;
        } else {
            output::table(
                &["migration", "result"],
                steps.iter().map(|step| vec![step.name, word(step.made)]),
            );
        }
        Ok(Exit::Done)
    })
}
