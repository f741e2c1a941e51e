//! The names of keys: Laravel's for queues, and `worker:` for what is ours.

use redis::{Cmd, RedisWrite};

use crate::store::port::QueueName;

/// Names keys below one prefix.
#[derive(Debug, Clone)]
pub(in crate::store) struct Keys {
    prefix: String,
    tagged: bool,
}

impl Keys {
    /// Names below `prefix`; with `tagged` a queue's name is a hash tag.
    pub(in crate::store) fn new(prefix: &str, tagged: bool) -> Self {
        Self {
            prefix: prefix.to_owned(),
            tagged,
        }
    }

    /// The list of available jobs. The names of the other three begin with it.
    pub(in crate::store) fn list(&self, queue: &QueueName) -> String {
        let prefix = &self.prefix;
        if self.tagged {
            format!("{prefix}queues:{{{queue}}}")
        } else {
            format!("{prefix}queues:{queue}")
        }
    }

    /// The sorted set of jobs whose time has not come.
    pub(in crate::store) fn delayed(&self, queue: &QueueName) -> String {
        self.list(queue) + ":delayed"
    }

    /// The sorted set of jobs being worked.
    pub(in crate::store) fn reserved(&self, queue: &QueueName) -> String {
        self.list(queue) + ":reserved"
    }

    /// The list with one entry per available job, on which idle workers block.
    pub(in crate::store) fn notify(&self, queue: &QueueName) -> String {
        self.list(queue) + ":notify"
    }

    /// Writes all four as arguments: list, delayed, reserved, notify.
    pub(in crate::store) fn write_all(&self, queue: &QueueName, command: &mut Cmd) {
        let list = self.list(queue);
        command.arg(&list);
        for suffix in ["delayed", "reserved", "notify"] {
            command.write_arg_fmt(format_args!("{list}:{suffix}"));
        }
    }

    /// The hash of jobs that are set aside. On a cluster it is where its queue is.
    pub(super) fn aside(&self, queue: &QueueName) -> String {
        if self.tagged {
            self.own(&format!("aside:{{{queue}}}"))
        } else {
            self.own(&format!("aside:{queue}"))
        }
    }

    /// Where a call that takes jobs writes down what it took. On a cluster it is where its first queue is.
    pub(super) fn taken(&self, queue: Option<&QueueName>, desk: impl std::fmt::Display) -> String {
        match queue {
            Some(queue) if self.tagged => self.own(&format!("taken:{{{queue}}}:{desk}")),
            _ => self.own(&format!("taken:{desk}")),
        }
    }

    /// A key of our own.
    pub(in crate::store) fn own(&self, name: &str) -> String {
        format!("{}worker:{name}", self.prefix)
    }

    /// A pattern for SCAN that matches all keys of queues.
    pub(in crate::store) fn queues_pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.prefix.len() + 8);
        for letter in self.prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern + "queues:*"
    }

    /// The queue that a key belongs to, when it is one that holds jobs.
    pub(in crate::store) fn queue_of(&self, key: &str) -> Option<QueueName> {
        let name = key.strip_prefix(&self.prefix)?.strip_prefix("queues:")?;
        if name.ends_with(":notify") {
            return None;
        }
        let name = name.strip_suffix(":delayed").unwrap_or(name);
        let name = name.strip_suffix(":reserved").unwrap_or(name);
        let name = match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(inner) if self.tagged => inner,
            _ => name,
        };
        Some(QueueName::new(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_laravels() {
        let keys = Keys::new("facturino_", false);
        let queue = QueueName::new("einvoice");
        assert_eq!(keys.list(&queue), "facturino_queues:einvoice");
        assert_eq!(keys.delayed(&queue), "facturino_queues:einvoice:delayed");
        assert_eq!(keys.reserved(&queue), "facturino_queues:einvoice:reserved");
        assert_eq!(keys.notify(&queue), "facturino_queues:einvoice:notify");
        assert_eq!(keys.own("processes"), "facturino_worker:processes");
        assert_eq!(keys.aside(&queue), "facturino_worker:aside:einvoice");
    }

    #[test]
    fn a_cluster_keeps_a_queues_keys_on_one_node() {
        let keys = Keys::new("a_", true);
        let queue = QueueName::new("mail");
        assert_eq!(keys.delayed(&queue), "a_queues:{mail}:delayed");
        assert_eq!(keys.aside(&queue), "a_worker:aside:{mail}");
        assert_eq!(keys.queue_of("a_queues:{mail}:delayed"), Some(queue));
    }

    #[test]
    fn keys_tell_their_queue() {
        let keys = Keys::new("a*b_", false);
        assert_eq!(keys.queues_pattern(), "a\\*b_queues:*");
        let mail = Some(QueueName::new("mail"));
        for key in [
            "a*b_queues:mail",
            "a*b_queues:mail:delayed",
            "a*b_queues:mail:reserved",
        ] {
            assert_eq!(keys.queue_of(key), mail);
        }
        assert_eq!(keys.queue_of("a*b_queues:mail:notify"), None);
        assert_eq!(keys.queue_of("queues:mail"), None);
        assert_eq!(keys.queue_of("a*b_queues:{mail}"), Some(QueueName::new("{mail}")));
    }
}
