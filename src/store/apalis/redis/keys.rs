//! The names of keys: the crate's own, and one of ours.

use apalis_redis::Config;

use crate::store::port::QueueName;

/// The keys of one queue.
pub(super) struct TaskKeys {
    queue: QueueName,
    config: Config,
}

impl TaskKeys {
    pub(super) fn of(queue: &QueueName) -> Self {
        Self {
            queue: queue.clone(),
            config: Config::default().queue(queue.as_str()),
        }
    }

    /// The list of ids that may be taken.
    pub(super) fn active(&self) -> String {
        self.config.active_jobs_list()
    }

    /// The sorted set of ids by the second in which they come due.
    pub(super) fn scheduled(&self) -> String {
        self.config.scheduled_jobs_set()
    }

    /// The list that says that there are ids to be taken.
    pub(super) fn signal(&self) -> String {
        self.config.signal_list()
    }

    /// The hash of data by id.
    pub(super) fn data(&self) -> String {
        self.config.job_data_hash()
    }

    /// What the names of the hashes with a task's fields begin with.
    pub(super) fn meta(&self) -> String {
        self.config.job_meta_hash()
    }

    /// The set of ids that are done.
    pub(super) fn done(&self) -> String {
        self.config.done_jobs_set()
    }

    /// The set of ids that failed for good.
    pub(super) fn dead(&self) -> String {
        self.config.dead_jobs_set()
    }

    /// The sorted set of workers by the second in which they were last heard of.
    pub(super) fn workers(&self) -> String {
        self.config.workers_set()
    }

    /// The hash with what a worker says of itself.
    pub(super) fn worker(&self, name: &str) -> String {
        format!("{}:workers:metadata:{name}", self.queue)
    }

    /// Ours: the sorted set of what workers of ours hold by the end of their leases.
    pub(super) fn leases(&self) -> String {
        format!("{}:worker:leases", self.queue)
    }

    /// Ours: the hash of what is set aside.
    pub(super) fn aside(&self) -> String {
        format!("{}:worker:aside", self.queue)
    }
}

/// What `SCAN` is to look for: the keys of tasks that are not ended, and few others.
pub(super) const PATTERN: &str = "*:[asi][cn]*";

/// The queue whose tasks a key holds.
pub(super) fn queue_of(key: &str) -> Option<QueueName> {
    let name = key
        .strip_suffix(":active")
        .or_else(|| key.strip_suffix(":scheduled"))
        .or_else(|| Some(key.split_once(":inflight:")?.0))?;
    Some(QueueName::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_crate() {
        let keys = TaskKeys::of(&QueueName::new("app::Mail"));
        assert_eq!(keys.active(), "app::Mail:active");
        assert_eq!(keys.meta(), "app::Mail:meta");
        assert_eq!(keys.leases(), "app::Mail:worker:leases");
        for key in [
            "app::Mail:active",
            "app::Mail:scheduled",
            "app::Mail:inflight:a:b",
        ] {
            assert_eq!(queue_of(key), Some(QueueName::new("app::Mail")));
        }
        for key in ["app::Mail:data", "app::Mail:workers", "queues:default"] {
            assert_eq!(queue_of(key), None);
        }
    }
}
