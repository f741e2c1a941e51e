//! The contracts between the worker and the engines that keep its jobs.

mod cache;
mod failed;
mod presence;
mod queue;

pub use cache::{Cache, CacheValue, Names};
pub use failed::{FailedFilter, FailedId, FailedJob, FailedJobs, FailedRow, Retried, Retry};
pub use presence::{PhpProcess, Presence, Process, Running};
pub use queue::{Depth, Held, NewJob, Queue, QueueName, Receipt, Reserved, Settle, Settlement};
