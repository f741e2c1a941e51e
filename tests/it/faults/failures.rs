//! F17: failures that cannot be recorded, because their table is missing, read-only or full, or because it
//! takes all but a few of them.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Running, Signal, Stream, poll, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_store};
use crate::site::Job;

/// A lease in seconds that would end several times while failures cannot be recorded.
const LEASE: &str = "3";
/// How soon the work goes on once the table takes failures again.
const SOON: Duration = Duration::from_secs(10);

/// What is said when failures are refused, and when they are no longer.
const REFUSED: (&str, &str) = (
    "the jobs stay reserved until this is mended",
    "The store of failed jobs works again after ",
);
/// The same when the database is full.
const FULL: (&str, &str) = (
    "Failed to write failures, trying again until it works",
    "The store works again after ",
);

/// A job that fails for good, marked in its payload.
fn bad(stage: &Stage, mark: &str) -> Job {
    stage
        .job(1)
        .with("maxTries", 1)
        .set("panic", true)
        .with("tags", vec![mark])
}

/// How many lines of a worker's log contain a text.
fn said(worker: &Running, text: &str) -> usize {
    let lines = worker.lines_of(Stream::Err).into_iter();
    lines.filter(|line| line.contains(text)).count()
}

/// Makes the table refuse the failures whose payload holds `mark`, with an error of this kind.
fn refuse(stage: &Stage, mark: &str, why: Why) {
    let error = match (stage.database().kind(), why) {
        ("sqlite", _) => "select raise(abort, 'refused on purpose')".to_owned(),
        ("mariadb", Why::Refused) => {
            "signal sqlstate '45000' set message_text = 'refused on purpose'".to_owned()
        }
        ("mariadb", Why::Full) => "signal sqlstate 'HY000' set mysql_errno = 1114".to_owned(),
        (_, Why::Refused) => "raise exception 'refused on purpose'".to_owned(),
        (_, Why::Full) => "raise exception 'full on purpose' using errcode = '53100'".to_owned(),
    };
    let condition = format!("new.payload like '%{mark}%'");
    let sql = match stage.database().kind() {
        "sqlite" => {
            format!("create trigger trouble before insert on failed_jobs when {condition} begin {error}; end")
        }
        "mariadb" => format!(
            "create trigger trouble before insert on failed_jobs for each row begin if {condition} then {error}; end if; end"
        ),
        _ => format!(
            "create function trouble() returns trigger language plpgsql as \
             $$begin if {condition} then {error}; end if; return new; end$$; \
             create trigger trouble before insert on failed_jobs for each row execute function trouble()"
        ),
    };
    stage.database().execute(&sql);
}

/// Takes that back.
fn allow(stage: &Stage) {
    stage.database().execute(match stage.database().kind() {
        "pgsql" => "drop trigger trouble on failed_jobs",
        _ => "drop trigger trouble",
    });
}

/// What the table says to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It does not take this one.
    Refused,
    /// It takes none at the moment.
    Full,
}

/// Runs one good job after the other on the queues of failing ones, for longer than two leases: none waits,
/// and no failing job runs again.
fn others_go_on(stage: &Stage, failing: usize) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        for queue in ["default", "other"] {
            let uuid = stage.push(queue, &[stage.job(1)]).remove(0);
            let ended = || {
                stage
                    .notes()
                    .iter()
                    .any(|note| note.event == "end" && note.uuid == uuid)
            };
            assert!(poll(SOON, || ended().then_some(())).is_some(), "a good job waits");
        }
    }
    assert_eq!(
        stage.noted("start"),
        stage.noted("end") + failing,
        "no failing job ran again"
    );
    // The last good ones may have ended only just now.
    let reserved = || stage.lying().iter().filter(|job| job.reserved).count();
    wait_until(SOON, || reserved() <= failing);
}

/// A worker with few slots, on the queue with the failing jobs and on another one.
fn worker(stage: &Stage) -> Running {
    if stage.kind() == "postgres" {
        // Else it would look for jobs now and then only, since most of the time there are none.
        stage.worker(&["migrate", "--notify"]).run_to_end().success();
    }
    let args = [
        "run",
        "--queue",
        "default",
        "--queue",
        "other",
        "--concurrency",
        "5",
    ];
    crate::site::started(stage.worker(&args).env("WORKER_LEASE", LEASE).spawn())
}

/// All failures have to wait until the table is mended. Which store is named in the lines about it depends on
/// what the database says.
fn none_can_be_recorded(stage: &Stage, (begun, over): (&str, &str), make: impl Fn(), mend: impl Fn()) {
    let deed = Deed::on(stage, "F17");
    let failing = how_many(80, 800);
    let mut worker = worker(stage);
    make();
    let bad = stage.push("default", &bad(stage, "bad").times(failing));
    worker.wait_for_line(begun, DEADLINE);
    wait_until(DEADLINE, || stage.noted("failed") == failing);
    others_go_on(stage, failing);
    assert_eq!(stage.depth(), failing, "each is still there");
    mend();
    stage.wait_until_empty(SOON);
    worker.wait_for_line(over, DEADLINE);
    assert_eq!((said(&worker, begun), said(&worker, over)), (1, 1));
    // Each job that failed is a line of its own.
    let others = said(&worker, "ERROR") + said(&worker, "WARN") - said(&worker, "for good after attempt 1");
    assert_eq!(others, 2, "nothing else is said");
    stage.stop(worker);
    let tally = Expect::default().failing(&bad).check(stage);
    assert_eq!((tally.failed, tally.doubled), (failing, 0));
    deed.done(failing, &tally);
}

on_every_store! {
    fn a_missing_table(stage: &Stage) {
        none_can_be_recorded(
            stage,
            REFUSED,
            || stage.database().execute("drop table failed_jobs"),
            || {
                stage.worker(&["migrate"]).run_to_end().success();
            },
        );
    }

    fn a_table_that_takes_none(stage: &Stage) {
        none_can_be_recorded(stage, REFUSED, || refuse(stage, "bad", Why::Refused), || allow(stage));
    }

    /// A few failures in between can never be recorded: all others are, at once, then and later.
    fn failures_that_are_never_taken(stage: &Stage) {
        let deed = Deed::on(stage, "F17");
        let (never, others) = (how_many(3, 40), how_many(60, 1000));
        refuse(stage, "never", Why::Refused);
        let mut jobs = bad(stage, "never").times(never);
        jobs.extend(bad(stage, "bad").times(others));
        let mut failing = stage.push("default", &jobs);
        let mut worker = worker(stage);
        let recorded = || stage.failed().len();
        wait_until(SOON, || recorded() == others);
        worker.wait_for_line("the jobs stay reserved until this is mended", DEADLINE);
        others_go_on(stage, never + others);
        for more in 1..=5 {
            failing.extend(stage.push("default", &[bad(stage, "bad")]));
            wait_until(DEADLINE, || stage.noted("failed") == never + others + more);
            let began = Instant::now();
            wait_until(SOON, || recorded() == others + more);
            assert!(began.elapsed() < Duration::from_secs(2), "recorded at once");
        }
        assert_eq!(stage.lying().len(), never);
        allow(stage);
        stage.wait_until_empty(SOON);
        worker.wait_for_line("The store of failed jobs works again after ", DEADLINE);
        assert_eq!(said(&worker, "the jobs stay reserved until this is mended"), 1);
        assert_eq!(said(&worker, "works again"), 1);
        stage.stop(worker);
        let tally = Expect::default().failing(&failing).check(stage);
        assert_eq!((tally.failed, tally.doubled), (never + others + 5, 0));
        deed.done(never, &tally);
    }
}

/// The disk of the database is full, as it says: that is no refusal, and may pass.
fn a_full_table(stage: &Stage) {
    none_can_be_recorded(stage, FULL, || refuse(stage, "bad", Why::Full), || allow(stage));
}

#[test]
fn a_full_table_on_mariadb() {
    a_full_table(&Stage::mariadb());
}

#[test]
fn a_full_table_on_postgres() {
    a_full_table(&Stage::postgres());
}

/// A stop does not wait for ever for what cannot be written, and says how much that was; the job comes back.
fn a_stop_leaves_what_is_never_taken(stage: &Stage) {
    let deed = Deed::on(stage, "F17");
    refuse(stage, "never", Why::Refused);
    let never = stage.push("default", &[bad(stage, "never")]);
    let mut first = worker(stage);
    first.wait_for_line("the jobs stay reserved until this is mended", DEADLINE);
    stage.push("default", &[stage.job(1)]);
    wait_until(DEADLINE, || stage.noted("end") == 1);
    first.signal(Signal::Term);
    first.wait_for_line("Draining", DEADLINE);
    first.signal(Signal::Term);
    assert_eq!(first.wait_exit(DEADLINE), 1);
    assert_eq!(said(&first, "1 jobs could not be settled"), 1);
    allow(stage);
    let second = worker(stage);
    stage.wait_until_empty(SOON);
    stage.stop(second);
    let tally = Expect::default().failing(&never).check(stage);
    assert_eq!((tally.done, tally.failed), (1, 1));
    deed.done(1, &tally);
}

#[test]
fn a_stop_on_redis() {
    a_stop_leaves_what_is_never_taken(&Stage::redis());
}

#[test]
fn a_stop_on_sqlite() {
    a_stop_leaves_what_is_never_taken(&Stage::sqlite());
}
