//! From configuration and flags to lanes.

use crate::config::{Config, QueueSettings};
use crate::runtime::lane::{Lane, QueueRules};
use crate::store::port::QueueName;

/// What the flags say of lanes.
#[derive(Debug, Clone, Default)]
pub struct LaneFlags {
    /// `--queue`, once for each lane: a list in strict order. Empty: as configured.
    pub queues: Vec<String>,
    /// Behave as Laravel does without `--queue`: the connection's own queue only.
    pub only_default: bool,
    /// Slots of every lane, whatever its queues say.
    pub slots: Option<usize>,
}

impl LaneFlags {
    /// Whether a lane is wanted for every queue found in the store.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        self.queues.iter().any(|list| list.trim() == "*")
    }

    /// The lanes to start with; `default` is the connection's own queue.
    #[must_use]
    pub fn lanes(&self, config: &Config, default: &str) -> Vec<Lane> {
        let is_blank = |list: &String| list.split(',').all(|name| name.trim().is_empty());
        if !self.queues.iter().all(is_blank) {
            let lists = self.queues.iter().filter(|list| list.trim() != "*");
            let names = lists.map(|list| list.split(',').map(str::trim).filter(|name| !name.is_empty()));
            return names
                .map(|names| self.lane(config, names))
                .filter(|lane| !lane.queues.is_empty())
                .collect();
        }
        if self.only_default {
            return vec![self.lane(config, [default])];
        }
        config
            .queues
            .iter()
            .map(|queue| self.lane(config, [queue.name.as_str()]))
            .collect()
    }

    /// A lane over these queues; it has as many slots, and as large a share of PHP, as its roomiest queue.
    pub fn lane<'a>(&self, config: &Config, names: impl IntoIterator<Item = &'a str>) -> Lane {
        let settings: Vec<_> = names
            .into_iter()
            .map(|name| config.queue_settings(name))
            .collect();
        let slots = settings.iter().map(|queue| queue.concurrency).max().unwrap_or(1);
        let queues = settings
            .iter()
            .map(|queue| (QueueName::new(&queue.name), rules(queue)))
            .collect();
        let php = settings.iter().map(|queue| queue.php.unwrap_or(usize::MAX)).max();
        Lane {
            php: php.unwrap_or(usize::MAX),
            ..Lane::new(queues, self.slots.unwrap_or(slots))
        }
    }
}

fn rules(queue: &QueueSettings) -> QueueRules {
    QueueRules {
        timeout: queue.timeout,
        tries: queue.tries.unwrap_or(1),
        backoff: queue.backoff.clone(),
        max_timeout: queue.max_timeout,
    }
}
