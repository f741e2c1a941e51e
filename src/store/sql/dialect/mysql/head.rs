//! Where one queue begins.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Rows remembered of a queue that is asked for them at little cost.
const FEW: usize = 1000;

/// Rows remembered of a queue whose scan is costly.
const MANY: usize = 16_384;

/// A scan that took the server less is done whenever there is a reason for it.
const CHEAP: Duration = Duration::from_millis(20);

/// The longest time without a scan when rows are wanted.
const LONGEST: Duration = Duration::from_secs(30);

/// What was seen so recently is believed, even that there is nothing.
const RECENT: Duration = Duration::from_millis(25);

/// What was seen so recently is believed while there is enough to claim.
const FRESH: Duration = Duration::from_millis(100);

/// `available_at` and id: the order of a queue.
pub(super) type Place = (i64, i64);

/// How much of a queue is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Its first rows, this many at most.
    First(usize),
    /// The rows that came since.
    Newer,
}

impl Look {
    /// The first look at a queue.
    pub(super) const FIRST: Self = Self::First(FEW);
}

/// What is remembered of one queue.
#[derive(Debug)]
pub(super) struct Head {
    /// Rows that nobody held, in order, due or not.
    free: BTreeSet<Place>,
    /// Whether these were all.
    whole: bool,
    /// When the queue was scanned, and how long that took the server.
    scanned: Instant,
    cost: Duration,
    /// When it was last looked at, in either way.
    looked: Instant,
    /// How often we had changed something by then.
    changes: u64,
}

impl Head {
    /// What a scan found; `full` when there may be more. `seen` is when it began, and how often we had changed
    /// something by then.
    pub(super) fn scanned(free: BTreeSet<Place>, full: bool, cost: Duration, seen: (Instant, u64)) -> Self {
        Self {
            whole: !full,
            free,
            scanned: seen.0,
            cost,
            looked: seen.0,
            changes: seen.1,
        }
    }

    /// Adds rows that came since, unless they stand beyond what is remembered.
    pub(super) fn newer(&mut self, rows: impl IntoIterator<Item = Place>, seen: (Instant, u64)) {
        let end = self.free.last().copied();
        let within = |place: &Place| self.whole || end.is_some_and(|end| *place <= end);
        let rows: Vec<Place> = rows.into_iter().filter(within).collect();
        self.free.extend(rows);
        (self.looked, self.changes) = seen;
    }

    /// What to look at before `wanted` rows are claimed at `now`, after `changes` of ours.
    pub(super) fn wants(&self, wanted: usize, now: i64, changes: u64) -> Option<Look> {
        let cheap = self.cost < CHEAP;
        let first = Look::First(if cheap { FEW } else { MANY });
        let due = self.free.range(..=(now, i64::MAX)).take(wanted).count();
        if due == 0 && self.free.is_empty() && !self.whole {
            return Some(first);
        }
        let rest = if due < wanted { RECENT } else { FRESH };
        let changed = self.changes != changes;
        if self.scanned.elapsed() >= (self.cost * 10).clamp(rest, LONGEST) || (changed && cheap) {
            return Some(first);
        }
        (!cheap && (changed || self.looked.elapsed() >= FRESH)).then_some(Look::Newer)
    }

    /// Takes the first row that is due.
    pub(super) fn take(&mut self, now: i64) -> Option<Place> {
        let first = self
            .free
            .first()
            .filter(|(available_at, _)| *available_at <= now)?;
        let first = *first;
        self.free.remove(&first);
        Some(first)
    }

    /// Puts back a row that was taken and not needed.
    pub(super) fn put_back(&mut self, place: Place) {
        self.free.insert(place);
    }

    /// When its first row is or was due.
    pub(super) fn first_due(&self) -> Option<i64> {
        self.free.first().map(|(available_at, _)| *available_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{FEW, Head, Look, MANY, Place};

    const NOW: i64 = 1000;

    /// A head that was seen so long ago, at such a cost, with rows due at these times.
    fn head(age_ms: u64, cost_ms: u64, times: &[i64], full: bool) -> Head {
        let places = times.iter().zip(1..).map(|(time, id)| (*time, id));
        let seen = Instant::now().checked_sub(Duration::from_millis(age_ms)).unwrap();
        Head::scanned(places.collect(), full, Duration::from_millis(cost_ms), (seen, 7))
    }

    #[test]
    fn looks_are_as_frequent_as_they_are_cheap() {
        let few = Some(Look::First(FEW));
        let many = Some(Look::First(MANY));
        for (head, wanted, changes, look) in [
            // Cheap: enough is believed for a while, too little for a moment.
            (head(0, 1, &[1, 2], false), 2, 7, None),
            (head(60, 1, &[1, 2], false), 2, 7, None),
            (head(60, 1, &[1, 2], false), 3, 7, few),
            (head(200, 1, &[1, 2], false), 2, 7, few),
            (head(0, 1, &[1, 2], false), 2, 8, few),
            // Costly: what is new is looked for, all of it ten times less often than it costs.
            (head(0, 500, &[1, 2], true), 5, 7, None),
            (head(0, 500, &[1, 2], true), 5, 8, Some(Look::Newer)),
            (head(200, 500, &[1, 2], true), 5, 7, Some(Look::Newer)),
            (head(6000, 500, &[1, 2], true), 5, 7, many),
            // Used up though there is more.
            (head(0, 500, &[], true), 5, 7, many),
            (head(0, 500, &[], false), 5, 7, None),
        ] {
            assert_eq!(head.wants(wanted, NOW, changes), look, "{head:?}");
        }
    }

    #[test]
    fn rows_come_in_order_when_they_are_due() {
        let mut head = head(0, 500, &[20, 10, 2000], true);
        let newer: [Place; 3] = [(15, 9), (1990, 8), (3000, 7)];
        head.newer(newer, (Instant::now(), 8));
        let taken: Vec<Place> = std::iter::from_fn(|| head.take(NOW)).collect();
        assert_eq!(taken, [(10, 2), (15, 9), (20, 1)]);
        // The one behind the last that was remembered is left to the next scan.
        assert_eq!(head.first_due(), Some(1990));
        let later: Vec<Place> = std::iter::from_fn(|| head.take(5000)).collect();
        assert_eq!(later, [(1990, 8), (2000, 3)]);
    }
}
