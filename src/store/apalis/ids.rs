//! Ids of new tasks: ULIDs that come in the order in which they were made.

use std::sync::{Mutex, PoisonError};

use ulid::Ulid;

use crate::clock::{Clock, SystemClock};

/// Makes ids. Two of one maker are never the same, and the later is the greater.
#[derive(Debug, Default)]
pub(super) struct Ids {
    last: Mutex<u128>,
}

impl Ids {
    /// The next id.
    pub(super) fn next(&self) -> String {
        let ms = u64::try_from(SystemClock.now().as_millis()).unwrap_or_default();
        // Half of the random bits: room to count up within the millisecond.
        let fresh: u128 = Ulid::from_parts(ms, u128::from(fastrand::u64(..))).into();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = fresh.max(last.saturating_add(1 + u128::from(fastrand::u32(..))));
        Ulid::from(*last).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up() {
        let ids = Ids::default();
        let made: Vec<String> = std::iter::repeat_with(|| ids.next()).take(2000).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        assert!(made.iter().all(|id| id.len() == 26));
    }
}
