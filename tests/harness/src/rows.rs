//! Rows of Laravel's tables as tests compare them.

use serde_json::Value;

/// A row of `jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// The number that orders the rows.
    pub id: i64,
    /// The queue's name.
    pub queue: String,
    /// The payload text.
    pub payload: String,
    /// How often it was reserved.
    pub attempts: i64,
    /// Unix time of the reservation.
    pub reserved_at: Option<i64>,
    /// Unix time from which it may run.
    pub available_at: i64,
    /// Unix time of the insert.
    pub created_at: i64,
}

impl JobRow {
    /// The payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).expect("the payload is JSON")
    }
}

/// A row of `failed_jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// The number that orders the rows.
    pub id: i64,
    /// The uuid of the payload.
    pub uuid: String,
    /// The queue connection.
    pub connection: String,
    /// The queue's name.
    pub queue: String,
    /// The payload text.
    pub payload: String,
    /// Class, message and trace of what ended it.
    pub exception: String,
    /// When, as `Y-m-d H:i:s`.
    pub failed_at: String,
}

impl FailedRow {
    /// The payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).expect("the payload is JSON")
    }

    /// The first line of the exception.
    pub fn reason(&self) -> &str {
        self.exception.lines().next().unwrap_or_default()
    }
}
