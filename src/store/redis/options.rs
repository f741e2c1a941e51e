//! Where a Redis server is and how keys are named there.

use std::fmt;
use std::path::PathBuf;

use crate::config::{Login, LoginSource, Secret};

/// A password. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisAddress {
    /// A TCP port.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port, usually 6379.
        port: u16,
        /// Whether TLS is spoken, with the server's certificate checked.
        tls: bool,
    },
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How to reach one database of a server, and the prefix of all keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// Where the server listens.
    pub address: RedisAddress,
    /// The user of the server's access list; `None` for the default user.
    pub username: Option<String>,
    /// The password; `None` for none.
    pub password: Option<Password>,
    /// Where another login is looked for when the server refuses this one; `None` for nowhere.
    pub login: Option<LoginSource>,
    /// The database's number.
    pub db: u32,
    /// What the application puts before every key, such as `facturino_`.
    pub prefix: String,
    /// Whether queues are named with hash tags, `queues:{name}`, as Laravel 13 does on a cluster. It names
    /// keys only; redirections between a cluster's nodes are not followed.
    pub cluster: bool,
}

impl RedisOptions {
    /// User and password to begin with.
    pub(super) fn first_login(&self) -> Login {
        let secret = |password: &Password| Secret::new(password.reveal());
        Login {
            username: self.username.clone(),
            password: self.password.as_ref().map(secret),
        }
    }
}
