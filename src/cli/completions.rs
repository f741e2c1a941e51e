//! `worker completions`: the completion script of a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;

/// Arguments of `worker completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "For bash: worker completions bash > /etc/bash_completion.d/worker")]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Never; the form is that of all commands.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "worker",
        &mut std::io::stdout(),
    );
    Ok(Exit::Done)
}
