//! Dispatching further jobs, for PHP or for this worker.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// A job to be dispatched: its PHP class, its properties, and how it should be run.
#[derive(Debug, Clone, Default)]
pub struct Dispatch {
    /// The PHP class, without a leading backslash.
    pub class: String,
    /// The object's properties, in order. Public as they are; a name that begins with `protected:` or
    /// `private:` gets PHP's mark for it.
    pub properties: Map<String, Value>,
    /// The queue; `None` for the connection's default.
    pub queue: Option<String>,
    /// Time until it is available; `None` for at once.
    pub delay: Option<Duration>,
    /// How many times it may be tried; `None` leaves it to the worker.
    pub tries: Option<u32>,
    /// How long one attempt may run; `None` leaves it to the queue.
    pub timeout: Option<Duration>,
    /// Waits between attempts, the last one repeated; empty leaves it to the worker.
    pub backoff: Vec<Duration>,
}

impl Dispatch {
    /// A job of this class without properties.
    #[must_use]
    pub fn new(class: &str) -> Self {
        Self {
            class: class.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a public property.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the number of tries.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }

    /// Sets the waits between attempts.
    #[must_use]
    pub fn backoff(mut self, backoff: impl IntoIterator<Item = Duration>) -> Self {
        self.backoff = backoff.into_iter().collect();
        self
    }

    /// Sets the queue.
    #[must_use]
    pub fn on_queue(mut self, queue: &str) -> Self {
        self.queue = Some(queue.to_owned());
        self
    }
}

/// Why jobs could not be dispatched.
#[derive(Debug, thiserror::Error)]
#[error("dispatch {what}: {reason}")]
pub struct DispatchError {
    /// What was to be dispatched: a class, or how many jobs.
    pub what: String,
    /// What the store said.
    pub reason: String,
}

/// Puts jobs on queues. The worker implements it; jobs use it through their context.
#[async_trait::async_trait]
pub trait Dispatcher: Send + Sync + fmt::Debug {
    /// Pushes jobs in order, all or none, and returns their uuids.
    ///
    /// # Errors
    /// When the store does not take them.
    async fn dispatch(&self, dispatches: Vec<Dispatch>) -> Result<Vec<String>, DispatchError>;
}
