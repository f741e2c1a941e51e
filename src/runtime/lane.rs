//! A lane: queues in order, with slots of their own, so that a long import never starves a short job.

use std::collections::HashMap;
use std::time::Duration;

use super::decide::Policy;
use crate::store::port::QueueName;
use crate::wire::Payload;

/// What a queue says of its jobs where their payloads say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRules {
    /// How long an attempt may run; `None` for no limit.
    pub timeout: Option<Duration>,
    /// How many tries a job has; zero for no limit.
    pub tries: u32,
    /// Waits before the next attempt, in seconds.
    pub backoff: Vec<u64>,
    /// The longest limit that a payload may ask for.
    pub max_timeout: Option<Duration>,
}

impl Default for QueueRules {
    /// Laravel's: 60 s, one try, no wait.
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(60)),
            tries: 1,
            backoff: Vec::new(),
            max_timeout: None,
        }
    }
}

impl QueueRules {
    /// How a job may be tried: its payload first, its queue where that is silent.
    ///
    /// A payload without backoff but with a dispatch delay waits for that delay, as Laravel 12 does.
    #[must_use]
    pub fn policy(&self, payload: &Payload) -> Policy {
        Policy {
            tries: payload.max_tries().unwrap_or(self.tries),
            retry_until: payload.retry_until(),
            max_exceptions: payload.max_exceptions(),
            fail_on_timeout: payload.fail_on_timeout(),
            backoff: payload.backoff_or_delay().unwrap_or_else(|| self.backoff.clone()),
        }
    }

    /// How long an attempt may run: what the payload says (zero: for ever), else what the queue says, and
    /// never longer than the queue's upper limit.
    #[must_use]
    pub fn limit(&self, payload: &Payload) -> Option<Duration> {
        let wanted = match payload.timeout() {
            Some(0) => None,
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => self.timeout,
        };
        match (wanted, self.max_timeout) {
            (Some(wanted), Some(most)) => Some(wanted.min(most)),
            (None, most) => most,
            (wanted, None) => wanted,
        }
    }
}

/// An ordered list of queues that share slots.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Its name: its queues, joined by commas.
    pub name: String,
    /// Its queues; earlier ones first, strictly.
    pub queues: Vec<QueueName>,
    /// How many jobs it runs at a time, at least 1.
    pub slots: usize,
    /// How many of them may run in PHP at a time; zero when none.
    pub php: usize,
    /// The rules of its queues.
    pub rules: HashMap<QueueName, QueueRules>,
}

impl Lane {
    /// A lane over `queues`.
    #[must_use]
    pub fn new(queues: Vec<(QueueName, QueueRules)>, slots: usize) -> Self {
        let names: Vec<_> = queues.iter().map(|(queue, _)| queue.clone()).collect();
        let name = names.iter().map(QueueName::as_str).collect::<Vec<_>>().join(",");
        Self {
            name,
            queues: names,
            slots: slots.max(1),
            php: usize::MAX,
            rules: queues.into_iter().collect(),
        }
    }

    /// The longest limit among its queues; `None` when one has none.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        let longest = |longest: Duration, rules: &QueueRules| Some(longest.max(rules.timeout?));
        self.rules.values().try_fold(Duration::ZERO, longest)
    }

    /// The rules of one of its queues.
    #[must_use]
    pub fn rules(&self, queue: &QueueName) -> QueueRules {
        self.rules.get(queue).cloned().unwrap_or_default()
    }
}
