//! The cache store, through which `queue:restart` and `queue:pause` arrive.

use super::reader::Reader;
use super::redis::{self, Redis};
use super::{Database, Databases, queue, slug, vars};

/// Laravel's default cache store (`CACHE_STORE`, else `CACHE_DRIVER`, else `database`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheStore {
    /// Keys of the Redis server in [`super::Config::redis`]; the Redis prefix stands before the cache prefix.
    Redis {
        /// Number of the database of the values.
        db: u32,
        /// Number of the database of the locks.
        lock_db: u32,
        /// `CACHE_PREFIX`, default: slug of `APP_NAME` with `_`, then `_cache_`. May be empty.
        prefix: String,
        /// Other forms that skeletons derive, to be read as well when the prefix was not set.
        prefix_alternatives: Vec<String>,
    },
    /// A table of an SQL database.
    Database {
        /// The database (`DB_CACHE_CONNECTION`, default `DB_CONNECTION`).
        database: Database,
        /// Table of the values (`DB_CACHE_TABLE`), default `cache`.
        table: String,
        /// Table of the locks (`DB_CACHE_LOCK_TABLE`), default `cache_locks`.
        lock_table: String,
        /// As for Redis.
        prefix: String,
        /// As for Redis.
        prefix_alternatives: Vec<String>,
    },
    /// A store this worker cannot read (`file`, `array`, `memcached`, …): restart and pause cannot arrive through it.
    Unreadable {
        /// Laravel's name of the store.
        driver: String,
    },
}

impl CacheStore {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        redis: &Redis,
        databases: &Databases,
        app_name: &str,
    ) -> Self {
        let (prefix, prefix_alternatives) = prefix(reader, app_name);
        let connections = [&vars::CACHE_REDIS_CONNECTION, &vars::REDIS_CACHE_CONNECTION];
        let locks = [
            &vars::CACHE_REDIS_LOCK_CONNECTION,
            &vars::REDIS_CACHE_LOCK_CONNECTION,
        ];
        let connection = redis::connection(reader, connections, redis::Connection::Cache);
        let lock_connection = redis::connection(reader, locks, redis::Connection::Default);
        let database = databases.named(reader, &vars::DB_CACHE_CONNECTION);
        let table = queue::table(reader, &vars::DB_CACHE_TABLE, "cache");
        let lock_table = queue::table(reader, &vars::DB_CACHE_LOCK_TABLE, "cache_locks");
        let named = reader.first(&[&vars::CACHE_STORE, &vars::CACHE_DRIVER]);
        let var = named.as_ref().map_or(&vars::CACHE_STORE, |(_, var)| *var);
        let driver = named.map_or_else(|| "database".to_owned(), |(driver, _)| driver);
        let lost = "queue:restart and queue:pause cannot arrive through it";
        match (driver.as_str(), database) {
            ("redis", _) => Self::Redis {
                db: redis.db(connection),
                lock_db: redis.db(lock_connection),
                prefix,
                prefix_alternatives,
            },
            ("database", Ok(database)) => Self::Database {
                database,
                table,
                lock_table,
                prefix,
                prefix_alternatives,
            },
            ("database", Err(problem)) => {
                reader.warn(var, format!("is database, but {problem}; {lost}"));
                Self::Unreadable { driver }
            }
            _ => {
                reader.warn(
                    var,
                    format!("names a cache store that the worker cannot read; {lost}"),
                );
                Self::Unreadable { driver }
            }
        }
    }
}

/// The prefix, and the other forms that skeletons of Laravel derive: the hyphens of 12 and 13, and 8's without the
/// separator at its end.
fn prefix(reader: &mut Reader<'_>, app_name: &str) -> (String, Vec<String>) {
    if let Some(prefix) = reader.explicit(&vars::CACHE_PREFIX) {
        return (prefix, Vec::new());
    }
    let slugged = slug::slug(app_name, '_');
    let prefix = format!("{slugged}_cache_");
    reader.show_default(&vars::CACHE_PREFIX, &prefix);
    (
        prefix,
        vec![
            format!("{}-cache-", slug::slug(app_name, '-')),
            format!("{slugged}_cache"),
        ],
    )
}
