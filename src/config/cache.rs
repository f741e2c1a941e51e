//! The cache store, through which `queue:restart` and `queue:pause` arrive.

use super::explain::Origin;
use super::reader::Reader;
use super::redis::{self, Redis};
use super::vars::{self, Variable};
use super::{Database, Databases, queue, slug};

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
        let (var, driver) = driver(reader);
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

/// Laravel's name of the store, and the variable that says it.
fn driver(reader: &mut Reader<'_>) -> (&'static Variable, String) {
    let (wins, other) = (&vars::CACHE_STORE, &vars::CACHE_DRIVER);
    let [store, driver] = [wins, other].map(|var| reader.text(var));
    match (store, driver) {
        (Some(store), _) => {
            reader.show(other, &*store, Origin::Within(wins.name));
            (wins, store)
        }
        (None, Some(driver)) => {
            reader.show(wins, &*driver, Origin::Within(other.name));
            (other, driver)
        }
        (None, None) => (wins, wins.default.to_owned()),
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

#[cfg(test)]
mod tests {
    use super::super::testing::{load, load_app, warned};
    use super::*;

    fn cache(env: &[(&str, &str)]) -> CacheStore {
        load_app(env).config.cache
    }

    #[test]
    fn stores() {
        let CacheStore::Database {
            table,
            lock_table,
            prefix,
            prefix_alternatives,
            ..
        } = cache(&[])
        else {
            panic!()
        };
        assert_eq!(
            (table.as_str(), lock_table.as_str(), prefix.as_str()),
            ("cache", "cache_locks", "laravel_cache_")
        );
        assert_eq!(prefix_alternatives, ["laravel-cache-", "laravel_cache"]);
        let redis = cache(&[("CACHE_DRIVER", "redis"), ("CACHE_PREFIX", "facturino_cache")]);
        let expected = |db, lock_db, prefix: &str| CacheStore::Redis {
            db,
            lock_db,
            prefix: prefix.to_owned(),
            prefix_alternatives: Vec::new(),
        };
        assert_eq!(redis, expected(1, 0, "facturino_cache"));
        let env = [
            ("CACHE_STORE", "redis"),
            ("CACHE_DRIVER", "file"),
            ("CACHE_PREFIX", ""),
            ("CACHE_REDIS_CONNECTION", "session"),
            ("REDIS_CACHE_LOCK_CONNECTION", "queue"),
        ];
        assert_eq!(cache(&env), expected(2, 3, ""));
    }

    #[test]
    fn stores_that_cannot_be_read_are_said() {
        for driver in ["file", "array", "memcached"] {
            let loaded = load_app(&[("CACHE_STORE", driver)]);
            assert_eq!(
                loaded.config.cache,
                CacheStore::Unreadable {
                    driver: driver.to_owned()
                }
            );
            assert_eq!(warned(&loaded), ["CACHE_STORE"]);
        }
        let loaded = load(&[("QUEUE_CONNECTION", "redis"), ("QUEUE_FAILED_DRIVER", "null")]);
        assert_eq!(
            loaded.config.cache,
            CacheStore::Unreadable {
                driver: "database".to_owned()
            }
        );
        assert_eq!(warned(&loaded), ["CACHE_STORE"]);
    }
}
