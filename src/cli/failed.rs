//! `worker failed`: the failed jobs.

use serde_json::json;

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::unreachable;
use crate::exit::Exit;
use crate::store::port::{FailedFilter, FailedRow, QueueName};
use crate::wire::Payload;

/// Arguments of `worker failed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker failed --queue einvoice
  worker failed --json | jq -r '.[].id'

Put one back: worker retry ID. Put all back: worker retry all.")]
pub(super) struct Args {
    /// Only those of this queue.
    #[arg(long)]
    queue: Option<String>,
    /// The most to list.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
    /// Print JSON: id, connection, queue, class, `failed_at`, as queue:failed --json does, and the error.
    #[arg(long)]
    json: bool,
}

/// Lists failed jobs, newest first.
///
/// # Errors
/// Exit 69 when the store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let app = session.app(None).await?;
        let filter = args.queue.as_deref().map_or(FailedFilter::All, |queue| {
            FailedFilter::Queue(QueueName::new(queue))
        });
        let rows = app
            .stores
            .failed
            .list(&filter, args.limit)
            .await
            .map_err(|error| unreachable(&error))?;
        if args.json {
            output::json(&rows.iter().map(as_json).collect::<Vec<_>>())?;
        } else if rows.is_empty() {
            output::say("No failed jobs.");
        } else {
            let heading = ["id", "connection", "queue", "class", "failed at", "error"];
            output::table(
                &heading,
                rows.iter().map(|row| {
                    vec![
                        id(row),
                        row.connection.clone(),
                        row.queue.to_string(),
                        class(row),
                        row.failed_at.clone(),
                        error(row),
                    ]
                }),
            );
        }
        if u32::try_from(rows.len()).is_ok_and(|listed| listed >= args.limit) {
            output::remark(format!(
                "Only the newest {} are listed; --limit lists more.",
                args.limit
            ));
        }
        Ok(Exit::Done)
    })
}

fn as_json(row: &FailedRow) -> serde_json::Value {
    json!({
        "id": id(row),
        "connection": row.connection,
        "queue": row.queue.as_str(),
        "class": class(row),
        "failed_at": row.failed_at,
        "error": error(row),
    })
}

/// The uuid; the table's number for rows without one.
fn id(row: &FailedRow) -> String {
    row.uuid.clone().unwrap_or_else(|| row.id.to_string())
}

fn class(row: &FailedRow) -> String {
    match Payload::parse(row.payload.clone()) {
        Ok(payload) => payload.name().to_owned(),
        Err(_) => "(unreadable)".to_owned(),
    }
}

/// The first line of the exception, cut to what a table can bear.
fn error(row: &FailedRow) -> String {
    row.exception
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}
