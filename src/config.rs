//! The settings of one process, read once at the start and checked as a whole.
//!
//! Everything an operator may set comes in here: flags of the command line, the environment, Laravel's `.env`,
//! `worker.toml`, and defaults, in this order of precedence. The result is [`Config`], a plain value in which
//! every field has been parsed into a type that cannot be wrong.
//!
//! The room must not know what the settings are used for: it opens no connection, starts nothing, and of the
//! file system it looks only at `.env`, `artisan`, `worker.toml` and files of passwords (in [`Files::read`]), and for
//! `worker doctor` at the application's cached configuration (in [`Clues::read`]).

mod app;
mod cache;
mod clues;
mod database;
pub mod dotenv;
mod env;
mod explain;
mod failed;
mod files;
mod lanes;
mod load;
mod logins;
mod php;
mod queue;
mod reader;
mod redis;
mod report;
mod secret;
mod slug;
#[cfg(test)]
mod testing;
mod toml;
mod units;
mod url;
mod vars;
mod worker;

pub use self::app::App;
pub use self::cache::CacheStore;
pub use self::clues::{Cached, Clues, Difference, Differing, Server, UrlClue, UrlTrap};
pub use self::database::{Database, Databases, Flavour, MysqlTls, SslMode};
pub use self::env::{Env, ProcessEnv};
pub use self::explain::{Effective, Origin, Sources};
pub use self::failed::FailedStore;
pub use self::files::{Files, SecretFile, TextFile};
pub use self::lanes::QueueSettings;
pub use self::load::{Inputs, Loaded};
pub use self::logins::{Found, Login, LoginSource, Logins, Place};
pub use self::php::{ChildEnv, Php};
pub use self::queue::tasks::no_apalis_mysql;
pub use self::queue::{QueueConnection, QueueKind};
pub use self::redis::{Address, PrefixSource, Redis};
pub use self::report::{Problem, Problems, Warning};
pub use self::secret::Secret;
pub use self::vars::{QUEUE_FLAGS, VARIABLES, Variable};
pub use self::worker::{LogFormat, OnUnknown, Worker};

use std::net::SocketAddr;

/// Every setting of the process, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The application: its name, keys, time zone and place on the disk.
    pub app: App,
    /// The Redis server, with the numbers of the application's four connections.
    pub redis: Redis,
    /// The SQL connections of the application, by Laravel's names.
    pub databases: Databases,
    /// The connection that `QUEUE_CONNECTION` names.
    pub queue: QueueConnection,
    /// The cache store, through which restart and pause arrive.
    pub cache: CacheStore,
    /// Where failed jobs are recorded.
    pub failed: FailedStore,
    /// The worker's own settings (`WORKER_*`).
    pub worker: Worker,
    /// How PHP jobs are run (`WORKER_PHP_*`).
    pub php: Php,
    /// The configured queues in the order in which they are served: high, default, einvoice, migration,
    /// background, then those that only `worker.toml` names, in the order of that file.
    pub queues: Vec<QueueSettings>,
    /// Where health is served (`WORKER_HTTP`), never by default.
    pub http: Option<SocketAddr>,
    /// Where users and passwords of servers are read anew when a server refuses them.
    pub logins: Logins,
    connections: queue::Connections,
    unnamed: QueueSettings,
}
