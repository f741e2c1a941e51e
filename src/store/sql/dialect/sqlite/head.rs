//! Where one queue begins.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Rows remembered of one queue.
pub(super) const KEPT: i64 = 16_384;

/// A scan that took less is repeated whenever others changed something.
const CHEAP: Duration = Duration::from_millis(1);

/// The longest time without a scan after others changed something.
const LONGEST: Duration = Duration::from_secs(1);

/// The time between costly scans for rows that others hold.
const HELD_EVERY: Duration = Duration::from_secs(10);

/// `available_at` and id: the order of a queue.
pub(super) type Place = (i64, i64);

/// What is remembered of one queue.
#[derive(Debug)]
pub(super) struct Head {
    /// Free rows in order, with the sizes of their payloads in bytes.
    pub(super) free: BTreeMap<Place, u64>,
    /// Free rows beyond this place are not all remembered; `None` when all are.
    horizon: Option<Place>,
    /// When the queue was scanned, and how long that took.
    scanned: Instant,
    cost: Duration,
    /// When it was scanned for held rows.
    held_scanned: Instant,
    /// Whether it was scanned again since, without a look at held rows.
    held_owed: bool,
    /// Whether others may have changed rows since.
    pub(super) stale: bool,
}

impl Head {
    /// What a scan that began then found; `held` when it looked for held rows too, else when one last did.
    pub(super) fn scanned(began: Instant, free: BTreeMap<Place, u64>, held: Option<Instant>) -> Self {
        let full = i64::try_from(free.len()).is_ok_and(|found| found >= KEPT);
        Self {
            horizon: free.last_key_value().map(|(place, _)| *place).filter(|_| full),
            free,
            scanned: Instant::now(),
            cost: began.elapsed(),
            held_scanned: held.unwrap_or(began),
            held_owed: held.is_some(),
            stale: false,
        }
    }

    /// When held rows were looked for, unless it is time to do so again.
    pub(super) fn held_known(&self) -> Option<Instant> {
        let known = self.cost >= CHEAP && self.held_scanned.elapsed() < HELD_EVERY;
        known.then_some(self.held_scanned)
    }

    /// Remembers a free row, unless it is beyond what is remembered.
    pub(super) fn insert(&mut self, place: Place, size: u64) {
        if self.horizon.is_none_or(|horizon| place <= horizon) {
            self.free.insert(place, size);
        }
    }

    /// Whether its first row is due.
    pub(super) fn is_due(&self, now: i64) -> bool {
        self.free
            .first_key_value()
            .is_some_and(|((available_at, _), _)| *available_at <= now)
    }

    /// Whether to ask the table again.
    pub(super) fn wants_scan(&self, now: i64) -> bool {
        if self.free.is_empty() && self.horizon.is_some() {
            return true;
        }
        // Who held rows may have died since, and then nothing changes any more that would make this stale.
        if self.held_owed && self.held_known().is_none() {
            return true;
        }
        let rest = match self.is_due(now) {
            true => LONGEST,
            false if self.cost < CHEAP => Duration::ZERO,
            false => (self.cost * 10).min(LONGEST),
        };
        self.stale && self.scanned.elapsed() >= rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others took rows while held ones were not looked at, and never wrote again.
    #[test]
    fn held_rows_are_looked_at_in_the_end() {
        let ago = |time| Instant::now().checked_sub(time).unwrap();
        let costly = ago(CHEAP * 2);
        let scanned = |held| Head::scanned(costly, BTreeMap::new(), held);
        assert!(!scanned(None).wants_scan(0), "they were looked at");
        assert!(!scanned(Some(ago(HELD_EVERY / 2))).wants_scan(0), "not yet");
        assert!(scanned(Some(ago(HELD_EVERY * 2))).wants_scan(0));
    }
}
