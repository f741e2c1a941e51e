//! The cache and the processes that live.

use bytes::Bytes;
use sqlx::{AssertSqlSafe, Row, SqlitePool};

use super::super::{CacheLine, Lives};
use super::claim::json;
use super::statements::{SqliteQuery, Statements};
use super::work::{Context, Write};

fn query(sql: String) -> SqliteQuery {
    // Holds nothing from outside but checked and quoted table names.
    sqlx::query(AssertSqlSafe(sql))
}

/// The unexpired entries among `keys`.
pub(super) async fn cached(
    readers: &SqlitePool,
    sql: &Statements,
    keys: &[String],
) -> Result<Vec<CacheLine>, sqlx::Error> {
    let rows = query(select_cached(sql))
        .bind(json(keys))
        .fetch_all(readers)
        .await?;
    let line = |row: &sqlx::sqlite::SqliteRow| {
        let key: Vec<u8> = row.try_get_unchecked(0)?;
        Ok(CacheLine {
            key: String::from_utf8_lossy(&key).into_owned(),
            value: Bytes::from(row.try_get_unchecked::<Vec<u8>, _>(1)?),
        })
    };
    rows.iter().map(line).collect()
}

fn select_cached(sql: &Statements) -> String {
    let table = sql.tables.cache.quoted('"');
    format!(
        "select key, value, expiration from {table} \
         where key in (select value from json_each(?1)) and expiration > unixepoch()"
    )
}

/// Writes a value under each key: ?1 key, ?2 value, ?3 seconds to live, ?4 latest expiration.
async fn put(cx: &mut Context<'_>, keys: &[String], value: &[u8], lives: Lives) -> Result<(), sqlx::Error> {
    let table = cx.sql.tables.cache.quoted('"');
    let text = format!(
        "insert into {table} (key, value, expiration) \
         values (?1, cast(?2 as text), min(unixepoch() + ?3, ?4)) \
         on conflict (key) do update set value = excluded.value, expiration = excluded.expiration"
    );
    for key in keys {
        let put = query(text.clone())
            .bind(key.clone())
            .bind(value.to_vec())
            .bind(lives.ttl_s)
            .bind(lives.latest);
        put.execute(&mut *cx.connection).await?;
    }
    Ok(())
}

/// Writes a value.
pub(super) struct Put {
    pub(super) keys: Vec<String>,
    pub(super) value: Vec<u8>,
    pub(super) lives: Lives,
}

#[async_trait::async_trait]
impl Write for Put {
    type Out = ();

    fn action(&self) -> String {
        "write to the cache".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        put(cx, &self.keys, &self.value, self.lives).await
    }
}

/// Removes keys.
pub(super) struct Uncache(pub(super) Vec<String>);

#[async_trait::async_trait]
impl Write for Uncache {
    type Out = ();

    fn action(&self) -> String {
        "remove from the cache".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        let table = cx.sql.tables.cache.quoted('"');
        let text = format!("delete from {table} where key in (select value from json_each(?1))");
        query(text)
            .bind(json(&self.0))
            .execute(&mut *cx.connection)
            .await
            .map(drop)
    }
}

/// Adds one.
pub(super) struct Increment {
    pub(super) keys: Vec<String>,
    pub(super) lives: Lives,
}

#[async_trait::async_trait]
impl Write for Increment {
    type Out = i64;

    fn action(&self) -> String {
        "count in the cache".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<i64, sqlx::Error> {
        let select = query(select_cached(cx.sql)).bind(json(&self.keys));
        let mut living = None;
        for row in select.fetch_all(&mut *cx.connection).await? {
            let value: &[u8] = row.try_get_unchecked(1)?;
            let count = number(value)
                .ok_or_else(|| sqlx::Error::Protocol("the cached value is no number".to_owned()))?;
            living = living.max(Some((count, row.try_get_unchecked::<i64, _>(2)?)));
        }
        let (sum, lives) = match living {
            Some((count, expiration)) => (count.saturating_add(1), Some(expiration)),
            None => (1, None),
        };
        // A time to live that reaches beyond every expiration leaves the `latest`: the one it had.
        let lives = lives.map_or(self.lives, |latest| Lives {
            ttl_s: i64::from(i32::MAX),
            latest,
        });
        put(cx, &self.keys, format!("i:{sum};").as_bytes(), lives).await?;
        Ok(sum)
    }
}

/// The number in `i:…;`.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    text.strip_prefix("i:")?.strip_suffix(';')?.parse().ok()
}

/// Says that a process lives.
pub(super) struct Beat {
    pub(super) id: String,
    pub(super) beat: String,
    pub(super) ttl_s: i64,
}

#[async_trait::async_trait]
impl Write for Beat {
    type Out = ();

    fn action(&self) -> String {
        "say that this process lives".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        let table = cx.sql.tables.processes.quoted('"');
        let text = format!(
            "insert into {table} (id, beat, expires_at) values (?1, ?2, unixepoch() + ?3) \
             on conflict (id) do update set beat = excluded.beat, expires_at = excluded.expires_at"
        );
        let beat = query(text)
            .bind(self.id.clone())
            .bind(self.beat.clone())
            .bind(self.ttl_s);
        beat.execute(&mut *cx.connection).await?;
        let prune = format!("delete from {table} where expires_at <= unixepoch()");
        query(prune).execute(&mut *cx.connection).await.map(drop)
    }
}

/// Says that a process is gone.
pub(super) struct Leave(pub(super) String);

#[async_trait::async_trait]
impl Write for Leave {
    type Out = ();

    fn action(&self) -> String {
        "say that this process is gone".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        let text = format!(
            "delete from {} where id = ?1",
            cx.sql.tables.processes.quoted('"')
        );
        query(text)
            .bind(self.0.clone())
            .execute(&mut *cx.connection)
            .await
            .map(drop)
    }
}

/// What living processes say of themselves.
pub(super) async fn beats(readers: &SqlitePool, sql: &Statements) -> Result<Vec<String>, sqlx::Error> {
    let table = sql.tables.processes.quoted('"');
    let text = format!("select beat from {table} where expires_at > unixepoch() order by id");
    let rows = query(text).fetch_all(readers).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
