//! F31: batches and chains whose jobs are killed again and again, run in PHP by this worker, beside `queue:work`.

mod links;
mod windows;

use std::collections::BTreeMap;

use harness::DEADLINE;

use super::fleet::{Fleet, Kind};
use super::{Deed, Expect, Stage, how_many};

/// What the callbacks of a batch wrote down: `then N pending failed` and the like.
fn calls(stage: &Stage, batch: &str) -> Vec<String> {
    let text = std::fs::read_to_string(beside(stage, "calls")).unwrap_or_default();
    let all = text.lines().map(|line| line.splitn(3, ' ').collect::<Vec<_>>());
    let of_batch = all.filter(|words| words[1] == batch);
    let mut calls: Vec<_> = of_batch
        .map(|words| format!("{} {}", words[0], words[2]))
        .collect();
    calls.sort();
    calls
}

/// A file that jobs write beside the journal.
fn beside(stage: &Stage, what: &str) -> String {
    format!("{}.{what}", stage.journal().display())
}

/// Pending and failed jobs of a batch, as its row says.
fn counts(stage: &Stage, batch: &str) -> (i64, i64) {
    let count = |column: &str| {
        let sql = format!("select {column} from job_batches where name = '{batch}'");
        stage.database().number(&sql)
    };
    (count("pending_jobs"), count("failed_jobs"))
}

/// Dispatches a batch, by the application itself.
fn push_batch(fleet: &Fleet, name: &str, options: &[&str]) {
    let journal = fleet.stage.journal().display().to_string();
    let args = [&["push:batch", &journal, name][..], options].concat();
    fleet.laravel.php(&args);
}

/// The jobs that ended here, were left there by a kill, and ended again in `queue:work`, which does not know that they
/// are counted.
fn again_by_the_framework(fleet: &Fleet) -> i64 {
    let mut last = BTreeMap::new();
    let mut again = 0;
    for note in fleet.stage.notes().into_iter().filter(|note| note.event == "end") {
        let by_php = (fleet.born.get(&note.pid)).is_some_and(|born| born.kind == Kind::Php);
        if last.insert(note.uuid, by_php) == Some(false) && by_php {
            again += 1;
        }
    }
    again
}

/// Two batches, of which one has a job that fails, and some chains; kills of all kinds of processes. `queue:work` is
/// killed in the middle of a job only: what is left when that happens later, `windows` shows.
fn groups_survive(stage: Stage, beside: usize) {
    let deed = Deed::on(&stage, "F31");
    let (kills, jobs, work) = (
        how_many(5, 60),
        how_many(70, 10_000),
        how_many(120, 40).to_string(),
    );
    let mut fleet = Fleet::new(stage, "phpredis", 8).with_pool();
    let (count, sleep) = (format!("--count={jobs}"), format!("--sleep={work}"));
    push_batch(&fleet, "good", &[&count, &sleep, "--unsteady=9"]);
    push_batch(&fleet, "bad", &["--count=10", &sleep, "--fail=4"]);
    let chains = links::Chains::push(
        &fleet,
        how_many(8, 800),
        how_many(4, 10),
        &[&sleep, "--unsteady=3"],
    );
    fleet.adopt();
    fleet.start(beside, 1);
    let mut killed = 0;
    for kill in 0..kills {
        let done = match kill % 3 {
            0 if beside > 0 => fleet.kill(Kind::Php, |_| true),
            1 => fleet.kill(Kind::Ours, |_| true),
            _ => fleet.kill_child(),
        };
        killed += usize::from(done);
    }
    fleet.stage.wait_until_empty(DEADLINE * 12);
    fleet.stop();
    assert!(killed >= kills / 2, "only {killed} were killed");

    let stage = &fleet.stage;
    let again = again_by_the_framework(&fleet);
    println!("{}: {again} jobs were counted again by queue:work", stage.kind());
    assert_eq!(
        calls(stage, "good"),
        [format!("finally {jobs} 0 0"), format!("then {jobs} 0 0")]
    );
    let (pending, failures) = counts(stage, "good");
    assert!(
        (-again..=0).contains(&pending) && failures == 0,
        "{pending} pending"
    );
    let bad = calls(stage, "bad");
    assert!(bad[0].starts_with("catch 10 "), "{bad:?}");
    if again == 0 {
        assert_eq!(counts(stage, "bad"), (1, 1));
        assert_eq!(bad[1..], ["finally 10 1 1"]);
    }
    let doubled = chains.check(stage);
    println!("{}: {doubled} links were dispatched again", stage.kind());
    let failed: Vec<_> = stage.failed().into_iter().map(|row| row.uuid).collect();
    assert_eq!(failed.len(), 1);
    let tally = Expect::kills().failing(&failed).check(stage);
    deed.done(killed, &tally);
}

#[test]
fn groups_survive_in_redis() {
    groups_survive(Stage::redis(), 1);
}

/// Without `queue:work`, to which SQLite refuses a write now and then: it counts such a job again, killed or not.
#[test]
fn groups_survive_in_sqlite() {
    groups_survive(Stage::sqlite(), 0);
}

#[test]
fn groups_survive_in_mariadb() {
    groups_survive(Stage::mariadb(), 1);
}

#[test]
fn groups_survive_in_postgres() {
    groups_survive(Stage::postgres(), 1);
}
