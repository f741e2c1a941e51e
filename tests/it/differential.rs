//! What the framework's own worker leaves of every scenario is what the table says: queue, failed jobs,
//! batches, locks, cache, events and what handlers saw.

mod entries;
mod normal;
mod scenario;
mod side;
mod snapshot;
mod table;

use scenario::{Flags, Store};
use side::Side;
use table::scenarios;

use crate::laravel::site::Site;

/// Every scenario ends as the table says. The groups run at once, each in an installation of its own.
fn artisan_leaves_what_is_known(store: Store, site: fn() -> Site) {
    let scenarios = &scenarios();
    let left = std::thread::scope(|scope| {
        let groups = Flags::ALL.map(|flags| scope.spawn(move || Side::new(site(), flags).run(scenarios)));
        groups.map(|group| group.join().expect("a group comes to its end"))
    });
    let mut wrong = Vec::new();
    for scenario in scenarios {
        let left = left.iter().find_map(|left| left.scenarios.get(scenario.name));
        let left = left.expect("every scenario is in a group");
        for (round, (left, known)) in left.iter().zip(scenario.theirs(store)).enumerate() {
            if left.outcome != *known {
                wrong.push(format!(
                    "{}, round {}: {known:?} is known, {:?} was left\n    {}",
                    scenario.name,
                    round + 1,
                    left.outcome,
                    left.lines.join("\n    ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn artisan_leaves_what_is_known_in_redis() {
    artisan_leaves_what_is_known(Store::Redis, Site::redis);
}

#[test]
fn artisan_leaves_what_is_known_in_sqlite() {
    artisan_leaves_what_is_known(Store::Sql, Site::sqlite);
}
