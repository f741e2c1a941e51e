//! What is told of each job: to the log, or line by line in Laravel's own JSON form.

use std::fmt;
use std::time::Duration;

use super::decide::Verdict;
use crate::store::port::QueueName;

/// One attempt, for the person who reads about it. Holds no part of the payload but its names.
#[derive(Debug, Clone)]
pub struct Told {
    /// The `id` of a Redis payload.
    pub id: Option<String>,
    /// The number of its row, where jobs are rows.
    pub row: Option<i64>,
    /// The payload's uuid.
    pub uuid: String,
    /// The job's name.
    pub name: String,
    /// The connection's name.
    pub connection: String,
    /// The queue.
    pub queue: QueueName,
    /// The number of the attempt.
    pub attempt: u32,
}

/// The end of an attempt, told once it is written to the store.
#[derive(Debug, Clone)]
pub struct End {
    /// The attempt.
    pub told: Told,
    /// How long it ran.
    pub took: Duration,
    /// What becomes of the job.
    pub verdict: Verdict,
    /// What went wrong: class and message of the exception.
    pub error: Option<(String, String)>,
}

/// Hears of attempts.
pub trait Reporter: Send + Sync + fmt::Debug {
    /// Whether starts are wanted at all; when not, they are not even put together.
    fn wants_starts(&self) -> bool {
        false
    }

    /// An attempt begins.
    fn started(&self, told: &Told) {
        let _ = told;
    }

    /// An attempt has ended and its verdict is written.
    fn ended(&self, end: &End);
}
