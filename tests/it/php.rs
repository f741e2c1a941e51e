//! Jobs without a native handler run in PHP, unchanged, in a real Laravel application.

mod ahead;
mod commands;
mod deaths;
mod jobs;
mod noise;
mod pool;
pub(crate) mod shop;
