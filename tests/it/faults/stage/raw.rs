//! Payloads that are pushed as they are, whether they are any or not.

use bytes::Bytes;
use worker::store::port::{NewJob, QueueName};

use super::{Stage, Store};

impl Stage {
    /// Pushes bytes as they are, past the worker's own code.
    pub(crate) fn push_raw(&self, queue: &str, payload: &[u8]) {
        match &self.store {
            Store::Redis { redis, .. } => redis.push(queue, payload),
            Store::Database(database) => {
                let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
                let text = match database.kind() {
                    "sqlite" => format!("cast(x'{hex}' as text)"),
                    "mariadb" => format!("convert(x'{hex}' using utf8mb4)"),
                    _ => format!("convert_from('\\x{hex}'::bytea, 'UTF8')"),
                };
                let now = database.now();
                database.execute(&format!(
                    "insert into jobs (queue, payload, attempts, available_at, created_at) \
                     values ('{queue}', {text}, 0, {now}, {now})"
                ));
            }
        }
    }

    /// Pushes bytes as they are with the worker's own code. Whether the store took them.
    pub(crate) fn try_push(&self, queue: &str, payload: impl Into<Bytes>) -> bool {
        let new = NewJob {
            queue: QueueName::new(queue),
            payload: payload.into(),
            delay: None,
        };
        self.runtime.block_on(self.queue.push(&[new])).is_ok()
    }
}
