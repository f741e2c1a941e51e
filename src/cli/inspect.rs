//! `worker inspect`: what is in a payload.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::session::Session;
use super::{Common, output};
use crate::exit::{Exit, Failure};
use crate::wire;
use crate::wire::task::{MAX_ATTEMPTS, Task};

/// Arguments of `worker inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  redis-cli -n 3 lindex facturino_queues:default 0 | worker inspect
  worker inspect payload.json
  redis-cli -n 3 hget mail:data 01K... | worker inspect --task mail

Encrypted commands are opened with APP_KEY. Exit code 65 when the input cannot be read.")]
pub(super) struct Args {
    /// The payload's file; - for standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The input is the data of a task of this apalis queue: show the payload that it is run under. What a producer
    /// writes beside the data, such as the id, is null.
    #[arg(long, value_name = "QUEUE")]
    task: Option<String>,
    /// Taken for uniformity: it prints JSON in any case.
    #[arg(long, hide = true)]
    json: bool,
}

/// Prints the payload's contents as JSON.
///
/// # Errors
/// Exit 65 when the input is no payload.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::load(common, BTreeMap::new());
    let keys = match &session {
        Ok(session) => crate::app::keys(&session.loaded.config)?,
        Err(_) => None,
    };
    let text = read_input(&args.file)?;
    let text = text.trim_ascii_end();
    let payload = match &args.task {
        Some(queue) => {
            let task = Task {
                data: text.to_vec().into(),
                max_attempts: MAX_ATTEMPTS,
                ..Task::default()
            };
            task.payload(queue)
        }
        None => text.to_vec().into(),
    };
    let mut json = wire::inspect(&payload, keys.as_ref()).map_err(|error| unreadable(&error))?;
    if args.task.is_some() {
        // They stand beside the data, and here are made up.
        for name in ["uuid", "maxTries"] {
            json[name] = Value::Null;
        }
    }
    output::json(&json)?;
    Ok(Exit::Done)
}

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// Exit 65 when it cannot be read.
pub(super) fn read_input(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("failed to read standard input")?;
        return Ok(bytes);
    }
    std::fs::read(file).map_err(|error| {
        Failure::new(
            Exit::Unreadable,
            format!("failed to read {}: {error}", file.display()),
        )
        .into()
    })
}

/// Input that is no payload, as the end of a command.
pub(super) fn unreadable(error: &wire::Error) -> anyhow::Error {
    Failure::new(Exit::Unreadable, format!("failed to {error}")).into()
}
