//! `worker demo`: see the worker at work.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::session::block_on_threads;
use super::{Common, output};
use crate::app::demo::{Audience, Demo, Outcome, Tally};
use crate::exit::Exit;
use crate::runtime::decide::Verdict;
use crate::runtime::report::End;
use crate::telemetry::{self, Format};

/// Arguments of `worker demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: worker demo --dir /tmp/worker-demo

Dispatches sample jobs on the queues high, default, einvoice, migration and background and works them off: \
one fails for good, one succeeds on its second try. Nothing outside the directory is read or written, \
whatever the environment says.")]
pub(super) struct Args {
    /// Where the embedded SQLite file is made [default: one in the system's temporary directory].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON instead: the file, and per queue what became of its jobs.
    #[arg(long)]
    json: bool,
}

/// Shows the worker at work.
///
/// # Errors
/// When the directory cannot be written.
pub(super) fn run(_: &Common, args: &Args) -> anyhow::Result<Exit> {
    telemetry::start("error", Format::Human);
    let dir = args.dir.clone().unwrap_or_else(temporary_dir);
    block_on_threads(async {
        let demo = Demo::set_up(&dir).await?;
        let queues = demo.queues();
        let jobs: u64 = queues.iter().map(|(_, tally)| tally.jobs).sum();
        if args.json {
            let outcome = demo.work(Arc::new(Silence)).await?;
            as_json(&outcome)?;
            return Ok(Exit::Done);
        }
        output::say(format!(
            "Dispatched {jobs} sample jobs on {} queues in {}",
            queues.len(),
            dir.display()
        ));
        let stage = Arc::new(Stage::new(&queues));
        let outcome = demo.work(Arc::clone(&stage) as Arc<dyn Audience>).await?;
        stage.finish();
        summarise(&outcome);
        Ok(Exit::Done)
    })
}

/// `worker-demo-` and the user's number, so that users of one machine do not meet.
fn temporary_dir() -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let user = std::fs::metadata("/proc/self").map_or(0, |own| own.uid());
    std::env::temp_dir().join(format!("worker-demo-{user}"))
}

/// Bars on a terminal, lines elsewhere.
#[derive(Debug)]
struct Stage {
    bars: HashMap<String, ProgressBar>,
    terminal: bool,
}

impl Stage {
    fn new(queues: &[(String, Tally)]) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stdout()
        } else {
            ProgressDrawTarget::hidden()
        };
        let all = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{prefix:>12} {bar:30} {pos:>3}/{len:<3} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |(queue, tally): &(String, Tally)| {
            let bar = all.add(
                ProgressBar::new(tally.jobs)
                    .with_style(style.clone())
                    .with_prefix(queue.clone()),
            );
            bar.tick();
            (queue.clone(), bar)
        };
        Self {
            bars: queues.iter().map(bar).collect(),
            terminal,
        }
    }

    fn finish(&self) {
        self.bars.values().for_each(ProgressBar::abandon);
    }
}

impl Audience for Stage {
    fn moved(&self, queue: &str, tally: &Tally, end: &End) {
        let name = &end.told.name;
        let word = match &end.verdict {
            Verdict::Delete if end.told.attempt > 1 => format!("{name} done on try {}", end.told.attempt),
            Verdict::Delete => String::new(),
            Verdict::Release { delay } => format!("{name} failed once, next try in {} s", delay.as_secs()),
            Verdict::Fail { .. } => format!("{name} failed for good"),
            Verdict::Refund { .. } | Verdict::Abandon => return,
        };
        if let Some(bar) = self.bars.get(queue) {
            bar.set_position(tally.done + tally.failed);
            if !word.is_empty() {
                bar.set_message(word.clone());
            }
        }
        if !self.terminal {
            let (done, jobs) = (tally.done + tally.failed, tally.jobs);
            let line = if word.is_empty() {
                format!("{name} done in {} ms", end.took.as_millis())
            } else {
                word
            };
            output::say(format!("{queue:>12} {done:>3}/{jobs:<3} {line}"));
        }
    }
}

/// For `--json`: nobody watches.
#[derive(Debug)]
struct Silence;

impl Audience for Silence {
    fn moved(&self, _: &str, _: &Tally, _: &End) {}
}

fn as_json(outcome: &Outcome) -> anyhow::Result<()> {
    let queues: Vec<_> = outcome
        .queues
        .iter()
        .map(|(queue, tally)| {
            json!({
                "queue": queue,
                "jobs": tally.jobs,
                "done": tally.done,
                "retried": tally.retried,
                "failed": tally.failed,
                "busy_s": tally.busy.as_secs_f64(),
                "longest_s": tally.longest.as_secs_f64(),
            })
        })
        .collect();
    output::json(&json!({ "file": outcome.file, "took_s": outcome.took.as_secs_f64(), "queues": queues }))
}

fn summarise(outcome: &Outcome) {
    let seconds = |time: std::time::Duration| format!("{:.2} s", time.as_secs_f64());
    let rows = outcome.queues.iter().map(|(queue, tally)| {
        vec![
            queue.clone(),
            tally.jobs.to_string(),
            tally.done.to_string(),
            tally.retried.to_string(),
            tally.failed.to_string(),
            seconds(tally.busy),
            seconds(tally.longest),
        ]
    });
    output::say("");
    output::table(
        &[
            "queue",
            "jobs",
            "done",
            "retried",
            "failed",
            "time in jobs",
            "longest",
        ],
        rows,
    );
    let jobs: u64 = outcome.queues.iter().map(|(_, tally)| tally.jobs).sum();
    let busy: std::time::Duration = outcome.queues.iter().map(|(_, tally)| tally.busy).sum();
    output::say(format!(
        "{jobs} jobs, {} of work, in {}.",
        seconds(busy),
        seconds(outcome.took)
    ));
    output::say("");
    output::say(next_steps(&outcome.file));
}

fn next_steps(file: &Path) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "worker".to_owned());
    let file = file.display();
    format!(
        "What to type next:
  export QUEUE_CONNECTION=database DB_CONNECTION=sqlite DB_DATABASE={file}
  {program} failed                       the job that failed for good, with its error
  {program} retry all                    put it back on its queue
  {program} status                       what waits, and who consumes it
  {program} run --stop-when-empty        work it off again
  {program} run --help                   queues, limits and exit codes"
    )
}
