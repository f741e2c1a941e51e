//! One queue store as a Rust producer has it, with the stock storages, and our worker beside it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use apalis::prelude::{
    Data, Filter, ListAllTasks, ListTasks, Status, Task, TaskBuilder, TaskSink, WorkerBuilder,
};
use apalis_postgres::PostgresStorage;
use apalis_redis::{ConnectionManager, RedisStorage};
use apalis_sqlite::SqliteStorage;
use harness::{
    Daemon, FailedRow, Output, PostgresDatabase, RedisServer, Running, Scratch, SqliteDatabase, TestDatabase,
};
use serde_json::Value;
use sqlx::{PgPool, SqlitePool};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use worker::store::apalis::{ApalisRedis, ApalisSql};
use worker::store::port::Queue;
use worker::store::sql::SqliteOptions;

use crate::site::{Note, WORKER, started};
use crate::store::engine::{postgres_options, redis_options};

/// Makes one test of each case for every layout.
macro_rules! on_every_layout {
    ($($(#[$doc:meta])* fn $name:ident($yard:ident: &Yard) $body:block)*) => {
        $($(#[$doc])* fn $name($yard: &crate::apalis::yard::Yard) $body)*

        mod redis {
            $(#[test] fn $name() { super::$name(&crate::apalis::yard::Yard::redis()); })*
        }

        mod sqlite {
            $(#[test] fn $name() { super::$name(&crate::apalis::yard::Yard::sqlite()); })*
        }

        mod postgres {
            $(#[test] fn $name() { super::$name(&crate::apalis::yard::Yard::postgres()); })*
        }
    };
}

pub(crate) use on_every_layout;

/// A store and what a producer reaches it with.
pub(crate) struct Yard {
    place: Place,
    dir: Scratch,
    runtime: Runtime,
}

enum Place {
    Redis(RedisServer, Box<ConnectionManager>, SqliteDatabase),
    Sqlite(SqliteDatabase, SqlitePool),
    Postgres(PostgresDatabase, PgPool),
}

/// What a stock worker was given.
pub(crate) type Seen = Arc<Mutex<Vec<Value>>>;

/// Runs `$body` with the stock storage of a queue.
macro_rules! stock {
    ($yard:expr, $queue:expr, $storage:ident => $body:expr) => {
        match &$yard.place {
            Place::Redis(_, connection, _) => {
                let config = apalis_redis::Config::default().queue($queue);
                let $storage = RedisStorage::<Value>::new((**connection).clone()).with_config(config);
                $body
            }
            Place::Sqlite(_, pool) => {
                let config = apalis_sqlite::Config::default().queue($queue);
                let $storage = SqliteStorage::<Value>::new(pool).with_config(config);
                $body
            }
            Place::Postgres(_, pool) => {
                let config = apalis_postgres::Config::default().queue($queue);
                let $storage = PostgresStorage::<Value>::new(pool).with_config(config);
                $body
            }
        }
    };
}

impl Yard {
    /// apalis-redis in a server of its own; failed jobs in SQLite.
    pub(crate) fn redis() -> Self {
        let server = RedisServer::start(harness::RedisOptions::default());
        let url = format!("{}/3", server.redis().url());
        Self::new(async move {
            let connection = apalis_redis::connect(url).await.expect("the server answers");
            Place::Redis(server, Box::new(connection), SqliteDatabase::temp())
        })
    }

    /// apalis-sqlite; failed jobs in the same file.
    pub(crate) fn sqlite() -> Self {
        let file = SqliteDatabase::empty();
        let yard = Self::new(async move {
            let pool = super::set_up_sqlite(&file).await;
            Place::Sqlite(file, pool)
        });
        yard.command(&["migrate"]).success();
        yard
    }

    /// apalis-postgres; failed jobs in the same database.
    pub(crate) fn postgres() -> Self {
        let database = PostgresDatabase::empty();
        let yard = Self::new(async move {
            let pool = super::set_up_postgres(&database).await;
            Place::Postgres(database, pool)
        });
        yard.command(&["migrate"]).success();
        yard
    }

    fn new(place: impl Future<Output = Place>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        Self {
            place: runtime.block_on(place),
            dir: Scratch::new(),
            runtime,
        }
    }

    /// The name of the connection.
    pub(crate) fn connection(&self) -> &'static str {
        match &self.place {
            Place::Redis(..) => "apalis-redis",
            Place::Sqlite(..) | Place::Postgres(..) => "apalis-database",
        }
    }

    /// Where failed jobs are.
    pub(crate) fn database(&self) -> &dyn TestDatabase {
        match &self.place {
            Place::Redis(_, _, file) | Place::Sqlite(file, _) => file,
            Place::Postgres(database, _) => database,
        }
    }

    /// The server's client, where there is one.
    pub(crate) fn client(&self) -> Option<harness::Redis> {
        match &self.place {
            Place::Redis(server, ..) => Some(server.redis().db(3)),
            Place::Sqlite(..) | Place::Postgres(..) => None,
        }
    }

    /// The failed jobs, newest last.
    pub(crate) fn failed(&self) -> Vec<FailedRow> {
        self.database().failed_jobs()
    }

    /// Our worker, not started.
    pub(crate) fn worker(&self, args: &[&str]) -> Daemon {
        let redis = match &self.place {
            Place::Redis(server, ..) => server.redis().env(),
            Place::Sqlite(..) | Place::Postgres(..) => Vec::new(),
        };
        Daemon::new(WORKER)
            .args(args.iter().copied())
            .envs(redis)
            .envs(self.database().database_env())
            .env("QUEUE_CONNECTION", self.connection())
            .env("APP_ENV", "local")
    }

    /// Starts our worker and waits until it consumes.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        started(self.worker(args).spawn())
    }

    /// Runs one of our commands to its end.
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        self.worker(args).run_to_end()
    }

    /// A driver of ours.
    pub(crate) fn driver(&self) -> Arc<dyn Queue> {
        let _inside = self.runtime.enter();
        match &self.place {
            Place::Redis(server, ..) => {
                let options = redis_options(&server.redis());
                Arc::new(ApalisRedis::new(&options).expect("the options are good"))
            }
            Place::Sqlite(file, _) => Arc::new(ApalisSql::sqlite(&SqliteOptions::new(file.path()))),
            Place::Postgres(database, _) => Arc::new(ApalisSql::postgres(&postgres_options(database))),
        }
    }

    /// Runs something asynchronous to its end.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Pushes as a stock producer does.
    pub(crate) fn push(&self, queue: &str, args: &[Value]) {
        self.run(self.push_now(queue, args));
    }

    /// The same inside something asynchronous.
    pub(crate) async fn push_now(&self, queue: &str, args: &[Value]) {
        stock!(self, queue, storage => {
            let mut storage = storage;
            storage.push_bulk(args.to_vec()).await.expect("the stock push works");
        });
    }

    /// Pushes one stock task with settings of its own.
    pub(crate) fn push_task(&self, queue: &str, task: TaskBuilder<Value>) {
        let task = task.build();
        self.run(async {
            stock!(self, queue, storage => {
                let mut storage = storage;
                storage.push_task(task).await.expect("the stock push works");
            });
        });
    }

    /// The tasks that the stock listing names under a status.
    pub(crate) fn listed(&self, queue: &str, status: Status) -> Vec<Task<Vec<u8>>> {
        let filter = Filter {
            status: Some(status),
            page: 1,
            page_size: Some(5000),
        };
        self.run(async {
            match &self.place {
                // The other listing of apalis-redis 1.0.0 looks under a key that nothing is written to.
                Place::Redis(..) => {
                    let config = apalis_redis::Config::default().queue(queue);
                    let connection = match &self.place {
                        Place::Redis(_, connection, _) => (**connection).clone(),
                        Place::Sqlite(..) | Place::Postgres(..) => return Vec::new(),
                    };
                    let storage = RedisStorage::<Value>::new(connection).with_config(config);
                    storage
                        .list_all_tasks(&filter)
                        .await
                        .expect("the stock listing works")
                }
                Place::Sqlite(_, pool) => {
                    let config = apalis_sqlite::Config::default().queue(queue);
                    let storage = SqliteStorage::<Value>::new(pool).with_config(config);
                    storage
                        .list_tasks(&filter)
                        .await
                        .expect("the stock listing works")
                }
                Place::Postgres(_, pool) => {
                    let config = apalis_postgres::Config::default().queue(queue);
                    let storage = PostgresStorage::<Value>::new(pool).with_config(config);
                    storage
                        .list_tasks(&filter)
                        .await
                        .expect("the stock listing works")
                }
            }
        })
    }

    /// Starts a stock worker that notes what it is given, and ends when what is returned is dropped.
    pub(crate) fn stock_worker(&self, name: &'static str, queue: &str) -> (Seen, JoinSet<()>) {
        let seen = Seen::default();
        let noted = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        stock!(self, queue, storage => {
            let run = async move {
                let worker = WorkerBuilder::new(name).backend(storage).data(noted).build(note);
                // A worker that ends before the test does shows in what it has seen.
                drop(worker.run().await);
            };
            tasks.spawn_on(run, self.runtime.handle());
        });
        (seen, tasks)
    }

    /// Makes it a database in which no producer was ever.
    pub(crate) fn drop_tables(&self) {
        match &self.place {
            Place::Redis(..) => {}
            Place::Sqlite(file, _) => file.execute("DROP TABLE Jobs"),
            Place::Postgres(database, _) => database.execute("DROP SCHEMA apalis CASCADE"),
        }
    }

    /// Makes every worker of a queue one that was not heard of for long.
    pub(crate) fn age_workers(&self, queue: &str) {
        match &self.place {
            Place::Redis(server, ..) => {
                let redis = server.redis().db(3);
                let key = format!("{queue}:workers");
                for name in redis.query::<Vec<String>>(&["ZRANGE", &key, "0", "-1"]) {
                    let _: i64 = redis.query(&["ZADD", &key, "1000", &name]);
                }
            }
            Place::Sqlite(file, _) => file.execute("UPDATE Workers SET last_seen = 1000"),
            Place::Postgres(database, _) => {
                database.execute("update apalis.workers set last_seen = now() - interval '1 hour'");
            }
        }
    }

    /// A file into which sample jobs write.
    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// The lines that sample jobs wrote.
    pub(crate) fn notes(&self) -> Vec<Note> {
        Note::all(&self.journal())
    }

    /// How many lines of an event there are.
    pub(crate) fn noted(&self, event: &str) -> usize {
        self.notes().iter().filter(|note| note.event == event).count()
    }
}

async fn note(args: Value, seen: Data<Seen>) -> Result<(), std::io::Error> {
    let stuck = args.get("stuck").is_some();
    seen.lock().expect("nobody panics with it").push(args);
    if stuck {
        std::future::pending::<()>().await;
    }
    Ok(())
}
