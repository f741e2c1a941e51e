//! `worker restart`: ask all workers of the application to end after their present jobs.

use serde_json::json;

use super::pause::cache;
use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::unreachable;
use crate::clock::SystemClock;
use crate::control;
use crate::exit::Exit;

/// Arguments of `worker restart`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: worker restart, after a deploy.

Reaches this worker and PHP workers alike, through the application's cache store. \
Whatever supervises them (systemd, Railway, Supervisor) starts them again.")]
pub(super) struct Args {
    /// Print JSON: restart.
    #[arg(long)]
    json: bool,
}

/// Sends the signal.
///
/// # Errors
/// Exit 78 when the cache store cannot be written from here, 69 when it does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let cache = cache(&session).await?;
        control::cache::restart(&*cache, &SystemClock)
            .await
            .map_err(|error| unreachable(&error))?;
        if args.json {
            output::json(&json!({ "restart": true }))?;
        } else {
            output::say("All workers will end after their present jobs.");
        }
        Ok(Exit::Done)
    })
}
