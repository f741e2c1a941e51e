//! Where jobs wait, where failures are kept, and where signals arrive: the ports and their drivers.
//!
//! A port says what a verb means; a driver says how one engine does it. Every driver passes the same
//! suite (`tests/it/store/`, one file per verb). This room knows nothing of running jobs: it moves
//! payloads and never looks into a command.

pub mod apalis;
pub mod backend;
pub mod connect;
pub mod error;
mod login;
pub mod port;
pub mod redis;
pub mod sql;
mod waiters;

pub use error::{Error, Kind};
