//! F30: real `queue:work` processes and this worker on one queue, and both are killed again and again.

mod entries;
mod turns;

use std::time::Duration;

use harness::DEADLINE;

use super::fleet::{Fleet, Kind};
use super::{Deed, Expect, Stage, how_many};
use entries::Looks;

/// What both sides do with jobs that both can run, and who may do it when.
///
/// Jobs are pushed by the application, and anew by the test while processes are killed. One in four releases itself
/// once. Some fail, when nobody is killed any more: the framework deletes a job before it records its failure, and
/// one that is killed in between loses both.
fn fleet_of_two_kinds(stage: Stage, client: &str) {
    let deed = Deed::on(&stage, "F30");
    // SQLite has one writer at a time, for which PHP waits in steps.
    let (kills, jobs) = match stage.kind() {
        "sqlite" => (how_many(2, 20), how_many(120, 10_000)),
        _ => (how_many(3, 50), how_many(250, 100_000)),
    };
    let work = if jobs > 250 { 10 } else { 60 };
    let mut fleet = Fleet::new(stage, client, 5);
    fleet.push_by_application(jobs, work);
    fleet.restock = Some(work);
    fleet.start(2, 1);
    let mut looks = Looks::default();
    for kind in [Kind::Php, Kind::Ours].into_iter().cycle().take(2 * kills) {
        assert!(
            fleet.kill(kind, |fleet| looks.look(fleet, kind)),
            "there are jobs enough"
        );
    }
    let patience = DEADLINE * 6 + Duration::from_millis(60) * u32::try_from(jobs).unwrap_or(u32::MAX);
    fleet.stage.wait_until_empty(patience);
    // What SQLite may refuse PHP is the delete before the record, and then that is written twice.
    let failing = fleet.push_failing(if fleet.stage.kind() == "sqlite" { 0 } else { 12 });
    fleet.stage.wait_until_empty(DEADLINE * 3);
    fleet.stop();
    looks.end();
    turns::nobody_took_early(&fleet);
    turns::each_went_on_with_what_the_other_released(&fleet);
    let again = turns::again_though_ended(&fleet);
    let mut expect = Expect::kills().failing(&failing);
    expect.again = &again.refused | &again.unwritten;
    expect.outlasted = again.outlasted;
    let tally = expect.check(&fleet.stage);
    assert_eq!(tally.failed, failing.len());
    deed.done(2 * kills, &tally);
}

#[test]
fn both_kinds_share_redis_through_phpredis() {
    fleet_of_two_kinds(Stage::redis(), "phpredis");
}

#[test]
fn both_kinds_share_redis_through_predis() {
    fleet_of_two_kinds(Stage::redis(), "predis");
}

#[test]
fn both_kinds_share_sqlite() {
    fleet_of_two_kinds(Stage::sqlite(), "phpredis");
}

#[test]
fn both_kinds_share_mariadb() {
    fleet_of_two_kinds(Stage::mariadb(), "phpredis");
}

#[test]
fn both_kinds_share_postgres() {
    fleet_of_two_kinds(Stage::postgres(), "phpredis");
}
