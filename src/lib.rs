//! The rooms of the worker, lowest floor first.
//!
//! - [`clock`]: the one source of "now".
//! - [`wire`]: Laravel's bytes, read and written; pure.
//! - [`config`]: the settings of the process, from flags, environment, `.env` and `worker.toml`.
//! - [`failpoint`]: where tests make the process die.
//! - [`telemetry`]: how the process writes its log.
//! - [`store`]: where jobs wait: the ports and their drivers.
//! - [`runner`]: who runs a job.
//! - [`runtime`]: reserve, run under a limit, decide, settle.
//! - [`failed`]: failed jobs, for the person who looks after them.
//! - [`moving`]: waiting jobs on their way from one store to another.
//! - [`doctor`]: what is wrong before it hurts.
//! - [`control`]: who asks the worker to stop, pause or go on.
//! - [`app`]: puts everything together.
//! - [`cli`]: the command line.
//! - [`exit`]: how the process ends.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod doctor;
pub mod exit;
pub mod failed;
pub mod failpoint;
pub mod moving;
pub mod runner;
pub mod runtime;
pub mod store;
pub mod telemetry;
pub mod wire;
