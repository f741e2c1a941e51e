//! What the journal tells of who ran what when: nobody took what another still held.

use std::collections::{BTreeMap, BTreeSet};

use crate::faults::fleet::{Fleet, Kind, SLOTS};
use crate::faults::stage::Note;

/// A run of a job, as far as the journal tells.
struct Turn {
    pid: u32,
    start: u64,
    /// It was reserved at this time at the earliest, in milliseconds.
    reserved: u64,
    /// It was certainly held until this time: its reservation was not renewed later.
    lapses: u64,
    /// `end` or `released`, when it came so far, and when.
    last: Option<(String, u64)>,
}

impl Turn {
    fn ended_as(&self, event: &str) -> bool {
        self.last.as_ref().is_some_and(|(last, _)| last == event)
    }
}

/// The runs of every job in order.
fn turns(fleet: &Fleet) -> BTreeMap<String, Vec<Turn>> {
    let mut turns: BTreeMap<String, Vec<Turn>> = BTreeMap::new();
    let mut ends: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut starts: BTreeMap<u32, usize> = BTreeMap::new();
    for Note {
        event, uuid, pid, at, ..
    } in fleet.stage.notes()
    {
        let of_job = turns.entry(uuid).or_default();
        if event == "start" {
            let begun = starts.entry(pid).or_default();
            // Before it reserved this one, its hands were empty (PHP), or had let go of all but what they can
            // hold (ours, which may begin in another order).
            let ended_before = match fleet.kind(pid) {
                Kind::Php => ends.get(&pid).and_then(|ends| ends.last()),
                Kind::Ours => (*begun)
                    .checked_sub(2 * SLOTS)
                    .and_then(|n| ends.get(&pid).and_then(|ends| ends.get(n))),
            };
            *begun += 1;
            let reserved = ended_before.copied().unwrap_or(fleet.born[&pid].at);
            of_job.push(Turn {
                pid,
                start: at,
                reserved,
                // PHP, and a table, count in whole seconds.
                lapses: reserved / 1000 * 1000 + fleet.hold * 1000,
                last: None,
            });
        } else if ["end", "released"].contains(&event.as_str()) {
            ends.entry(pid).or_default().push(at);
            let turn = of_job.iter_mut().rev().find(|turn| turn.pid == pid);
            turn.expect("what ends has begun").last = Some((event, at));
        }
    }
    turns
}

/// Each run of a job with the next one.
fn pairs(turns: &[Turn]) -> impl Iterator<Item = (&Turn, &Turn)> {
    turns.iter().zip(turns.iter().skip(1))
}

/// Whoever was killed: its job was taken up again when its reservation had lapsed, and not earlier.
pub(super) fn nobody_took_early(fleet: &Fleet) {
    let mut taken_over = BTreeMap::new();
    for (uuid, turns) in turns(fleet) {
        for (turn, next) in pairs(&turns).filter(|(turn, _)| !turn.ended_as("released")) {
            let (from, by) = (fleet.kind(turn.pid), fleet.kind(next.pid));
            assert!(
                next.start >= turn.lapses,
                "{uuid}, held by {from:?} from {} or later, was taken by {by:?} at {}",
                turn.reserved,
                next.start
            );
            *taken_over
                .entry((from == Kind::Php, by == Kind::Php))
                .or_insert(0) += 1;
        }
    }
    let kind = fleet.stage.kind();
    println!("{kind}: taken over after a lapse, by whether (from, by) was PHP: {taken_over:?}");
    let from = |php: bool| taken_over.keys().any(|(from, _)| *from == php);
    assert!(
        from(true) && from(false),
        "each has left something behind: {taken_over:?}"
    );
}

/// A job that one side has released is run by the other.
pub(super) fn each_went_on_with_what_the_other_released(fleet: &Fleet) {
    let mut seen = Vec::new();
    for turns in turns(fleet).values() {
        let released = pairs(turns).filter(|(turn, _)| turn.ended_as("released"));
        seen.extend(released.map(|(turn, next)| (fleet.kind(turn.pid), fleet.kind(next.pid))));
    }
    for pair in [(Kind::Php, Kind::Ours), (Kind::Ours, Kind::Php)] {
        assert!(
            seen.contains(&pair),
            "{pair:?} is not among {} releases",
            seen.len()
        );
    }
}

/// The jobs that ran again, for reasons of PHP and SQLite, although their runs ended well.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// PHP could not delete it: SQLite refuses the write of a transaction that began with a read when someone
    /// else writes meanwhile, as it does between two PHP workers.
    pub(super) refused: BTreeSet<String>,
    /// Its worker was killed while it waited for SQLite's one writer, to write that it was done.
    pub(super) unwritten: BTreeSet<String>,
    /// PHP, which does not renew, had it for longer than `retry_after`: it got no time on the machine.
    pub(super) outlasted: BTreeSet<String>,
}

/// What ran again although its run had ended.
pub(super) fn again_though_ended(fleet: &Fleet) -> Again {
    let mut again = Again::default();
    let (dead, is_sqlite) = (fleet.dead(), fleet.stage.kind() == "sqlite");
    for (uuid, turns) in turns(fleet) {
        for (turn, _) in pairs(&turns).filter(|(turn, _)| turn.ended_as("end")) {
            if dead.contains(&turn.pid) {
                let left = is_sqlite.then(|| uuid.clone());
                again.unwritten.extend(left);
                continue;
            }
            if fleet.kind(turn.pid) == Kind::Ours {
                continue;
            }
            let outlasted = turn.last.as_ref().is_some_and(|(_, at)| *at >= turn.lapses);
            let set = match outlasted {
                true => &mut again.outlasted,
                false => &mut again.refused,
            };
            set.insert(uuid.clone());
        }
    }
    let refused = refusals(fleet);
    assert!(
        again.refused.len() <= refused,
        "{refused} refused: {:?}",
        again.refused
    );
    if !again.outlasted.is_empty() {
        println!(
            "{}: PHP held for too long: {:?}",
            fleet.stage.kind(),
            again.outlasted
        );
    }
    again
}

/// How often SQLite refused PHP something; any other error is none that may be.
fn refusals(fleet: &Fleet) -> usize {
    let mut refused = 0;
    let log = fleet.laravel.log();
    for line in log.lines().filter(|line| line.contains("local.ERROR")) {
        let is_locked = line.contains("General error: 5 database is locked");
        refused += usize::from(is_locked);
        let is_known = is_locked && fleet.stage.kind() == "sqlite" || line.contains("fails on purpose");
        assert!(is_known, "{line}");
    }
    refused
}
