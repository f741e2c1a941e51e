//! Runs a command beside a private server, and ends the server with it:
//! `cargo run -p harness -- postgres target/release/worker bench --store postgres`.
//!
//! `table` shows what fault tests wrote down, as `tests/faults` does at its end.
//!
//! The command finds an empty set of Laravel's tables (or an empty Redis) by the usual variables. The
//! servers write as safely as they do by default, so that what is measured on them is worth something.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for developers says how it is used"
)]

use std::process::{Command, ExitCode};

use harness::{MariadbServer, PostgresServer, RedisOptions, RedisServer};

const USAGE: &str = "usage: harness redis|mariadb|postgres COMMAND [ARGUMENT...]
       harness table REPORT";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(engine), Some(program)) = (args.next(), args.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if engine == "table" {
        print!("{}", harness::table::of(program.as_ref()));
        return ExitCode::SUCCESS;
    }
    let mut command = Command::new(program);
    command.args(args);
    match engine.to_str() {
        Some("redis") => {
            let server = RedisServer::start(RedisOptions::default());
            run(command, &server.redis().env())
        }
        Some("mariadb") => {
            let server = MariadbServer::start(&["--innodb-flush-log-at-trx-commit=1"]);
            run(command, &server.database().env())
        }
        Some("postgres") => {
            let server = PostgresServer::start(&[
                "fsync=on",
                "synchronous_commit=on",
                "full_page_writes=on",
                "shared_buffers=256MB",
            ]);
            run(command, &server.database().env())
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs the command to its end; its exit code is ours.
fn run(mut command: Command, env: &[(&'static str, String)]) -> ExitCode {
    command.envs(env.iter().map(|(name, value)| (name, value)));
    match command.status() {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            eprintln!("failed to start {command:?}: {error}");
            ExitCode::FAILURE
        }
    }
}
