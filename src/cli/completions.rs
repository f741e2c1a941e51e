//! `worker completions`: the completion script of a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::output;
use crate::exit::Exit;

/// Arguments of `worker completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker completions bash > /etc/bash_completion.d/worker
  worker completions zsh > ~/.zfunc/_worker")]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Never; the form is that of all commands.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "worker", &mut script);
    output::say(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}
