//! `worker prune-failed` and `worker prune-batches`: remove what is old.

use serde_json::json;

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::{refused, unreachable};
use crate::exit::Exit;
use crate::store::connect;
use crate::store::port::PruneBatches;

/// Arguments of `worker prune-failed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker prune-failed                 those that failed more than a day ago
  worker prune-failed --hours=168     those that failed more than a week ago

Removes 1,000 at a time. Exit code 1 when QUEUE_FAILED_DRIVER keeps none. worker flush removes all of them.")]
pub(super) struct FailedArgs {
    /// Keep those that failed within this many hours.
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// Print JSON: removed.
    #[arg(long)]
    json: bool,
}

/// Removes failed jobs that are strictly older.
///
/// # Errors
/// Exit 69 when the store does not answer.
pub(super) fn failed(common: &Common, args: &FailedArgs) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let config = &session.loaded.config;
        let failed = connect::open_failed(config)
            .await
            .map_err(|error| refused(&error, "of failed jobs"))?;
        let removed = failed
            .prune(args.hours)
            .await
            .map_err(|error| unreachable(&error))?;
        let Some(removed) = removed else {
            output::remark(
                "There is nothing to prune: QUEUE_FAILED_DRIVER is null, so failed jobs are kept nowhere.",
            );
            return Ok(Exit::Error);
        };
        if args.json {
            output::json(&json!({ "removed": removed }))?;
        } else {
            output::say(format!("{removed} failed jobs removed."));
        }
        Ok(Exit::Done)
    })
}

/// Arguments of `worker prune-batches`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker prune-batches                          batches that finished more than a day ago
  worker prune-batches --hours=48 --unfinished=72 --cancelled=72

Reads the table job_batches in the database of DB_CONNECTION; worker migrate creates it. A cancelled batch \
counts as finished, too. Removes 1,000 at a time.")]
pub(super) struct BatchesArgs {
    /// Keep finished batches that finished within this many hours.
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// Remove batches that never finished, too, but keep those made within this many hours.
    #[arg(long, value_name = "HOURS")]
    unfinished: Option<u32>,
    /// Remove cancelled batches, too, but keep those made within this many hours.
    #[arg(long, value_name = "HOURS")]
    cancelled: Option<u32>,
    /// Print JSON: finished, unfinished, cancelled; null for what was not asked for.
    #[arg(long)]
    json: bool,
}

/// Removes batches that are strictly older.
///
/// # Errors
/// Exit 69 when the store does not answer or has no table of batches, 78 when no database is configured.
pub(super) fn batches(common: &Common, args: &BatchesArgs) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let config = &session.loaded.config;
        let batches = connect::open_batches(config)
            .await
            .map_err(|error| refused(&error, "of batches"))?;
        let kinds = [
            ("finished", PruneBatches::Finished, Some(args.hours)),
            ("unfinished", PruneBatches::Unfinished, args.unfinished),
            ("cancelled", PruneBatches::Cancelled, args.cancelled),
        ];
        let mut removed = serde_json::Map::new();
        for (name, which, hours) in kinds {
            let count = match hours {
                Some(hours) => {
                    let pruned = batches.prune(which, hours).await;
                    Some(pruned.map_err(|error| unreachable(&error))?)
                }
                None => None,
            };
            if let (Some(count), false) = (count, args.json) {
                output::say(format!("{count} {name} batches removed."));
            }
            removed.insert(name.to_owned(), json!(count));
        }
        if args.json {
            output::json(&removed)?;
        }
        Ok(Exit::Done)
    })
}
