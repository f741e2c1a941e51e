//! The application's cached configuration, `bootstrap/cache/config.php`: where it says something else.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::reader::Reader;
use super::super::secret::MASK;
use super::super::vars;
use super::php_array::scalars;
use crate::config::{Address, CacheStore, Config, Database, Loaded, QueueConnection, QueueKind};

/// The cached configuration of an application. While it is there, Laravel reads neither `.env` nor `config/*.php`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// The file.
    pub path: PathBuf,
    /// Of `.env` and the files `config/*.php`, the last that was changed after it was made.
    pub older_than: Option<String>,
    /// Whether it could be read as the array that Laravel writes.
    pub readable: bool,
    /// Where it says something else than what is in force here.
    pub differences: Vec<Difference>,
    /// Seconds of `retry_after` by connection, as PHP workers use it; `None` is null.
    pub retry_after: BTreeMap<String, Option<u64>>,
}

/// One setting that PHP and this worker read differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Laravel's key, such as `queue.default`.
    pub key: String,
    /// The variable here.
    pub variable: &'static str,
    /// What the cached configuration says.
    pub cached: String,
    /// What is in force here.
    pub here: String,
}

/// The most bytes of the file that are read.
const MOST: u64 = 8 << 20;

/// Beginnings of the keys that are looked at.
const WANTED: &[&str] = &["queue.", "cache.", "database.", "app.key", "app.timezone"];

/// Reads the file of the application at `root`, if there is one.
pub(super) fn read(
    root: Option<&Path>,
    dotenv: Option<&Path>,
    reader: &mut Reader<'_>,
    loaded: &Loaded,
) -> Option<Cached> {
    let root = root?;
    let path = root.join("bootstrap/cache/config.php");
    let mut text = String::new();
    let file = std::fs::File::open(&path).ok()?;
    let made = file.metadata().and_then(|data| data.modified()).ok();
    let read = file.take(MOST).read_to_string(&mut text);
    let wanted = |key: &str| WANTED.iter().any(|start| key.starts_with(start));
    let values = read.ok().and_then(|_| scalars(&text, &wanted));
    let readable = values.is_some();
    let values = Values(values.unwrap_or_default());
    let key = reader.text(&vars::APP_KEY);
    Some(Cached {
        older_than: made.and_then(|made| changed_after(made, root, dotenv)),
        readable,
        differences: values.differences(&loaded.config, loaded, key.as_deref()),
        retry_after: values.retry_after(),
        path,
    })
}

/// The last of the cache's sources that was changed after `made`.
fn changed_after(made: SystemTime, root: &Path, dotenv: Option<&Path>) -> Option<String> {
    let config = std::fs::read_dir(root.join("config"))
        .into_iter()
        .flatten()
        .flatten();
    let config = config.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.ends_with(".php")
            .then(|| (entry.path(), format!("config/{name}")))
    });
    let dotenv = dotenv.map(|path| (path.to_owned(), ".env".to_owned()));
    let sources = config.chain(dotenv).filter_map(|(path, name)| {
        let changed = std::fs::metadata(path).and_then(|data| data.modified()).ok()?;
        (changed > made).then_some((changed, name))
    });
    sources.max().map(|(_, name)| name)
}

struct Values(BTreeMap<String, Option<String>>);

impl Values {
    /// A value that is set and not null.
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_deref()
    }

    fn retry_after(&self) -> BTreeMap<String, Option<u64>> {
        let of = |(key, value): (&String, &Option<String>)| {
            let name = key
                .strip_prefix("queue.connections.")?
                .strip_suffix(".retry_after")?;
            let seconds = match value {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            };
            Some((name.to_owned(), seconds))
        };
        self.0.iter().filter_map(of).collect()
    }

    fn differences(&self, config: &Config, loaded: &Loaded, app_key: Option<&str>) -> Vec<Difference> {
        let mut list = List {
            values: self,
            found: Vec::new(),
        };
        let setting = |name: &str| {
            loaded
                .sources
                .get(name)
                .map_or("", |setting| setting.value.as_str())
        };
        list.compare("queue.default", "QUEUE_CONNECTION", &config.queue.name);
        list.compare(
            "queue.failed.driver",
            "QUEUE_FAILED_DRIVER",
            setting("QUEUE_FAILED_DRIVER"),
        );
        list.compare("app.timezone", "APP_TIMEZONE", &config.app.timezone);
        list.connection(&config.queue);
        list.cache(&config.cache);
        list.database(config);
        list.redis(config);
        if let (Some(cached), Some(key)) = (self.get("app.key"), app_key)
            && cached != key
        {
            list.add("app.key", "APP_KEY", MASK, "another one");
        }
        list.found
    }
}

/// Differences while they are collected.
struct List<'a> {
    values: &'a Values,
    found: Vec<Difference>,
}

impl List<'_> {
    fn add(&mut self, key: &str, variable: &'static str, cached: &str, here: &str) {
        self.found.push(Difference {
            key: key.to_owned(),
            variable,
            cached: cached.to_owned(),
            here: here.to_owned(),
        });
    }

    fn compare(&mut self, key: &str, variable: &'static str, here: &str) {
        if let Some(cached) = self.values.get(key)
            && cached != here
        {
            self.add(key, variable, cached, here);
        }
    }

    fn connection(&mut self, connection: &QueueConnection) {
        let key = |name: &str| format!("queue.connections.{}.{name}", connection.name);
        match &connection.kind {
            QueueKind::Redis {
                queue, retry_after, ..
            } => {
                self.compare(&key("queue"), "REDIS_QUEUE", queue);
                self.compare(
                    &key("retry_after"),
                    "REDIS_QUEUE_RETRY_AFTER",
                    &retry_after.as_secs().to_string(),
                );
            }
            QueueKind::Database {
                table,
                queue,
                retry_after,
                ..
            } => {
                self.compare(&key("table"), "DB_QUEUE_TABLE", table);
                self.compare(&key("queue"), "DB_QUEUE", queue);
                self.compare(
                    &key("retry_after"),
                    "DB_QUEUE_RETRY_AFTER",
                    &retry_after.as_secs().to_string(),
                );
            }
            // No connection of Laravel's.
            QueueKind::ApalisRedis { .. }
            | QueueKind::ApalisDatabase { .. }
            | QueueKind::Embedded { .. }
            | QueueKind::Sync => {}
        }
    }

    fn cache(&mut self, cache: &CacheStore) {
        let (driver, prefix) = match cache {
            CacheStore::Redis { prefix, .. } => ("redis", Some(prefix)),
            CacheStore::Database { prefix, .. } => ("database", Some(prefix)),
            CacheStore::Unreadable { driver } => (driver.as_str(), None),
        };
        self.compare("cache.default", "CACHE_STORE", driver);
        if let Some(prefix) = prefix {
            self.compare("cache.prefix", "CACHE_PREFIX", prefix);
        }
    }

    fn database(&mut self, config: &Config) {
        let name = config.databases.default_name();
        self.compare("database.default", "DB_CONNECTION", name);
        let key = |part: &str| format!("database.connections.{name}.{part}");
        if self.values.get(&key("url")).is_some_and(|url| !url.is_empty()) {
            return;
        }
        match config.databases.default() {
            Ok(
                Database::Mysql {
                    host, port, database, ..
                }
                | Database::Postgres {
                    host, port, database, ..
                },
            ) => {
                self.compare(&key("host"), "DB_HOST", host);
                self.compare(&key("port"), "DB_PORT", &port.to_string());
                self.compare(&key("database"), "DB_DATABASE", database);
            }
            // A relative path begins where the application is.
            Ok(Database::Sqlite { path: Some(path) }) => {
                let cached = self.values.get(&key("database")).map(Path::new);
                let base = config.app.base_path.as_deref().unwrap_or(Path::new(""));
                if cached.is_some_and(|cached| base.join(cached) != *path) {
                    self.compare(&key("database"), "DB_DATABASE", &path.display().to_string());
                }
            }
            Ok(Database::Sqlite { path: None }) | Err(_) => {}
        }
    }

    fn redis(&mut self, config: &Config) {
        let redis = &config.redis;
        self.compare("database.redis.options.prefix", "REDIS_PREFIX", &redis.prefix);
        let (host, port) = match &redis.address {
            Address::Tcp { host, port, .. } => (host.as_str(), port.to_string()),
            Address::Unix(_) => return,
        };
        for (name, variable, db) in [
            ("default", "REDIS_DB", redis.default_db),
            ("cache", "REDIS_CACHE_DB", redis.cache_db),
            ("queue", "REDIS_QUEUE_DB", redis.queue_db),
        ] {
            let key = |part: &str| format!("database.redis.{name}.{part}");
            if self.values.get(&key("url")).is_some_and(|url| !url.is_empty()) {
                continue;
            }
            self.compare(&key("database"), variable, &db.to_string());
            if name == "queue" {
                self.compare(&key("host"), "REDIS_HOST", host);
                self.compare(&key("port"), "REDIS_PORT", &port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{clues, file};
    use super::*;
    use crate::config::Files;

    /// An application on the disk, with this cached configuration and this `.env`.
    fn cached(config: &str, dotenv: &str) -> Cached {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("bootstrap/cache")).unwrap();
        std::fs::write(dir.path().join("bootstrap/cache/config.php"), config).unwrap();
        let files = Files {
            laravel_root: Some(dir.path().to_path_buf()),
            dotenv: Some(file("/app/.env", dotenv)),
            ..Files::default()
        };
        clues(&[], files).cached.unwrap()
    }

    #[test]
    fn only_what_differs_is_told() {
        let config = "<?php return array('app' => array('key' => '0123456789abcdef'), 'queue' => array('default' => \
                      'redis', 'connections' => array('redis' => array('retry_after' => null), 'database' => \
                      array('retry_after' => 150, 'table' => 'jobs'))), 'database' => array('redis' => array('options' \
                      => array('prefix' => 'facturino_'))));";
        let env = "QUEUE_CONNECTION=database\nDB_CONNECTION=sqlite\nREDIS_PREFIX=facturino_\nAPP_KEY=fedcba9876543210\n";
        let cached = cached(config, env);
        let keys: Vec<_> = cached
            .differences
            .iter()
            .map(|difference| difference.key.as_str())
            .collect();
        assert_eq!(
            keys,
            [
                "queue.default",
                "queue.connections.database.retry_after",
                "app.key"
            ]
        );
        assert_eq!(
            (
                cached.differences[1].cached.as_str(),
                cached.differences[1].here.as_str()
            ),
            ("150", "90")
        );
        assert_eq!(cached.retry_after.get("redis"), Some(&None));
        assert_eq!(cached.retry_after.get("database"), Some(&Some(150)));
        let shown = format!("{cached:?}");
        assert!(
            !shown.contains("0123456789") && !shown.contains("fedcba"),
            "{shown}"
        );
        assert!(cached.readable && cached.older_than.is_none());
    }

    #[test]
    fn a_file_that_is_no_array_is_there_all_the_same() {
        let cached = cached("<?php die;", "DB_CONNECTION=sqlite\n");
        assert!(!cached.readable && cached.differences.is_empty());
    }
}
