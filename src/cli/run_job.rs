//! `worker run-job`: one job in the foreground.

use std::path::PathBuf;

use bytes::Bytes;

use super::session::{Session, block_on_threads};
use super::{Common, inspect, output};
use crate::app::foreground::{self, Job};
use crate::app::php::Runners;
use crate::app::{App, unreachable};
use crate::exit::{Exit, Failure};
use crate::store::port::{FailedFilter, FailedId, QueueName};

/// Arguments of `worker run-job`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker run-job 5b1c6f0e-...                a failed job, by uuid or number
  worker run-job --payload payload.json
  redis-cli -n 3 lindex facturino_queues:default 0 | worker run-job --payload -

The job runs for real, as its first attempt, with what it prints. No queue and no record is touched: a failed job
stays failed, and a job that waits on a queue stays there. Exit codes: 0 done, 1 not done, 65 unreadable.")]
pub(super) struct Args {
    /// Uuid or number of a failed job.
    #[arg(required_unless_present = "payload", conflicts_with = "payload")]
    id: Option<String>,
    /// The file of a payload; - for standard input.
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// The queue it says it came from, whose limits hold [default: that of the failed job, else the
    /// connection's own].
    #[arg(long)]
    queue: Option<String>,
    /// Run it in PHP, also if it has a native handler.
    #[arg(long, conflicts_with = "native_only")]
    php_only: bool,
    /// Run it natively or not at all.
    #[arg(long)]
    native_only: bool,
}

/// Runs one job.
///
/// # Errors
/// Exit 65 when there is no such job or it cannot be read; 69 when the store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on_threads(async {
        let app = session.app(None).await?;
        let job = args.job(&app).await?;
        let ran = foreground::run(&app, job).await?;
        let (what, more) = ran.what.split_once('\n').unwrap_or((&ran.what, ""));
        output::say(format!("The job {what} ({} ms).", ran.took.as_millis()));
        if !more.is_empty() {
            output::say(more);
        }
        Ok(if ran.done { Exit::Done } else { Exit::Error })
    })
}

impl Args {
    async fn job(&self, app: &App) -> anyhow::Result<Job> {
        let (payload, connection, queue) = match (&self.payload, &self.id) {
            (Some(file), _) => {
                let bytes = Bytes::from(inspect::read_input(file)?);
                let payload = bytes.slice(..bytes.trim_ascii_end().len());
                (payload, app.connection.name.clone(), app.default_queue())
            }
            (None, id) => failed(app, id.as_deref().unwrap_or_default()).await?,
        };
        Ok(Job {
            payload,
            connection,
            queue: self.queue.as_deref().map_or(queue, QueueName::new),
            runners: Runners::chosen(self.php_only, self.native_only),
        })
    }
}

async fn failed(app: &App, id: &str) -> anyhow::Result<(Bytes, String, QueueName)> {
    let wanted = id
        .parse()
        .map_or_else(|_| FailedId::Uuid(id.to_owned()), FailedId::Number);
    let rows = app.stores.failed.list(&FailedFilter::Id(wanted), 1).await;
    let row = rows.map_err(|error| unreachable(&error))?.into_iter().next();
    let unknown = || {
        let what = format!("no failed job is {id}; a job that waits on a queue can be run with --payload");
        Failure::new(Exit::Unreadable, what)
    };
    let row = row.ok_or_else(unknown)?;
    Ok((row.payload, row.connection, row.queue))
}
