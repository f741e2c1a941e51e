//! `worker migrate`: create the tables that queues need, and what makes them faster.

use serde_json::json;

use super::session::{Session, block_on, invalid};
use super::{Common, output};
use crate::app::unreachable;
use crate::config;
use crate::exit::{Exit, Failure};
use crate::store::connect::{self, OpenError};
use crate::store::sql::{self, Announce, Database, Made, Step};

/// Arguments of `worker migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  worker migrate
  worker migrate --indexes
  worker migrate --notify

Creates jobs, failed_jobs, job_batches, cache, cache_locks and sessions as Laravel's own \
migrations do, and two small tables of the worker's own. What exists is left as it is. \
With QUEUE_CONNECTION=apalis-database the table jobs is left out: the producer makes the tables of its tasks.

--indexes serves the worker's order of service; artisan queue:work asks in another order and gains \
nothing by it. --notify adds triggers to the table of jobs, which cost each insert a little and reach \
workers within milliseconds; without them they look every --sleep seconds at least.")]
pub(super) struct Args {
    /// Also make the index by which jobs are reserved, on queue, available time and id: reserving then costs the same
    /// however many jobs wait or are delayed. Writers are not held up where the database can do that.
    #[arg(long)]
    indexes: bool,
    /// PostgreSQL: also have the database tell waiting workers of new jobs, by triggers on the table of jobs.
    #[arg(long, conflicts_with = "drop_notify")]
    notify: bool,
    /// PostgreSQL: remove what --notify made.
    #[arg(long)]
    drop_notify: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Migrates the database of `DB_CONNECTION`, whatever `QUEUE_CONNECTION` is; makes a missing SQLite file.
///
/// # Errors
/// Exit 78 when no database is configured or it cannot do what is asked, 69 when it does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    let config = &session.loaded.config;
    let database = config.databases.default().map_err(|problem| invalid(&problem))?;
    let announce = match (args.notify, args.drop_notify) {
        (true, _) => Some(Announce::Yes),
        (_, true) => Some(Announce::No),
        _ => None,
    };
    if announce.is_some() && !matches!(database, config::Database::Postgres { .. }) {
        let message = "--notify is for PostgreSQL, and DB_CONNECTION names another database: there \
            workers look for new jobs by themselves";
        return Err(Failure::new(Exit::Config, message).into());
    }
    let tasks = matches!(&config.queue.kind, config::QueueKind::ApalisDatabase { database: theirs, .. } if theirs == database);
    if tasks && (args.indexes || announce.is_some()) {
        let message = "--indexes and --notify are for Laravel's table jobs; apalis' tables, which QUEUE_CONNECTION names, \
            have indexes and triggers of their own";
        return Err(Failure::new(Exit::Config, message).into());
    }
    block_on(async {
        let db = connect::open_database(config, database)
            .await
            .map_err(|error| match &error {
                OpenError::Config(problem) => invalid(problem),
                OpenError::Store(_) => Failure::new(Exit::Unreachable, format!("failed to {error}")).into(),
            })?;
        let steps = carry_out(&db, tasks, args.indexes, announce).await?;
        print(&steps, args.json)?;
        Ok(Exit::Done)
    })
}

async fn carry_out(
    db: &Database,
    tasks: bool,
    indexes: bool,
    announce: Option<Announce>,
) -> anyhow::Result<Vec<Step>> {
    let made = match tasks {
        true => sql::migrate_without_jobs(db).await,
        false => sql::migrate(db).await,
    };
    let mut steps = made.map_err(|error| unreachable(&error))?;
    if indexes {
        steps.push(sql::index(db).await.map_err(|error| unreachable(&error))?);
    }
    if let Some(announce) = announce {
        let step = sql::announce(db, announce).await;
        steps.push(step.map_err(|error| unreachable(&error))?);
    }
    Ok(steps)
}

fn print(steps: &[Step], as_json: bool) -> anyhow::Result<()> {
    let word = |made| match made {
        Made::Created => "created",
        Made::Exists => "exists",
        Made::Removed => "removed",
        Made::Absent => "absent",
    };
    if as_json {
        let steps: Vec<_> = steps
            .iter()
            .map(|step| json!({ "name": step.name, "result": word(step.made) }))
            .collect();
        return output::json(&steps);
    }
    output::table(
        &["migration", "result"],
        steps.iter().map(|step| vec![step.name, word(step.made)]),
    );
    Ok(())
}
