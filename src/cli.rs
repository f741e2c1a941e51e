//! The command line: one variant and one arm per command, one file each. No rules live here.

use clap::{Args, Parser, Subcommand};

use crate::exit::Exit;

mod bench;
mod clear;
mod completions;
mod config;
mod demo;
mod dispatch;
mod doctor;
mod failed;
mod flush;
mod forget;
mod inspect;
mod migrate;
mod monitor;
mod moving;
pub mod output;
mod pause;
mod prune;
mod restart;
mod retry;
mod retry_batch;
mod run;
mod run_job;
mod session;
mod status;

const ABOUT: &str =
    "Runs the queues of a Laravel application: in place of queue:work, Supervisor and Horizon";
const AFTER: &str = "\
Try it:
  worker demo                       see it work, on a file of its own
  worker run --queue einvoice       consume one queue of the application
  worker status                     what waits, what runs, what nobody consumes
  worker config                     every setting, and where it comes from
  worker doctor                     what is wrong before it hurts

Settings are read from the environment, Laravel's .env and worker.toml; see .env.example.
Every command also answers to its artisan name: worker queue:work, worker queue:failed, ...";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "worker", version, about = ABOUT, after_help = AFTER, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// The environment, as with artisan: reads `.env.{NAME}` first.
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    env: Option<String>,
    /// Ask no questions.
    #[arg(short = 'n', long, global = true, hide_short_help = true)]
    no_interaction: bool,
    /// Say less: only errors.
    #[arg(short = 'q', long, global = true)]
    quiet: bool,
    /// Taken for compatibility; colours follow the terminal.
    #[arg(long, global = true, hide = true)]
    ansi: bool,
    /// Taken for compatibility; colours follow the terminal.
    #[arg(long, global = true, hide = true)]
    no_ansi: bool,
    /// Artisan's name of --quiet.
    #[arg(long, global = true, hide = true)]
    silent: bool,
    /// Say more; twice for traces.
    #[arg(short = 'v', long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Consume queues: each configured queue in a lane of its own, or those named with --queue.
    Run(run::Args),
    /// Consume the connection's own queue, with the flags and manners of `php artisan queue:work`.
    #[command(name = "work", visible_alias = "queue:work")]
    Work(run::Args),
    /// Run one job in the foreground, with what it prints: a failed one, or a payload.
    #[command(name = "run-job")]
    RunJob(run_job::Args),
    /// Show the worker at work on an embedded SQLite file: needs no server, no PHP, no .env.
    Demo(demo::Args),
    /// Put a job on a queue, for PHP or for this worker.
    Dispatch(dispatch::Args),
    /// Read one payload and print what is in it as JSON.
    Inspect(inspect::Args),
    /// What waits, what runs, who consumes, and what nobody consumes.
    Status(status::Args),
    /// How many jobs queues hold, and which hold too many.
    #[command(visible_alias = "queue:monitor")]
    Monitor(monitor::Args),
    /// Find out what is wrong before it hurts: settings, stores, tables, queues, time limits.
    Doctor(doctor::Args),
    /// List failed jobs.
    #[command(visible_alias = "queue:failed")]
    Failed(failed::Args),
    /// Put failed jobs back on their queues.
    #[command(visible_alias = "queue:retry")]
    Retry(retry::Args),
    /// Remove one failed job.
    #[command(visible_alias = "queue:forget")]
    Forget(forget::Args),
    /// Remove all failed jobs, or the old ones.
    #[command(visible_alias = "queue:flush")]
    Flush(flush::Args),
    /// Remove failed jobs that are old.
    #[command(visible_alias = "queue:prune-failed")]
    PruneFailed(prune::FailedArgs),
    /// Put the failed jobs of a batch back on their queues.
    #[command(visible_alias = "queue:retry-batch")]
    RetryBatch(retry_batch::Args),
    /// Remove batches that are old.
    #[command(visible_alias = "queue:prune-batches")]
    PruneBatches(prune::BatchesArgs),
    /// Move the jobs that wait on one connection to another.
    #[command(name = "move")]
    Move(moving::Args),
    /// Remove every job of a queue.
    #[command(visible_alias = "queue:clear")]
    Clear(clear::Args),
    /// Ask all workers of the application to end after their present jobs.
    #[command(visible_alias = "queue:restart")]
    Restart(restart::Args),
    /// Pause a queue for all workers of the application.
    #[command(visible_alias = "queue:pause")]
    Pause(pause::Args),
    /// Resume a paused queue.
    #[command(visible_aliases = ["queue:resume", "queue:continue"])]
    Resume(pause::Args),
    /// Create the tables that queues need in the application's database; those that exist stay as they are.
    Migrate(migrate::Args),
    /// Print every setting and where it comes from; secrets are masked.
    Config(config::Args),
    /// Measure this worker on this machine.
    Bench(bench::Args),
    /// Print the completion script of a shell.
    Completions(completions::Args),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// When it fails; a [`crate::exit::Failure`] inside says with which exit code.
    pub fn run(self) -> anyhow::Result<Exit> {
        let common = &self.common;
        match self.command {
            Command::Run(args) => run::run(common, &args, run::Manner::Ours),
            Command::Work(args) => run::run(common, &args, run::Manner::Laravel),
            Command::RunJob(args) => run_job::run(common, &args),
            Command::Demo(args) => demo::run(common, &args),
            Command::Dispatch(args) => dispatch::run(common, &args),
            Command::Inspect(args) => inspect::run(common, &args),
            Command::Status(args) => status::run(common, &args),
            Command::Monitor(args) => monitor::run(common, &args),
            Command::Doctor(args) => doctor::run(common, &args),
            Command::Failed(args) => failed::run(common, &args),
            Command::Retry(args) => retry::run(common, &args),
            Command::Forget(args) => forget::run(common, &args),
            Command::Flush(args) => flush::run(common, &args),
            Command::PruneFailed(args) => prune::failed(common, &args),
            Command::RetryBatch(args) => retry_batch::run(common, &args),
            Command::PruneBatches(args) => prune::batches(common, &args),
            Command::Move(args) => moving::run(common, &args),
            Command::Clear(args) => clear::run(common, &args),
            Command::Restart(args) => restart::run(common, &args),
            Command::Pause(args) => pause::pause(common, &args),
            Command::Resume(args) => pause::resume(common, &args),
            Command::Migrate(args) => migrate::run(common, &args),
            Command::Config(args) => config::run(common, &args),
            Command::Bench(args) => bench::run(common, &args),
            Command::Completions(args) => completions::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
