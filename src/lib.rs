//! The rooms of the worker, lowest floor first.
//!
//! - [`clock`]: the one source of "now".
//! - [`wire`]: Laravel's bytes, read and written.
//! - [`store`]: where jobs wait: the ports and their drivers.

pub mod clock;
pub mod store;
pub mod wire;
