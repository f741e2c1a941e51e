//! `worker status`: what waits, what runs, who consumes.

use serde_json::{Value, json};

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::{App, unreachable};
use crate::exit::Exit;
use crate::store::port::{Depth, Process, QueueName};

/// Arguments of `worker status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker status                 the connection of QUEUE_CONNECTION
  worker status redis --json    for machines")]
pub(super) struct Args {
    /// The connection [default: `QUEUE_CONNECTION`].
    connection: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the state of all queues and processes.
///
/// # Errors
/// Exit 69 when the store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let app = session.app(args.connection.as_deref()).await?;
        let depths = depths(&app).await?;
        let processes = app
            .stores
            .presence
            .list()
            .await
            .inspect_err(|error| tracing::debug!("{error}"))
            .ok();
        if args.json {
            output::json(&as_json(&app, &depths, processes.as_deref()))?;
        } else {
            print(&app, &depths, processes.as_deref());
        }
        Ok(Exit::Done)
    })
}

/// The configured queues and those found in the store.
async fn depths(app: &App) -> anyhow::Result<Vec<Depth>> {
    let queue = &app.stores.queue;
    let mut names: Vec<_> = app
        .config
        .queues
        .iter()
        .map(|queue| QueueName::new(&queue.name))
        .collect();
    let found = queue.queues().await.map_err(|error| unreachable(&error))?;
    let more: Vec<_> = found.into_iter().filter(|name| !names.contains(name)).collect();
    names.extend(more);
    queue.depth(&names).await.map_err(|error| unreachable(&error))
}

/// How many processes consume a queue; `None` when the store cannot tell.
fn consumers(queue: &QueueName, processes: Option<&[Process]>) -> Option<usize> {
    let serves = |process: &&Process| process.queues.iter().any(|(name, _)| name == queue.as_str());
    Some(processes?.iter().filter(serves).count())
}

fn as_json(app: &App, depths: &[Depth], processes: Option<&[Process]>) -> Value {
    let queues: Vec<_> = depths
        .iter()
        .map(|depth| {
            json!({
                "queue": depth.queue.as_str(),
                "pending": depth.pending,
                "delayed": depth.delayed,
                "reserved": depth.reserved,
                "oldest_s": depth.oldest_s,
                "consumers": consumers(&depth.queue, processes),
            })
        })
        .collect();
    json!({ "connection": app.connection.name, "queues": queues, "processes": processes })
}

fn print(app: &App, depths: &[Depth], processes: Option<&[Process]>) {
    let dash = || "-".to_owned();
    let rows = depths.iter().map(|depth| {
        let consumers = consumers(&depth.queue, processes);
        let waiting = depth.pending + depth.delayed > 0;
        vec![
            depth.queue.to_string(),
            depth.pending.to_string(),
            depth.delayed.to_string(),
            depth.reserved.to_string(),
            depth.oldest_s.map_or_else(dash, |seconds| format!("{seconds} s")),
            match consumers {
                Some(0) if waiting => "none!".to_owned(),
                Some(n) => n.to_string(),
                None => dash(),
            },
        ]
    });
    output::say(format!("Connection {}", app.connection.name));
    output::table(
        &["queue", "pending", "delayed", "reserved", "oldest", "consumers"],
        rows,
    );
    let Some(processes) = processes else {
        return output::say("Consumers are unknown: run worker migrate to create the table they are kept in");
    };
    for process in processes {
        let queues: Vec<_> = process
            .queues
            .iter()
            .map(|(queue, slots)| format!("{queue} ({slots})"))
            .collect();
        output::say(format!(
            "{}:{} {} {}",
            process.host,
            process.pid,
            process.state,
            queues.join(", ")
        ));
    }
    let php: Vec<_> = processes.iter().flat_map(php).collect();
    if !php.is_empty() {
        output::table(&["php", "pid", "age", "jobs", "memory", "at"], php);
    }
    print_running(app, processes);
}

/// What is being worked on, one row a job.
fn print_running(app: &App, processes: &[Process]) {
    let dash = || "-".to_owned();
    let running = processes.iter().flat_map(|process| &process.running).map(|job| {
        let progress = job
            .progress
            .as_ref()
            .map_or_else(dash, |(percent, what)| format!("{percent} % {what}"));
        let age_s = app.clock.unix_s() - job.started_at;
        vec![
            job.uuid.clone(),
            job.name.clone(),
            job.queue.clone(),
            job.attempt.to_string(),
            format!("{age_s} s"),
            progress,
        ]
    });
    let rows: Vec<_> = running.collect();
    if !rows.is_empty() {
        output::table(&["running", "job", "queue", "attempt", "for", "progress"], rows);
    }
}

/// One row for each PHP process of a worker.
fn php(process: &Process) -> impl Iterator<Item = Vec<String>> {
    process.php.iter().map(|php| {
        vec![
            format!("{}:{}", process.host, process.pid),
            php.pid.to_string(),
            format!("{} s", php.age_s),
            php.jobs.to_string(),
            format!("{} MB", php.memory_mb),
            php.job.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    })
}
