//! The application's SQL connections.

mod raw;
mod read;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reader::Reader;
use super::vars::Variable;
use super::{Login, Problem, Secret};

/// One SQL database and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// An SQLite database.
    Sqlite {
        /// The file, absolute or relative to nothing but `/`; `None` is a database in memory (`:memory:`).
        path: Option<PathBuf>,
    },
    /// MySQL or MariaDB.
    Mysql {
        /// Whose dialect the application said it is (`mysql` or `mariadb`); the server may be either.
        flavour: Flavour,
        /// Name or IP address, default 127.0.0.1.
        host: String,
        /// Default 3306.
        port: u16,
        /// A Unix socket, which then replaces host and port.
        socket: Option<PathBuf>,
        /// Name of the database.
        database: String,
        /// User, default `root`.
        username: String,
        /// Password; none and empty are the same to the server.
        password: Option<Secret>,
        /// How far the connection is encrypted and checked.
        tls: MysqlTls,
    },
    /// PostgreSQL.
    Postgres {
        /// Name, IP address, or the directory of a Unix socket; default 127.0.0.1.
        host: String,
        /// Default 5432.
        port: u16,
        /// Name of the database.
        database: String,
        /// User, default `root`, as Laravel's skeleton has it.
        username: String,
        /// Password.
        password: Option<Secret>,
        /// `DB_SSLMODE` or `sslmode` of the URL, default `prefer`.
        sslmode: SslMode,
        /// The schemas in which tables are looked for, default `public`.
        search_path: String,
    },
}

impl Database {
    /// The same without its login, and the login; `None` for SQLite, which knows none.
    pub(super) fn split(&self) -> Option<(Self, Login)> {
        let mut server = self.clone();
        let (Self::Mysql {
            username, password, ..
        }
        | Self::Postgres {
            username, password, ..
        }) = &mut server
        else {
            return None;
        };
        let login = Login {
            username: Some(std::mem::take(username)),
            password: password.take(),
        };
        Some((server, login))
    }
}

/// Which of the two the application calls its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `mysql`.
    Mysql,
    /// `mariadb`.
    Mariadb,
}

/// Encryption of a MySQL or MariaDB connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MysqlTls {
    /// Never.
    Disabled,
    /// When the server offers it, unchecked. The default.
    Preferred,
    /// Always, unchecked.
    Required,
    /// Always; the certificate must be signed by this authority (a PEM file), or by a well-known one.
    VerifyCa(Option<PathBuf>),
    /// As `VerifyCa`, and the certificate must name the host. `MYSQL_ATTR_SSL_CA` means this.
    VerifyIdentity(Option<PathBuf>),
}

/// Encryption of a PostgreSQL connection, libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server offers it. The default.
    Prefer,
    /// Always, unchecked.
    Require,
    /// Always, signed by a known authority.
    VerifyCa,
    /// Always, signed by a known authority and naming the host.
    VerifyFull,
}

/// The SQL connections by the names that `config/database.php` gives them.
///
/// All of Laravel's connections read the same `DB_*` variables, so each name has a meaning whatever
/// `DB_CONNECTION` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Databases {
    pub(super) default: String,
    pub(super) by_name: BTreeMap<String, Result<Database, Problem>>,
}

impl Databases {
    /// Name of the default connection: `DB_CONNECTION`, else what a database URL or Laravel's default implies.
    #[must_use]
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// The default connection.
    ///
    /// # Errors
    /// When it is not configured, or of a kind that the worker cannot use.
    pub fn default(&self) -> Result<&Database, Problem> {
        self.get(&self.default)
    }

    /// The connection `name`: sqlite, mysql, mariadb or pgsql.
    ///
    /// # Errors
    /// When it is not configured, unknown, or of a kind that the worker cannot use.
    pub fn get(&self, name: &str) -> Result<&Database, Problem> {
        match self.by_name.get(name) {
            Some(Ok(database)) => Ok(database),
            Some(Err(problem)) => Err(problem.clone()),
            None => Err(Problem::new(
                format!("SQL connection {name}"),
                "is not configured",
                "sqlite, mysql, mariadb, pgsql",
            )),
        }
    }

    /// The connections that can be used.
    pub(super) fn usable(&self) -> impl Iterator<Item = &Database> {
        self.by_name
            .values()
            .filter_map(|database| database.as_ref().ok())
    }

    /// The connection that `var` names, else the default one.
    pub(super) fn named(&self, reader: &mut Reader<'_>, var: &'static Variable) -> Result<Database, Problem> {
        match reader.text(var) {
            Some(name) => {
                self.get(&name)
                    .cloned()
                    .map_err(|problem| match self.by_name.contains_key(&name) {
                        true => problem,
                        false => Problem::new(var.name, "is not a connection the worker knows", var.form),
                    })
            }
            None => {
                reader.show_default(var, &self.default);
                self.default().cloned()
            }
        }
    }
}
