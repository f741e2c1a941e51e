//! The rooms of the worker, lowest floor first.
//!
//! - [`clock`]: the one source of "now".

pub mod clock;
