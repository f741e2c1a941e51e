//! The rooms of the worker, lowest floor first.
//!
//! - [`clock`]: the one source of "now".
//! - [`wire`]: Laravel's bytes, read and written; pure.

pub mod clock;
pub mod wire;
