//! A look at a Redis server and the queues in it, for `worker doctor`. Nothing is changed.
//!
//! Keys are found with SCAN, step by step and not without end; KEYS is never sent.

mod elsewhere;
mod queues;
mod rights;
mod server;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline};

use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use super::options::RedisOptions;
use crate::store::Error;
use crate::store::port::survey::{Ask, Elsewhere, QueueState, Server, Survey};
use crate::store::port::{Process, QueueName};

/// Steps of one scan, at most.
const SCAN_STEPS: u32 = 200;
/// Keys that one step looks at.
const SCAN_STEP: usize = 1000;

/// Looks at one database of a Redis server.
#[derive(Debug)]
pub struct RedisSurvey {
    connection: Connection,
    keys: Keys,
    db: u32,
    prefix: String,
}

impl RedisSurvey {
    /// A look at what `options` name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::store::Kind::Refused) when the options cannot be used.
    pub fn new(options: &RedisOptions) -> Result<Self, Error> {
        Ok(Self {
            connection: Connection::new(options)?,
            keys: Keys::new(&options.prefix, options.cluster),
            db: options.db,
            prefix: options.prefix.clone(),
        })
    }

    /// The rights that this user lacks to serve `queue`, such as `EVAL` or `RPUSH app_queues:default`. Commands are
    /// queued in a transaction that is then thrown away, so that none is carried out. `None` when the user may not
    /// even do that.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn missing_rights(&self, queue: &QueueName) -> Result<Option<Vec<String>>, Error> {
        let mut asker = self.asker().await?;
        rights::missing(&mut asker, &self.keys, queue)
            .await
            .map_err(|failure| failure.during("ask which commands are allowed"))
    }

    /// Queues in other databases of this server and below other prefixes.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn elsewhere(&self) -> Result<Elsewhere, Error> {
        let mut asker = self.asker().await?;
        elsewhere::look(&mut asker, self.db, &self.prefix)
            .await
            .map_err(|failure| failure.during("look for queues elsewhere"))
    }

    async fn asker(&self) -> Result<Asker, Error> {
        let connection = self.connection.blocking().await;
        connection
            .map(Asker)
            .map_err(|failure| failure.during("ask Redis"))
    }
}

#[async_trait::async_trait]
impl Survey for RedisSurvey {
    async fn server(&self) -> Result<Server, Error> {
        let mut asker = self.asker().await?;
        server::look(&mut asker)
            .await
            .map_err(|failure| failure.during("ask Redis what it is"))
    }

    async fn queues(&self, ask: &Ask) -> Result<Vec<QueueState>, Error> {
        let mut asker = self.asker().await?;
        queues::look(&mut asker, &self.keys, ask)
            .await
            .map_err(|failure| failure.during("look at the queues"))
    }

    async fn processes(&self) -> Result<Option<Vec<Process>>, Error> {
        let mut asker = self.asker().await?;
        queues::processes(&mut asker, &self.keys)
            .await
            .map(Some)
            .map_err(|failure| failure.during("list the worker processes"))
    }
}

/// A connection for one verb. It has no time limit of its own: whoever asks has one.
struct Asker(MultiplexedConnection);

impl Asker {
    async fn one<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Failure> {
        let answer = command.query_async(&mut self.0).await;
        answer.map_err(|error| Failure::of(&error))
    }

    /// The answer, or `None` when the server refuses it to this user.
    async fn if_allowed<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<Option<T>, Failure> {
        match self.one(command).await {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) if failure.reconnect => Err(failure),
            Err(_) => Ok(None),
        }
    }

    async fn all<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, Failure> {
        let answer = commands.query_async(&mut self.0).await;
        answer.map_err(|error| Failure::of(&error))
    }

    /// The keys that match `pattern`, how many were looked at, and whether that were all.
    async fn scan(&mut self, pattern: &str) -> Result<Scanned, Failure> {
        let mut scanned = Scanned::default();
        let mut cursor = 0_u64;
        for _ in 0..SCAN_STEPS {
            let mut command = redis::cmd("SCAN");
            command
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(SCAN_STEP);
            let (next, found): (u64, Vec<Vec<u8>>) = self.one(&command).await?;
            scanned.keys += u64::try_from(SCAN_STEP).unwrap_or_default();
            let texts = found.into_iter().filter_map(|key| String::from_utf8(key).ok());
            scanned.found.extend(texts);
            if next == 0 {
                scanned.complete = true;
                break;
            }
            cursor = next;
        }
        Ok(scanned)
    }

    /// The server's time in microseconds since the Unix epoch.
    async fn time_us(&mut self) -> Result<i64, Failure> {
        let (seconds, micros): (i64, i64) = self.one(&redis::cmd("TIME")).await?;
        Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
    }
}

/// What a scan found.
#[derive(Debug, Default)]
struct Scanned {
    found: Vec<String>,
    /// Keys looked at, rounded up to whole steps.
    keys: u64,
    complete: bool,
}
