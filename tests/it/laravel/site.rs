//! One installation: a store, the Laravel application on it, and this worker beside it.
//!
//! A test written with [`on_every_installation`] runs once on each kind of store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use harness::{
    DEADLINE, Daemon, FailedRow, Laravel, MariadbDatabase, PostgresDatabase, Running, Scratch, SharedRedis,
    SqliteDatabase, TestDatabase, poll,
};
use serde_json::Value;

/// Makes one test of each case for every kind of store.
macro_rules! on_every_installation {
    ($($(#[$doc:meta])* fn $name:ident($site:ident: Site) $body:block)*) => {
        $($(#[$doc])* fn $name($site: Site) $body)*

        mod redis {
            $(#[test] fn $name() { super::$name(super::Site::redis()); })*
        }

        mod sqlite {
            $(#[test] fn $name() { super::$name(super::Site::sqlite()); })*
        }

        mod mariadb {
            $(#[test] fn $name() { super::$name(super::Site::mariadb()); })*
        }

        mod postgres {
            $(#[test] fn $name() { super::$name(super::Site::postgres()); })*
        }
    };
}

pub(crate) use on_every_installation;

/// A job as it lies in the store.
#[derive(Debug, Clone)]
pub(crate) struct Lying {
    /// Its payload.
    pub(crate) payload: Value,
    /// How often it was reserved.
    pub(crate) attempts: u64,
    /// Unix time from which it may run; `None` when it is on the list of ready jobs.
    pub(crate) due: Option<f64>,
    /// Whether someone holds it.
    pub(crate) reserved: bool,
}

impl Lying {
    /// Its uuid.
    pub(crate) fn uuid(&self) -> String {
        self.payload["uuid"].as_str().expect("a uuid").to_owned()
    }
}

/// The installation.
#[derive(Debug)]
pub(crate) struct Site {
    /// The Laravel application.
    pub(crate) laravel: Laravel,
    /// Where queues, cache and locks are, unless everything is in the database.
    pub(crate) redis: Option<SharedRedis>,
    /// Failed jobs and batches, and the rest where there is no Redis.
    database: Arc<dyn TestDatabase>,
    file: Option<Arc<SqliteDatabase>>,
    dir: Scratch,
}

impl Site {
    /// Queues and cache in Redis, failed jobs in SQLite.
    pub(crate) fn redis() -> Self {
        let (redis, file) = (harness::shared_redis(), Arc::new(SqliteDatabase::temp()));
        let laravel = Laravel::new().envs(file.env()).envs(redis.env());
        Self {
            laravel,
            redis: Some(redis),
            database: Arc::<SqliteDatabase>::clone(&file),
            file: Some(file),
            dir: Scratch::new(),
        }
    }

    /// Everything in one SQLite file.
    pub(crate) fn sqlite() -> Self {
        let file = Arc::new(SqliteDatabase::temp());
        let database: Arc<dyn TestDatabase> = Arc::<SqliteDatabase>::clone(&file);
        Self {
            file: Some(file),
            ..Self::on(database)
        }
    }

    /// Everything in one MariaDB database.
    pub(crate) fn mariadb() -> Self {
        Self::on(Arc::new(MariadbDatabase::temp()))
    }

    /// Everything in one PostgreSQL database.
    pub(crate) fn postgres() -> Self {
        Self::on(Arc::new(PostgresDatabase::temp()))
    }

    fn on(database: Arc<dyn TestDatabase>) -> Self {
        let laravel = Laravel::new().envs(database.env()).env("CACHE_STORE", "database");
        Self {
            laravel,
            redis: None,
            database,
            file: None,
            dir: Scratch::new(),
        }
    }

    /// With a variable that both sides see.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.laravel = self.laravel.env(name, value);
        self
    }

    /// With a `retry_after` of so many seconds, in PHP and here.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        let seconds = seconds.to_string();
        self.env("REDIS_QUEUE_RETRY_AFTER", &seconds)
            .env("DB_QUEUE_RETRY_AFTER", &seconds)
    }

    /// A command of this worker, with the application's own environment.
    pub(crate) fn worker(&self, args: &[&str]) -> Daemon {
        Daemon::new(env!("CARGO_BIN_EXE_worker"))
            .args(args)
            .envs(self.laravel.environment())
            .env("WORKER_LOG_FORMAT", "human")
    }

    /// Runs a command of this worker that must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.worker(args).run_to_end().success().to_owned()
    }

    /// Starts this worker on the queue `default`, and waits until it consumes.
    pub(crate) fn consume(&self, args: &[&str]) -> Running {
        let args = [&["run", "--queue=default", "--sleep=0.1"], args].concat();
        let mut worker = self.worker(&args).spawn();
        worker.wait_for_line("Lane default", DEADLINE);
        worker
    }

    /// Lets this worker run one job of the queue `default`.
    #[track_caller]
    pub(crate) fn consume_one(&self) {
        self.run(&["run", "--queue=default", "--once"]);
    }

    /// Starts a PHP worker on the queue `default`.
    pub(crate) fn php_consumes(&self, args: &[&str]) -> Running {
        let args = [&["--queue=default", "--sleep=0.1"], args].concat();
        self.laravel.work(&args)
    }

    /// All jobs of a queue, in the order in which they are due.
    pub(crate) fn jobs(&self, queue: &str) -> Vec<Lying> {
        match &self.redis {
            Some(redis) => redis_jobs(redis, queue),
            None => self.table_jobs(queue),
        }
    }

    /// Waits until no job is left on the queue `default`.
    #[track_caller]
    pub(crate) fn wait_until_empty(&self) {
        let empty = poll(DEADLINE * 3, || self.jobs("default").is_empty().then_some(()));
        assert!(empty.is_some(), "left on the queue: {:#?}", self.jobs("default"));
    }

    /// The Redis client of [`Site::redis`].
    pub(crate) fn client(&self) -> &SharedRedis {
        self.redis.as_ref().expect("the queues are in Redis")
    }

    /// The SQLite file: of the failed jobs, and of the connection `database`.
    pub(crate) fn file(&self) -> &SqliteDatabase {
        self.file.as_deref().expect("the database is an SQLite file")
    }

    /// The rows of `failed_jobs`.
    pub(crate) fn failed(&self) -> Vec<FailedRow> {
        self.database.failed_jobs()
    }

    /// The file for the lines of samples.
    pub(crate) fn lines_file(&self) -> PathBuf {
        self.dir.join("lines")
    }

    /// The lines that samples wrote, on either side.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.lines_file()).unwrap_or_default();
        text.split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(Line::read)
            .collect()
    }

    /// Waits for the first line with this event.
    #[track_caller]
    pub(crate) fn wait_for_event(&self, event: &str) -> Line {
        poll(DEADLINE, || {
            self.lines().into_iter().find(|line| line.event == event)
        })
        .expect("a sample should have written its line by now")
    }

    /// How often each uuid has a line with this event.
    pub(crate) fn counts(&self, event: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in self.lines().into_iter().filter(|line| line.event == event) {
            *counts.entry(line.uuid).or_default() += 1;
        }
        counts
    }

    fn table_jobs(&self, queue: &str) -> Vec<Lying> {
        let mut rows = self.database.jobs();
        rows.retain(|row| row.queue == queue);
        rows.sort_by_key(|row| (row.available_at, row.id));
        let lying = rows.into_iter().map(|row| Lying {
            payload: row.json(),
            attempts: u64::try_from(row.attempts).expect("attempts are not negative"),
            due: Some(f64::from(
                u32::try_from(row.available_at).expect("a time of this century"),
            )),
            reserved: row.reserved_at.is_some(),
        });
        lying.collect()
    }
}

fn redis_jobs(redis: &SharedRedis, queue: &str) -> Vec<Lying> {
    let dump = redis.queue(queue);
    let lying = |payload: &harness::Payload, due: Option<f64>, reserved: bool| Lying {
        payload: payload.json(),
        attempts: payload.attempts(),
        due,
        reserved,
    };
    let ready = dump.ready.iter().map(|payload| lying(payload, None, false));
    let delayed = dump
        .delayed
        .iter()
        .map(|scored| lying(&scored.payload, Some(scored.score), false));
    let reserved = dump
        .reserved
        .iter()
        .map(|scored| lying(&scored.payload, Some(scored.score), true));
    ready.chain(delayed).chain(reserved).collect()
}

/// One line of a sample: what happened to which job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `start`, `end` or `failed`.
    pub(crate) event: String,
    /// The job.
    pub(crate) uuid: String,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u64,
    /// The queue.
    pub(crate) queue: String,
}

impl Line {
    fn read(text: &str) -> Self {
        // More may follow.
        let words: Vec<_> = text.split(' ').take(4).map(str::to_owned).collect();
        let [event, uuid, attempt, queue] = words.try_into().expect("a line has four words");
        Self {
            event,
            uuid,
            attempt: attempt.parse().expect("the attempt is a number"),
            queue,
        }
    }
}
