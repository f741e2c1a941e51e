//! The one source of "now", so that a test can move it.
//!
//! Due times and leases are the store's business and are computed with the store's own clock; this one
//! serves what happens in the process: deadlines of attempts, times in records, ages in tables.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the wall-clock time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Time since the Unix epoch; zero when the system's clock stands before it.
    fn now(&self) -> Duration;

    /// Whole seconds since the Unix epoch, as Laravel's payloads carry them.
    fn unix_s(&self) -> i64 {
        i64::try_from(self.now().as_secs()).unwrap_or(i64::MAX)
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the system's clock"
)]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
