//! What the judgement is made from.

use std::time::Duration;

use super::php::Php;
use crate::config::{Clues, Loaded, Problem, QueueConnection};
use crate::store::port::survey::{Elsewhere, Failures, QueueState, Server, TableState};
use crate::store::port::{Process, QueueName};
use crate::wire::Keys;

/// Seconds that Laravel takes when `retry_after` is null or not there.
pub(super) const NO_RETRY_AFTER_S: u64 = 60;

/// Everything that was found out.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The settings, with defaults in the place of those that are wrong.
    pub loaded: &'a Loaded,
    /// What is wrong with the settings.
    pub problems: &'a [Problem],
    /// What the settings look like.
    pub clues: &'a Clues,
    /// The connection that is examined as the served one.
    pub connection: &'a QueueConnection,
    /// The lanes that `worker run` would have: the queues of each in their order.
    pub lanes: Vec<Vec<QueueName>>,
    /// Whether every other queue that is found gets a lane too.
    pub all_queues: bool,
    /// Unix time in seconds.
    pub now_s: i64,
    /// Jobs that have waited for longer than this count as old.
    pub old: Duration,
    /// The keys of encrypted jobs; `None` without `APP_KEY`.
    pub keys: Option<Keys>,
    /// The stores.
    pub stores: Vec<Store>,
    /// PHP, where there is an application.
    pub php: Option<Php>,
}

/// What a store is used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    /// It holds the jobs of the served connection.
    pub jobs: bool,
    /// It holds the failed jobs.
    pub failures: bool,
    /// It holds the cache, through which signals arrive.
    pub signals: bool,
}

/// One store and what it answered.
#[derive(Debug)]
pub struct Store {
    /// Which one, such as `Redis at 127.0.0.1:6379`; no credentials.
    pub name: String,
    /// What it is used for.
    pub uses: Uses,
    /// What it is.
    pub server: Seen<Server>,
    /// Its queues, where it holds the jobs.
    pub queues: Seen<Vec<QueueState>>,
    /// Who consumes them; `None` when there is no place to say so.
    pub processes: Seen<Option<Vec<Process>>>,
    /// What only a Redis server has.
    pub redis: Option<Redis>,
    /// What only an SQL database has.
    pub sql: Option<Sql>,
}

/// What a Redis server answered.
#[derive(Debug)]
pub struct Redis {
    /// The number of the database that was examined.
    pub db: u32,
    /// Commands that the user may not run; `None` when that cannot be asked.
    pub missing_rights: Seen<Option<Vec<String>>>,
    /// Queues in other places.
    pub elsewhere: Seen<Elsewhere>,
}

/// What an SQL database answered.
#[derive(Debug)]
pub struct Sql {
    /// Whether the database is a file, which `worker migrate` makes.
    pub is_file: bool,
    /// The tables.
    pub tables: Seen<Vec<TableState>>,
    /// The failed jobs.
    pub failures: Seen<Failures>,
}

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    /// It was not asked for, or could not be after an earlier answer.
    NotAsked,
    /// The answer.
    Here(T),
    /// The store refused: a fragment that fits "failed to …".
    Failed(String),
    /// It did not answer within this time.
    Late(Duration),
}

impl<T> Seen<T> {
    /// The answer, if there is one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Here(answer) => Some(answer),
            Self::NotAsked | Self::Failed(_) | Self::Late(_) => None,
        }
    }

    /// Why there is no answer to a question that was asked.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::NotAsked | Self::Here(_) => None,
            Self::Failed(why) => Some(format!("failed to {why}")),
            Self::Late(limit) => Some(format!("did not answer within {} s", limit.as_secs())),
        }
    }
}

impl Store {
    /// What one of its tables looks like.
    pub(super) fn table(&self, role: &str) -> Option<&TableState> {
        let tables = self.sql.as_ref()?.tables.get()?;
        tables.iter().find(|table| table.role == role)
    }
}

impl Facts<'_> {
    /// The store that holds the jobs.
    pub(super) fn jobs(&self) -> Option<&Store> {
        self.stores.iter().find(|store| store.uses.jobs)
    }

    /// The queues of the served connection, where they could be looked at.
    pub(super) fn queues(&self) -> &[QueueState] {
        self.jobs()
            .and_then(|store| store.queues.get())
            .map_or(&[], Vec::as_slice)
    }

    /// The value of a setting as `worker config` shows it.
    pub(super) fn shown(&self, name: &str) -> &str {
        self.loaded.sources.get(name).map_or("", |setting| &setting.value)
    }

    /// How long PHP workers on the served connection wait before they take a reserved job.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        use crate::config::QueueKind;
        match &self.connection.kind {
            QueueKind::Redis { retry_after, .. }
            | QueueKind::Database { retry_after, .. }
            | QueueKind::Embedded { retry_after, .. } => Some(*retry_after),
            QueueKind::ApalisRedis { .. } | QueueKind::ApalisDatabase { .. } | QueueKind::Sync => None,
        }
    }

    /// `retry_after` of a connection in PHP, where it can be seen: in the application that is up, else in its cached
    /// configuration.
    pub(super) fn php_retry_after(&self, connection: &str) -> Option<Duration> {
        let booted = self.php.as_ref().and_then(Php::booted);
        let seen = booted
            .and_then(|booted| booted.retry_after.get(connection))
            .copied();
        let cached = self.clues.cached.as_ref();
        let cached = || Some(cached?.retry_after.get(connection)?.unwrap_or(NO_RETRY_AFTER_S));
        seen.or_else(cached).map(Duration::from_secs)
    }

    /// Whether this worker alone has the jobs of the served connection.
    pub(super) fn is_embedded(&self) -> bool {
        matches!(self.connection.kind, crate::config::QueueKind::Embedded { .. })
    }

    /// Whether the jobs of the served connection are in Redis.
    pub(super) fn in_redis(&self) -> bool {
        matches!(self.connection.kind, crate::config::QueueKind::Redis { .. })
    }

    /// The variable that says how long PHP workers wait.
    pub(super) fn retry_after_variable(&self) -> &'static str {
        if self.in_redis() {
            "REDIS_QUEUE_RETRY_AFTER"
        } else {
            "DB_QUEUE_RETRY_AFTER"
        }
    }
}
