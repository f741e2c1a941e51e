//! What an SQL database is opened with. Plain values, filled in from the configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::names::Tables;
use crate::clock::{Clock, SystemClock};
use crate::config::{Login, LoginSource, MysqlTls, Secret, SslMode};

/// What holds for every engine.
#[derive(Debug, Clone)]
pub struct SqlOptions {
    /// Names of the tables.
    pub tables: Tables,
    /// What PHP workers on the same table add to `reserved_at` (`DB_QUEUE_RETRY_AFTER`), whole seconds.
    /// Default 90 s. A reservation lapses at `reserved_at + retry_after` for them and for us.
    pub retry_after: Duration,
    /// The application's time zone (`APP_TIMEZONE`), in which `failed_at` is written. Default UTC.
    pub timezone: TimeZone,
    /// Where `failed_at` takes the time from.
    pub clock: Arc<dyn Clock>,
    /// The longest pause between two looks at a table that tells nobody of new jobs (`WORKER_SLEEP`), where
    /// the engine must look. Default 3 s.
    pub sleep: Duration,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            tables: Tables::default(),
            retry_after: Duration::from_secs(90),
            timezone: TimeZone::UTC,
            clock: Arc::new(SystemClock),
            sleep: Duration::from_secs(3),
        }
    }
}

/// How a database on a MySQL or MariaDB server is reached.
#[derive(Debug, Clone)]
pub struct MysqlOptions {
    /// Name or IP address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A Unix socket, which then replaces host and port.
    pub socket: Option<PathBuf>,
    /// Name of the database.
    pub database: String,
    /// User.
    pub username: String,
    /// Password; none and empty are the same to the server.
    pub password: Option<Secret>,
    /// How far the connection is encrypted and checked.
    pub tls: MysqlTls,
    /// Where another login is looked for when the server refuses this one; `None` for nowhere.
    pub login: Option<LoginSource>,
}

impl MysqlOptions {
    /// User and password: those that servers took last.
    #[must_use]
    pub fn login(&self) -> Login {
        login(&self.username, self.password.as_ref(), self.login.as_ref())
    }

    /// What the driver connects with: `utf8mb4`, the server's own time zone, and no statement in any log.
    #[must_use]
    pub fn connect_options(&self) -> MySqlConnectOptions {
        with_mysql_login(self.connect_options_of_nobody(), &self.login())
    }

    /// The same without a login.
    pub(super) fn connect_options_of_nobody(&self) -> MySqlConnectOptions {
        let mode = match &self.tls {
            MysqlTls::Disabled => MySqlSslMode::Disabled,
            MysqlTls::Preferred => MySqlSslMode::Preferred,
            MysqlTls::Required => MySqlSslMode::Required,
            MysqlTls::VerifyCa(_) => MySqlSslMode::VerifyCa,
            MysqlTls::VerifyIdentity(_) => MySqlSslMode::VerifyIdentity,
        };
        let mut connect = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .ssl_mode(mode)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .disable_statement_logging();
        if let MysqlTls::VerifyCa(Some(authority)) | MysqlTls::VerifyIdentity(Some(authority)) = &self.tls {
            connect = connect.ssl_ca(authority);
        }
        if let Some(socket) = &self.socket {
            connect = connect.socket(socket);
        }
        connect
    }
}

/// How an SQLite file is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file.
    pub path: PathBuf,
    /// Whether a missing file is made, with its directory. Otherwise it is an error.
    pub create_if_missing: bool,
    /// Whether the file is the worker's own. Only then its journal is set to WAL and `synchronous` to
    /// NORMAL; an application's file is left as the application set it.
    pub own_file: bool,
    /// How long a statement waits for another writer before it gives up as transient.
    pub busy_timeout: Duration,
}

impl SqliteOptions {
    /// An application's existing file, with a busy timeout of 10 s.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            create_if_missing: false,
            own_file: false,
            busy_timeout: Duration::from_secs(10),
        }
    }

    /// The worker's own file, made when missing.
    #[must_use]
    pub fn own(path: impl Into<PathBuf>) -> Self {
        Self {
            create_if_missing: true,
            own_file: true,
            ..Self::new(path)
        }
    }
}

/// How a PostgreSQL database is reached.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Name, IP address, or the directory of a Unix socket.
    pub host: String,
    /// Its port; part of the socket's name, too.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// User.
    pub username: String,
    /// Password, if the server asks for one.
    pub password: Option<Secret>,
    /// How far the connection is encrypted and checked; of no meaning on a Unix socket.
    pub sslmode: SslMode,
    /// The schemas in which tables are looked for, in Laravel's form: names with commas or spaces between,
    /// in quotes or not; `$user` is the user's own.
    pub search_path: String,
    /// Where another login is looked for when the server refuses this one; `None` for nowhere.
    pub login: Option<LoginSource>,
}

impl PostgresOptions {
    /// User and password: those that servers took last.
    #[must_use]
    pub fn login(&self) -> Login {
        login(&self.username, self.password.as_ref(), self.login.as_ref())
    }

    /// What connections are opened with, without the search path: certificates of authorities and of our own
    /// are taken from where libpq, and so PHP, takes them (`PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`).
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        with_postgres_login(self.connect_options_of_nobody(), &self.login())
    }

    /// The same without a login.
    pub(super) fn connect_options_of_nobody(&self) -> PgConnectOptions {
        let is_socket = self.host.starts_with('/');
        let sslmode = match self.sslmode {
            _ if is_socket => PgSslMode::Disable,
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Allow => PgSslMode::Allow,
            SslMode::Prefer => PgSslMode::Prefer,
            SslMode::Require => PgSslMode::Require,
            SslMode::VerifyCa => PgSslMode::VerifyCa,
            SslMode::VerifyFull => PgSslMode::VerifyFull,
        };
        PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .ssl_mode(sslmode)
            .application_name("worker")
            .extra_float_digits(None)
            .disable_statement_logging()
    }

    /// The schemas, each quoted, for `set search_path`.
    #[must_use]
    pub fn quoted_search_path(&self) -> String {
        let names = self
            .search_path
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | '"' | '\''));
        let quoted: Vec<String> = names
            .filter(|name| !name.is_empty())
            .map(|name| if name == "$user" { &self.username } else { name })
            .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
            .collect();
        quoted.join(", ")
    }
}

/// The login that servers took last, else the one to begin with.
fn login(username: &str, password: Option<&Secret>, source: Option<&LoginSource>) -> Login {
    let first = || Login {
        username: Some(username.to_owned()),
        password: password.cloned(),
    };
    source.map_or_else(first, LoginSource::login)
}

/// Options that name nobody yet, with a login.
pub(super) fn with_mysql_login(options: MySqlConnectOptions, login: &Login) -> MySqlConnectOptions {
    let options = options.username(login.username.as_deref().unwrap_or_default());
    match &login.password {
        Some(password) => options.password(password.expose()),
        None => options,
    }
}

/// Options that name nobody yet, with a login.
pub(super) fn with_postgres_login(options: PgConnectOptions, login: &Login) -> PgConnectOptions {
    let options = options.username(login.username.as_deref().unwrap_or_default());
    match &login.password {
        Some(password) => options.password(password.expose()),
        None => options,
    }
}

#[cfg(test)]
mod tests {
    use super::PostgresOptions;
    use crate::config::SslMode;

    #[test]
    fn search_paths_are_laravels() {
        for (given, quoted) in [
            ("public", "\"public\""),
            ("app, public", "\"app\", \"public\""),
            ("\"$user\",'Q x'", "\"u\"\"v\", \"Q\", \"x\""),
        ] {
            let options = PostgresOptions {
                host: "h".to_owned(),
                port: 5432,
                database: "d".to_owned(),
                username: "u\"v".to_owned(),
                password: None,
                sslmode: SslMode::Prefer,
                search_path: given.to_owned(),
                login: None,
            };
            assert_eq!(options.quoted_search_path(), quoted);
        }
    }
}
