//! A store of any kind, a worker's surroundings, and all that can be known of the jobs in it.

mod ends;
mod journal;
mod php;
mod raw;

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{
    DEADLINE, Daemon, FailedRow, Laravel, MariadbDatabase, PostgresDatabase, Proxy, Redis, Running, Scratch,
    SqliteDatabase, TestDatabase, poll,
};
use worker::clock::{Clock, SystemClock};
use worker::store::port::{NewJob, Queue, QueueName, Reserved, Settle, Settlement};
use worker::store::redis::{RedisAddress, RedisQueue};
use worker::store::sql::{Database, SqlOptions, SqlQueue};

use crate::site::{Job, WORKER, started};
use crate::store::engine::{mysql_options, open_sqlite, postgres_options, redis_options};

/// Makes one test of each case for every kind of store.
macro_rules! on_every_store {
    ($($(#[$doc:meta])* fn $name:ident($stage:ident: &Stage) $body:block)*) => {
        $($(#[$doc])* fn $name($stage: &Stage) $body)*

        crate::faults::stage::stage_tests!(redis { $($name)* });
        crate::faults::stage::stage_tests!(sqlite { $($name)* });
        crate::faults::stage::stage_tests!(mariadb { $($name)* });
        crate::faults::stage::stage_tests!(postgres { $($name)* });
    };
}

/// The same for the stores behind a network, with a [`Proxy`](harness::Proxy) before each.
macro_rules! on_every_network {
    ($($(#[$doc:meta])* fn $name:ident($stage:ident: &Stage) $body:block)*) => {
        $($(#[$doc])* fn $name($stage: &Stage) $body)*

        crate::faults::stage::network_tests!(redis { $($name)* });
        crate::faults::stage::network_tests!(mariadb { $($name)* });
        crate::faults::stage::network_tests!(postgres { $($name)* });
    };
}

macro_rules! stage_tests {
    ($kind:ident { $($name:ident)* }) => {
        mod $kind {
            $(#[test] fn $name() { super::$name(&crate::faults::Stage::$kind()); })*
        }
    };
}

macro_rules! network_tests {
    ($kind:ident { $($name:ident)* }) => {
        mod $kind {
            $(#[test] fn $name() { super::$name(&crate::faults::Stage::$kind().behind_network()); })*
        }
    };
}

pub(crate) use journal::Note;
pub(crate) use php::{application_tests, on_every_application};
pub(crate) use {network_tests, on_every_network, on_every_store, stage_tests};

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemClock.now().as_millis()).expect("the time is a number of milliseconds")
}

/// A job as it lies in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lying {
    pub(crate) uuid: String,
    pub(crate) queue: String,
    pub(crate) attempts: u64,
    pub(crate) reserved: bool,
}

/// Where the jobs are.
enum Store {
    Redis {
        redis: Box<Redis>,
        failed: SqliteDatabase,
    },
    Database(Box<dyn TestDatabase>),
}

/// A store with the surroundings of a worker; all is gone when it is dropped.
pub(crate) struct Stage {
    kind: &'static str,
    store: Store,
    queue: Arc<dyn Queue>,
    port: u16,
    network: Option<Proxy>,
    php: Option<Laravel>,
    dir: Scratch,
    runtime: tokio::runtime::Runtime,
    pushed: RefCell<Vec<String>>,
    queues: RefCell<BTreeSet<String>>,
    deaths: RefCell<BTreeMap<u32, u64>>,
    ends: RefCell<BTreeMap<u32, u64>>,
    read: RefCell<journal::Read>,
    /// What must live as long as the store: the guard of a shared one.
    _keep: Box<dyn Any>,
}

impl Stage {
    /// Queues and cache in a Redis server that tests share, failed jobs in an SQLite file.
    pub(crate) fn redis() -> Self {
        let shared = harness::shared_redis();
        let redis = shared.db(harness::QUEUE_DB);
        Self::on_redis(redis).keeping(shared)
    }

    /// The same on a server of the test's own.
    pub(crate) fn on_redis(redis: Redis) -> Self {
        let options = redis_options(&redis);
        let port = match &options.address {
            RedisAddress::Tcp { port, .. } => *port,
            RedisAddress::Unix(_) => 0,
        };
        let failed = SqliteDatabase::temp();
        let redis = Box::new(redis);
        Self::new("redis", Store::Redis { redis, failed }, port, async || {
            Arc::new(RedisQueue::new(&options).expect("the options are good"))
        })
    }

    /// Everything in an SQLite file.
    pub(crate) fn sqlite() -> Self {
        Self::on_sqlite(SqliteDatabase::temp())
    }

    /// The same in a file of the test's choice.
    pub(crate) fn on_sqlite(file: SqliteDatabase) -> Self {
        let path = file.path();
        Self::on_database("sqlite", file, 0, async || open_sqlite(&path).await)
    }

    /// Opens the test's own connection to the SQLite file anew.
    pub(crate) fn reopen(&mut self, path: &Path) {
        let open = async { Arc::new(SqlQueue::new(&open_sqlite(path).await)) };
        self.queue = self.runtime.block_on(open);
    }

    /// Everything in a database of a MariaDB server that tests share.
    pub(crate) fn mariadb() -> Self {
        Self::on_mariadb(MariadbDatabase::temp())
    }

    /// The same on a server of the test's own.
    pub(crate) fn on_mariadb(database: MariadbDatabase) -> Self {
        let (options, port) = (mysql_options(&database), database.port());
        let open = async || Database::mysql(&options, SqlOptions::default());
        Self::on_database("mariadb", database, port, open)
    }

    /// Everything in a database of a PostgreSQL server that tests share.
    pub(crate) fn postgres() -> Self {
        Self::on_postgres(PostgresDatabase::temp())
    }

    /// The same on a server of the test's own.
    pub(crate) fn on_postgres(database: PostgresDatabase) -> Self {
        let (options, port) = (postgres_options(&database), database.port());
        let open = async || Database::postgres(&options, SqlOptions::default());
        Self::on_database("postgres", database, port, open)
    }

    fn on_database(
        kind: &'static str,
        database: impl TestDatabase + 'static,
        port: u16,
        open: impl AsyncFnOnce() -> Database,
    ) -> Self {
        let store = Store::Database(Box::new(database));
        let stage = Self::new(kind, store, port, async || Arc::new(SqlQueue::new(&open().await)));
        stage.worker(&["migrate"]).run_to_end().success();
        stage
    }

    fn new<Q: Queue + 'static>(
        kind: &'static str,
        store: Store,
        port: u16,
        open: impl AsyncFnOnce() -> Arc<Q>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime can be made");
        let queue = runtime.block_on(open());
        Self {
            kind,
            store,
            queue,
            port,
            network: None,
            php: None,
            dir: Scratch::new(),
            runtime,
            pushed: RefCell::default(),
            queues: RefCell::default(),
            deaths: RefCell::default(),
            ends: RefCell::default(),
            read: RefCell::default(),
            _keep: Box::new(()),
        }
    }

    /// Keeps something for as long as the store may use it.
    fn keeping(mut self, what: impl Any) -> Self {
        self._keep = Box::new(what);
        self
    }

    /// Puts a network between the workers and the store. The test itself goes round it.
    pub(crate) fn behind_network(mut self) -> Self {
        self.network = Some(Proxy::before(self.port));
        self
    }

    /// The network of [`Stage::behind_network`].
    pub(crate) fn network(&self) -> &Proxy {
        self.network.as_ref().expect("the stage has a network")
    }

    /// `redis`, `sqlite`, `mariadb` or `postgres`.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Redis, where the queues are there.
    pub(crate) fn redis_client(&self) -> Option<&Redis> {
        match &self.store {
            Store::Redis { redis, .. } => Some(redis),
            Store::Database(_) => None,
        }
    }

    /// The database: of the failed jobs, and of all else where there is no Redis.
    pub(crate) fn database(&self) -> &dyn TestDatabase {
        match &self.store {
            Store::Redis { failed, .. } => failed,
            Store::Database(database) => &**database,
        }
    }

    /// The variables of the application.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = match &self.store {
            Store::Redis { redis, failed } => {
                let mut env = redis.env();
                env.extend(failed.database_env());
                env.push(("CACHE_STORE", "redis".to_owned()));
                env
            }
            Store::Database(database) => {
                let mut env = database.env();
                env.push(("CACHE_STORE", "database".to_owned()));
                env
            }
        };
        if let Some(network) = &self.network {
            env.push((self.port_name(), network.port().to_string()));
        }
        env.push(("APP_ENV", "local".to_owned()));
        env
    }

    fn port_name(&self) -> &'static str {
        match &self.store {
            Store::Redis { .. } => "REDIS_PORT",
            Store::Database(_) => "DB_PORT",
        }
    }

    /// The variable by which a worker goes round the network.
    pub(crate) fn round_the_network(&self) -> (&'static str, String) {
        (self.port_name(), self.port.to_string())
    }

    /// The binary with these arguments and the application's variables.
    pub(crate) fn worker(&self, args: &[&str]) -> Daemon {
        self.wrapped(&[&[WORKER], args].concat())
    }

    /// Starts a worker process and waits until it consumes.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        started(self.worker(args).spawn())
    }

    /// A job that sleeps for so long, misbehaves as told, and keeps the journal.
    pub(crate) fn job(&self, sleep_ms: u64) -> Job {
        let journal = self.journal();
        let journal = journal.to_str().expect("a temporary directory has a plain name");
        Job::new(r"Worker\Demo\Slow")
            .set("sleepMs", sleep_ms)
            .set("journal", journal)
    }

    /// A file inside a directory of the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The file to which jobs append.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path("journal")
    }

    /// Pushes jobs in order, over a connection of the test's own; returns their uuids.
    pub(crate) fn push(&self, queue: &str, jobs: &[Job]) -> Vec<String> {
        self.push_by(queue, jobs, || None)
    }

    /// The same, due at a time.
    pub(crate) fn push_later(&self, queue: &str, jobs: &[Job], due: Instant) -> Vec<String> {
        self.push_by(queue, jobs, || {
            Some(due.saturating_duration_since(Instant::now()))
        })
    }

    fn push_by(&self, queue: &str, jobs: &[Job], delay: impl Fn() -> Option<Duration>) -> Vec<String> {
        // Finds the server again when it was away: what is pushed must not be in doubt.
        self.depth();
        for chunk in jobs.chunks(500) {
            let delay = delay();
            let new = |job: &Job| NewJob {
                queue: QueueName::new(queue),
                payload: Bytes::from(job.text(self.redis_client().is_some())),
                delay,
            };
            let chunk: Vec<_> = chunk.iter().map(new).collect();
            let pushed = self.runtime.block_on(self.queue.push(&chunk));
            pushed.expect("the test's own connection works");
        }
        let uuids: Vec<_> = jobs.iter().map(|job| job.uuid().to_owned()).collect();
        self.pushed.borrow_mut().extend_from_slice(&uuids);
        self.queues.borrow_mut().insert(queue.to_owned());
        uuids
    }

    /// Takes jobs that somebody else has pushed for its own; those without uuid by that which the worker gave them.
    pub(crate) fn adopt(&self, queue: &str, uuids: impl IntoIterator<Item = String>) {
        self.pushed.borrow_mut().extend(uuids);
        self.queues.borrow_mut().insert(queue.to_owned());
    }

    /// How long it takes to reserve a few jobs, so many times in a row, over a connection of the test's own.
    /// They are given back as they were.
    pub(crate) fn claims(&self, queue: &str, times: usize) -> Vec<Duration> {
        let names = [QueueName::new(queue)];
        let claim = async || {
            let began = Instant::now();
            let jobs = self
                .queue
                .reserve(&names, 10, DEADLINE * 3)
                .await
                .expect("reserve");
            let took = began.elapsed();
            assert_eq!(jobs.len(), 10, "there are enough");
            let refund = |job: Reserved| Settlement {
                queue: job.queue,
                receipt: job.receipt,
                settle: Settle::Refund { delay: None },
            };
            let batch: Vec<_> = jobs.into_iter().map(refund).collect();
            self.queue.settle(&batch).await.expect("settle");
            took
        };
        self.runtime.block_on(async {
            let mut took = Vec::with_capacity(times);
            for _ in 0..times {
                took.push(claim().await);
            }
            took
        })
    }

    /// The uuids of all jobs that were pushed.
    pub(crate) fn pushed(&self) -> Vec<String> {
        self.pushed.borrow().clone()
    }

    /// All jobs that lie in the queues to which jobs were pushed.
    pub(crate) fn lying(&self) -> Vec<Lying> {
        match &self.store {
            Store::Redis { redis, .. } => self.lying_in_redis(redis),
            Store::Database(database) => {
                let lying = |row: harness::JobRow| Lying {
                    uuid: row.json()["uuid"].as_str().unwrap_or_default().to_owned(),
                    queue: row.queue,
                    attempts: u64::try_from(row.attempts).unwrap_or_default(),
                    reserved: row.reserved_at.is_some(),
                };
                database.jobs().into_iter().map(lying).collect()
            }
        }
    }

    fn lying_in_redis(&self, redis: &Redis) -> Vec<Lying> {
        let mut all = Vec::new();
        for queue in self.queues.borrow().iter() {
            let dump = redis.queue(queue);
            let lying = |payload: &harness::Payload, reserved: bool| Lying {
                uuid: payload.uuid(),
                queue: queue.clone(),
                attempts: payload.attempts(),
                reserved,
            };
            all.extend(dump.ready.iter().map(|payload| lying(payload, false)));
            all.extend(dump.delayed.iter().map(|it| lying(&it.payload, false)));
            all.extend(dump.reserved.iter().map(|it| lying(&it.payload, true)));
        }
        all
    }

    /// How many jobs lie in the queues, in any state.
    pub(crate) fn depth(&self) -> usize {
        let queues = self.queues.borrow();
        let names: Vec<_> = queues.iter().map(|queue| QueueName::new(queue)).collect();
        // The fault may have been about this connection too.
        let depths = poll(DEADLINE, || self.runtime.block_on(self.queue.depth(&names)).ok());
        let depths = depths.expect("the test's own connection works");
        let all = depths.iter().map(|it| it.pending + it.delayed + it.reserved);
        usize::try_from(all.sum::<u64>()).expect("so many fit into memory")
    }

    /// Waits until no job lies in any queue.
    #[track_caller]
    pub(crate) fn wait_until_empty(&self, deadline: Duration) {
        let empty = poll(deadline, || (self.depth() == 0).then_some(()));
        assert!(
            empty.is_some(),
            "{} jobs are left: {:?}",
            self.depth(),
            self.lying().first()
        );
    }

    /// The failed jobs, oldest first.
    pub(crate) fn failed(&self) -> Vec<FailedRow> {
        self.database().failed_jobs()
    }
}
