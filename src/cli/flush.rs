//! `worker flush`: remove all failed jobs, or the old ones.

use serde_json::json;

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::unreachable;
use crate::exit::Exit;

/// Arguments of `worker flush`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker flush                  all of them
  worker flush --hours 168      those that failed more than a week ago")]
pub(super) struct Args {
    /// Only those that failed more than this many hours ago.
    #[arg(long, default_value_t = 0)]
    hours: u32,
    /// Print JSON: removed.
    #[arg(long)]
    json: bool,
}

/// Removes failed jobs.
///
/// # Errors
/// Exit 69 when the store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let app = session.app(None).await?;
        let removed = app
            .stores
            .failed
            .flush(args.hours)
            .await
            .map_err(|error| unreachable(&error))?;
        if args.json {
            output::json(&json!({ "removed": removed }))?;
        } else {
            output::say(format!("{removed} failed jobs removed."));
        }
        Ok(Exit::Done)
    })
}
