//! `worker retry-batch`: put the failed jobs of a batch back on their queues.

use super::retry::Work;
use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::{refused, unreachable};
use crate::exit::Exit;
use crate::store::connect;

/// Arguments of `worker retry-batch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: worker retry-batch 9f1c2b6e-...

Each failed job of the batch is retried as worker retry does it. Exit code 1 when there is no such batch or \
none of its jobs failed. The batch's own counts change when the jobs have run.")]
pub(super) struct Args {
    /// Ids of batches.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Print JSON, as worker retry does.
    #[arg(long)]
    json: bool,
}

/// Retries the failed jobs of each batch.
///
/// # Errors
/// Exit 69 when a store does not answer or has no table of batches.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let batches = connect::open_batches(&session.loaded.config)
            .await
            .map_err(|error| refused(&error, "of batches"))?;
        let mut work = Work::new(session, args.json).await?;
        let mut exit = Exit::Done;
        for id in &args.ids {
            let found = batches.failed_jobs(id).await;
            let jobs = match found.map_err(|error| unreachable(&error))? {
                Some(jobs) if !jobs.is_empty() => jobs,
                none => {
                    output::remark(match none {
                        Some(_) => format!("The batch {id} has no failed jobs."),
                        None => format!("There is no batch with the id {id}."),
                    });
                    exit = Exit::Error;
                    continue;
                }
            };
            for job in jobs {
                work.one(&job).await?;
            }
        }
        work.finish()?;
        Ok(exit)
    })
}
