//! A look into Redis as Laravel's queues lay it out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis::{Client, Connection, FromRedisValue, IntoConnectionInfo, RedisResult, ToRedisArgs};
use serde_json::Value;

/// Laravel's number for the database of the queues, in the first application that uses the worker.
pub const QUEUE_DB: i64 = 3;
/// The database of the cache, in the tests.
pub const CACHE_DB: i64 = 4;

/// The bytes of one job as they stand in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Vec<u8>);

impl Payload {
    /// The payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the payload is UTF-8")
    }

    /// The payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0).expect("the payload is JSON")
    }

    /// The member `uuid`.
    pub fn uuid(&self) -> String {
        self.json()["uuid"]
            .as_str()
            .expect("the payload has a uuid")
            .to_owned()
    }

    /// The member `attempts`.
    pub fn attempts(&self) -> u64 {
        self.json()["attempts"]
            .as_u64()
            .expect("the payload counts its attempts")
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A member of `:delayed` or `:reserved` with its score: the unix time when it is due or lapses.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The member.
    pub payload: Payload,
    /// Its score, in seconds.
    pub score: f64,
}

/// The four keys of one queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueDump {
    /// The list, next job first.
    pub ready: Vec<Payload>,
    /// The sorted set `:delayed`, next due first.
    pub delayed: Vec<Scored>,
    /// The sorted set `:reserved`, next to lapse first.
    pub reserved: Vec<Scored>,
    /// The length of the list `:notify`.
    pub notify: usize,
}

impl QueueDump {
    /// Jobs in all three places.
    pub fn len(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.reserved.len()
    }

    /// Whether no job is anywhere.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Link {
    starts: u64,
    connection: Connection,
}

/// A client of one database, with the prefix that Laravel puts before every key.
pub struct Redis {
    url: String,
    prefix: String,
    db: i64,
    starts: Arc<AtomicU64>,
    link: Mutex<Option<Link>>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Redis({} db {} prefix {:?})", self.url, self.db, self.prefix)
    }
}

impl Redis {
    /// A client of the queue database of the server at `url`; a database number in the URL is ignored.
    pub fn open(url: &str, prefix: &str) -> Self {
        Self::of_server(url, prefix, Arc::default())
    }

    /// A client that notices by `starts` that its server was started again.
    pub(crate) fn of_server(url: &str, prefix: &str, starts: Arc<AtomicU64>) -> Self {
        Self {
            url: url.to_owned(),
            prefix: prefix.to_owned(),
            db: QUEUE_DB,
            starts,
            link: Mutex::new(None),
        }
    }

    /// The same server and prefix, another database.
    #[must_use]
    pub fn db(&self, number: i64) -> Self {
        Self {
            db: number,
            ..Self::of_server(&self.url, &self.prefix, Arc::clone(&self.starts))
        }
    }

    /// The same server and database, another prefix.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Self {
            db: self.db,
            ..Self::of_server(&self.url, prefix, Arc::clone(&self.starts))
        }
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The server's URL as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `name` with the prefix.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs a command given as words, without touching its keys.
    ///
    /// # Panics
    ///
    /// When the server answers with an error or not at all.
    #[track_caller]
    pub fn query<T: FromRedisValue>(&self, words: &[impl ToRedisArgs]) -> T {
        self.try_query(words)
            .unwrap_or_else(|error| panic!("redis says: {error}"))
    }

    /// Runs a command given as words, without touching its keys.
    ///
    /// # Errors
    ///
    /// The server's own, or that of the connection.
    pub fn try_query<T: FromRedisValue>(&self, words: &[impl ToRedisArgs]) -> RedisResult<T> {
        let starts = self.starts.load(Ordering::SeqCst);
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = match link.take() {
            Some(current) if current.starts == starts => current,
            _ => Link {
                starts,
                connection: self.connect()?,
            },
        };
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        let answer = command.query(&mut current.connection);
        // A connection that failed is not used again.
        if answer
            .as_ref()
            .err()
            .is_none_or(|error| !error.is_unrecoverable_error())
        {
            *link = Some(current);
        }
        answer
    }

    fn connect(&self) -> RedisResult<Connection> {
        let info = self.url.as_str().into_connection_info()?;
        let settings = info.redis_settings().clone().set_db(self.db);
        Client::open(info.set_redis_settings(settings))?.get_connection()
    }

    /// All keys of the database, sorted, whatever their prefix.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.query(&["KEYS", "*"]);
        keys.sort();
        keys
    }

    /// The four keys of the queue `name`.
    pub fn queue(&self, name: &str) -> QueueDump {
        let list = self.key(&format!("queues:{name}"));
        let ready: Vec<Vec<u8>> = self.query(&["LRANGE", &list, "0", "-1"]);
        QueueDump {
            ready: ready.into_iter().map(Payload).collect(),
            delayed: self.scored(&format!("{list}:delayed")),
            reserved: self.scored(&format!("{list}:reserved")),
            notify: self.query(&["LLEN", &format!("{list}:notify")]),
        }
    }

    fn scored(&self, key: &str) -> Vec<Scored> {
        let members: Vec<(Vec<u8>, f64)> = self.query(&["ZRANGE", key, "0", "-1", "WITHSCORES"]);
        members
            .into_iter()
            .map(|(bytes, score)| Scored {
                payload: Payload(bytes),
                score,
            })
            .collect()
    }

    /// Puts `payload` on the queue `name` as Laravel's push does: the list and its notify entry.
    pub fn push(&self, name: &str, payload: impl AsRef<[u8]>) {
        let list = self.key(&format!("queues:{name}"));
        let _: i64 = self.query(&[b"RPUSH", list.as_bytes(), payload.as_ref()]);
        let _: i64 = self.query(&["RPUSH", &format!("{list}:notify"), "1"]);
    }

    /// How often each command was called since the server started, by lower-case name.
    pub fn command_calls(&self) -> BTreeMap<String, u64> {
        let info: String = self.query(&["INFO", "commandstats"]);
        let calls = info.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        });
        calls.collect()
    }

    /// The variables by which a Laravel application and the worker find this server: the queue
    /// connection `redis`, its prefix and its databases.
    ///
    /// # Panics
    ///
    /// When the URL has no host and port.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let address = self
            .url
            .rsplit('/')
            .find(|part| part.contains(':'))
            .unwrap_or_default();
        let address = address.rsplit('@').next().unwrap_or_default();
        let (host, port) = address.rsplit_once(':').expect("the URL names a host and a port");
        vec![
            ("QUEUE_CONNECTION", "redis".to_owned()),
            ("REDIS_HOST", host.to_owned()),
            ("REDIS_PORT", port.to_owned()),
            ("REDIS_PREFIX", self.prefix.clone()),
            ("REDIS_QUEUE_DB", QUEUE_DB.to_string()),
            ("REDIS_CACHE_DB", CACHE_DB.to_string()),
        ]
    }

    /// Removes every key with the prefix from the databases that an application uses.
    pub fn remove_all(&self) {
        for number in [0, 1, 2, QUEUE_DB, CACHE_DB] {
            let db = self.db(number);
            for key in db.keys().iter().filter(|key| key.starts_with(&self.prefix)) {
                let _: i64 = db.query(&["DEL", key]);
            }
        }
    }
}
