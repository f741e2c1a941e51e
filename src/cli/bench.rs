//! `worker bench`.
use super::Common;
use crate::exit::Exit;
/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
/// Runs.
///
/// # Errors
/// none
pub(super) fn run(_: &Common, _: &Args) -> anyhow::Result<Exit> {
    Ok(Exit::Done)
}
