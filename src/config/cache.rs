//! The cache store, through which `queue:restart` and `queue:pause` arrive.

use super::Database;

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
