//! Runs the jobs of the registry inside this process.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use worker_jobs::{Attempt, Prepared, Registry};

use super::{Ended, Refusal, Request, Runner, Work};
use crate::wire::data::Data;
use crate::wire::php::Table;
use crate::wire::{Command, Exception, Keys, Payload};

/// Runs native jobs. A class that is not in the registry is never decoded.
#[derive(Debug)]
pub struct NativeRunner {
    registry: Arc<Registry>,
    keys: Option<Keys>,
}

impl NativeRunner {
    /// A runner over `registry`; `keys` open encrypted commands.
    #[must_use]
    pub fn new(registry: Arc<Registry>, keys: Option<Keys>) -> Self {
        Self { registry, keys }
    }
}

struct NativeWork(Box<dyn Prepared>);

impl Work for NativeWork {
    fn run(&self) -> BoxFuture<'_, Ended> {
        self.0
            .handle()
            .map(|result| match result {
                Ok(outcome) => Ended::As(outcome),
                Err(error) => Ended::Error(error),
            })
            .boxed()
    }

    fn failed<'a>(&'a self, exception: &'a Exception) -> BoxFuture<'a, ()> {
        self.0.failed(exception.message())
    }
}

impl Runner for NativeRunner {
    fn prepare(&self, request: Request<'_>) -> Result<Box<dyn Work>, Refusal> {
        let Request { payload, attempt, .. } = request;
        if payload.is_object_job() {
            self.object(payload, attempt)
        } else {
            self.string(payload, attempt)
        }
    }
}

impl NativeRunner {
    fn object(&self, payload: &Payload, attempt: Attempt) -> Result<Box<dyn Work>, Refusal> {
        let class = payload
            .command_name()
            .unwrap_or_else(|| payload.name())
            .to_owned();
        if !self.registry.contains(&class) {
            return Err(Refusal::Unknown { class });
        }
        let unreadable = |error: &dyn std::fmt::Display| Refusal::Unreadable {
            reason: error.to_string(),
        };
        let text = payload.command().unwrap_or_default();
        let command = Command::open(text, self.keys.as_ref()).map_err(|error| unreadable(&error))?;
        if let Some(what) = needs_framework(payload, &command) {
            return Err(Refusal::NeedsFramework { class, what });
        }
        let table = Table::new(command.value());
        let mut data = <dyn erased_serde::Deserializer<'_>>::erase(table.deserializer());
        self.make(class, &mut data, attempt)
    }

    /// A string job is `Class@method` with JSON data.
    fn string(&self, payload: &Payload, attempt: Attempt) -> Result<Box<dyn Work>, Refusal> {
        let handler = payload.job();
        let class = handler
            .split_once('@')
            .map_or(handler, |(class, _)| class)
            .to_owned();
        if !self.registry.contains(&class) {
            return Err(Refusal::Unknown { class });
        }
        let unreadable = |error: &dyn std::fmt::Display| Refusal::Unreadable {
            reason: error.to_string(),
        };
        let json: serde_json::Value =
            serde_json::from_str(payload.data().unwrap_or("{}")).map_err(|error| {
                unreadable(&format!(
                    "read the data of {class}: not JSON at column {}",
                    error.column()
                ))
            })?;
        let mut data = <dyn erased_serde::Deserializer<'_>>::erase(Data(&json));
        self.make(class, &mut data, attempt)
    }

    fn make(
        &self,
        class: String,
        data: &mut dyn erased_serde::Deserializer<'_>,
        attempt: Attempt,
    ) -> Result<Box<dyn Work>, Refusal> {
        match self.registry.prepare(&class, data, attempt) {
            None => Err(Refusal::Unknown { class }),
            Some(Ok(prepared)) => Ok(Box::new(NativeWork(prepared))),
            Some(Err(error)) => Err(Refusal::Unreadable {
                reason: format!("read the data of {class}: {error}"),
            }),
        }
    }
}

/// What a command carries that only the framework can finish.
fn needs_framework(payload: &Payload, command: &Command) -> Option<&'static str> {
    if command.has_middleware() {
        Some("it carries middleware that only the framework can apply")
    } else if command.has_chain() {
        Some("it carries a chain that only the framework can continue")
    } else if payload.batch_id().is_some() || command.batch_id().is_some() {
        Some("it belongs to a batch that only the framework can count")
    } else if payload.has_unique_lock() || command.has_lock() {
        Some("it holds a lock that only the framework can release")
    } else {
        None
    }
}
