//! The queues and their limits.

use std::time::Duration;

use super::Config;

/// What is set for one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// Name of the queue.
    pub name: String,
    /// How long an attempt may run unless the payload says otherwise; `None` is no limit (written 0). Default 60 s;
    /// einvoice 150 s, migration 600 s.
    pub timeout: Option<Duration>,
    /// Caps the time limit, also that of a payload; `None` is no cap. Default `WORKER_MAX_TIMEOUT`.
    pub max_timeout: Option<Duration>,
    /// Jobs at a time when the queue has a lane of its own. Default `WORKER_CONCURRENCY`; migration 2.
    pub concurrency: usize,
    /// Attempts of a job whose payload sets none; 0 is no limit, `None` is Laravel's default of 1.
    pub tries: Option<u32>,
    /// Seconds before the second, third, … attempt of a job whose payload sets none; the last one repeats. Empty is 0.
    pub backoff: Vec<u64>,
}

impl Config {
    /// The settings of queue `name`; a queue that is not configured gets the defaults of `default`'s kind: 60 s and
    /// `WORKER_CONCURRENCY`.
    #[must_use]
    pub fn queue_settings(&self, name: &str) -> QueueSettings {
        match self.queues.iter().find(|queue| queue.name == name) {
            Some(queue) => queue.clone(),
            None => QueueSettings {
                name: name.to_owned(),
                timeout: Some(Duration::from_secs(60)),
                max_timeout: self.worker.max_timeout,
                concurrency: self.worker.concurrency,
                tries: None,
                backoff: Vec::new(),
            },
        }
    }
}
