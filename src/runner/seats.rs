//! Who may use how many of the processes that run PHP jobs.
//!
//! Lanes share the processes of a pool. A lane takes seats before it reserves, so that it reserves no more
//! jobs than processes are free for, and gives back those for which it found no PHP job. Three rules keep
//! one lane from starving another: a free seat goes to the waiting lane that has the fewest, the earlier one
//! among equals; lanes with a longer time limit than the shortest together leave one seat to the others; and
//! a lane may have a cap of its own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// The seats of one pool.
#[derive(Debug, Default)]
pub struct Seats(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    seats: usize,
    closed: bool,
    lanes: Vec<Row>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Row {
    taken: usize,
    cap: usize,
    limit: Option<Duration>,
}

struct Waiting {
    lane: usize,
    most: usize,
    granted: oneshot::Sender<Granted>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

/// What a lane that asks for seats gets.
#[derive(Debug)]
pub enum Granted {
    /// At least one seat.
    Seats(Vec<Seat>),
    /// There are none, and nobody knows when there will be: PHP cannot run at present.
    Closed,
}

/// The right to use one process. Free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    lane: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.lock();
        if let Some(row) = table.lanes.get_mut(self.lane) {
            row.taken = row.taken.saturating_sub(1);
        }
        self.seats.serve(table);
    }
}

/// One lane's place at the table.
#[derive(Debug, Clone)]
pub struct Place {
    seats: Arc<Seats>,
    lane: usize,
}

impl Place {
    /// Takes up to `most` seats; waits for the first one. Cancellation safe.
    pub async fn take(&self, most: usize) -> Granted {
        self.ask(most).await.unwrap_or(Granted::Closed)
    }

    fn ask(&self, most: usize) -> oneshot::Receiver<Granted> {
        let (granted, grant) = oneshot::channel();
        let mut table = self.seats.lock();
        table.waiting.push_back(Waiting {
            lane: self.lane,
            most: most.max(1),
            granted,
        });
        self.seats.serve(table);
        grant
    }
}

impl Seats {
    /// A place for a lane that takes at most `cap` seats and whose jobs may run for `limit`. Lanes are
    /// served in the order in which they come.
    #[must_use]
    pub fn place(self: &Arc<Self>, cap: usize, limit: Option<Duration>) -> Place {
        let mut table = self.lock();
        table.lanes.push(Row {
            taken: 0,
            cap: cap.max(1),
            limit,
        });
        Place {
            seats: Arc::clone(self),
            lane: table.lanes.len() - 1,
        }
    }

    /// Says how many seats there are, and whether waiting for one is of no use.
    pub fn set(self: &Arc<Self>, seats: usize, closed: bool) {
        let mut table = self.lock();
        table.seats = seats;
        table.closed = closed;
        self.serve(table);
    }

    /// Hands free seats to those that wait, until nobody can be served.
    fn serve(self: &Arc<Self>, mut table: MutexGuard<'_, Table>) {
        let mut unwanted = Vec::new();
        table.waiting.retain(|waiting| !waiting.granted.is_closed());
        if table.closed {
            for waiting in table.waiting.drain(..) {
                unwanted.extend(waiting.granted.send(Granted::Closed).err());
            }
        }
        while let Some(waiting) = table.next().and_then(|index| table.waiting.remove(index)) {
            let lane = waiting.lane;
            let seats = table.room(lane).min(waiting.most);
            if let Some(row) = table.lanes.get_mut(lane) {
                row.taken += seats;
            }
            let seat = || Seat {
                seats: Arc::clone(self),
                lane,
            };
            let granted = Granted::Seats(std::iter::repeat_with(seat).take(seats).collect());
            unwanted.extend(waiting.granted.send(granted).err());
        }
        // Seats that nobody took free themselves, and need the table for it.
        drop(table);
        drop(unwanted);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Who is served next: of those for whom there is room, the lane with the fewest seats.
    fn next(&self) -> Option<usize> {
        let taken = |waiting: &Waiting| self.lanes.get(waiting.lane).map_or(0, |row| row.taken);
        let waiting = self.waiting.iter().enumerate();
        waiting
            .filter(|(_, waiting)| self.room(waiting.lane) > 0)
            .min_by_key(|(_, waiting)| (taken(waiting), waiting.lane))
            .map(|(index, _)| index)
    }

    /// How many more seats a lane may take now.
    fn room(&self, lane: usize) -> usize {
        let Some(row) = self.lanes.get(lane) else { return 0 };
        let taken: usize = self.lanes.iter().map(|row| row.taken).sum();
        let free = self.seats.saturating_sub(taken);
        let own = row.cap.saturating_sub(row.taken);
        let long = if self.is_long(row) && self.seats > 1 {
            let long = self.lanes.iter().filter(|row| self.is_long(row));
            let taken: usize = long.map(|row| row.taken).sum();
            (self.seats - 1).saturating_sub(taken)
        } else {
            usize::MAX
        };
        free.min(own).min(long)
    }

    /// Whether a lane's jobs may run for longer than those of the lane with the shortest limit.
    fn is_long(&self, row: &Row) -> bool {
        let limit = |row: &Row| row.limit.unwrap_or(Duration::MAX);
        let shortest = self.lanes.iter().map(limit).min();
        shortest.is_some_and(|shortest| limit(row) > shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(granted: Granted) -> Vec<Seat> {
        match granted {
            Granted::Seats(seats) => seats,
            Granted::Closed => panic!("there are seats"),
        }
    }

    fn now<F: Future>(future: F) -> Option<F::Output> {
        futures_util::FutureExt::now_or_never(future)
    }

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn a_lane_gets_what_is_free_and_no_more() {
        let table = Arc::new(Seats::default());
        table.set(3, false);
        let (a, b) = (table.place(9, MINUTE), table.place(1, MINUTE));
        let first = seats(now(a.take(2)).unwrap());
        assert_eq!(first.len(), 2);
        assert_eq!(seats(now(b.take(5)).unwrap()).len(), 1, "its cap");
        let rest = seats(now(a.take(5)).unwrap());
        assert_eq!(rest.len(), 1, "the seat of b is free again");
        assert!(now(b.take(1)).is_none());
        drop(first);
        assert_eq!(seats(now(b.take(1)).unwrap()).len(), 1);
    }

    #[test]
    fn a_free_seat_goes_to_the_lane_with_the_fewest() {
        let table = Arc::new(Seats::default());
        table.set(2, false);
        let (high, low) = (table.place(9, MINUTE), table.place(9, MINUTE));
        let mut taken = seats(now(low.take(2)).unwrap());
        let (mut again, mut first) = (Box::pin(low.take(1)), Box::pin(high.take(1)));
        assert!(now(&mut again).is_none() && now(&mut first).is_none());
        drop(taken.pop());
        assert!(now(&mut again).is_none());
        let held = seats(now(&mut first).unwrap());
        drop(held);
        assert_eq!(seats(now(&mut again).unwrap()).len(), 1);
    }

    #[test]
    fn long_jobs_leave_one_seat_to_short_ones() {
        let table = Arc::new(Seats::default());
        table.set(3, false);
        let (short, long) = (
            table.place(9, MINUTE),
            table.place(9, Some(Duration::from_secs(600))),
        );
        let longest = table.place(9, None);
        let _imports = seats(now(long.take(1)).unwrap());
        let _endless = seats(now(longest.take(9)).unwrap());
        assert!(now(long.take(1)).is_none());
        assert_eq!(seats(now(short.take(9)).unwrap()).len(), 1);
        table.set(1, false);
        drop((_imports, _endless));
        assert_eq!(
            seats(now(long.take(1)).unwrap()).len(),
            1,
            "the only seat is for all"
        );
    }

    #[test]
    fn who_waits_for_nothing_is_told() {
        let table = Arc::new(Seats::default());
        let place = table.place(9, MINUTE);
        let mut waiting = Box::pin(place.take(1));
        assert!(now(&mut waiting).is_none());
        table.set(0, true);
        assert!(matches!(now(&mut waiting), Some(Granted::Closed)));
        assert!(matches!(now(place.take(1)), Some(Granted::Closed)));
        table.set(1, false);
        assert_eq!(seats(now(place.take(1)).unwrap()).len(), 1);
        drop(place.take(1));
        assert_eq!(seats(now(place.take(1)).unwrap()).len(), 1, "nobody holds a seat");
    }
}
