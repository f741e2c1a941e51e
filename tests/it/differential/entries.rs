//! What is in the application's cache: its locks and its entries.

use harness::redis_client::CACHE_DB;
use sqlx::Row;
use worker::clock::{Clock, SystemClock};

use super::normal::Labels;
use crate::laravel::site::Site;

/// Times to live are told apart in steps of so many seconds.
const STEP: i64 = 600;

/// A lock or an entry of the cache.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its key without the application's prefixes.
    pub(crate) key: String,
    lock: bool,
    value: String,
    /// Seconds; `None` when it has no end.
    ttl: Option<i64>,
}

impl Entry {
    /// `lock` or `cached`.
    pub(crate) fn kind(&self) -> &'static str {
        if self.lock { "lock" } else { "cached" }
    }

    /// Whether its key ends in the scenario's name.
    pub(crate) fn names(&self, scenario: &str) -> bool {
        let key = self.key.strip_suffix(":timer").unwrap_or(&self.key);
        key.rsplit(':').next() == Some(scenario)
    }

    /// Whether it is what this worker keeps of a job's earlier attempts.
    pub(crate) fn is_history(&self) -> bool {
        self.key.starts_with("worker-errors:")
    }

    /// Owners of locks are random.
    pub(crate) fn line(&self, labels: &Labels) -> String {
        let value = if self.lock { "" } else { &self.value };
        let ttl = self.ttl.map_or("no end".to_owned(), |ttl| {
            format!("at most {} s", (ttl + STEP - 1) / STEP * STEP)
        });
        labels.text(&format!("{} {} {ttl} {value}", self.kind(), self.key))
    }
}

/// Everything in the application's cache, by key.
pub(crate) fn entries(site: &Site) -> Vec<Entry> {
    let mut found = if site.redis.is_some() {
        [in_redis(site, 0, true), in_redis(site, CACHE_DB, false)].concat()
    } else {
        [
            in_table(site, "cache_locks", "owner"),
            in_table(site, "cache", "value"),
        ]
        .concat()
    };
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

fn in_redis(site: &Site, db: i64, lock: bool) -> Vec<Entry> {
    let redis = site.redis.as_ref().expect("the site has a Redis").db(db);
    let prefix = redis.prefix().to_owned();
    let keys = redis.keys();
    let own = keys
        .iter()
        .filter_map(|key| Some((key, key.strip_prefix(&prefix)?)));
    own.map(|(key, name)| {
        let value: Vec<u8> = redis.query(&["GET", key]);
        let ttl: i64 = redis.query(&["TTL", key]);
        Entry {
            key: without_prefix(name),
            lock,
            value: String::from_utf8_lossy(&value).into_owned(),
            ttl: (ttl >= 0).then_some(ttl),
        }
    })
    .collect()
}

fn in_table(site: &Site, table: &str, value: &str) -> Vec<Entry> {
    let now = SystemClock.unix_s();
    let sql = format!("select key, {value}, expiration from {table} where expiration > {now}");
    site.file().rows(&sql, |row| Entry {
        key: without_prefix(row.get("key")),
        lock: table == "cache_locks",
        value: row.get(value),
        ttl: Some(row.get::<i64, _>("expiration") - now),
    })
}

fn without_prefix(key: &str) -> String {
    let key = key.strip_prefix("facturino_cache_").unwrap_or(key);
    key.strip_prefix(':').unwrap_or(key).to_owned()
}
