//! Emptying a queue.

use redis::Cmd;

use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::script;
use crate::store::port::QueueName;

/// Removes every job of a queue, reserved ones included; returns how many.
pub(super) async fn clear(connection: &Connection, keys: &Keys, queue: &QueueName) -> Result<u64, Failure> {
    let fill = |command: &mut Cmd| {
        command.arg(5);
        keys.write_all(queue, command);
        command.arg(keys.aside(queue));
    };
    connection.run(&script::CLEAR, fill).await
}
