//! F13: PostgreSQL ends all sessions, is restarted, or loses the connection that listens without a word.

use std::time::{Duration, Instant};

use harness::{DEADLINE, PostgresServer, Running, poll, wait_until};

use super::stage::now_ms;
use super::{Deed, Expect, Stage, how_many};

/// A lease in seconds that ends while the test waits.
const LEASE: &str = "3";
/// Looking for jobs by itself takes the worker this many seconds, so that it is heard when it listens.
const SLEEP: &str = "30";
/// How soon the work goes on.
const SOON: Duration = Duration::from_secs(10);
/// The longest time from push to start while new jobs are announced, in milliseconds.
const NOTIFIED: u64 = 1000;

/// A table that announces new jobs, and a worker that listens.
fn listening(stage: &Stage) -> Running {
    stage.worker(&["migrate", "--notify"]).run_to_end().success();
    let args = ["run", "--queue", "default", "--concurrency", "10"];
    let worker = stage
        .worker(&args)
        .env("WORKER_LEASE", LEASE)
        .env("WORKER_SLEEP", SLEEP)
        .env("RUST_LOG", "info,worker::store=debug");
    let worker = crate::site::started(worker.spawn());
    wait_until(DEADLINE, || listeners(stage) == 1);
    worker
}

/// Sessions of the worker that listen, as the server sees them by the last thing they said.
fn listeners(stage: &Stage) -> i64 {
    stage.database().number(
        "select count(*) from pg_stat_activity where datname = current_database() \
         and application_name = 'worker' and query ilike '%listen%' and pid <> pg_backend_pid()",
    )
}

/// Milliseconds from push to start, for jobs that come one by one to a worker that has nothing else to do.
fn pick_up(stage: &Stage, jobs: usize) -> Vec<u64> {
    let pushed = |_| {
        let at = now_ms();
        let uuid = stage.push("default", &[stage.job(0)]).remove(0);
        let start = || {
            stage
                .notes()
                .into_iter()
                .find(|note| note.event == "start" && note.uuid == uuid)
        };
        let start = poll(DEADLINE, start).expect("it is taken");
        // Idle again, with its verdict written.
        stage.wait_until_empty(DEADLINE);
        start.at.saturating_sub(at)
    };
    let mut took: Vec<u64> = (0..jobs).map(pushed).collect();
    took.sort_unstable();
    took
}

/// Waits until jobs are picked up as soon as they are announced, and holds that they go on to be.
fn assert_notified_again(stage: &Stage) {
    let began = Instant::now();
    wait_until(SOON, || pick_up(stage, 1)[0] < NOTIFIED);
    let took = pick_up(stage, how_many(20, 200));
    let (median, most) = (took[took.len() / 2], took[took.len() * 9 / 10 - 1]);
    println!(
        "picked up after {median} ms, nine of ten after {most} ms, {:?} after the fault",
        began.elapsed()
    );
    // Looking for it would take one of them seconds at least; a busy machine delays a few.
    assert!(most < NOTIFIED, "{took:?}");
}

/// Jobs that may lose an attempt to a reservation whose answer was lost.
fn push_some(stage: &Stage, jobs: usize) {
    stage.push("default", &stage.job(2).with("maxTries", 20).times(jobs));
}

/// How long it takes from now until another job has ended.
fn resumed_after(stage: &Stage) -> Duration {
    let began = Instant::now();
    let before = stage.noted("end").min(stage.pushed().len() - 1);
    wait_until(SOON, || stage.noted("end") > before);
    began.elapsed()
}

fn expect() -> Expect {
    Expect {
        attempts_without_run: true,
        ..Expect::default()
    }
}

#[test]
fn sessions_that_are_ended() {
    let stage = Stage::postgres();
    let deed = Deed::on(&stage, "F13");
    let worker = listening(&stage);
    let (rounds, mut ended, mut longest) = (how_many(5, 100), 0, Duration::ZERO);
    for _ in 0..rounds {
        push_some(&stage, 300);
        let before = stage.noted("end");
        wait_until(SOON, || stage.noted("end") > before + 20);
        let sessions = stage.database().number(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity \
             where datname = current_database() and application_name = 'worker' and pid <> pg_backend_pid()",
        );
        ended += usize::try_from(sessions).expect("a count");
        longest = longest.max(resumed_after(&stage));
        stage.wait_until_empty(SOON);
    }
    println!("{ended} sessions ended, gone on after {longest:?} at most");
    assert!(ended >= rounds * 2, "{ended}");
    assert_notified_again(&stage);
    stage.stop(worker);
    deed.done(ended, &expect().check(&stage));
}

#[test]
fn a_restart() {
    let mut server = PostgresServer::start(&["synchronous_commit=on"]);
    let stage = Stage::on_postgres(server.database());
    let deed = Deed::on(&stage, "F13");
    let worker = listening(&stage);
    let restarts = how_many(2, 10);
    for restart in 0..restarts {
        push_some(&stage, 400);
        let before = stage.noted("end");
        wait_until(SOON, || stage.noted("end") > before + 20);
        // As an operator does it, and as a crash.
        if restart % 2 == 0 {
            server.stop();
        } else {
            server.kill();
        }
        server.restart();
        println!("gone on {:?} after it was back", resumed_after(&stage));
        stage.wait_until_empty(SOON);
    }
    assert_notified_again(&stage);
    stage.stop(worker);
    deed.done(restarts, &expect().check(&stage));
}

#[test]
fn a_listener_that_is_dropped_silently() {
    let stage = Stage::postgres().behind_network();
    let deed = Deed::on(&stage, "F13");
    let worker = listening(&stage);
    let drops = how_many(1, 10);
    for _ in 0..drops {
        // No end of a connection is seen by anyone: all but new ones are dead.
        stage.network().abandon();
        push_some(&stage, 20);
        println!("gone on after {:?}", resumed_after(&stage));
        stage.wait_until_empty(SOON);
        assert_notified_again(&stage);
    }
    stage.stop(worker);
    deed.done(drops, &expect().check(&stage));
}
