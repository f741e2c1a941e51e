//! Who may use how many of the processes that run PHP jobs.
//!
//! Lanes share the processes of a pool. A lane takes seats before it reserves, so that it reserves no more
//! jobs than processes are free for, and gives back those for which it found no PHP job. Three rules keep
//! one lane from starving another: a free seat goes to the waiting lane that has the fewest, the earlier one
//! among equals; lanes with a longer time limit than the shortest together leave one process to the others;
//! and a lane may have a cap of its own.
//!
//! While jobs are so short that asking the store for the next one takes longer than running it, there are a
//! few more seats than processes: those are about to be free. They are taken several at a time, and never by
//! a lane with a longer limit than others. Those who have one stand in line, so that the jobs of a lane begin
//! in the order in which they were reserved.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

/// How long a job with a seat waits for its process, which is free or about to be.
pub const TURN: Duration = Duration::from_millis(100);

/// The seats of one pool.
#[derive(Debug, Default)]
pub struct Seats(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    processes: usize,
    ahead: usize,
    closed: bool,
    lanes: Vec<Row>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Row {
    taken: usize,
    cap: usize,
    limit: Option<Duration>,
    /// The seats whose jobs have not begun, the earliest first.
    line: VecDeque<Arc<Notify>>,
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
    first: Arc<Notify>,
}

impl Seat {
    /// Returns when all jobs of the lane with an earlier seat have begun, or gone. To be waited for once.
    pub async fn turn(&self) {
        self.first.notified().await;
    }

    /// Says that the job has its process: the next in line may look for one.
    pub fn begun(&self) {
        let mut table = self.seats.lock();
        if let Some(row) = table.lanes.get_mut(self.lane) {
            row.leave(&self.first);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.lock();
        if let Some(row) = table.lanes.get_mut(self.lane) {
            row.taken = row.taken.saturating_sub(1);
            row.leave(&self.first);
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
            line: VecDeque::new(),
        });
        Place {
            seats: Arc::clone(self),
            lane: table.lanes.len() - 1,
        }
    }

    /// Says how many processes there are, for how many jobs more there are seats, and whether waiting for one
    /// is of no use.
    pub fn set(self: &Arc<Self>, processes: usize, ahead: usize, closed: bool) {
        let mut table = self.lock();
        table.processes = processes;
        table.ahead = if processes > 0 { ahead } else { 0 };
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
            let Some(row) = table.lanes.get_mut(lane) else {
                break;
            };
            let seat = |first| Seat {
                seats: Arc::clone(self),
                lane,
                first,
            };
            let granted = Granted::Seats(row.enter(seats).map(seat).collect());
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

impl Row {
    /// Puts so many at the end of the line.
    fn enter(&mut self, seats: usize) -> impl Iterator<Item = Arc<Notify>> + use<> {
        self.taken += seats;
        let nobody_before = self.line.is_empty();
        let new: Vec<Arc<Notify>> = std::iter::repeat_with(Arc::default).take(seats).collect();
        self.line.extend(new.iter().cloned());
        if nobody_before {
            self.call_first();
        }
        new.into_iter()
    }

    /// Takes one out of the line, if it still stands there.
    fn leave(&mut self, who: &Arc<Notify>) {
        if let Some(place) = self.line.iter().position(|other| Arc::ptr_eq(other, who)) {
            self.line.remove(place);
            if place == 0 {
                self.call_first();
            }
        }
    }

    fn call_first(&self) {
        if let Some(first) = self.line.front() {
            first.notify_one();
        }
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
        let ahead = if self.is_long(row) { 0 } else { self.ahead };
        let free = (self.processes + ahead).saturating_sub(taken);
        if free < ahead.div_ceil(2) {
            // All processes have work, and some more waits for them.
            return 0;
        }
        let own = row.cap.saturating_sub(row.taken);
        let long = if self.is_long(row) && self.processes > 1 {
            let long = self.lanes.iter().filter(|row| self.is_long(row));
            let taken: usize = long.map(|row| row.taken).sum();
            (self.processes - 1).saturating_sub(taken)
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
        table.set(3, 0, false);
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
        table.set(2, 0, false);
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
        table.set(3, 0, false);
        let (short, long) = (
            table.place(9, MINUTE),
            table.place(9, Some(Duration::from_secs(600))),
        );
        let longest = table.place(9, None);
        let _imports = seats(now(long.take(1)).unwrap());
        let _endless = seats(now(longest.take(9)).unwrap());
        assert!(now(long.take(1)).is_none());
        assert_eq!(seats(now(short.take(9)).unwrap()).len(), 1);
        table.set(1, 0, false);
        drop((_imports, _endless));
        assert_eq!(
            seats(now(long.take(1)).unwrap()).len(),
            1,
            "the only seat is for all"
        );
    }

    #[test]
    fn seats_ahead_are_taken_several_at_a_time() {
        let table = Arc::new(Seats::default());
        table.set(1, 4, false);
        let lane = table.place(9, MINUTE);
        let mut taken = seats(now(lane.take(9)).unwrap());
        assert_eq!(taken.len(), 5);
        let mut more = Box::pin(lane.take(9));
        drop(taken.pop());
        assert!(now(&mut more).is_none(), "one free seat is not worth a question");
        drop(taken.pop());
        assert_eq!(seats(now(&mut more).unwrap()).len(), 2);
        let long = table.place(9, Some(Duration::from_secs(600)));
        drop(taken);
        for processes in [1, 2] {
            table.set(processes, 4, false);
            let one = seats(now(long.take(9)).unwrap());
            assert_eq!(one.len(), 1, "long jobs are not taken ahead");
        }
    }

    #[test]
    fn jobs_begin_in_the_order_of_their_seats() {
        let table = Arc::new(Seats::default());
        table.set(1, 4, false);
        let (lane, other) = (table.place(4, MINUTE), table.place(9, MINUTE));
        let mut line = seats(now(lane.take(9)).unwrap());
        let mut turns: Vec<_> = line.iter().map(|seat| now(seat.turn()).is_some()).collect();
        assert_eq!(turns, [true, false, false, false]);
        line[0].begun();
        drop(line.remove(2));
        turns = line.iter().map(|seat| now(seat.turn()).is_some()).collect();
        assert_eq!(turns, [false, true, false], "each is called once");
        drop(line.remove(1));
        assert!(now(line[1].turn()).is_some());
        drop(line);
        let own = seats(now(other.take(1)).unwrap());
        assert!(now(own[0].turn()).is_some(), "each lane has its line");
    }

    #[test]
    fn who_waits_for_nothing_is_told() {
        let table = Arc::new(Seats::default());
        let place = table.place(9, MINUTE);
        let mut waiting = Box::pin(place.take(1));
        assert!(now(&mut waiting).is_none());
        table.set(0, 0, true);
        assert!(matches!(now(&mut waiting), Some(Granted::Closed)));
        assert!(matches!(now(place.take(1)), Some(Granted::Closed)));
        table.set(1, 0, false);
        assert_eq!(seats(now(place.take(1)).unwrap()).len(), 1);
        drop(place.take(1));
        assert_eq!(seats(now(place.take(1)).unwrap()).len(), 1, "nobody holds a seat");
    }
}
