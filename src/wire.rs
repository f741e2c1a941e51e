//! Laravel's bytes, read and written: our promise of compatibility.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no panics, whatever the input. No other room
//! reads PHP's serialization or the payload's field names. This room knows nothing of queues, stores,
//! workers, or configuration.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod cache;
pub mod compose;
pub mod data;
pub mod edit;
pub mod json;
pub mod php;
pub mod raw;
pub mod task;

mod command;
mod crypt;
mod error;
mod exception;
mod inspect;
mod number;
mod payload;
mod scan;

pub use command::Command;
pub use crypt::{Cipher, Keys};
pub use error::Error;
pub use exception::Exception;
pub use inspect::inspect;
pub use payload::Payload;
