//! `worker dispatch`: put a job on a queue.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;
use worker_jobs::Dispatch;

use super::inspect::{read_input, unreadable};
use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::{App, unreachable};
use crate::exit::{Exit, Failure};
use crate::runtime::dispatch::random_id;
use crate::store::port::{NewJob, QueueName};
use crate::wire::Payload;
use crate::wire::compose::{self, NewPayload, Work};

/// Jobs that go in one call.
const BATCH: usize = 1000;

/// Arguments of `worker dispatch`.
#[derive(Debug, clap::Args)]
#[command(after_help = r#"Examples:
  worker dispatch 'App\Jobs\CloseDay' --data '{"companyId": 7}'
  worker dispatch 'App\Jobs\SubmitEInvoiceJob' --queue einvoice --data '{"protected:eInvoiceId": 4711}'
  worker dispatch 'App\Handlers\Legacy@fire' --data '{"any": "json"}'
  worker dispatch --raw payload.json --queue default
  worker dispatch mail --queue mail --connection apalis-redis --data '{"to": "a@example.org"}'

A property is public unless its name begins with protected: or private:. PHP finds it either way, except
in classes with SerializesModels, which need the right one."#)]
pub(super) struct Args {
    /// The PHP class, or Class@method for a string job.
    #[arg(required_unless_present = "raw", conflicts_with = "raw")]
    class: Option<String>,
    /// Push this payload as it is; - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tries", "timeout", "backoff"])]
    raw: Option<PathBuf>,
    /// The queue [default: the connection's own].
    #[arg(long)]
    queue: Option<String>,
    /// The connection [default: `QUEUE_CONNECTION`].
    #[arg(long)]
    connection: Option<String>,
    /// The job's properties as a JSON object; any JSON for a string job.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// Seconds until it is available.
    #[arg(long, value_name = "SECONDS")]
    delay: Option<u64>,
    /// How many times it may be tried.
    #[arg(long)]
    tries: Option<u32>,
    /// Seconds that one attempt may run; 0 for no limit.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Seconds before the next attempt: one number, or a list by attempt.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    backoff: Vec<u64>,
    /// How many of it.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Print JSON: connection, queue, and the uuids; null for a raw payload without one.
    #[arg(long)]
    json: bool,
}

/// Pushes the job and prints its uuid.
///
/// # Errors
/// Exit 65 when the data or the payload cannot be read, 69 when the store does not answer.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let data: Value = serde_json::from_str(&args.data).map_err(|error| {
        Failure::new(
            Exit::Unreadable,
            format!("failed to read --data as JSON: {error}"),
        )
    })?;
    let raw = args.raw.as_ref().map(|file| read_input(file)).transpose()?;
    if let Some(text) = &raw {
        Payload::parse(text.trim_ascii_end().to_vec().into()).map_err(|error| unreadable(&error))?;
    }
    let session = Session::start(common)?;
    block_on(async {
        let app = session.app(args.connection.as_deref()).await?;
        let mut left = args.count;
        let mut told: Vec<Option<String>> = Vec::new();
        while left > 0 {
            let some = left.min(BATCH);
            let batch = (0..some)
                .map(|_| args.job(&app, &data, raw.as_deref()))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let (jobs, uuids): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            app.stores
                .queue
                .push(&jobs)
                .await
                .map_err(|error| unreachable(&error))?;
            if args.json {
                told.extend(uuids);
            } else if !common.is_quiet() {
                uuids.iter().flatten().for_each(output::say);
            }
            left -= some;
        }
        if args.json {
            let (connection, queue) = (&app.connection.name, args.queue(&app));
            output::json(&json!({ "connection": connection, "queue": queue.as_str(), "uuids": told }))?;
        }
        Ok(Exit::Done)
    })
}

impl Args {
    fn job(&self, app: &App, data: &Value, raw: Option<&[u8]>) -> anyhow::Result<(NewJob, Option<String>)> {
        match (raw, &self.class) {
            (Some(text), _) => self.raw(app, text),
            (None, Some(class)) if class.contains('@') => self.handler(app, class, data),
            (None, Some(class)) if app.stores.queue.takes_tasks() => {
                self.handler(app, &format!("{}@handle", class.trim_start_matches('\\')), data)
            }
            (None, class) => self.object(app, class.as_deref().unwrap_or_default(), data),
        }
    }

    fn object(&self, app: &App, class: &str, data: &Value) -> anyhow::Result<(NewJob, Option<String>)> {
        let properties: Map<String, Value> = match data {
            Value::Object(properties) => properties.clone(),
            _ => {
                return Err(
                    Failure::new(Exit::Unreadable, "--data must be a JSON object of properties").into(),
                );
            }
        };
        let dispatch = Dispatch {
            class: class.trim_start_matches('\\').to_owned(),
            properties,
            queue: self.queue.clone(),
            delay: self.delay(),
            tries: self.tries,
            timeout: self.timeout.map(Duration::from_secs),
            backoff: self.backoff.iter().copied().map(Duration::from_secs).collect(),
        };
        let (job, uuid) = app
            .dispatcher()
            .compose(&dispatch)
            .map_err(|error| Failure::new(Exit::Unreadable, format!("failed to {error}")))?;
        Ok((job, Some(uuid)))
    }

    fn handler(&self, app: &App, job: &str, data: &Value) -> anyhow::Result<(NewJob, Option<String>)> {
        let uuid = Uuid::new_v4().to_string();
        let id = self.redis_id(app);
        let text = data.to_string();
        let work = match app.stores.queue.takes_tasks() {
            true => Work::Json { job, data: &text },
            false => Work::Handler { job, data },
        };
        let mut payload = NewPayload::new(&uuid, work, app.clock.unix_s());
        payload.max_tries = self.tries;
        payload.backoff = (!self.backoff.is_empty()).then_some(&*self.backoff);
        payload.timeout = self.timeout;
        payload.delay = self.delay.map(|delay| i64::try_from(delay).unwrap_or(i64::MAX));
        payload.redis = id.as_deref().map(|id| (id, 0));
        let text = payload.encode().map_err(|error| unreadable(&error))?;
        Ok((self.new_job(app, text.into()), Some(uuid)))
    }

    /// A payload as it is, with the members that this store's payloads carry.
    fn raw(&self, app: &App, text: &[u8]) -> anyhow::Result<(NewJob, Option<String>)> {
        let text = compose::raw(text.trim_ascii_end(), self.redis_id(app).as_deref())
            .map_err(|error| unreadable(&error))?;
        let uuid = Payload::parse(text.clone().into())
            .map_err(|error| unreadable(&error))?
            .uuid()
            .map(str::to_owned);
        Ok((self.new_job(app, text.into()), uuid))
    }

    fn redis_id(&self, app: &App) -> Option<String> {
        app.stores.queue.carries_attempts().then(random_id)
    }

    fn queue(&self, app: &App) -> QueueName {
        self.queue
            .as_deref()
            .map_or_else(|| app.default_queue(), QueueName::new)
    }

    fn new_job(&self, app: &App, payload: bytes::Bytes) -> NewJob {
        NewJob {
            queue: self.queue(app),
            payload,
            delay: self.delay(),
        }
    }

    fn delay(&self) -> Option<Duration> {
        self.delay.map(Duration::from_secs)
    }
}
