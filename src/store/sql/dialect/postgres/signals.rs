//! The cache and the processes that live.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sqlx::Row;

use super::super::{CacheLine, Lives};
use super::Shared;
use super::error::Failure;
use super::pool::{Session, Use};
use super::statements::{NOW, Sql};

fn cache_table(db: &Shared) -> String {
    db.sql.tables.cache.quoted('"')
}

/// The unexpired entries among `keys`.
pub(super) async fn cached(db: &Shared, keys: &[String]) -> Result<Vec<CacheLine>, Failure> {
    let query = Sql::new(format!(
        "select key, value from {} where key = any($1::text[]) and expiration > {NOW}",
        cache_table(db)
    ));
    let rows = db
        .pool
        .fetch_all(Use::Keep, query.query().bind(keys.to_vec()))
        .await?;
    let line = |row: &sqlx::postgres::PgRow| -> Result<CacheLine, sqlx::Error> {
        Ok(CacheLine {
            key: row.try_get(0)?,
            value: from_column(row.try_get_unchecked(1)?),
        })
    };
    Ok(rows.iter().map(line).collect::<Result<_, _>>()?)
}

/// The value in a text of the column. Laravel writes base64 where the serialized form holds NUL, and knows
/// it by what is not in it.
fn from_column(text: &[u8]) -> Bytes {
    if !text.contains(&b':')
        && !text.contains(&b';')
        && let Ok(bytes) = STANDARD.decode(text)
    {
        return bytes.into();
    }
    Bytes::copy_from_slice(text)
}

fn to_column(value: &[u8]) -> Result<String, Failure> {
    if value.contains(&0) {
        return Ok(STANDARD.encode(value));
    }
    let text = std::str::from_utf8(value);
    text.map(str::to_owned)
        .map_err(|_| Failure::Unfit("the value is no text that PostgreSQL can hold"))
}

/// Writes the same value under each key.
pub(super) async fn put(db: &Shared, keys: &[String], value: &[u8], lives: Lives) -> Result<(), Failure> {
    let mut session = db.pool.open(Use::Keep).await?;
    write(db, &mut session, keys, &to_column(value)?, lives).await?;
    session.close().await
}

async fn write(
    db: &Shared,
    session: &mut Session,
    keys: &[String],
    text: &str,
    lives: Lives,
) -> Result<(), Failure> {
    let query = Sql::new(format!(
        "insert into {} (key, value, expiration) \
         select distinct key, $2, least({NOW} + $3, $4) from unnest($1::text[]) as k(key) order by key \
         on conflict (key) do update set value = excluded.value, expiration = excluded.expiration",
        cache_table(db)
    ));
    let query = (query.query())
        .bind(keys.to_vec())
        .bind(text.to_owned())
        .bind(lives.ttl_s)
        .bind(lives.latest);
    session.execute(query).await.map(drop)
}

/// Removes keys.
pub(super) async fn remove(db: &Shared, keys: &[String]) -> Result<(), Failure> {
    let query = Sql::new(format!(
        "delete from {} where key = any($1::text[])",
        cache_table(db)
    ));
    let query = query.query().bind(keys.to_vec());
    db.pool.execute(Use::Keep, query).await.map(drop)
}

/// Adds one.
pub(super) async fn increment(db: &Shared, keys: &[String], lives: Lives) -> Result<i64, Failure> {
    let mut session = db.pool.open(Use::Keep).await?;
    session.begin().await?;
    // The row may not be there yet, so that there is nothing to lock: the key is locked instead.
    let lock = Sql::new("select pg_advisory_xact_lock(hashtext($1::text))".to_owned());
    session
        .fetch_all(lock.query().bind(keys.first().cloned()))
        .await?;
    let select = Sql::new(format!(
        "select value, expiration::bigint from {} \
         where key = any($1::text[]) and expiration > {NOW} order by key for update",
        cache_table(db)
    ));
    let mut living = None;
    for row in session.fetch_all(select.query().bind(keys.to_vec())).await? {
        let count =
            number(row.try_get_unchecked(0)?).ok_or(Failure::Unfit("the cached value is no number"))?;
        living = living.max(Some((count, row.try_get::<i64, _>(1)?)));
    }
    let (sum, lives) = match living {
        // A time to live that reaches beyond every expiration leaves the `latest`: the one it had.
        Some((count, latest)) => {
            let ttl_s = i64::from(i32::MAX);
            (count.saturating_add(1), Lives { ttl_s, latest })
        }
        None => (1, lives),
    };
    write(db, &mut session, keys, &format!("i:{sum};"), lives).await?;
    session.close().await?;
    Ok(sum)
}

/// The number in `i:…;`.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    text.strip_prefix("i:")?.strip_suffix(';')?.parse().ok()
}

fn processes(db: &Shared) -> String {
    db.sql.tables.processes.quoted('"')
}

/// Says that a process lives, and forgets those that do not.
pub(super) async fn beat(db: &Shared, id: &str, beat: &str, ttl_s: i64) -> Result<(), Failure> {
    let table = processes(db);
    let query = Sql::new(format!(
        "with gone as (delete from {table} where expires_at <= {NOW} and id <> $1) \
         insert into {table} (id, beat, expires_at) values ($1, $2, {NOW} + $3) \
         on conflict (id) do update set beat = excluded.beat, expires_at = excluded.expires_at"
    ));
    let query = query
        .query()
        .bind(id.to_owned())
        .bind(beat.to_owned())
        .bind(ttl_s);
    db.pool.execute(Use::Keep, query).await.map(drop)
}

/// Says that a process is gone.
pub(super) async fn leave(db: &Shared, id: &str) -> Result<(), Failure> {
    let query = Sql::new(format!("delete from {} where id = $1", processes(db)));
    let query = query.query().bind(id.to_owned());
    db.pool.execute(Use::Keep, query).await.map(drop)
}

/// What living processes say of themselves.
pub(super) async fn beats(db: &Shared) -> Result<Vec<String>, Failure> {
    let query = Sql::new(format!(
        "select beat from {} where expires_at > {NOW} order by id",
        processes(db)
    ));
    let rows = db.pool.fetch_all(Use::Take, query.query()).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::{from_column, to_column};

    #[test]
    fn values_with_nul_are_laravels_base64() {
        let column = to_column(b"s:3:\"a\0b\";").unwrap();
        assert_eq!(column, "czozOiJhAGIiOw==");
        assert_eq!(from_column(column.as_bytes()), "s:3:\"a\0b\";");
        for plain in ["i:5;", "b:1;", "s:10:\"текст\";", ""] {
            assert_eq!(to_column(plain.as_bytes()).unwrap(), plain);
            assert_eq!(from_column(plain.as_bytes()), plain);
        }
        assert!(to_column(b"\xff").is_err());
    }
}
