//! `worker retry`: put failed jobs back on their queues.

use std::collections::HashMap;
use std::sync::Arc;

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::{App, unreachable};
use crate::exit::Exit;
use crate::failed::{Outcome, PAGE, Retrier};
use crate::store::port::{FailedFilter, FailedId, FailedRow};

/// Arguments of `worker retry`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker retry 5b1c6f0e-...      one job, by uuid or by its number
  worker retry all
  worker retry --queue einvoice
  worker retry --range 1-50

A job is either failed or on its queue, also when this command is killed in between. Its attempts start
again at zero; a job that may be tried until a time gets its original span again.")]
pub(super) struct Args {
    /// Uuids or numbers of failed jobs, or all.
    #[arg(required_unless_present_any = ["queue", "range"])]
    ids: Vec<String>,
    /// Those of this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Those with numbers in this range, such as 1-50.
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    range: Vec<(i64, i64)>,
    /// Print JSON: ids retried, unknown, gone, unconfigured.
    #[arg(long)]
    json: bool,
}

/// Retries what is asked for. Unknown ids are said; the exit code stays 0, as Laravel's.
///
/// # Errors
/// Exit 69 when a store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let mut work = Work::new(session, args.json).await?;
        if args.ids.iter().any(|id| id == "all") || (args.ids.is_empty() && args.range.is_empty()) {
            work.range((i64::MIN, i64::MAX), args.queue.as_deref()).await?;
        } else {
            for id in &args.ids {
                work.one(id).await?;
            }
            for range in &args.range {
                work.range(*range, args.queue.as_deref()).await?;
            }
        }
        work.finish()?;
        Ok(Exit::Done)
    })
}

/// Retrying, with what came of it so far.
pub(super) struct Work {
    session: Session,
    retriers: HashMap<String, Retrier>,
    app: App,
    json: bool,
    told: Told,
}

/// What `--json` prints.
#[derive(Default, serde::Serialize)]
struct Told {
    /// Ids of those that are back on their queues.
    retried: Vec<String>,
    /// Ids of which there is no failed job.
    unknown: Vec<String>,
    /// Ids of those that someone else dealt with at the same time.
    gone: Vec<String>,
    /// Ids of those whose connection is not configured here: they stay failed.
    unconfigured: Vec<String>,
}

impl Work {
    /// Nothing is retried yet.
    ///
    /// # Errors
    /// Exit 78 or 69, see [`Session::app`].
    pub(super) async fn new(session: Session, json: bool) -> anyhow::Result<Self> {
        Ok(Self {
            app: session.app(None).await?,
            session,
            retriers: HashMap::new(),
            json,
            told: Told::default(),
        })
    }

    /// Says what came of it.
    ///
    /// # Errors
    /// As [`output::json`].
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if self.json {
            return output::json(&self.told);
        }
        let count = self.told.retried.len();
        output::say(format!("{count} failed jobs are back on their queues."));
        Ok(())
    }

    /// Retries one, by uuid or number.
    ///
    /// # Errors
    /// Exit 69 when a store does not answer.
    pub(super) async fn one(&mut self, id: &str) -> anyhow::Result<()> {
        let filter = FailedFilter::Id(failed_id(id));
        let rows = self
            .app
            .stores
            .failed
            .list(&filter, 1)
            .await
            .map_err(|error| unreachable(&error))?;
        match rows.first() {
            Some(row) => self.retry(row).await,
            None => {
                output::remark(format!("There is no failed job with the id {id}."));
                self.told.unknown.push(id.to_owned());
                Ok(())
            }
        }
    }

    /// Retries page by page, from the newest down, so that rows which stay do not come up twice.
    async fn range(&mut self, (from, mut to): (i64, i64), queue: Option<&str>) -> anyhow::Result<()> {
        loop {
            let filter = FailedFilter::Range(from, to);
            let rows = self
                .app
                .stores
                .failed
                .list(&filter, PAGE)
                .await
                .map_err(|error| unreachable(&error))?;
            let Some(lowest) = rows.iter().map(|row| row.id).min() else {
                return Ok(());
            };
            for row in rows
                .iter()
                .filter(|row| queue.is_none_or(|queue| row.queue.as_str() == queue))
            {
                self.retry(row).await?;
            }
            if lowest <= from {
                return Ok(());
            }
            to = lowest - 1;
        }
    }

    async fn retry(&mut self, row: &FailedRow) -> anyhow::Result<()> {
        let id = row.uuid.clone().unwrap_or_else(|| row.id.to_string());
        let Some(retrier) = self.retrier(&row.connection).await? else {
            output::remark(format!(
                "{id} stays failed: its connection {:?} is not configured here.",
                row.connection
            ));
            self.told.unconfigured.push(id);
            return Ok(());
        };
        let outcome = retrier.retry(row).await;
        match outcome.map_err(|error| unreachable(&error))? {
            Outcome::Pushed => {
                if !self.json {
                    output::say(&id);
                }
                self.told.retried.push(id);
            }
            Outcome::Gone => {
                output::remark(format!("{id} was dealt with by someone else."));
                self.told.gone.push(id);
            }
        }
        Ok(())
    }

    /// The retrier of the connection on which a job failed; `None` when that is not configured here.
    async fn retrier(&mut self, connection: &str) -> anyhow::Result<Option<&Retrier>> {
        if !self.retriers.contains_key(connection) {
            let stores = if connection == self.app.connection.name {
                self.app.stores.clone()
            } else if self.session.connection(Some(connection)).is_ok() {
                self.session.app(Some(connection)).await?.stores
            } else {
                return Ok(None);
            };
            let retrier = Retrier {
                failed: stores.failed,
                queue: stores.queue,
                clock: Arc::clone(&self.app.clock),
            };
            self.retriers.insert(connection.to_owned(), retrier);
        }
        Ok(self.retriers.get(connection))
    }
}

/// All digits: the table's number; anything else: a uuid.
pub(super) fn failed_id(text: &str) -> FailedId {
    text.parse()
        .map_or_else(|_| FailedId::Uuid(text.to_owned()), FailedId::Number)
}

fn range(text: &str) -> Result<(i64, i64), String> {
    let parse = || {
        let (from, to) = text.split_once('-')?;
        Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
    };
    parse()
        .filter(|(from, to)| from <= to)
        .ok_or_else(|| "a range is two numbers such as 1-50".to_owned())
}
