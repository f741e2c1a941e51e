//! Which worker processes live, kept beside the queues.

use std::time::Duration;

use redis::Cmd;

use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::options::RedisOptions;
use super::script;
use crate::store::port::{Presence, Process};
use crate::store::{Error, Kind};

/// The processes that work on one application's queues: a sorted set `worker:processes` of ids by the time
/// they expire, and a hash `worker:process` with what each said of itself, as JSON.
#[derive(Debug)]
pub struct RedisPresence {
    connection: Connection,
    keys: Keys,
}

impl RedisPresence {
    /// The processes in the database that `options` name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the options cannot be used.
    pub fn new(options: &RedisOptions) -> Result<Self, Error> {
        Ok(Self {
            connection: Connection::new(options)?,
            keys: Keys::new(&options.prefix, options.cluster),
        })
    }

    fn write_keys(&self, command: &mut Cmd) {
        command
            .arg(2)
            .arg(self.keys.own("processes"))
            .arg(self.keys.own("process"));
    }
}

#[async_trait::async_trait]
impl Presence for RedisPresence {
    async fn beat(&self, process: &Process, ttl: Duration) -> Result<(), Error> {
        const ACTION: &str = "say that this process lives";
        let text =
            serde_json::to_string(process).map_err(|error| Error::new(Kind::Corrupt, ACTION, error))?;
        let fill = |command: &mut Cmd| {
            self.write_keys(command);
            command.arg(ttl.as_millis().max(1)).arg(&process.id).arg(&text);
        };
        self.connection
            .run(&script::BEAT, fill)
            .await
            .map_err(|failure| failure.during(ACTION))
    }

    async fn leave(&self, id: &str) -> Result<(), Error> {
        let mut commands = redis::pipe();
        commands
            .atomic()
            .zrem(self.keys.own("processes"), id)
            .ignore()
            .hdel(self.keys.own("process"), id)
            .ignore();
        self.connection
            .send_all(&commands)
            .await
            .map_err(|failure| failure.during("say that this process ends"))
    }

    async fn list(&self) -> Result<Vec<Process>, Error> {
        let texts: Result<Vec<Vec<u8>>, Failure> = self
            .connection
            .run(&script::PROCESSES, |command| self.write_keys(command))
            .await;
        let texts = texts.map_err(|failure| failure.during("list the worker processes"))?;
        // What another version wrote and this one cannot read is not shown.
        Ok(texts
            .iter()
            .filter_map(|text| serde_json::from_slice(text).ok())
            .collect())
    }
}
