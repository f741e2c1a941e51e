//! `worker forget`: remove one failed job.

use serde_json::json;

use super::retry::failed_id;
use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::unreachable;
use crate::exit::Exit;
use crate::store::port::FailedFilter;

/// Arguments of `worker forget`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker forget 5b1c6f0e-...    by uuid
  worker forget 17              by number

Exit code 1 when there is no such failed job.")]
pub(super) struct Args {
    /// The failed job's uuid or number.
    id: String,
    /// Print JSON: removed.
    #[arg(long)]
    json: bool,
}

/// Removes the failed job; exit 1 when there is none.
///
/// # Errors
/// Exit 69 when the store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let app = session.app(None).await?;
        let filter = FailedFilter::Id(failed_id(&args.id));
        let removed = app
            .stores
            .failed
            .forget(&filter)
            .await
            .map_err(|error| unreachable(&error))?;
        if args.json {
            output::json(&json!({ "removed": removed }))?;
        } else if removed > 0 {
            output::say("Failed job removed.");
        }
        if removed == 0 {
            output::remark(format!("There is no failed job with the id {}.", args.id));
            return Ok(Exit::Error);
        }
        Ok(Exit::Done)
    })
}
