//! From configuration to stores: one arm per driver.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::apalis::{ApalisRedis, ApalisSql, TaskSurvey};
use super::port::survey::SqlSurvey;
use super::port::{Batches, Cache, FailedJobs, Presence, Queue};
use super::redis::{
    Password, RedisAddress, RedisCache, RedisOptions, RedisPresence, RedisQueue, RedisSurvey,
};
use super::sql::{
    Database, MysqlOptions, NullFailed, PostgresOptions, SqlBatches, SqlCache, SqlFailed, SqlOptions,
    SqlPresence, SqlQueue, SqliteOptions, TableName, Tables,
};
use super::{Error, Kind};
use crate::config::{self, Address, CacheStore, Config, FailedStore, Problem, QueueConnection, QueueKind};

/// The stores of one connection.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Its queues.
    pub queue: Arc<dyn Queue>,
    /// Where failures are kept.
    pub failed: Arc<dyn FailedJobs>,
    /// The application's cache, when it can be read from here.
    pub cache: Option<Arc<dyn Cache>>,
    /// Where processes make themselves known.
    pub presence: Arc<dyn Presence>,
}

/// Why stores cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration does not allow it.
    #[error("invalid configuration: {0}")]
    Config(#[from] Problem),
    /// A store does not take us.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Opens the stores of `connection`.
///
/// # Errors
/// When the configuration names what this build cannot serve, or a database cannot be opened.
pub async fn open(config: &Config, connection: &QueueConnection) -> Result<Stores, OpenError> {
    let mut opener = Opener::new(config, connection)?;
    match &connection.kind {
        QueueKind::Redis { db, .. } => {
            let options = redis(config, *db);
            Ok(Stores {
                queue: Arc::new(RedisQueue::new(&options)?),
                failed: opener.failed(None).await?,
                cache: opener.cache().await?,
                presence: Arc::new(RedisPresence::new(&options)?),
            })
        }
        QueueKind::Database { database, .. } => opener.sql(database).await,
        QueueKind::ApalisRedis { db, .. } => {
            let options = redis(config, *db);
            Ok(Stores {
                queue: Arc::new(ApalisRedis::new(&options)?),
                failed: opener.failed(None).await?,
                cache: opener.cache().await?,
                presence: Arc::new(RedisPresence::new(&options)?),
            })
        }
        QueueKind::ApalisDatabase { database, .. } => opener.apalis(database).await,
        QueueKind::Embedded { path, .. } => {
            let database = config::Database::Sqlite {
                path: Some(path.clone()),
            };
            let own = Database::sqlite(SqliteOptions::own(path), opener.options.clone()).await?;
            super::sql::migrate(&own).await?;
            opener.opened.push((database.clone(), own));
            opener.sql(&database).await
        }
        QueueKind::Sync => Err(nothing_to_consume().into()),
    }
}

/// Opens the queues of `connection` alone. The worker's own file is made when it is missing.
///
/// # Errors
/// As [`open`].
pub async fn open_queue(config: &Config, connection: &QueueConnection) -> Result<Arc<dyn Queue>, OpenError> {
    match &connection.kind {
        QueueKind::Redis { db, .. } => Ok(Arc::new(RedisQueue::new(&redis(config, *db))?)),
        QueueKind::Database { database, .. } => {
            let db = Opener::new(config, connection)?.database(database).await?;
            Ok(Arc::new(SqlQueue::new(&db)))
        }
        QueueKind::ApalisRedis { db, .. } => Ok(Arc::new(ApalisRedis::new(&redis(config, *db))?)),
        QueueKind::ApalisDatabase { database, .. } => Ok(Arc::new(apalis_sql(config, database)?)),
        QueueKind::Embedded { .. } => Ok(open(config, connection).await?.queue),
        QueueKind::Sync => Err(nothing_to_consume().into()),
    }
}

/// Opens the failures alone.
///
/// # Errors
/// As [`open`].
pub async fn open_failed(config: &Config) -> Result<Arc<dyn FailedJobs>, OpenError> {
    Opener::new(config, &config.queue)?.failed(None).await
}

/// Opens the batches: the table `job_batches` in the database of `DB_CONNECTION`, as in Laravel's
/// `config/queue.php`; the worker's own file when nothing is configured.
///
/// # Errors
/// As [`open`].
pub async fn open_batches(config: &Config) -> Result<Arc<dyn Batches>, OpenError> {
    let mut opener = Opener::new(config, &config.queue)?;
    let db = match &config.queue.kind {
        QueueKind::Embedded { path, .. } => {
            let path = Some(path.clone());
            opener.database(&config::Database::Sqlite { path }).await?
        }
        QueueKind::Redis { .. }
        | QueueKind::Database { .. }
        | QueueKind::ApalisRedis { .. }
        | QueueKind::ApalisDatabase { .. }
        | QueueKind::Sync => opener.database(config.databases.default()?).await?,
    };
    Ok(Arc::new(SqlBatches::new(&db)))
}

/// Opens one database of the application, for `worker migrate`. A missing SQLite file is made.
///
/// # Errors
/// As [`open`].
pub async fn open_database(config: &Config, database: &config::Database) -> Result<Database, OpenError> {
    let mut opener = Opener::new(config, &config.queue)?;
    opener.create = true;
    opener.database(database).await
}

/// Opens the application's cache store alone; `None` when it cannot be read from here.
///
/// # Errors
/// As [`open`].
pub async fn open_cache(config: &Config) -> Result<Option<Arc<dyn Cache>>, OpenError> {
    Opener::new(config, &config.queue)?.cache().await
}

/// The queues of the application's Redis server under another prefix.
///
/// # Errors
/// When the settings cannot be used.
pub fn redis_under(config: &Config, db: u32, prefix: &str) -> Result<RedisQueue, Error> {
    RedisQueue::new(&RedisOptions {
        prefix: prefix.to_owned(),
        ..redis(config, db)
    })
}

/// A look at one database of the application's Redis server.
///
/// # Errors
/// When the settings cannot be used.
pub fn survey_redis(config: &Config, db: u32) -> Result<RedisSurvey, Error> {
    RedisSurvey::new(&redis(config, db))
}

/// A look at an SQL database, with the tables of `connection`. Nothing is opened yet, and nothing will be made.
///
/// # Errors
/// When the configuration names what this build cannot serve.
pub fn survey_sql(
    config: &Config,
    connection: &QueueConnection,
    database: &config::Database,
) -> Result<Arc<dyn SqlSurvey>, OpenError> {
    let options = Opener::new(config, connection)?.options;
    match (database, mysql(config, database), postgres(config, database)) {
        (_, Some(mysql), _) => Ok(super::sql::survey_mysql(&mysql, &options)),
        (_, _, Some(postgres)) => Ok(super::sql::survey_postgres(&postgres, &options)),
        (config::Database::Sqlite { path: Some(path) }, ..) => {
            Ok(super::sql::survey_sqlite(&SqliteOptions::new(path), &options))
        }
        (_, None, None) => Err(in_memory().into()),
    }
}

/// A look at the tasks of Rust producers, if that is what `connection` serves. Nothing is opened yet.
///
/// # Errors
/// As [`open`].
pub fn survey_tasks(config: &Config, connection: &QueueConnection) -> Result<Option<TaskSurvey>, OpenError> {
    match &connection.kind {
        QueueKind::ApalisRedis { db, .. } => {
            let tasks = ApalisRedis::new(&redis(config, *db))?;
            Ok(Some(TaskSurvey::Redis(tasks)))
        }
        QueueKind::ApalisDatabase { database, .. } => {
            Ok(Some(TaskSurvey::Sql(apalis_sql(config, database)?)))
        }
        QueueKind::Redis { .. }
        | QueueKind::Database { .. }
        | QueueKind::Embedded { .. }
        | QueueKind::Sync => Ok(None),
    }
}

/// What is said of `QUEUE_CONNECTION=sync`.
#[must_use]
pub fn nothing_to_consume() -> Problem {
    Problem::new(
        "QUEUE_CONNECTION",
        "is sync: the application runs its jobs itself, there is nothing to consume",
        "redis, database, or one of the application's Redis connections",
    )
}

/// How to reach one database of the application's Redis server.
fn redis(config: &Config, db: u32) -> RedisOptions {
    let redis = &config.redis;
    let address = match &redis.address {
        Address::Tcp { host, port, tls } => RedisAddress::Tcp {
            host: host.clone(),
            port: *port,
            tls: *tls,
        },
        Address::Unix(path) => RedisAddress::Unix(path.clone()),
    };
    RedisOptions {
        address,
        username: redis.username.clone(),
        password: redis
            .password
            .as_ref()
            .map(|password| Password::new(password.expose())),
        login: Some(config.logins.of_redis(redis)),
        db,
        prefix: redis.prefix.clone(),
        cluster: false,
    }
}

/// How to reach a database of the application that is MySQL or MariaDB; `None` for another one.
#[must_use]
pub fn mysql(config: &Config, place: &config::Database) -> Option<MysqlOptions> {
    let config::Database::Mysql {
        host,
        port,
        socket,
        database,
        username,
        password,
        tls,
        flavour: _,
    } = place
    else {
        return None;
    };
    let login = config.logins.of_database(place);
    Some(MysqlOptions {
        host: host.clone(),
        port: *port,
        socket: socket.clone(),
        database: database.clone(),
        username: username.clone(),
        password: password.clone(),
        tls: tls.clone(),
        login,
    })
}

/// How to reach a database of the application that is PostgreSQL; `None` for another one.
#[must_use]
pub fn postgres(config: &Config, place: &config::Database) -> Option<PostgresOptions> {
    let config::Database::Postgres {
        host,
        port,
        database,
        username,
        password,
        sslmode,
        search_path,
    } = place
    else {
        return None;
    };
    let login = config.logins.of_database(place);
    Some(PostgresOptions {
        host: host.clone(),
        port: *port,
        database: database.clone(),
        username: username.clone(),
        password: password.clone(),
        sslmode: *sslmode,
        search_path: search_path.clone(),
        login,
    })
}

/// The tasks of Rust producers in a database.
fn apalis_sql(config: &Config, database: &config::Database) -> Result<ApalisSql, Problem> {
    match (database, postgres(config, database)) {
        (_, Some(postgres)) => Ok(ApalisSql::postgres(&postgres)),
        (config::Database::Sqlite { path: Some(path) }, _) => {
            Ok(ApalisSql::sqlite(&SqliteOptions::new(path)))
        }
        (config::Database::Sqlite { path: None }, _) => Err(in_memory()),
        (_, None) => Err(config::no_apalis_mysql("DB_CONNECTION")),
    }
}

/// Opens each database once, however many stores live in it.
struct Opener<'a> {
    config: &'a Config,
    options: SqlOptions,
    create: bool,
    opened: Vec<(config::Database, Database)>,
}

impl<'a> Opener<'a> {
    fn new(config: &'a Config, connection: &QueueConnection) -> Result<Self, OpenError> {
        let mut tables = Tables::default();
        let mut options = SqlOptions::default();
        if let QueueKind::Database {
            table, retry_after, ..
        } = &connection.kind
        {
            tables.jobs = TableName::new(table)?;
            options.retry_after = *retry_after;
        }
        if let FailedStore::Database { table, .. } = &config.failed {
            tables.failed_jobs = TableName::new(table)?;
        }
        if let CacheStore::Database {
            table, lock_table, ..
        } = &config.cache
        {
            tables.cache = TableName::new(table)?;
            tables.cache_locks = TableName::new(lock_table)?;
        }
        options.tables = tables;
        options.sleep = config.worker.sleep;
        options.timezone = TimeZone::get(&config.app.timezone).unwrap_or(TimeZone::UTC);
        Ok(Self {
            config,
            options,
            create: false,
            opened: Vec::new(),
        })
    }

    async fn sql(&mut self, database: &config::Database) -> Result<Stores, OpenError> {
        let db = self.database(database).await?;
        let same = matches!(&self.config.failed, FailedStore::Database { database: failed, .. } if failed == database);
        let queue = if same {
            SqlQueue::with_failures(&db)
        } else {
            SqlQueue::new(&db)
        };
        Ok(Stores {
            queue: Arc::new(queue),
            failed: self.failed(Some(database)).await?,
            cache: self.cache().await?,
            presence: Arc::new(SqlPresence::new(&db)),
        })
    }

    /// Tasks of Rust producers. Their layout keeps no failures; who works is kept beside it, as elsewhere.
    async fn apalis(&mut self, database: &config::Database) -> Result<Stores, OpenError> {
        let db = self.database(database).await?;
        Ok(Stores {
            queue: Arc::new(apalis_sql(self.config, database)?),
            failed: self.failed(None).await?,
            cache: self.cache().await?,
            presence: Arc::new(SqlPresence::new(&db)),
        })
    }

    async fn database(&mut self, database: &config::Database) -> Result<Database, OpenError> {
        if let Some((_, opened)) = self.opened.iter().find(|(known, _)| known == database) {
            return Ok(opened.clone());
        }
        let options = self.options.clone();
        let config = self.config;
        let opened = match (database, mysql(config, database), postgres(config, database)) {
            (_, Some(mysql), _) => Database::mysql(&mysql, options),
            (_, _, Some(postgres)) => Database::postgres(&postgres, options),
            (config::Database::Sqlite { path: Some(path) }, ..) => {
                let mut sqlite = SqliteOptions::new(path);
                sqlite.create_if_missing = self.create;
                Database::sqlite(sqlite, options).await?
            }
            (_, None, None) => return Err(in_memory().into()),
        };
        self.opened.push((database.clone(), opened.clone()));
        Ok(opened)
    }

    /// The failures; `queue_in` is the database of the queue, when it is one.
    async fn failed(
        &mut self,
        queue_in: Option<&config::Database>,
    ) -> Result<Arc<dyn FailedJobs>, OpenError> {
        match &self.config.failed {
            FailedStore::Database { database, .. } => {
                let db = self.database(database).await?;
                let with_jobs = queue_in == Some(database);
                Ok(Arc::new(if with_jobs {
                    SqlFailed::with_jobs(&db)
                } else {
                    SqlFailed::new(&db)
                }))
            }
            FailedStore::Null => Ok(Arc::new(NullFailed)),
            FailedStore::Unavailable(problem) => Err(problem.clone().into()),
        }
    }

    async fn cache(&mut self) -> Result<Option<Arc<dyn Cache>>, OpenError> {
        match &self.config.cache {
            CacheStore::Redis {
                db,
                prefix,
                prefix_alternatives,
                ..
            } => {
                let prefixes = [std::slice::from_ref(prefix), prefix_alternatives].concat();
                Ok(Some(Arc::new(RedisCache::new(
                    &redis(self.config, *db),
                    &prefixes,
                )?)))
            }
            CacheStore::Database {
                database,
                prefix,
                prefix_alternatives,
                ..
            } => {
                let db = self.database(database).await?;
                let prefixes = [std::slice::from_ref(prefix), prefix_alternatives].concat();
                Ok(Some(Arc::new(SqlCache::new(&db, &prefixes))))
            }
            CacheStore::Unreadable { .. } => Ok(None),
        }
    }
}

fn in_memory() -> Problem {
    Problem::new(
        "DB_DATABASE",
        "is :memory:, which no other process can see",
        "a file",
    )
}

impl OpenError {
    /// Whether the same call may succeed later without anyone acting.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Config(_) => false,
            Self::Store(error) => matches!(error.kind(), Kind::Transient | Kind::Lost),
        }
    }
}
