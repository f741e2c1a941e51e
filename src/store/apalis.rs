//! Queues that Rust producers write with the stock storages of apalis 1.0, served beside its own workers.
//!
//! - [`ApalisRedis`]: the layout of `apalis-redis`.
//! - [`ApalisSql`]: those of `apalis-postgres` and `apalis-sqlite`.
//!
//! The layouts are theirs, key for key and column for column; the ways through them are ours where the stock
//! ones do not hold up: a backlog of any size, an idle queue that wakes at once, a lease per task that
//! another worker respects, and an end of a task that is written, not removed. A worker of ours makes itself
//! known as theirs do, so that none of them takes what we hold; what a dead one of theirs held comes back.
//!
//! What a task is to the rest of the worker, and back, is said in one place: [`crate::wire::task`]. With
//! `store/backend.rs` and `runtime/worker.rs` this is the only room that names apalis.

mod ids;
mod redis;
mod sql;
mod survey;

pub use redis::ApalisRedis;
pub use sql::ApalisSql;
pub use survey::TaskSurvey;

/// What tells our workers from others among those of a queue.
const WORKER: &str = "laravel.worker/";

/// A name for a new worker of ours.
fn worker_name() -> String {
    let mark: String = std::iter::repeat_with(fastrand::alphanumeric).take(10).collect();
    format!("{WORKER}{}-{mark}", std::process::id())
}

/// What stands beside a failed task: apalis' form of an error, with the first line of the exception.
fn error_text(exception: &str) -> String {
    let line = exception.lines().next().unwrap_or_default();
    serde_json::json!({ "Err": line }).to_string()
}

/// What stands beside a task that is done.
const DONE_TEXT: &str = r#"{"Ok":null}"#;
