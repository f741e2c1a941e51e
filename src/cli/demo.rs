//! `worker demo`.
use super::Common;
use crate::exit::Exit;
/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Runs.
///
/// # Errors
/// none
pub fn run(_: &Common, _: &Args) -> anyhow::Result<Exit> {
    Ok(Exit::Done)
}
