//! One connection, set up for what we do.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, Row};

use super::error::{Failure, is_of_login, is_tls};
use super::version::skips_locked;
use crate::config::{Login, MysqlTls};
use crate::store::login::Logon;
use crate::store::sql::options::{MysqlOptions, with_mysql_login};

/// How long a server may take to give a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection that rested may take to show that it lives.
const PING: Duration = Duration::from_secs(3);

/// Where and how to connect.
#[derive(Debug)]
pub(super) struct Door {
    options: MySqlConnectOptions,
    tls: MysqlTls,
    logon: Logon,
    setup: String,
}

impl Door {
    /// The way to a server. New connections are set up by `setup`, whose last statement tells the server's version and
    /// the type of the column `attempts`.
    pub(super) fn new(options: &MysqlOptions, setup: String) -> Self {
        Self {
            options: options.connect_options_of_nobody(),
            tls: options.tls.clone(),
            logon: Logon::new(options.login(), options.login.clone()),
            setup,
        }
    }

    /// Connects with the login in use; when that is refused, with the one that the settings hold by now.
    async fn open(&self) -> Result<MySqlConnection, Failure> {
        let connect = |login: Login| async move { self.open_as(&login).await };
        let connected = self.logon.open(connect, is_of_login).await;
        connected.map_err(|error| match is_of_login(&error) {
            true => Failure::Denied(error, self.logon.advice()),
            false => Failure::Unreached(error),
        })
    }

    async fn open_as(&self, login: &Login) -> Result<MySqlConnection, sqlx::Error> {
        let options = with_mysql_login(self.options.clone(), login);
        match options.connect().await {
            // What is merely preferred can be done without.
            Err(error) if self.tls == MysqlTls::Preferred && is_tls(&error) => {
                options.ssl_mode(MySqlSslMode::Disabled).connect().await
            }
            connected => connected,
        }
    }
}

/// A connection and what its server can do.
pub(super) struct Session {
    connection: MySqlConnection,
    skips_locked: bool,
    most_attempts: i64,
}

impl Session {
    /// Connects through `door` and sets the connection up.
    pub(super) async fn connect(door: &Door) -> Result<Self, Failure> {
        let connecting = async {
            let session = Self {
                connection: door.open().await?,
                skips_locked: false,
                most_attempts: 0,
            };
            session.set_up(&door.setup).await.map_err(Failure::Unreached)
        };
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        connected.unwrap_or(Err(Failure::Slow(CONNECT)))
    }

    async fn set_up(mut self, setup: &str) -> Result<Self, sqlx::Error> {
        let rows = self.rows(setup.to_owned()).await?;
        let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
        let version: String = row.try_get_unchecked(0)?;
        self.skips_locked = skips_locked(&version);
        self.most_attempts = most(row.try_get_unchecked::<Option<&str>, _>(1)?.unwrap_or_default());
        Ok(self)
    }

    /// Runs statements separated by `;` and returns the rows of all of them.
    ///
    /// `sql` holds nothing from outside but checked and quoted table names and literals of [`super::text`].
    pub(super) async fn rows(&mut self, sql: String) -> Result<Vec<MySqlRow>, sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_all(&mut self.connection)
            .await
    }

    /// Runs statements as [`Session::rows`] does and returns how many rows they touched together.
    pub(super) async fn execute(&mut self, sql: String) -> Result<u64, sqlx::Error> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await?;
        Ok(done.rows_affected())
    }

    /// The connection, for statements with bound values.
    pub(super) fn connection(&mut self) -> &mut MySqlConnection {
        &mut self.connection
    }

    /// What locks the rows of a query.
    pub(super) fn lock(&self) -> &'static str {
        if self.skips_locked {
            "for update skip locked"
        } else {
            "for update"
        }
    }

    /// The greatest number that the column `attempts` holds.
    pub(super) fn most_attempts(&self) -> i64 {
        self.most_attempts
    }

    /// Undoes what was begun; says whether the connection is still good.
    pub(super) async fn undo(&mut self) -> bool {
        let undone = self.execute("rollback".to_owned());
        matches!(tokio::time::timeout(PING, undone).await, Ok(Ok(_)))
    }

    /// Takes leave of the server, which otherwise notes a connection that broke.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    /// Whether the connection is still good.
    pub(super) async fn lives(&mut self) -> bool {
        matches!(
            tokio::time::timeout(PING, self.connection.ping()).await,
            Ok(Ok(()))
        )
    }
}

/// The statements by which a connection is set up.
///
/// READ COMMITTED locks only the rows that a statement changes. Strict, so that nothing is cut to fit. A lock
/// is waited for a short time, since the next try is ours to make. A server that does not hear from us for a
/// minute takes us for gone and frees our locks; connections rest for less. `attempts` is the type of that
/// column.
pub(super) fn setup(schema: &str, table: &str) -> String {
    format!(
        "set names utf8mb4; \
         set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 3, \
             wait_timeout = 60, autocommit = 1; \
         set session transaction isolation level read committed; \
         select version(), (select max(column_type) from information_schema.columns \
             where table_schema = {schema} and table_name = {table} and column_name = 'attempts')"
    )
}

/// The greatest number of a column of this type. Of an unknown one, that of the smallest that Laravel makes.
fn most(column_type: &str) -> i64 {
    let signed: i64 = match column_type.split(['(', ' ']).next().unwrap_or_default() {
        "tinyint" => i8::MAX.into(),
        "smallint" => i16::MAX.into(),
        "mediumint" => 0x7f_ffff,
        "int" => i32::MAX.into(),
        "bigint" => return i64::MAX,
        _ => return u8::MAX.into(),
    };
    if column_type.contains("unsigned") {
        signed * 2 + 1
    } else {
        signed
    }
}

#[cfg(test)]
mod tests {
    use super::most;

    #[test]
    fn columns_have_limits() {
        for (column_type, limit) in [
            ("tinyint(3) unsigned", 255),
            ("tinyint unsigned", 255),
            ("tinyint(4)", 127),
            ("smallint unsigned", 65_535),
            ("int(11)", 2_147_483_647),
            ("int unsigned", 4_294_967_295),
            ("bigint(20) unsigned", i64::MAX),
            ("", 255),
        ] {
            assert_eq!(most(column_type), limit, "{column_type}");
        }
    }
}
