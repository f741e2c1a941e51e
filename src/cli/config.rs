//! `worker config`: every setting, and where it comes from.

use std::collections::BTreeMap;

use serde_json::json;

use super::session::Session;
use super::{Common, output};
use crate::exit::Exit;

/// Arguments of `worker config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker config                 every value and where it comes from
  worker config --json | jq '.settings[] | select(.from != \"default\")'")]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the effective settings, secrets masked, and what is odd about them.
///
/// # Errors
/// Exit 78 with every mistake at once.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::load(common, BTreeMap::new())?;
    let sources = &session.loaded.sources;
    let warnings: Vec<_> = session.loaded.warnings.iter().map(ToString::to_string).collect();
    if args.json {
        let settings: Vec<_> = sources
            .settings
            .iter()
            .map(|setting| json!({ "name": setting.name, "value": setting.value, "from": setting.origin.to_string() }))
            .collect();
        output::json(&json!({ "files": sources.files, "settings": settings, "warnings": warnings }))?;
    } else {
        output::say(sources.to_string().trim_end());
        warnings
            .iter()
            .for_each(|warning| output::remark(format!("warning: {warning}")));
    }
    Ok(Exit::Done)
}
