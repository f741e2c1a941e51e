//! Everything that goes wrong with queues, done on purpose, and one question after each: where is every job?
//!
//! One file per kind of fault. [`stage`] is a store of any kind with a worker's surroundings; [`oracle`] holds
//! what must be true whatever happened; [`report`] writes down what was done. The long forms, with full
//! counts, are what `tests/faults` runs.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends with a message, and says what it did"
)]

mod backlog;
mod cache;
mod clock;
mod cut;
mod drain;
mod due;
mod failures;
mod fleet;
mod frozen;
mod groups;
mod kills;
mod large;
mod limits;
mod mariadb;
mod mixed;
mod network;
mod oracle;
mod php_deaths;
mod php_kills;
mod points;
mod poison;
mod postgres;
mod redis_restart;
mod redis_trouble;
mod report;
mod secrets;
mod soak;
mod sqlite;
mod stage;
mod stuck;
mod twins;

pub(crate) use oracle::Expect;
pub(crate) use report::{Deed, how_many};
pub(crate) use stage::{Stage, on_every_application, on_every_network, on_every_store};
