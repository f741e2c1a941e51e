//! Stores in words, for the log at start. No secrets.

use crate::config::{Address, CacheStore, Config, Database, FailedStore, QueueConnection, QueueKind};

/// Where jobs, failures and signals are kept, one line each.
#[must_use]
pub(super) fn stores(config: &Config, connection: &QueueConnection) -> [String; 3] {
    let queue = match &connection.kind {
        QueueKind::Redis { db, .. } => redis(config, *db, &config.redis.prefix),
        QueueKind::Database {
            database: db, table, ..
        } => format!("table {table} of {}", database(db)),
        QueueKind::ApalisRedis { db, .. } => format!("apalis' keys in {}", redis(config, *db, "")),
        QueueKind::ApalisDatabase { database: db, .. } => format!("apalis' tables in {}", database(db)),
        QueueKind::Embedded { path, .. } => format!("the worker's own file {}", path.display()),
        QueueKind::Sync => "none".to_owned(),
    };
    let failures = match &config.failed {
        FailedStore::Database { database: db, table } => format!("table {table} of {}", database(db)),
        FailedStore::Null => "not kept (QUEUE_FAILED_DRIVER=null)".to_owned(),
        FailedStore::Unavailable(problem) => format!("not kept: {problem}"),
    };
    let signals = match &config.cache {
        CacheStore::Redis { db, prefix, .. } => {
            redis(config, *db, &format!("{}{prefix}", config.redis.prefix))
        }
        CacheStore::Database {
            database: db, table, ..
        } => format!("table {table} of {}", database(db)),
        CacheStore::Unreadable { driver } => {
            format!("none, the cache store {driver} cannot be read from here")
        }
    };
    [
        format!("Jobs: {queue}"),
        format!("Failures: {failures}"),
        format!("Signals: {signals}"),
    ]
}

fn redis(config: &Config, db: u32, prefix: &str) -> String {
    format!("{}, database {db}, prefix {prefix:?}", redis_server(config))
}

/// The Redis server.
pub(super) fn redis_server(config: &Config) -> String {
    match &config.redis.address {
        Address::Tcp { host, port, .. } => format!("Redis at {host}:{port}"),
        Address::Unix(path) => format!("Redis at {}", path.display()),
    }
}

/// An SQL database.
pub(super) fn database(database: &Database) -> String {
    match database {
        Database::Sqlite { path: Some(path) } => format!("SQLite file {}", path.display()),
        Database::Sqlite { path: None } => "SQLite in memory".to_owned(),
        Database::Mysql {
            host, port, database, ..
        } => format!("MySQL database {database} at {host}:{port}"),
        Database::Postgres {
            host, port, database, ..
        } => format!("PostgreSQL database {database} at {host}:{port}"),
    }
}
