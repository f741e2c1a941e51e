//! What an SQL database is opened with. Plain values: the config room fills them in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::names::Tables;
use crate::clock::{Clock, SystemClock};
use crate::config::{MysqlTls, Secret};

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
    /// The longest wait between two looks at an idle table whose engine cannot wake us (`WORKER_SLEEP`).
    /// Default 3 s.
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
