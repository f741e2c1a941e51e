//! `worker move`: move the jobs that wait on one connection to another.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::{open_queue, unreachable};
use crate::config::QueueConnection;
use crate::exit::{Exit, Failure};
use crate::moving::{Mover, Tally};
use crate::store::port::{Depth, QueueName};

/// Arguments of `worker move`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker move --from database --to redis --dry-run
  worker move --from database --to redis
  worker move --from redis --to database --queue einvoice,high --json

Waiting and delayed jobs go over in order, each to the queue of the same name, with their attempts and due \
times. Jobs that a worker holds stay, and so do payloads that cannot be read; both are counted. Workers may run \
on both sides meanwhile. SQL tables need those of worker migrate.

A move that is killed is completed by the same command: no job is lost or doubled. Without it the last few \
hundred jobs are held back in the source for 10 minutes, and may then run on both sides.

Exit code 65 when payloads could not be read, 1 when it was stopped or a job may run on both sides.")]
pub(super) struct Args {
    /// The connection that the jobs leave.
    #[arg(long, value_name = "CONNECTION")]
    from: String,
    /// The connection that they go to.
    #[arg(long, value_name = "CONNECTION")]
    to: String,
    /// The queues, separated by commas [default: all that hold anything].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    queue: Vec<String>,
    /// Only count what would be moved; payloads are not read.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Moves and counts.
///
/// # Errors
/// Exit 78 when both connections are one store, 69 when a store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    let (from, to) = (
        session.connection(Some(&args.from))?,
        session.connection(Some(&args.to))?,
    );
    if from.shares_store(&to) {
        return Err(same_store(&from, &to));
    }
    block_on(async {
        let config = &session.loaded.config;
        let mover = Mover {
            from: open_queue(config, &from).await?,
            to: open_queue(config, &to).await?,
        };
        let queues = args.queues(&mover).await?;
        let depths = mover
            .from
            .depth(&queues)
            .await
            .map_err(|error| unreachable(&error))?;
        if args.dry_run {
            args.tell_depths(&depths)?;
            return Ok(Exit::Done);
        }
        let stop = AtomicBool::new(false);
        tokio::select! {
            moved = args.go(&mover, &depths, common, &stop) => moved,
            () = interrupted_twice(&stop) => {
                Err(Failure::new(Exit::Error, "stopped in the middle; the same command goes on from there").into())
            }
        }
    })
}

fn same_store(from: &QueueConnection, to: &QueueConnection) -> anyhow::Error {
    let message = format!(
        "the connections {} and {} are one store, in which a queue has one name: there is nowhere to move to",
        from.name, to.name
    );
    Failure::new(Exit::Config, message).into()
}

/// The first interrupt lets the present batch end, the second does not.
async fn interrupted_twice(stop: &AtomicBool) {
    for _ in 0..2 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        if !stop.swap(true, Ordering::Relaxed) {
            output::remark("Stopping after this batch; once more stops at once.");
        }
    }
}

impl Args {
    async fn queues(&self, mover: &Mover) -> anyhow::Result<Vec<QueueName>> {
        if self.queue.is_empty() {
            return mover.from.queues().await.map_err(|error| unreachable(&error));
        }
        let mut queues: Vec<QueueName> = Vec::new();
        for name in self.queue.iter().map(|name| QueueName::new(name)) {
            if !queues.contains(&name) {
                queues.push(name);
            }
        }
        Ok(queues)
    }

    async fn go(
        &self,
        mover: &Mover,
        depths: &[Depth],
        common: &Common,
        stop: &AtomicBool,
    ) -> anyhow::Result<Exit> {
        let bar = self.bar(common, depths);
        let mut moved: Vec<(QueueName, Tally)> = Vec::with_capacity(depths.len());
        let mut failed = None;
        for depth in depths {
            bar.set_message(depth.queue.to_string());
            let before = bar.position();
            let mut told = |tally: &Tally| {
                bar.set_position(before + tally.handled());
                match stop.load(Ordering::Relaxed) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            match mover.queue(&depth.queue, &mut told).await {
                Ok(tally) => moved.push((depth.queue.clone(), tally)),
                Err(error) => {
                    failed = Some(broken_off(&error));
                    break;
                }
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        bar.finish_and_clear();
        self.tell(&moved)?;
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(self.conclude(&moved, stop.load(Ordering::Relaxed)))
    }

    fn bar(&self, common: &Common, depths: &[Depth]) -> ProgressBar {
        if self.json || common.is_quiet() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{msg:>12} {bar:30} {pos}/{len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let jobs = depths.iter().map(|depth| depth.pending + depth.delayed).sum();
        ProgressBar::new(jobs).with_style(style)
    }

    fn tell_depths(&self, depths: &[Depth]) -> anyhow::Result<()> {
        if self.json {
            let queues: Vec<Value> = depths
                .iter()
                .map(|depth| {
                    json!({
                        "queue": depth.queue.as_str(),
                        "pending": depth.pending,
                        "delayed": depth.delayed,
                        "reserved": depth.reserved,
                    })
                })
                .collect();
            return output::json(&self.document(&json!(queues)));
        }
        let rows = depths.iter().map(|depth| {
            vec![
                depth.queue.to_string(),
                depth.pending.to_string(),
                depth.delayed.to_string(),
                depth.reserved.to_string(),
            ]
        });
        output::table(&["queue", "would move", "delayed", "reserved, stay"], rows);
        Ok(())
    }

    fn tell(&self, moved: &[(QueueName, Tally)]) -> anyhow::Result<()> {
        if self.json {
            let queues: Vec<Value> = moved
                .iter()
                .map(|(queue, tally)| {
                    let mut row = json!({ "queue": queue.as_str() });
                    if let (Some(row), Ok(Value::Object(tally))) =
                        (row.as_object_mut(), serde_json::to_value(tally))
                    {
                        row.extend(tally);
                    }
                    row
                })
                .collect();
            return output::json(&self.document(&json!(queues)));
        }
        let rows = moved.iter().map(|(queue, tally)| {
            vec![
                queue.to_string(),
                tally.moved.to_string(),
                tally.moved_delayed.to_string(),
                tally.reserved.to_string(),
                tally.unreadable.to_string(),
                tally.waiting.to_string(),
            ]
        });
        let heading = [
            "queue",
            "moved",
            "moved, delayed",
            "stay: reserved",
            "unreadable",
            "came meanwhile",
        ];
        output::table(&heading, rows);
        Ok(())
    }

    fn document(&self, queues: &Value) -> Value {
        json!({ "from": self.from, "to": self.to, "dry_run": self.dry_run, "queues": queues })
    }

    /// Says what a person should know, and with which code it ends.
    fn conclude(&self, moved: &[(QueueName, Tally)], stopped: bool) -> Exit {
        let sum = |of: fn(&Tally) -> u64| moved.iter().map(|(_, tally)| of(tally)).sum::<u64>();
        let (unreadable, lost) = (sum(|tally| tally.unreadable), sum(|tally| tally.lost));
        let (reserved, resumed) = (sum(|tally| tally.reserved), sum(|tally| tally.resumed));
        let from = &self.from;
        let remarks = [
            (
                resumed,
                "had been pushed by a move that did not finish, and were only removed now",
            ),
            (
                reserved,
                "are held by workers and stay; move again when they are done",
            ),
            (
                unreadable,
                "cannot be read and stay; worker -v move says why of each",
            ),
            (
                lost,
                "were taken on the source meanwhile and may run on both sides; the log names them",
            ),
        ];
        for (count, what) in remarks.iter().filter(|(count, _)| *count > 0) {
            output::remark(format!("{count} jobs of {from} {what}."));
        }
        if stopped {
            output::remark("Stopped as asked; the same command goes on from here.");
        }
        match (lost > 0 || stopped, unreadable > 0) {
            (true, _) => Exit::Error,
            (false, true) => Exit::Unreadable,
            (false, false) => Exit::Done,
        }
    }
}

fn broken_off(error: &dyn std::fmt::Display) -> anyhow::Error {
    let message =
        format!("failed to {error}; nothing is lost or doubled, and the same command goes on from here");
    Failure::new(Exit::Unreachable, message).into()
}
