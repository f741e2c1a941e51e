//! The application's `database` cache store, as far as queue signals need it.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use super::database::Database;
use super::dialect::Lives;
use super::queue::whole_seconds;
use crate::store::Error;
use crate::store::port::{Cache, CacheValue, Names};
use crate::wire;
use crate::wire::cache::Form;
use crate::wire::php::Value;

/// What Laravel's `forever` means: ten years, in seconds.
const FOREVER_S: i64 = 315_360_000;

/// The last second that the `expiration` column can say (a signed 32-bit number outside SQLite).
const LATEST: i64 = 2_147_483_647;

/// A `cache` table. Values are PHP-serialized there.
#[derive(Debug, Clone)]
pub struct SqlCache {
    db: Database,
    prefixes: Vec<String>,
}

impl SqlCache {
    /// The cache in `db` whose keys begin with one of `prefixes` (`CACHE_PREFIX`, without the colon of Laravel 8).
    /// More than one is given when it was not set and skeletons derive it differently; all are read and written.
    #[must_use]
    pub fn new(db: &Database, prefixes: &[String]) -> Self {
        Self {
            db: db.clone(),
            prefixes: prefixes.to_vec(),
        }
    }

    /// Both forms of a key: as Laravel 9 and later write it, and as Laravel 8 does. Without a prefix they
    /// are the same.
    fn forms(&self, key: &str) -> Vec<String> {
        let forms = |prefix: &String| match prefix.is_empty() {
            true => vec![key.to_owned()],
            false => vec![format!("{prefix}{key}"), format!("{prefix}:{key}")],
        };
        self.prefixes.iter().flat_map(forms).collect()
    }

    fn lives(ttl: Option<Duration>) -> Lives {
        Lives {
            ttl_s: ttl.map_or(FOREVER_S, whole_seconds),
            latest: LATEST,
        }
    }
}

#[async_trait::async_trait]
impl Cache for SqlCache {
    async fn get(&self, keys: &[&str]) -> Result<Vec<Option<CacheValue>>, Error> {
        let forms: Vec<Vec<String>> = keys.iter().map(|key| self.forms(key)).collect();
        let lines = self.db.dialect.cached(&forms.concat()).await?;
        let found: HashMap<String, CacheValue> = (lines.into_iter())
            .map(|line| (line.key, decode(line.value)))
            .collect();
        let value = |forms: &Vec<String>| {
            let values = forms.iter().filter_map(|form| found.get(form).cloned());
            values.reduce(later)
        };
        Ok(forms.iter().map(value).collect())
    }

    async fn put(
        &self,
        key: &str,
        value: &CacheValue,
        ttl: Option<Duration>,
        names: Names,
    ) -> Result<(), Error> {
        let lives = Self::lives(ttl);
        let mut forms = self.forms(key);
        if names == Names::Present {
            forms.truncate(1);
        }
        self.db.dialect.cache(&forms, &encode(value), lives).await
    }

    async fn forget(&self, key: &str) -> Result<(), Error> {
        self.db.dialect.uncache(&self.forms(key)).await
    }

    async fn increment(&self, key: &str, ttl: Duration) -> Result<i64, Error> {
        self.db
            .dialect
            .increment(&self.forms(key), Self::lives(Some(ttl)))
            .await
    }
}

/// Of two numbers the greater, since the later of two restart signals counts; else the first.
fn later(first: CacheValue, second: CacheValue) -> CacheValue {
    match (&first, &second) {
        (CacheValue::Int(a), CacheValue::Int(b)) if b > a => second,
        _ => first,
    }
}

fn encode(value: &CacheValue) -> Bytes {
    match value {
        CacheValue::Int(number) => php(&Value::Int(*number)),
        CacheValue::Bool(truth) => php(&Value::Bool(*truth)),
        CacheValue::Other(bytes) => bytes.clone(),
    }
}

fn php(value: &Value) -> Bytes {
    wire::cache::encode(value, Form::Database).into()
}

fn decode(value: Bytes) -> CacheValue {
    match wire::cache::decode(&value) {
        Some(Value::Int(number)) => CacheValue::Int(number),
        Some(Value::Bool(truth)) => CacheValue::Bool(truth),
        _ => CacheValue::Other(value),
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::store::port::CacheValue;

    #[test]
    fn values_are_laravels() {
        for (value, text) in [
            (CacheValue::Int(1_795_375_433), "i:1795375433;"),
            (CacheValue::Int(-1), "i:-1;"),
            (CacheValue::Bool(true), "b:1;"),
            (CacheValue::Bool(false), "b:0;"),
            (CacheValue::Other("d:1.5;".into()), "d:1.5;"),
        ] {
            assert_eq!(encode(&value), text);
            assert_eq!(decode(text.into()), value);
        }
        assert_eq!(decode("i:;".into()), CacheValue::Other("i:;".into()));
    }
}
