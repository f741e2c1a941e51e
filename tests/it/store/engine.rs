//! The stores that the suite runs on, and what its cases share.

use std::any::Any;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use worker::config::{MysqlTls, Secret, SslMode};
use worker::store::apalis::{ApalisRedis, ApalisSql};
use worker::store::port::{Held, NewJob, OnceJob, Queue, QueueName, Reserved, Settle, Settlement};
use worker::store::redis::{RedisAddress, RedisOptions, RedisQueue};
use worker::store::sql::{Database, MysqlOptions, PostgresOptions, SqlOptions, SqlQueue, SqliteOptions};

/// Makes one test of each case for every engine. A new engine is one more `engine_tests!` line here and one
/// function that makes its [`Store`].
macro_rules! on_every_engine {
    ($($(#[$doc:meta])* async fn $name:ident($store:ident: &Store) $body:block)*) => {
        $($(#[$doc])* async fn $name($store: &Store) $body)*

        crate::store::engine::engine_tests!(redis { $($name)* });
        crate::store::engine::engine_tests!(mysql { $($name)* });
        crate::store::engine::engine_tests!(sqlite { $($name)* });
        crate::store::engine::engine_tests!(apalis_redis { $($name)* });
        crate::store::engine::engine_tests!(apalis_sqlite { $($name)* });
        crate::store::engine::engine_tests!(apalis_postgres { $($name)* });
        crate::store::engine::engine_tests!(postgres { $($name)* });
    };
}

macro_rules! engine_tests {
    ($engine:ident { $($name:ident)* }) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&crate::store::engine::$engine()).await;
                }
            )*
        }
    };
}

pub(crate) use {engine_tests, on_every_engine};

/// How long something may take that should happen at once, on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// A lease that does not end during a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// A lease that ends during a test.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// A store of its own, empty at first and gone with the test.
pub(crate) struct Store {
    open: Box<dyn Fn() -> Arc<dyn Queue> + Send + Sync>,
    _keep: Box<dyn Any + Send + Sync>,
}

/// A store in a Redis server that all tests share, below a prefix of its own.
pub(crate) fn redis() -> Store {
    let redis = harness::shared_redis();
    let options = redis_options(&redis);
    Store {
        open: Box::new(move || Arc::new(RedisQueue::new(&options).expect("the options are good"))),
        _keep: Box::new(redis),
    }
}

// What the layouts of apalis cannot express, and what happens instead:
//
// - `Settle::Fail`: they keep no failures, so it is refused (`settle.rs`, failures_go_where_they_are_kept). The
//   failure is recorded first and the task ended by `Settle::Failed` (a_failed_job_is_over), which stays in apalis'
//   listings as Failed or Killed (`apalis/beside.rs`, a_task_out_of_attempts_is_failed,
//   a_task_that_cannot_be_read_is_killed).
// - Redis has no priorities: they are kept and not heeded (`apalis/operate.rs`, a_priority_comes_back).

/// The stock layout of apalis-redis, whose keys have no prefix, in a server of its own.
pub(crate) fn apalis_redis() -> Store {
    let server = harness::RedisServer::start(harness::RedisOptions::default());
    let options = redis_options(&server.redis());
    Store {
        open: Box::new(move || Arc::new(ApalisRedis::new(&options).expect("the options are good"))),
        _keep: Box::new(server),
    }
}

/// The stock layout of apalis-sqlite, as it sets it up itself.
pub(crate) fn apalis_sqlite() -> Store {
    let file = harness::SqliteDatabase::empty();
    let options = SqliteOptions::new(file.path());
    now(crate::apalis::set_up_sqlite(&file));
    Store {
        open: Box::new(move || Arc::new(ApalisSql::sqlite(&options))),
        _keep: Box::new(file),
    }
}

/// The stock layout of apalis-postgres, as it sets it up itself.
pub(crate) fn apalis_postgres() -> Store {
    let database = harness::PostgresDatabase::empty();
    let options = postgres_options(&database);
    now(crate::apalis::set_up_postgres(&database));
    Store {
        open: Box::new(move || Arc::new(ApalisSql::postgres(&options))),
        _keep: Box::new(database),
    }
}

/// A store in an SQLite file with Laravel's tables and ours.
pub(crate) fn sqlite() -> Store {
    let file = Arc::new(harness::SqliteDatabase::temp());
    let path = file.path();
    now(async {
        let db = open_sqlite(&path).await;
        worker::store::sql::migrate(&db).await.expect("migrate")
    });
    Store {
        open: Box::new(move || Arc::new(SqlQueue::new(&now(open_sqlite(&path))))),
        _keep: Box::new(file),
    }
}

/// A store in a MariaDB database with Laravel's tables and ours.
pub(crate) fn mysql() -> Store {
    let database = Arc::new(harness::MariadbDatabase::temp());
    let options = mysql_options(&database);
    let open = move || Database::mysql(&options, SqlOptions::default());
    now(worker::store::sql::migrate(&open())).expect("migrate");
    Store {
        open: Box::new(move || Arc::new(SqlQueue::new(&open()))),
        _keep: Box::new(database),
    }
}

/// A store in a PostgreSQL database with Laravel's tables and ours.
pub(crate) fn postgres() -> Store {
    let database = Arc::new(harness::PostgresDatabase::temp());
    let options = postgres_options(&database);
    let open = move || Database::postgres(&options, SqlOptions::default());
    now(worker::store::sql::migrate(&open())).expect("migrate");
    Store {
        open: Box::new(move || Arc::new(SqlQueue::new(&open()))),
        _keep: Box::new(database),
    }
}

/// How the driver reaches a test's MariaDB database.
pub(crate) fn mysql_options(database: &harness::MariadbDatabase) -> MysqlOptions {
    let (username, password) = database.login();
    MysqlOptions {
        host: database.host().to_owned(),
        port: database.port(),
        socket: None,
        database: database.name().to_owned(),
        username: username.to_owned(),
        password: Some(Secret::new(password)),
        tls: MysqlTls::Preferred,
        login: None,
    }
}

/// How the driver reaches a test's PostgreSQL database.
pub(crate) fn postgres_options(database: &harness::PostgresDatabase) -> PostgresOptions {
    let (username, password) = database.login();
    PostgresOptions {
        host: database.host().to_owned(),
        port: database.port(),
        database: database.name().to_owned(),
        username: username.to_owned(),
        password: Some(Secret::new(password)),
        sslmode: SslMode::Prefer,
        search_path: "public".to_owned(),
        login: None,
    }
}

/// Opens an application's SQLite file.
pub(crate) async fn open_sqlite(path: &Path) -> Database {
    let opened = Database::sqlite(SqliteOptions::new(path), SqlOptions::default()).await;
    opened.expect("the file can be opened")
}

/// Runs a future to its end inside a test.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// How the driver reaches what a test's own client sees.
pub(crate) fn redis_options(redis: &harness::Redis) -> RedisOptions {
    let (host, port) = redis
        .url()
        .trim_start_matches("redis://")
        .split_once(':')
        .expect("the URL names a host and a port");
    RedisOptions {
        address: RedisAddress::Tcp {
            host: host.to_owned(),
            port: port.parse().expect("a port is a number"),
            tls: false,
        },
        username: None,
        password: None,
        login: None,
        db: 3,
        prefix: redis.prefix().to_owned(),
        cluster: false,
    }
}

impl Store {
    /// A driver of its own, as another process would have.
    pub(crate) fn open(&self) -> Arc<dyn Queue> {
        (self.open)()
    }

    /// A driver with jobs of these uuids on `queue`.
    pub(crate) async fn with(&self, queue: &str, uuids: &[&str]) -> Arc<dyn Queue> {
        let store = self.open();
        let jobs: Vec<NewJob> = uuids.iter().map(|uuid| job(&*store, queue, uuid)).collect();
        store.push(&jobs).await.expect("push");
        store
    }
}

/// A job as Laravel 12 writes one.
pub(crate) fn job(store: &dyn Queue, queue: &str, uuid: &str) -> NewJob {
    job_with(
        store,
        queue,
        uuid,
        r#"{"commandName":"A","command":"O:1:\"A\":0:{}"}"#,
    )
}

/// The same with other data.
pub(crate) fn job_with(store: &dyn Queue, queue: &str, uuid: &str, data: &str) -> NewJob {
    let counter = if store.carries_attempts() {
        format!(r#""id":"{uuid}","attempts":0,"#)
    } else {
        String::new()
    };
    let payload = format!(
        r#"{{"uuid":"{uuid}","displayName":"A","job":"Illuminate\\Queue\\CallQueuedHandler@call","data":{data},"createdAt":1768471200,{counter}"delay":null}}"#
    );
    NewJob {
        queue: QueueName::new(queue),
        payload: Bytes::from(payload),
        delay: None,
    }
}

/// A job that is pushed once.
pub(crate) fn once(marker: &str, job: &NewJob) -> OnceJob {
    OnceJob {
        marker: marker.to_owned(),
        job: job.clone(),
        attempts: 0,
    }
}

/// The names of queues.
pub(crate) fn queues(names: &[&str]) -> Vec<QueueName> {
    names.iter().map(|name| QueueName::new(name)).collect()
}

/// The uuids of reserved jobs, in order.
pub(crate) fn uuids(jobs: &[Reserved]) -> Vec<String> {
    jobs.iter().map(uuid).collect()
}

/// The uuid of a reserved job.
pub(crate) fn uuid(job: &Reserved) -> String {
    let payload: serde_json::Value = serde_json::from_slice(&job.payload).expect("the payload is JSON");
    payload["uuid"]
        .as_str()
        .expect("the payload has a uuid")
        .to_owned()
}

/// Takes up to `max` jobs that are there now.
pub(crate) async fn take(store: &dyn Queue, queue: &str, max: usize) -> Vec<Reserved> {
    store
        .reserve(&queues(&[queue]), max, LONG)
        .await
        .expect("reserve")
}

/// Takes the one job that is there or comes soon.
pub(crate) async fn take_one(store: &dyn Queue, queue: &str) -> Reserved {
    until("a job is available", async || take(store, queue, 1).await.pop()).await
}

/// The settlement of one job.
pub(crate) fn settlement(job: &Reserved, settle: Settle) -> Settlement {
    Settlement {
        queue: job.queue.clone(),
        receipt: job.receipt.clone(),
        settle,
    }
}

/// Settles one job.
pub(crate) async fn settle(store: &dyn Queue, job: &Reserved, settle: Settle) -> Held {
    let held = store.settle(&[settlement(job, settle)]).await.expect("settle");
    assert_eq!(held.len(), 1);
    held[0]
}

/// Looks until `look` finds something: the one place where these tests wait.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < SOON, "still waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
