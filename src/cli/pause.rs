//! `worker pause` and `worker resume`: hold a queue for all workers of the application.

use std::sync::Arc;

use serde_json::json;

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::unreachable;
use crate::control;
use crate::exit::{Exit, Failure};
use crate::store::connect;
use crate::store::port::{Cache, QueueName};

/// Arguments of `worker pause` and `worker resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker pause einvoice              resume it: worker resume einvoice
  worker pause redis:einvoice        of a connection by name
  worker pause --all                 resume: worker resume --all

Laravel 12.40 and later know paused queues; older PHP workers go on.")]
pub(super) struct Args {
    /// The queue, as QUEUE or CONNECTION:QUEUE.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    queue: Option<String>,
    /// All queues of all connections. Resuming all does not undo single pauses.
    #[arg(long)]
    all: bool,
    /// Print JSON: connection, queue, paused; null stands for all.
    #[arg(long)]
    json: bool,
}

/// Pauses.
///
/// # Errors
/// Exit 78 when the cache store cannot be written from here, 69 when it does not answer.
pub(super) fn pause(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let (connection, queue) = args.target(&session);
        let cache = cache(&session).await?;
        control::cache::pause(&*cache, &connection, queue.as_ref())
            .await
            .map_err(|error| unreachable(&error))?;
        args.tell(&connection, queue.as_ref(), true)
    })
}

/// Resumes.
///
/// # Errors
/// As [`pause`].
pub(super) fn resume(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    block_on(async {
        let (connection, queue) = args.target(&session);
        let cache = cache(&session).await?;
        control::cache::resume(&*cache, &connection, queue.as_ref())
            .await
            .map_err(|error| unreachable(&error))?;
        args.tell(&connection, queue.as_ref(), false)
    })
}

impl Args {
    fn tell(&self, connection: &str, queue: Option<&QueueName>, paused: bool) -> anyhow::Result<Exit> {
        if self.json {
            let connection = queue.map(|_| connection);
            let queue = queue.map(QueueName::as_str);
            output::json(&json!({ "connection": connection, "queue": queue, "paused": paused }))?;
        } else if paused {
            output::say(format!("{} paused; running jobs go on.", what(connection, queue)));
        } else {
            output::say(format!("{} resumed.", what(connection, queue)));
        }
        Ok(Exit::Done)
    }

    /// The connection and the queue; no queue for all.
    fn target(&self, session: &Session) -> (String, Option<QueueName>) {
        let own = session.loaded.config.queue.name.clone();
        match &self.queue {
            None => (own, None),
            Some(text) => match text.split_once(':') {
                Some((connection, queue)) => (connection.to_owned(), Some(QueueName::new(queue))),
                None => (own, Some(QueueName::new(text))),
            },
        }
    }
}

fn what(connection: &str, queue: Option<&QueueName>) -> String {
    queue.map_or_else(
        || "All queues are".to_owned(),
        |queue| format!("Queue {connection}:{queue} is"),
    )
}

/// The application's cache store.
///
/// # Errors
/// Exit 78 when it cannot be used from here.
pub(super) async fn cache(session: &Session) -> anyhow::Result<Arc<dyn Cache>> {
    let config = &session.loaded.config;
    let stores = connect::open_cache(config)
        .await
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let refused = || {
        let message = "the cache store (CACHE_STORE) cannot be reached from here; use redis or database";
        Failure::new(Exit::Config, message)
    };
    Ok(stores.ok_or_else(refused)?)
}
