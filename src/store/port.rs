//! The contracts between the worker and the engines that keep its jobs.

mod aside;
mod batches;
mod cache;
mod failed;
mod presence;
mod queue;
pub mod survey;

pub use aside::{Aside, AsideEnd, OnceJob, Waiting};
pub use batches::{Batches, PruneBatches};
pub use cache::{Cache, CacheValue, Names};
pub use failed::{FailedFilter, FailedId, FailedJob, FailedJobs, FailedRow, Retried, Retry};
pub use presence::{PhpProcess, Presence, Process, Running};
pub use queue::{Depth, Held, NewJob, Queue, QueueName, Receipt, Reserved, Settle, Settlement};
