//! The Redis server and the application's connections to it.

mod read;

pub(super) use self::read::{Connection, connection, is_host};

use std::path::PathBuf;

use super::{Login, Secret};

/// Where Redis listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// Name or IP address, without brackets.
        host: String,
        /// 1 to 65535, default 6379.
        port: u16,
        /// Whether the connection is encrypted (`rediss://`, `tls://`).
        tls: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Where the key prefix comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixSource {
    /// `REDIS_PREFIX` was set, be it to nothing.
    Explicit,
    /// Made from `APP_NAME`, as Laravel's skeleton does.
    AppName,
}

/// One Redis server and the numbers of the databases that the application's four connections use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where it listens: `REDIS_URL`, else `REDIS_HOST` and `REDIS_PORT`; default 127.0.0.1:6379.
    pub address: Address,
    /// `REDIS_USERNAME` or the user of the URL.
    pub username: Option<String>,
    /// `REDIS_PASSWORD` or the password of the URL; `null` and nothing are none.
    pub password: Option<Secret>,
    /// Prefix of every key (`REDIS_PREFIX`), default: slug of `APP_NAME` with `_`, then `_database_`. May be empty.
    pub prefix: String,
    /// Whether the prefix was set or derived.
    pub prefix_source: PrefixSource,
    /// The form newer skeletons derive (`my-app-database-`), to be probed when the prefix was not set; `None` when
    /// it was.
    pub prefix_alternative: Option<String>,
    /// Number of the connection `default`: `REDIS_DB`, default 0. A path in `REDIS_URL` overrides all four.
    pub default_db: u32,
    /// Number of the connection `cache`: `REDIS_CACHE_DB`, default 1.
    pub cache_db: u32,
    /// Number of the connection `session`: `REDIS_SESSION_DB`, default 2.
    pub session_db: u32,
    /// Number of the connection `queue`: `REDIS_QUEUE_DB`, default 3.
    pub queue_db: u32,
}

impl Redis {
    /// User and password.
    pub(super) fn login(&self) -> Login {
        Login {
            username: self.username.clone(),
            password: self.password.clone(),
        }
    }
}
