//! Real stores whose time can be moved, and a look at everything that lies in them.

mod eye;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use harness::{
    JobRow, MariadbDatabase, PostgresDatabase, QueueDump, SharedRedis, SqliteDatabase, shared_redis,
};
use tokio::sync::Mutex;
use worker::store::port::Queue;
use worker::store::redis::RedisQueue;
use worker::store::sql::{Database, SqlOptions, SqlQueue, SqliteOptions};

use self::eye::Eye;
use super::history::QUEUES;
use crate::store::engine::{mysql_options, postgres_options, redis_options};

/// What PHP workers add to `reserved_at` while no time was moved: more than ever is.
const RETRY_AFTER: i64 = 200_000;

/// Takes from the scores of a set; whole seconds, so that fractions stay as they are.
const SHIFT: &str = "local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') \
    for i = 1, #all, 2 do redis.call('ZADD', KEYS[1], string.format('%.17g', all[i + 1] - ARGV[1]), all[i]) end";

/// A store that processes share.
pub(super) struct World {
    // Dropped first, so that nobody is connected when the database goes.
    eye: Option<Mutex<Eye>>,
    place: Place,
}

enum Place {
    Redis(SharedRedis),
    Sqlite(SqliteDatabase),
    Mysql(MariadbDatabase),
    Postgres(PostgresDatabase),
}

/// Everything that lies in a store.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// One for each of [`QUEUES`].
    Lists(Vec<QueueDump>),
    /// By id.
    Rows(Vec<JobRow>),
}

impl World {
    pub(super) fn redis() -> impl Future<Output = Self> {
        let place = Place::Redis(shared_redis());
        std::future::ready(Self { eye: None, place })
    }

    pub(super) async fn sqlite() -> Self {
        let database = SqliteDatabase::temp();
        let eye = Eye::sqlite(&database).await;
        Self::with_tables(eye, Place::Sqlite(database)).await
    }

    pub(super) async fn mysql() -> Self {
        let database = MariadbDatabase::temp();
        let eye = Eye::mysql(&database).await;
        Self::with_tables(eye, Place::Mysql(database)).await
    }

    pub(super) async fn postgres() -> Self {
        let database = PostgresDatabase::temp();
        let eye = Eye::postgres(&database).await;
        Self::with_tables(eye, Place::Postgres(database)).await
    }

    async fn with_tables(eye: Eye, place: Place) -> Self {
        let database = place.database(SqlOptions::default()).await;
        let migrated = worker::store::sql::migrate(&database.expect("a database")).await;
        migrated.expect("migrate");
        let eye = Some(Mutex::new(eye));
        Self { eye, place }
    }

    pub(super) fn is_redis(&self) -> bool {
        matches!(self.place, Place::Redis(_))
    }

    /// A driver as a process has one that starts when time was moved by `moved` seconds in all.
    ///
    /// In a table a reservation ends at `reserved_at + retry_after`, and receipts hold `reserved_at`. So it is
    /// `retry_after` that time takes from, and `reserved_at` stays.
    pub(super) async fn open(&self, moved: i64) -> Arc<dyn Queue> {
        let options = SqlOptions {
            retry_after: Duration::from_secs(retry_after(moved).unsigned_abs()),
            ..SqlOptions::default()
        };
        match (&self.place, self.place.database(options).await) {
            (Place::Redis(redis), _) => {
                Arc::new(RedisQueue::new(&redis_options(redis)).expect("the options are good"))
            }
            (_, database) => Arc::new(SqlQueue::with_failures(&database.expect("a database"))),
        }
    }

    /// Lets `seconds` go by for all that waits. In a table processes must be opened anew, see [`World::open`].
    pub(super) async fn pass(&self, seconds: i64) {
        let Place::Redis(redis) = &self.place else {
            return self
                .execute(format!("update jobs set available_at = available_at - {seconds}"))
                .await;
        };
        for queue in QUEUES {
            for set in ["delayed", "reserved"] {
                let key = redis.key(&format!("queues:{queue}:{set}"));
                redis.query::<()>(&["EVAL", SHIFT, "1", &key, &seconds.to_string()]);
            }
        }
    }

    /// Whether a process that takes its turn after another must be a new one to see what that did. SQLite and MySQL
    /// remember where queues begin; for up to a second what others changed may go unseen there.
    pub(super) fn remembers(&self) -> bool {
        matches!(self.place, Place::Sqlite(_) | Place::Mysql(_))
    }

    /// Everything that lies there.
    pub(super) async fn seen(&self) -> Seen {
        match (&self.place, &self.eye) {
            (Place::Redis(redis), _) => Seen::Lists(QUEUES.iter().map(|queue| redis.queue(queue)).collect()),
            (_, Some(eye)) => Seen::Rows(eye.lock().await.jobs().await),
            (_, None) => Seen::Rows(Vec::new()),
        }
    }

    /// The uuids of the failures kept beside the queue, sorted.
    pub(super) async fn failures(&self) -> Vec<String> {
        match &self.eye {
            Some(eye) => eye.lock().await.failures().await,
            None => Vec::new(),
        }
    }

    /// Empties the store.
    pub(super) async fn empty(&self) {
        match &self.place {
            Place::Redis(redis) => redis.remove_all(),
            _ => {
                let tables = ["jobs", "failed_jobs", "worker_markers"];
                self.execute(tables.map(|table| format!("delete from {table}")).join("; "))
                    .await;
            }
        }
    }

    async fn execute(&self, sql: String) {
        if let Some(eye) = &self.eye {
            eye.lock().await.execute(sql).await;
        }
    }
}

impl Place {
    /// The database opened as another process would; none in Redis.
    async fn database(&self, options: SqlOptions) -> Option<Database> {
        match self {
            Self::Redis(_) => None,
            Self::Sqlite(database) => {
                let opened = Database::sqlite(SqliteOptions::new(database.path()), options).await;
                Some(opened.expect("the file can be opened"))
            }
            Self::Mysql(database) => Some(Database::mysql(&mysql_options(database), options)),
            Self::Postgres(database) => Some(Database::postgres(&postgres_options(database), options)),
        }
    }
}

/// `retry_after` when time was moved by so many seconds in all.
pub(super) fn retry_after(moved: i64) -> i64 {
    RETRY_AFTER - moved
}
