//! `worker bench`: measure this worker on this machine.

use clap::ValueEnum;

use super::session::block_on_threads;
use super::{Common, output};
use crate::app::bench::{self, Figures};
use crate::config::ProcessEnv;
use crate::exit::{Exit, Failure};
use crate::telemetry::{self, Format};

/// Arguments of `worker bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker bench
  worker bench --store redis --jobs 100000 --json
  worker bench --store postgres
  worker bench --store mysql

Pushes no-op jobs, drains them, then measures push to start at 200 jobs/s and what five idle lanes cost. \
With redis it uses the configured server (REDIS_*) under a prefix of its own, and MONITOR to count commands: \
use a server that nothing else needs just now. With postgres and mysql it uses the table of jobs in the database \
that the DB_* variables name; the table must be there and empty. Every job must run exactly once, or the measurement fails.")]
pub(super) struct Args {
    /// The store.
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// Jobs to drain.
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// Jobs at a time.
    #[arg(long, default_value_t = 100)]
    slots: usize,
    /// Fail when fewer jobs are drained per second.
    #[arg(long, value_name = "JOBS_PER_S")]
    at_least: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Store {
    Redis,
    Sqlite,
    Postgres,
    Mysql,
}

/// Measures and prints.
///
/// # Errors
/// When the store cannot be used, a job did not run exactly once, or fewer were drained than asked for.
pub(super) fn run(_: &Common, args: &Args) -> anyhow::Result<Exit> {
    telemetry::start("error", Format::Human);
    let store = match args.store {
        Store::Redis => bench::Store::Redis,
        Store::Sqlite => bench::Store::Sqlite,
        Store::Postgres => bench::Store::Postgres,
        Store::Mysql => bench::Store::Mysql,
    };
    let env = ProcessEnv::capture();
    let figures = block_on_threads(Box::pin(bench::measure(store, args.jobs, args.slots, &env)))?;
    if args.json {
        output::json(&figures)?;
    } else {
        print(&figures);
    }
    if let Some(least) = args.at_least
        && figures.drain_per_s < f64::from(least)
    {
        let message = format!(
            "{:.0} jobs/s were drained from {}, and --at-least asks for {least}",
            figures.drain_per_s, figures.store
        );
        return Err(Failure::new(Exit::Error, message).into());
    }
    Ok(Exit::Done)
}

fn print(figures: &Figures) {
    let or_dash =
        |value: Option<f64>, unit: &str| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2} {unit}"));
    output::table(
        &["figure", "value"],
        [
            vec!["store".to_owned(), figures.store.to_owned()],
            vec![
                "jobs drained".to_owned(),
                format!(
                    "{} of {} bytes, {} slots",
                    figures.jobs, figures.payload_bytes, figures.slots
                ),
            ],
            vec![
                "enqueue".to_owned(),
                format!("{:.0} jobs/s", figures.enqueue_per_s),
            ],
            vec!["drain".to_owned(), format!("{:.0} jobs/s", figures.drain_per_s)],
            vec!["CPU per job".to_owned(), or_dash(figures.cpu_us_per_job, "us")],
            vec![
                "push to start, median".to_owned(),
                format!("{:.2} ms", figures.latency_p50_ms),
            ],
            vec![
                "push to start, 99 of 100".to_owned(),
                format!("{:.2} ms", figures.latency_p99_ms),
            ],
            vec!["resident memory".to_owned(), or_dash(figures.resident_mb, "MB")],
            vec![
                "idle commands".to_owned(),
                or_dash(figures.idle_commands_per_s, "/s"),
            ],
            vec!["idle CPU".to_owned(), or_dash(figures.idle_cpu_percent, "%")],
        ],
    );
}
