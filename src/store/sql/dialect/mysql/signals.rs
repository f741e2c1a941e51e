//! The cache and the processes that live.

use std::sync::Arc;

use sqlx::Row;

use super::super::{CacheLine, Lives};
use super::claim::bytes;
use super::names::{NOW, Names};
use super::session::Session;
use super::text::text;
use super::verb::Verb;

/// The rows of these keys.
fn keyed(names: &Names, keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().map(text).collect();
    format!("from {} where `key` in ({})", names.cache, keys.join(", "))
}

/// Reads the unexpired entries among `keys`.
pub(super) struct Cached {
    pub(super) names: Arc<Names>,
    pub(super) keys: Vec<String>,
}

#[async_trait::async_trait]
impl Verb for Cached {
    type Out = Vec<CacheLine>;

    fn action(&self) -> String {
        "read the cache".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<Vec<CacheLine>, sqlx::Error> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = keyed(&self.names, &self.keys);
        let rows = session.rows(format!("select `key`, `value` {rows} and expiration > {NOW}"));
        let line = |row: &sqlx::mysql::MySqlRow| {
            Ok(CacheLine {
                key: String::from_utf8_lossy(&bytes(row, 0)?).into_owned(),
                value: bytes(row, 1)?,
            })
        };
        rows.await?.iter().map(line).collect()
    }
}

/// Writes a value.
pub(super) struct Put {
    pub(super) names: Arc<Names>,
    pub(super) keys: Vec<String>,
    pub(super) value: Vec<u8>,
    pub(super) lives: Lives,
}

#[async_trait::async_trait]
impl Verb for Put {
    type Out = ();

    fn action(&self) -> String {
        "write to the cache".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        let Lives { ttl_s, latest } = self.lives;
        let expiration = format!("least({NOW} + {ttl_s}, {latest})");
        let put = put(&self.names, &self.keys, &self.value, &expiration);
        session
            .execute(format!("start transaction; {put}commit"))
            .await
            .map(drop)
    }
}

/// Statements that write a value under each key, in the order of the keys, so that two writers wait for each
/// other in one order.
fn put(names: &Names, keys: &[String], value: &[u8], expiration: &str) -> String {
    let mut keys: Vec<&String> = keys.iter().collect();
    keys.sort_unstable();
    keys.dedup();
    let value = text(value);
    let put = |key: &String| {
        format!(
            "insert into {} (`key`, `value`, expiration) values ({}, {value}, {expiration}) \
             on duplicate key update `value` = {value}, expiration = {expiration}; ",
            names.cache,
            text(key)
        )
    };
    keys.into_iter().map(put).collect()
}

/// Removes keys.
pub(super) struct Uncache {
    pub(super) names: Arc<Names>,
    pub(super) keys: Vec<String>,
}

#[async_trait::async_trait]
impl Verb for Uncache {
    type Out = ();

    fn action(&self) -> String {
        "remove from the cache".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        if self.keys.is_empty() {
            return Ok(());
        }
        session
            .execute(format!("delete {}", keyed(&self.names, &self.keys)))
            .await
            .map(drop)
    }
}

/// Adds one.
pub(super) struct Increment {
    pub(super) names: Arc<Names>,
    pub(super) keys: Vec<String>,
    pub(super) lives: Lives,
}

#[async_trait::async_trait]
impl Verb for Increment {
    type Out = i64;

    fn action(&self) -> String {
        "count in the cache".to_owned()
    }

    /// A row that is missing cannot be locked: it is made first, expired, so that two who count for the first
    /// time wait for each other.
    async fn run(&self, session: &mut Session) -> Result<i64, sqlx::Error> {
        let mut keys: Vec<&String> = self.keys.iter().collect();
        keys.sort_unstable();
        let make = |key: &String| {
            format!(
                "insert into {} (`key`, `value`, expiration) values ({}, 'i:0;', 0) \
                 on duplicate key update expiration = expiration; ",
                self.names.cache,
                text(key)
            )
        };
        let made: String = keys.into_iter().map(make).collect();
        let rows = keyed(&self.names, &self.keys);
        let rows = session.rows(format!(
            "start transaction; {made}select `value`, cast(expiration as signed) {rows} and expiration > {NOW} for update"
        ));
        let mut living = None;
        for row in &rows.await? {
            let count = number(&bytes(row, 0)?)
                .ok_or_else(|| sqlx::Error::InvalidArgument("the cached value is no number".to_owned()))?;
            living = living.max(Some((count, row.try_get_unchecked::<i64, _>(1)?)));
        }
        let (sum, expiration) = match living {
            Some((count, expiration)) => (count.saturating_add(1), expiration.to_string()),
            None => {
                let Lives { ttl_s, latest } = self.lives;
                (1, format!("least({NOW} + {ttl_s}, {latest})"))
            }
        };
        let put = put(
            &self.names,
            &self.keys,
            format!("i:{sum};").as_bytes(),
            &expiration,
        );
        session.execute(format!("{put}commit")).await?;
        Ok(sum)
    }
}

/// The number in `i:…;`.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    text.strip_prefix("i:")?.strip_suffix(';')?.parse().ok()
}

/// Says that a process lives, and removes those that do no longer.
pub(super) struct Beat {
    pub(super) names: Arc<Names>,
    pub(super) id: String,
    pub(super) beat: String,
    pub(super) ttl_s: i64,
}

#[async_trait::async_trait]
impl Verb for Beat {
    type Out = ();

    fn action(&self) -> String {
        "say that this process lives".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        let table = &self.names.processes;
        let (id, beat) = (text(&self.id), text(&self.beat));
        let expires_at = format!("{NOW} + {}", self.ttl_s);
        let sql = format!(
            "insert into {table} (id, beat, expires_at) values ({id}, {beat}, {expires_at}) \
             on duplicate key update beat = {beat}, expires_at = {expires_at}; \
             delete from {table} where expires_at <= {NOW}"
        );
        session.execute(sql).await.map(drop)
    }
}

/// Says that a process is gone.
pub(super) struct Leave {
    pub(super) names: Arc<Names>,
    pub(super) id: String,
}

#[async_trait::async_trait]
impl Verb for Leave {
    type Out = ();

    fn action(&self) -> String {
        "say that this process is gone".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        let sql = format!(
            "delete from {} where id = {}",
            self.names.processes,
            text(&self.id)
        );
        session.execute(sql).await.map(drop)
    }
}

/// What living processes say of themselves.
pub(super) struct Beats {
    pub(super) names: Arc<Names>,
}

#[async_trait::async_trait]
impl Verb for Beats {
    type Out = Vec<String>;

    fn action(&self) -> String {
        "list worker processes".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<Vec<String>, sqlx::Error> {
        let table = &self.names.processes;
        let rows = session.rows(format!(
            "select beat from {table} where expires_at > {NOW} order by id"
        ));
        let beat = |row: &sqlx::mysql::MySqlRow| Ok(String::from_utf8_lossy(&bytes(row, 0)?).into_owned());
        rows.await?.iter().map(beat).collect()
    }
}
