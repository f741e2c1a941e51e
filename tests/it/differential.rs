//! The framework's own worker and this worker do the same: every scenario is run once by each of them, on
//! equal installations, and what they left is compared: queue, failed jobs, batches, locks, cache, events and
//! what handlers saw.

mod compare;
mod differences;
mod entries;
mod normal;
mod scenario;
mod side;
mod snapshot;
mod table;

use compare::{complaints, difference};
use scenario::{Flags, Store};
use side::{Side, Who};
use table::scenarios;

use crate::laravel::site::Site;

/// Every scenario ends on both sides as the table says, and leaves the same, but for what a line of
/// docs/compatibility.md says. All groups run at once on both sides, each in an installation of its own.
fn both_workers_leave_the_same(store: Store, site: fn() -> Site) {
    let scenarios = &scenarios();
    let left = std::thread::scope(|scope| {
        let start = |who, flags| scope.spawn(move || Side::new(site(), who, flags).run(scenarios));
        let started = Flags::ALL.map(|flags| [Who::Artisan, Who::Worker].map(|who| start(who, flags)));
        started.map(|sides| sides.map(|side| side.join().expect("a side comes to its end")))
    });
    let mut found = Vec::new();
    for (flags, [theirs, ours]) in Flags::ALL.into_iter().zip(&left) {
        for scenario in scenarios.iter().filter(|scenario| scenario.flags == flags) {
            let [theirs, ours] = [theirs, ours].map(|left| &left.scenarios[scenario.name]);
            found.extend(complaints(scenario, store, theirs, ours));
        }
        let rest = difference(&theirs.rest, &ours.rest);
        if !rest.is_empty() {
            found.push(format!("{flags:?}, keys of the cache:\n  {}", rest.join("\n  ")));
        }
    }
    assert!(
        found.is_empty(),
        "{} complaints\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn both_workers_leave_the_same_in_redis_through_phpredis() {
    both_workers_leave_the_same(Store::Redis, || Site::redis().env("REDIS_CLIENT", "phpredis"));
}

#[test]
fn both_workers_leave_the_same_in_redis_through_predis() {
    both_workers_leave_the_same(Store::Redis, || Site::redis().env("REDIS_CLIENT", "predis"));
}

#[test]
fn both_workers_leave_the_same_in_sqlite() {
    both_workers_leave_the_same(Store::Sql, Site::sqlite);
}

/// What differs is what the document says.
#[test]
fn every_difference_stands_in_the_document() {
    let document = include_str!("../../docs/compatibility.md");
    assert!(document.contains(differences::EARLIER));
    for scenario in scenarios() {
        if let Some(difference) = scenario.difference {
            let because = difference.because;
            assert!(document.contains(because), "{}: {because}", scenario.name);
        }
    }
}
