//! The whole life of the process on one page: read the command line, run the command, turn an error into an
//! exit code.

use std::process::ExitCode;

use clap::Parser;
use worker::cli::Cli;
use worker::exit::{Exit, Failure};

fn main() -> ExitCode {
    let _points = worker::failpoint::set_up();
    let cli = Cli::parse();
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = error
                .downcast_ref::<Failure>()
                .map_or(Exit::Error, |failure| failure.exit);
            worker::cli::output::complain(&error);
            exit.into()
        }
    }
}
