//! What each verb of a port means: one suite, one file per verb, run by every driver.

mod engine;

mod clear;
mod concurrency;
mod depth;
mod push;
mod renew;
mod reserve;
mod settle;
mod wait;

mod redis_cache;
mod redis_faults;
mod redis_idle;
mod redis_wire;
