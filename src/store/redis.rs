//! Laravel's Redis queues, and the rest that the worker keeps in Redis.
//!
//! - [`RedisQueue`]: the queues, key for key and byte for byte as Laravel lays them out, so that PHP workers
//!   may run beside us. Each verb is one script (`scripts/*.lua`), and due times are the server's.
//! - [`RedisCache`]: the application's cache store, for its queue signals.
//! - [`RedisPresence`]: which worker processes live.
//! - [`RedisSurvey`]: what `worker doctor` asks.
//!
//! What is ours about a reservation is the fraction of its score in `:reserved`: PHP writes whole seconds,
//! we add a random number of 1/2^20 s that stays the same while the lease is renewed. A member of
//! `:reserved` with that fraction is ours, and anything else is not touched.
//!
//! Needs Redis 5 or later, or a server that is like it. Knows nothing of what a payload means, beyond its `attempts` and `createdAt`.

mod aside;
pub(super) mod batch;
mod cache;
mod clear;
pub(super) mod connection;
mod depth;
mod doubt;
pub(super) mod failure;
mod keys;
mod options;
mod presence;
mod push;
mod queue;
mod receipt;
mod renew;
mod reserve;
pub(super) mod script;
mod settle;
mod survey;
pub(super) mod wait;

pub use cache::RedisCache;
pub(super) use keys::Keys;
pub use options::{Password, RedisAddress, RedisOptions};
pub use presence::RedisPresence;
pub use queue::RedisQueue;
pub use survey::RedisSurvey;
