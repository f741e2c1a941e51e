//! The queue connections.

pub(super) mod tasks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::redis::{self, Redis};
use super::vars::{self, Variable};
use super::{Config, Database, Databases, Problem, units};

/// One of Laravel's queue connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConnection {
    /// Its name, as written into `failed_jobs.connection` and into the keys of pauses: `redis`, `database`, `high`, …
    pub name: String,
    /// Where its jobs are.
    pub kind: QueueKind,
}

/// Where the jobs of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueKind {
    /// Lists of the Redis server in [`Config::redis`].
    Redis {
        /// Number of the database.
        db: u32,
        /// Queue of a job that names none.
        queue: String,
        /// After how long a PHP worker takes a reserved job for abandoned.
        retry_after: Duration,
    },
    /// The table `jobs` of an SQL database of the application. It is never created by being opened.
    Database {
        /// The database.
        database: Database,
        /// Name of the table (`DB_QUEUE_TABLE`), default `jobs`.
        table: String,
        /// Queue of a job that names none.
        queue: String,
        /// After how long a reserved job is taken for abandoned, by PHP workers and by this one.
        retry_after: Duration,
    },
    /// An SQLite file of the worker's own, created and migrated on first use. Only when nothing at all is
    /// configured: no `.env`, no `artisan`, and no `QUEUE_`, `DB_` or `REDIS_` variable.
    Embedded {
        /// The file: `WORKER_DATABASE`, default `worker.sqlite` in the working directory.
        path: PathBuf,
        /// Queue of a job that names none: `default`.
        queue: String,
        /// As for the SQL queue: 90 s.
        retry_after: Duration,
    },
    /// Tasks that Rust producers write with apalis-redis to the Redis server in [`Config::redis`]. Its keys have no
    /// prefix.
    ApalisRedis {
        /// Number of the database.
        db: u32,
        /// Queue of a job that names none.
        queue: String,
    },
    /// Tasks that Rust producers write with apalis-postgres or apalis-sqlite.
    ApalisDatabase {
        /// The database, never MySQL.
        database: Database,
        /// Queue of a job that names none.
        queue: String,
    },
    /// Jobs run where they are dispatched (`sync`, `deferred`, `null`): there is nothing to consume.
    Sync,
}

impl QueueConnection {
    /// The queue of jobs that name none; `default` for a connection without queues.
    #[must_use]
    pub fn queue(&self) -> &str {
        match &self.kind {
            QueueKind::Redis { queue, .. }
            | QueueKind::Database { queue, .. }
            | QueueKind::ApalisRedis { queue, .. }
            | QueueKind::ApalisDatabase { queue, .. }
            | QueueKind::Embedded { queue, .. } => queue,
            QueueKind::Sync => "default",
        }
    }
}

impl QueueConnection {
    /// Whether the jobs of both connections lie in one store under the same names.
    #[must_use]
    pub fn shares_store(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (QueueKind::Redis { db, .. }, QueueKind::Redis { db: other, .. }) => db == other,
            (
                QueueKind::Database { database, table, .. },
                QueueKind::Database {
                    database: other,
                    table: other_table,
                    ..
                },
            ) => database == other && table == other_table,
            (one, other) => one == other,
        }
    }
}

impl Config {
    /// The queue connection `name`, for the CONNECTION argument of `worker work redis`.
    ///
    /// # Errors
    /// When the worker does not know it, or its SQL database is not configured.
    pub fn connection(&self, name: &str) -> Result<QueueConnection, Problem> {
        if name == self.queue.name {
            return Ok(self.queue.clone());
        }
        let unknown = || Problem::new(format!("connection {name}"), "is not one the worker knows", KNOWN);
        self.connections
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err(unknown()))
    }

    /// The names that [`Config::connection`] knows, in alphabetical order.
    pub fn connection_names(&self) -> impl Iterator<Item = &str> {
        self.connections.keys().map(String::as_str)
    }
}

const KNOWN: &str =
    "redis, database, sync, apalis-redis, apalis-database, high, migration, background, einvoice, banking";

/// Laravel's value when `retry_after` is written as null.
const RETRY_AFTER_NULL: Duration = Duration::from_secs(60);
const RETRY_AFTER: Duration = Duration::from_secs(90);

/// The application's named Redis connections: queue of the same name, and `retry_after` in seconds.
const NAMED: &[(&str, u64)] = &[
    ("high", 90),
    ("migration", 600),
    ("background", 90),
    ("banking", 150),
    ("einvoice", 150),
];

/// All connections by name.
pub(super) type Connections = BTreeMap<String, Result<QueueConnection, Problem>>;

/// Reads all connections by name.
pub(super) fn connections(reader: &mut Reader<'_>, redis: &Redis, databases: &Databases) -> Connections {
    let named = [&vars::QUEUE_REDIS_CONNECTION, &vars::REDIS_QUEUE_CONNECTION];
    let db = redis.db(redis::connection(reader, named, redis::Connection::Queue));
    let connect = |name: &str, kind| {
        (
            name.to_owned(),
            Ok(QueueConnection {
                name: name.to_owned(),
                kind,
            }),
        )
    };
    let mut all = Connections::new();
    for (name, retry_after_s) in NAMED {
        let retry_after = Duration::from_secs(*retry_after_s);
        all.extend([connect(
            name,
            QueueKind::Redis {
                db,
                queue: (*name).to_owned(),
                retry_after,
            },
        )]);
    }
    let queue = reader.text_or(&vars::REDIS_QUEUE, "default");
    let retry_after = retry_after(reader, &vars::REDIS_QUEUE_RETRY_AFTER);
    all.extend([connect(
        "redis",
        QueueKind::Redis {
            db,
            queue: queue.clone(),
            retry_after,
        },
    )]);
    all.extend([connect("apalis-redis", QueueKind::ApalisRedis { db, queue })]);
    all.extend(["sync", "deferred", "null"].map(|name| connect(name, QueueKind::Sync)));
    all.insert("database".to_owned(), database(reader, databases));
    all.insert("apalis-database".to_owned(), tasks::connection(reader, databases));
    all
}

fn database(reader: &mut Reader<'_>, databases: &Databases) -> Result<QueueConnection, Problem> {
    let database = databases.named(reader, &vars::DB_QUEUE_CONNECTION);
    let table = table(reader, &vars::DB_QUEUE_TABLE, "jobs");
    let queue = reader.text_or(&vars::DB_QUEUE, "default");
    let retry_after = retry_after(reader, &vars::DB_QUEUE_RETRY_AFTER);
    let kind = QueueKind::Database {
        database: database?,
        table,
        queue,
        retry_after,
    };
    Ok(QueueConnection {
        name: "database".to_owned(),
        kind,
    })
}

/// The name of a table in `var`; it goes into SQL text, so it must be plain.
pub(super) fn table(reader: &mut Reader<'_>, var: &'static Variable, default: &str) -> String {
    let plain = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        (text.len() <= 128 && text.bytes().all(legal)).then(|| text.to_owned())
    };
    reader
        .parsed(var, "is not a plain name of a table", plain)
        .unwrap_or_else(|| default.to_owned())
}

fn retry_after(reader: &mut Reader<'_>, var: &'static Variable) -> Duration {
    let origin = reader.origin(var);
    let whole =
        |text: &str| units::duration(text).filter(|limit| limit.as_millis() % 1000 == 0 && !limit.is_zero());
    let retry_after = if reader.is_null(var) {
        RETRY_AFTER_NULL
    } else {
        reader
            .parsed(var, "is not a whole number of seconds", whole)
            .unwrap_or(RETRY_AFTER)
    };
    reader.show(var, units::seconds(retry_after), origin);
    retry_after
}

/// The connection of `QUEUE_CONNECTION`.
pub(super) fn default(reader: &mut Reader<'_>, connections: &Connections) -> QueueConnection {
    let set = match reader.is_null(&vars::QUEUE_CONNECTION) {
        true => Some("null".to_owned()),
        false => reader.text(&vars::QUEUE_CONNECTION),
    };
    let truthy = reader.truthy(&vars::FEATURE_REDIS_QUEUES);
    let name = set
        .clone()
        .unwrap_or_else(|| if truthy { "redis" } else { "database" }.to_owned());
    if set.is_none() {
        reader.show_default(&vars::QUEUE_CONNECTION, &name);
    }
    match connections.get(&name) {
        Some(Ok(connection)) => return connection.clone(),
        Some(Err(problem)) => {
            let by = if set.is_some() {
                ""
            } else {
                ", which is meant when QUEUE_CONNECTION is not set"
            };
            let mut problem = problem.clone();
            problem.what = format!("{}, but needed by the queue connection {name}{by}", problem.what);
            reader.problems.push(problem);
        }
        None if matches!(name.as_str(), "beanstalkd" | "sqs" | "failover") => {
            reader.problem(
                &vars::QUEUE_CONNECTION,
                format!("is {name}, which the worker cannot consume"),
            );
        }
        None => reader.problem(&vars::QUEUE_CONNECTION, "is not a connection the worker knows"),
    }
    QueueConnection {
        name,
        kind: QueueKind::Sync,
    }
}

/// The worker's own file as the connection `database`.
pub(super) fn embedded(path: PathBuf) -> QueueConnection {
    let kind = QueueKind::Embedded {
        path,
        queue: "default".to_owned(),
        retry_after: RETRY_AFTER,
    };
    QueueConnection {
        name: "database".to_owned(),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, load_app, problems, warned};
    use super::*;

    const SQLITE: [(&str, &str); 2] = [("DB_CONNECTION", "sqlite"), ("DB_DATABASE", "/a.db")];

    fn with(env: &[(&str, &str)]) -> Config {
        load(&[SQLITE.as_slice(), env].concat()).config
    }

    fn redis(db: u32, queue: &str, retry_after_s: u64) -> QueueKind {
        QueueKind::Redis {
            db,
            queue: queue.to_owned(),
            retry_after: Duration::from_secs(retry_after_s),
        }
    }

    #[test]
    fn which_connection_is_the_default() {
        assert_eq!(with(&[]).queue.name, "database");
        assert_eq!(with(&[("QUEUE_CONNECTION", "")]).queue.name, "database");
        for truth in ["true", "(TRUE)", "1", "yes"] {
            assert_eq!(
                with(&[("FEATURE_REDIS_QUEUES", truth)]).queue.name,
                "redis",
                "{truth}"
            );
        }
        for untruth in ["false", "0", "", "null", "(false)"] {
            assert_eq!(
                with(&[("FEATURE_REDIS_QUEUES", untruth)]).queue.name,
                "database",
                "{untruth}"
            );
        }
        assert_eq!(
            with(&[("FEATURE_REDIS_QUEUES", "true"), ("QUEUE_CONNECTION", "database")])
                .queue
                .name,
            "database"
        );
        for sync in ["sync", "null", "deferred"] {
            let queue = with(&[("QUEUE_CONNECTION", sync)]).queue;
            assert_eq!((queue.name.as_str(), queue.kind), (sync, QueueKind::Sync));
        }
    }

    #[test]
    fn redis_connections() {
        let config = with(&[("QUEUE_CONNECTION", "redis")]);
        assert_eq!(config.queue.kind, redis(3, "default", 90));
        for (name, retry_after_s) in [
            ("high", 90),
            ("migration", 600),
            ("background", 90),
            ("einvoice", 150),
            ("banking", 150),
        ] {
            let connection = config.connection(name).unwrap();
            assert_eq!(
                (connection.name.as_str(), connection.kind),
                (name, redis(3, name, retry_after_s))
            );
            assert_eq!(with(&[("QUEUE_CONNECTION", name)]).queue.name, name);
        }
        let env = [
            ("REDIS_QUEUE", "mail"),
            ("REDIS_QUEUE_CONNECTION", "default"),
            ("REDIS_QUEUE_RETRY_AFTER", "2m"),
        ];
        let config = with(&env);
        assert_eq!(config.connection("redis").unwrap().kind, redis(0, "mail", 120));
        assert_eq!(config.connection("high").unwrap().kind, redis(0, "high", 90));
        let both = load(
            &[
                &SQLITE[..],
                &[
                    ("REDIS_QUEUE_CONNECTION", "default"),
                    ("QUEUE_REDIS_CONNECTION", "cache"),
                ],
            ]
            .concat(),
        );
        assert_eq!(
            both.config.connection("redis").unwrap().kind,
            redis(1, "default", 90)
        );
        assert_eq!(warned(&both), ["QUEUE_REDIS_CONNECTION"]);
        assert_eq!(
            with(&[("REDIS_QUEUE_RETRY_AFTER", "null")])
                .connection("redis")
                .unwrap()
                .kind,
            redis(3, "default", 60)
        );
    }

    #[test]
    fn connections_that_share_a_store() {
        let config = with(&[("REDIS_QUEUE_DB", "5")]);
        let shares = |one: &str, other: &str| {
            config
                .connection(one)
                .unwrap()
                .shares_store(&config.connection(other).unwrap())
        };
        assert!(shares("redis", "high") && shares("database", "database"));
        assert!(!shares("redis", "database") && !shares("database", "migration"));
    }

    #[test]
    fn database_connection() {
        let config = with(&[
            ("DB_QUEUE_TABLE", "queue.jobs"),
            ("DB_QUEUE", "mail"),
            ("DB_QUEUE_RETRY_AFTER", "100"),
            ("DB_QUEUE_CONNECTION", "pgsql"),
        ]);
        let QueueKind::Database {
            database,
            table,
            queue,
            retry_after,
        } = config.queue.kind
        else {
            panic!()
        };
        assert!(matches!(database, Database::Postgres { .. }));
        assert_eq!(
            (table.as_str(), queue.as_str(), retry_after.as_secs()),
            ("queue.jobs", "mail", 100)
        );
    }

    #[test]
    fn an_application_without_settings_has_laravels_own_database() {
        let queue = load_app(&[]).config.queue;
        let path = Some("/app/database/database.sqlite".into());
        assert!(
            matches!(queue.kind, QueueKind::Database { database, .. } if database == Database::Sqlite { path })
        );
    }

    #[test]
    fn mistakes() {
        let mistake = |name, value| problems(&[&SQLITE[..], &[(name, value)]].concat()).join("\n");
        assert_eq!(
            mistake("QUEUE_CONNECTION", "beanstalkd"),
            "QUEUE_CONNECTION (environment) is beanstalkd, which the worker cannot consume; allowed: redis, database, \
             sync, apalis-redis, apalis-database, or a named Redis connection: high, migration, background, einvoice, banking"
        );
        assert!(mistake("QUEUE_CONNECTION", "sqs").contains("is sqs, which the worker cannot consume"));
        assert!(mistake("QUEUE_CONNECTION", "rabbit").contains("is not a connection the worker knows"));
        assert!(mistake("DB_QUEUE_TABLE", "jobs; drop").contains("is not a plain name of a table"));
        assert!(mistake("DB_QUEUE_RETRY_AFTER", "0").contains("is not a whole number of seconds"));
        assert!(mistake("DB_QUEUE_RETRY_AFTER", "1.5").contains("is not a whole number of seconds"));
        assert!(mistake("DB_QUEUE_CONNECTION", "tenant").contains("DB_QUEUE_CONNECTION is not a connection"));
        assert!(mistake("DB_QUEUE_CONNECTION", "sqlsrv").contains("DB_QUEUE_CONNECTION is not a connection"));
        let unknown = with(&[]).connection("sqs").unwrap_err().to_string();
        assert!(unknown.starts_with("connection sqs is not one the worker knows; allowed: redis, database"));
        assert!(with(&[]).connection_names().any(|name| name == "banking"));
    }
}
