//! The rooms of the worker, lowest floor first.
//!
//! - [`clock`]: the one source of "now".
//! - [`config`]: the settings of the process, from flags, environment, `.env` and `worker.toml`.

pub mod clock;
pub mod config;
