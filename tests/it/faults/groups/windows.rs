//! F31: a process is killed when a job has been counted in its batch, or has dispatched the next of its chain, and is
//! still there. What the framework's own worker leaves then, and what this one does.

use harness::{DEADLINE, wait_until};
use worker::failpoint::SETTLING;

use super::links::Chains;
use super::{calls, counts, push_batch};
use crate::faults::fleet::Fleet;
use crate::faults::{Deed, Expect, Stage};

/// A batch of three whose second job is killed when it was counted, a batch of one with the same, and a chain of two
/// whose first link is killed when it has dispatched the second.
fn push_groups(fleet: &mut Fleet) -> Chains {
    push_batch(fleet, "three", &["--count=3", "--die=1"]);
    push_batch(fleet, "one", &["--count=1", "--die=0"]);
    let chain = Chains::push(fleet, 1, 2, &["--die=0"]);
    fleet.adopt();
    chain
}

/// The framework counts such a job twice: a batch has fewer jobs to come than none. Its callbacks are called when the
/// count passes 0, which is too early, or never, when the kill came in between. The next link is dispatched twice.
#[test]
fn the_framework_counts_twice_what_is_killed_after_its_count() {
    let mut fleet = Fleet::new(Stage::redis(), "phpredis", 3);
    let chain = push_groups(&mut fleet);
    while fleet.stage.depth() > 0 {
        let mut php = fleet
            .laravel
            .work(&["--queue=default", "--sleep=0.1", "--tries=5"]);
        wait_until(DEADLINE * 3, || php.ended().is_some() || fleet.stage.depth() == 0);
        php.kill();
    }
    assert_eq!(counts(&fleet.stage, "three"), (-1, 0));
    assert_eq!(calls(&fleet.stage, "three"), ["finally 3 0 0", "then 3 0 0"]);
    assert_eq!(counts(&fleet.stage, "one"), (-1, 0));
    assert!(calls(&fleet.stage, "one").is_empty(), "nobody is told of its end");
    assert_eq!(chain.check(&fleet.stage), 1);
}

/// Here the count is noted with the job: once, with its callbacks. The next link is dispatched twice here, too.
fn a_job_is_counted_once(stage: Stage) {
    let deed = Deed::on(&stage, "F31");
    let mut fleet = Fleet::new(stage, "phpredis", 3).with_pool();
    let chain = push_groups(&mut fleet);
    fleet.start(0, 1);
    fleet.stage.wait_until_empty(DEADLINE * 6);
    fleet.stop();
    assert_eq!(chain.check(&fleet.stage), 1);

    // Now the worker is killed with all its processes, when the job is done and its verdict not written.
    push_batch(&fleet, "late", &["--count=1"]);
    fleet.adopt();
    let worker = fleet.stage.worker(&["run", "--queue=default"]);
    let mut worker = (worker.envs(fleet.laravel.environment()))
        .env("FAILPOINTS", format!("{SETTLING}=return"))
        .spawn();
    fleet.stage.wait_for_death(&mut worker);
    let late = fleet.stage.notes().pop().expect("the job has run");
    fleet.start(0, 1);
    fleet.stage.wait_until_empty(DEADLINE * 6);
    fleet.stop();

    for (batch, jobs) in [("three", 3), ("one", 1), ("late", 1)] {
        assert_eq!(counts(&fleet.stage, batch), (0, 0), "{batch}");
        let once = [format!("finally {jobs} 0 0"), format!("then {jobs} 0 0")];
        assert_eq!(calls(&fleet.stage, batch), once, "{batch}");
    }
    let mut expect = Expect::kills();
    expect.again.insert(late.uuid);
    let tally = expect.check(&fleet.stage);
    assert_eq!(tally.doubled, 4, "each killed job ran again: {tally:?}");
    deed.done(4, &tally);
}

#[test]
fn a_job_is_counted_once_beside_redis() {
    a_job_is_counted_once(Stage::redis());
}

#[test]
fn a_job_is_counted_once_in_sqlite() {
    a_job_is_counted_once(Stage::sqlite());
}

#[test]
fn a_job_is_counted_once_in_mariadb() {
    a_job_is_counted_once(Stage::mariadb());
}

#[test]
fn a_job_is_counted_once_in_postgres() {
    a_job_is_counted_once(Stage::postgres());
}
