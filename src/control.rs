//! Who asks the worker to stop, pause or go on.
//!
//! Signals of the system, values in the application's cache, limits of time and memory: this room turns
//! them into [`crate::runtime::state::State`]; nobody else does.

pub mod cache;
pub mod limits;
pub mod signals;
