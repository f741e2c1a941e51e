//! The application's database, whichever of the three engines it is.

use jiff::{Timestamp, tz::TimeZone};
use sqlx::{MySqlPool, PgPool, Row, SqlitePool};

/// Which engine a [`Database`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// A pool of connections.
#[derive(Debug, Clone)]
pub enum Pool {
    /// SQLite.
    Sqlite(SqlitePool),
    /// MySQL and MariaDB.
    Mysql(MySqlPool),
    /// PostgreSQL.
    Postgres(PgPool),
}

/// The application's database: its connections, and the time zone in which the application writes times.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its connections.
    pub pool: Pool,
    /// `APP_TIMEZONE`.
    pub timezone: TimeZone,
}

impl Database {
    /// Which engine it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.pool {
            Pool::Sqlite(_) => Dialect::Sqlite,
            Pool::Mysql(_) => Dialect::Mysql,
            Pool::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A Unix time moved by the application's offset from UTC, so that SQL can compare it with a column of
    /// local times without knowing the zone.
    #[must_use]
    pub fn local_s(&self, unix_s: i64) -> i64 {
        let offset = Timestamp::from_second(unix_s).map_or(0, |at| self.timezone.to_offset(at).seconds());
        unix_s + i64::from(offset)
    }

    /// The current Unix time in seconds, by the database's clock.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unix_s(&self) -> Result<i64, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite(pool) => sqlx::query("select unixepoch()")
                .fetch_one(pool)
                .await?
                .try_get(0),
            Pool::Mysql(pool) => sqlx::query("select cast(unix_timestamp() as signed)")
                .fetch_one(pool)
                .await?
                .try_get(0),
            Pool::Postgres(pool) => sqlx::query("select extract(epoch from now())::bigint")
                .fetch_one(pool)
                .await?
                .try_get(0),
        }
    }

    /// Runs one statement with whole numbers as its arguments; returns how many rows it touched.
    ///
    /// `sql` is written with `?`, which becomes `$1`, `$2` … on PostgreSQL: it must hold no other question
    /// mark and no text from outside.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn execute(&self, sql: &str, arguments: &[i64]) -> Result<u64, sqlx::Error> {
        macro_rules! run {
            ($pool:expr, $sql:expr) => {{
                let mut query = sqlx::query($sql);
                for argument in arguments {
                    query = query.bind(argument);
                }
                query.execute($pool).await?.rows_affected()
            }};
        }
        Ok(match &self.pool {
            Pool::Sqlite(pool) => run!(pool, sqlx::AssertSqlSafe(sql.to_owned())),
            Pool::Mysql(pool) => run!(pool, sqlx::AssertSqlSafe(sql.to_owned())),
            Pool::Postgres(pool) => run!(pool, sqlx::AssertSqlSafe(numbered(sql))),
        })
    }

    /// Whether a table exists in the connection's own database or search path.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn has_table(&self, table: &str) -> Result<bool, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let row = sqlx::query("select count(*) from sqlite_master where type = 'table' and name = ?")
                    .bind(table)
                    .fetch_one(pool)
                    .await?;
                Ok(row.try_get::<i64, _>(0)? > 0)
            }
            Pool::Mysql(pool) => {
                let sql = "select count(*) from information_schema.tables where table_schema = database() and table_name = ?";
                Ok(sqlx::query(sql)
                    .bind(table)
                    .fetch_one(pool)
                    .await?
                    .try_get::<i64, _>(0)?
                    > 0)
            }
            Pool::Postgres(pool) => {
                let row = sqlx::query("select to_regclass($1) is not null")
                    .bind(table)
                    .fetch_one(pool)
                    .await?;
                row.try_get(0)
            }
        }
    }
}

fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 8);
    let mut n = 0;
    for c in sql.chars() {
        if c == '?' {
            n += 1;
            out.push('$');
            out.push_str(&n.to_string());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn question_marks_are_numbered() {
        assert_eq!(numbered("a = ? and b < ?"), "a = $1 and b < $2");
    }
}
