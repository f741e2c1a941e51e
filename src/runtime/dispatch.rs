//! Puts new jobs on queues, in the payload form of Laravel 12.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;
use worker_jobs::{Dispatch, DispatchError, Dispatcher};

use crate::clock::Clock;
use crate::store::port::{NewJob, Queue, QueueName};
use crate::wire::compose::{NewPayload, Work};
use crate::wire::php;

/// Dispatches onto one connection.
pub struct QueueDispatcher {
    queue: Arc<dyn Queue>,
    default_queue: QueueName,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for QueueDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueDispatcher")
            .field("default_queue", &self.default_queue)
            .finish_non_exhaustive()
    }
}

impl QueueDispatcher {
    /// A dispatcher onto `queue`; jobs that name no queue go to `default_queue`.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, default_queue: QueueName, clock: Arc<dyn Clock>) -> Self {
        Self {
            queue,
            default_queue,
            clock,
        }
    }

    /// The payload of a dispatch and its uuid.
    ///
    /// # Errors
    /// When the properties cannot be PHP values.
    pub fn compose(&self, dispatch: &Dispatch) -> Result<(NewJob, String), DispatchError> {
        let uuid = Uuid::new_v4().to_string();
        if self.queue.takes_tasks() {
            let (handler, data) = task(dispatch);
            let work = Work::Json {
                job: &handler,
                data: &data,
            };
            return Ok((self.encode(dispatch, &uuid, work)?, uuid));
        }
        let object = php::build::object(&dispatch.class, &properties(dispatch))
            .map_err(|error| refused(&dispatch.class, &error))?;
        Ok((self.encode(dispatch, &uuid, Work::Object(&object))?, uuid))
    }

    fn encode(&self, dispatch: &Dispatch, uuid: &str, work: Work<'_>) -> Result<NewJob, DispatchError> {
        let backoff: Vec<_> = dispatch
            .backoff
            .iter()
            .map(std::time::Duration::as_secs)
            .collect();
        let id = self.queue.carries_attempts().then(random_id);
        let mut payload = NewPayload::new(uuid, work, self.clock.unix_s());
        payload.max_tries = dispatch.tries;
        payload.backoff = (!backoff.is_empty()).then_some(&*backoff);
        payload.timeout = dispatch.timeout.map(|timeout| timeout.as_secs());
        payload.delay = dispatch
            .delay
            .map(|delay| i64::try_from(delay.as_secs()).unwrap_or(i64::MAX));
        payload.redis = id.as_deref().map(|id| (id, 0));
        let text = payload
            .encode()
            .map_err(|error| refused(&dispatch.class, &error))?;
        Ok(NewJob {
            queue: dispatch
                .queue
                .as_deref()
                .map_or_else(|| self.default_queue.clone(), QueueName::new),
            payload: text.into(),
            delay: dispatch.delay,
        })
    }
}

#[async_trait::async_trait]
impl Dispatcher for QueueDispatcher {
    async fn dispatch(&self, dispatches: Vec<Dispatch>) -> Result<Vec<String>, DispatchError> {
        let composed = dispatches
            .iter()
            .map(|dispatch| self.compose(dispatch))
            .collect::<Result<Vec<_>, _>>()?;
        let (jobs, uuids): (Vec<_>, Vec<_>) = composed.into_iter().unzip();
        let what = dispatches
            .first()
            .map_or_else(String::new, |dispatch| dispatch.class.clone());
        self.queue
            .push(&jobs)
            .await
            .map_err(|error| refused(&what, &error))?;
        Ok(uuids)
    }
}

/// The object's properties: its own, then the one that `onQueue` sets.
fn properties(dispatch: &Dispatch) -> Map<String, Value> {
    let mut properties = dispatch.properties.clone();
    if let Some(queue) = &dispatch.queue {
        properties
            .entry("queue")
            .or_insert_with(|| Value::from(queue.as_str()));
    }
    properties
}

/// The handler of a task and its data as JSON: no object, so visibility means nothing.
fn task(dispatch: &Dispatch) -> (String, String) {
    let bare = |name: &str| {
        let name = name
            .strip_prefix("protected:")
            .or(name.strip_prefix("private:"))
            .unwrap_or(name);
        name.to_owned()
    };
    let members = dispatch
        .properties
        .iter()
        .map(|(name, value)| (bare(name), value.clone()));
    let data = Value::Object(members.collect());
    (format!("{}@handle", dispatch.class), data.to_string())
}

/// What Laravel's `Str::random(32)` gives: letters and digits.
pub fn random_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(32).collect()
}

fn refused(what: &str, error: &dyn fmt::Display) -> DispatchError {
    DispatchError {
        what: what.to_owned(),
        reason: error.to_string(),
    }
}
