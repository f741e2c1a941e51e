//! What the tests stand on: private servers, a real Laravel application, and drivers for processes.
//!
//! - [`wait`]: the one place where a test waits.
//! - [`process`], [`command`]: child processes that never outlive the test, and their output.
//! - [`daemon`]: the built binary, driven as a user drives it.
//! - [`redis_server`], [`redis_client`]: a private Redis, and a look into Laravel's keys.
//! - [`sqlite`], [`mariadb`], [`postgres`], [`rows`]: databases with Laravel's tables; [`sql`]: what they have in
//!   common; [`pgbouncer`]: a pooler before one.
//! - [`laravel`], [`journal`]: a real Laravel application, and what its jobs wrote down.
//! - [`proxy`]: a network between the two, with its faults; [`vitals`]: what a process uses.
//! - [`http_stand_in`]: an HTTP server that answers as it is told.
//! - [`notify_socket`]: the end of systemd that a service talks to.
//! - [`table`]: what fault tests wrote down.
//! - [`scratch`], [`ports`]: directories and ports that belong to one test.
//!
//! Nothing here knows the worker's own code: tests see it from outside, as Laravel and an operator do.
//! All helpers block, so a test is a plain function that reads from top to bottom. They panic with a
//! message when the outside world does not do as told; a test has no better answer.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "test support: what goes wrong here ends the test with a message"
)]

pub mod command;
pub mod daemon;
pub mod http_stand_in;
pub mod journal;
pub mod laravel;
pub mod mariadb;
pub mod notify_socket;
pub mod pgbouncer;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis_client;
pub mod redis_server;
pub mod rows;
pub mod scratch;
pub mod sql;
pub mod sqlite;
pub mod table;
pub mod vitals;
pub mod wait;

mod database_server;
mod run_wide;
mod signals;
mod url;
mod watchdog;

pub use command::{Output, run_to_end};
pub use daemon::Daemon;
pub use http_stand_in::{HttpStandIn, Reply, Request};
pub use journal::{Journal, Record};
pub use laravel::Laravel;
pub use mariadb::{MariadbDatabase, MariadbServer};
pub use notify_socket::NotifySocket;
pub use pgbouncer::PgBouncer;
pub use postgres::{PostgresDatabase, PostgresServer};
pub use process::{Running, Signal, Stream};
pub use proxy::{Fault, Proxy};
pub use redis_client::{Payload, QUEUE_DB, QueueDump, Redis, Scored};
pub use redis_server::{RedisOptions, RedisServer, SharedRedis, shared_redis};
pub use rows::{FailedRow, JobRow};
pub use scratch::Scratch;
pub use sql::TestDatabase;
pub use sqlite::SqliteDatabase;
pub use vitals::Vitals;
pub use wait::{DEADLINE, poll, wait_until};

/// A variable of the test's own environment, if it is set and not empty.
pub fn env_var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
