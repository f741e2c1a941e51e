//! `worker clear`: remove every job of a queue.

use std::io::BufRead;

use serde_json::json;

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::unreachable;
use crate::exit::Exit;
use crate::store::port::QueueName;

/// Arguments of `worker clear`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker clear --queue high,default
  worker clear redis --queue einvoice --force

Asks when APP_ENV is production; where nobody can answer, exit code 1.")]
pub(super) struct Args {
    /// The connection [default: `QUEUE_CONNECTION`].
    connection: Option<String>,
    /// The queues, separated by commas [default: the connection's own].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    queue: Vec<String>,
    /// Do not ask, also in production.
    #[arg(long)]
    force: bool,
    /// Print JSON: the connection, and per queue how many jobs were removed.
    #[arg(long)]
    json: bool,
}

/// Removes all jobs, waiting, delayed and reserved; asks first in production.
///
/// # Errors
/// Exit 69 when the store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    let production = session.loaded.config.app.env == "production";
    if production && !args.force && !(common.may_ask() && confirmed()?) {
        output::remark("Nothing was removed. APP_ENV is production: confirm, or use --force.");
        return Ok(Exit::Error);
    }
    block_on(async {
        let app = session.app(args.connection.as_deref()).await?;
        let named: Vec<_> = args.queue.iter().map(|name| QueueName::new(name)).collect();
        let queues = if named.is_empty() {
            vec![app.default_queue()]
        } else {
            named
        };
        let mut told = Vec::with_capacity(queues.len());
        for queue in queues {
            let removed = app
                .stores
                .queue
                .clear(&queue)
                .await
                .map_err(|error| unreachable(&error))?;
            if !args.json {
                output::say(format!("{removed} jobs removed from {queue}."));
            }
            told.push(json!({ "queue": queue.as_str(), "removed": removed }));
        }
        if args.json {
            output::json(&json!({ "connection": app.connection.name, "queues": told }))?;
        }
        Ok(Exit::Done)
    })
}

fn confirmed() -> anyhow::Result<bool> {
    output::remark("The application is in production. Remove every job of the queue? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
