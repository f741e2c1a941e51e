//! What each verb of a port means: one suite, one file per verb, run by every driver.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends with a message when something is not as it should be"
)]

pub(crate) mod engine;

mod clear;
mod concurrency;
mod depth;
mod end_aside;
mod push;
mod renew;
mod reserve;
mod set_aside;
mod settle;
mod wait;

mod redis_cache;
mod redis_copies;
mod redis_doubt;
mod redis_faults;
mod redis_idle;
mod redis_laravel;
mod redis_wire;
