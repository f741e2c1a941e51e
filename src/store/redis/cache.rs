//! The application's cache store in Redis, as far as queue signals need it.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, RedisWrite};

use super::connection::Connection;
use super::options::RedisOptions;
use super::script;
use crate::store::Error;
use crate::store::port::{Cache, CacheValue, Names};

/// Laravel's Redis cache store: one database, the Redis prefix, then the cache prefix.
///
/// Every key has two names below each prefix. Laravel 9 and later write `{prefix}{cache_prefix}{key}`, Laravel 8 puts a colon
/// before the key. Both are written and both are read: of two numbers the higher counts, since a restart
/// signal is the time at which it was given, and of anything else the first name's value.
#[derive(Debug)]
pub struct RedisCache {
    connection: Connection,
    prefixes: Vec<String>,
}

impl RedisCache {
    /// The store in the database that `options` name, below the cache prefix of the application, such as
    /// `facturino_cache_`, written without Laravel 8's colon. More than one prefix is given when it was not
    /// set and skeletons derive it differently; all are read and written. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::store::Kind::Refused) when the options cannot be used.
    pub fn new(options: &RedisOptions, cache_prefixes: &[String]) -> Result<Self, Error> {
        Ok(Self {
            connection: Connection::new(options)?,
            prefixes: cache_prefixes
                .iter()
                .map(|cache| format!("{}{cache}", options.prefix))
                .collect(),
        })
    }

    fn names(&self, key: &str) -> Vec<String> {
        let forms = |prefix: &String| [format!("{prefix}{key}"), format!("{prefix}:{key}")];
        self.prefixes.iter().flat_map(forms).collect()
    }
}

#[async_trait::async_trait]
impl Cache for RedisCache {
    async fn get(&self, keys: &[&str]) -> Result<Vec<Option<CacheValue>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for key in keys {
            command.arg(self.names(key));
        }
        let values: Vec<Option<Vec<u8>>> = self
            .connection
            .send(&command)
            .await
            .map_err(|failure| failure.during("read the cache"))?;
        let values: Vec<_> = values.into_iter().map(|value| value.map(read)).collect();
        let one = |names: &[Option<CacheValue>]| names.iter().cloned().fold(None, higher);
        Ok(values.chunks(2 * self.prefixes.len().max(1)).map(one).collect())
    }

    async fn put(
        &self,
        key: &str,
        value: &CacheValue,
        ttl: Option<Duration>,
        names: Names,
    ) -> Result<(), Error> {
        let mut written = self.names(key);
        if names == Names::Present {
            written.truncate(1);
        }
        let mut commands = redis::pipe();
        commands.atomic();
        for name in written {
            let mut command = redis::cmd("SET");
            command.arg(name);
            write(value, &mut command);
            if let Some(ttl) = ttl {
                command.arg("PX").arg(milliseconds(ttl));
            }
            commands.add_command(command).ignore();
        }
        self.connection
            .send_all(&commands)
            .await
            .map_err(|failure| failure.during(format!("write {key:?} to the cache")))
    }

    async fn forget(&self, key: &str) -> Result<(), Error> {
        self.connection
            .send(redis::cmd("DEL").arg(self.names(key)))
            .await
            .map_err(|failure| failure.during(format!("remove {key:?} from the cache")))
    }

    async fn increment(&self, key: &str, ttl: Duration) -> Result<i64, Error> {
        let fill = |command: &mut Cmd| {
            let names = self.names(key);
            command.arg(names.len()).arg(&names).arg(milliseconds(ttl));
        };
        self.connection
            .run(&script::INCREMENT, fill)
            .await
            .map_err(|failure| failure.during(format!("count {key:?} in the cache")))
    }
}

/// Times to live as Redis takes them: at least one millisecond.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX / 4).max(1)
}

fn higher(first: Option<CacheValue>, second: Option<CacheValue>) -> Option<CacheValue> {
    match (first, second) {
        (Some(CacheValue::Int(a)), Some(CacheValue::Int(b))) => Some(CacheValue::Int(a.max(b))),
        (first, second) => first.or(second),
    }
}

fn read(bytes: Vec<u8>) -> CacheValue {
    match bytes.as_slice() {
        b"b:1;" => CacheValue::Bool(true),
        b"b:0;" => CacheValue::Bool(false),
        other => match std::str::from_utf8(other).ok().and_then(|text| text.parse().ok()) {
            Some(number) => CacheValue::Int(number),
            None => CacheValue::Other(Bytes::from(bytes)),
        },
    }
}

fn write(value: &CacheValue, command: &mut Cmd) {
    match value {
        CacheValue::Int(number) => command.write_arg_fmt(number),
        CacheValue::Bool(true) => command.write_arg(b"b:1;"),
        CacheValue::Bool(false) => command.write_arg(b"b:0;"),
        CacheValue::Other(bytes) => command.write_arg(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_laravel_writes_them() {
        assert_eq!(read(b"1795375432".to_vec()), CacheValue::Int(1_795_375_432));
        assert_eq!(read(b"-1".to_vec()), CacheValue::Int(-1));
        assert_eq!(read(b"b:1;".to_vec()), CacheValue::Bool(true));
        let text = Bytes::from_static(b"s:1:\"a\";");
        assert_eq!(read(text.to_vec()), CacheValue::Other(text));
    }

    #[test]
    fn the_newer_signal_wins() {
        let (old, new) = (CacheValue::Int(1), CacheValue::Int(2));
        assert_eq!(higher(Some(old.clone()), Some(new.clone())), Some(new.clone()));
        assert_eq!(higher(None, Some(new.clone())), Some(new));
        let flag = CacheValue::Bool(true);
        assert_eq!(higher(Some(flag.clone()), Some(old)), Some(flag));
    }
}
