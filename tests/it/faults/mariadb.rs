//! F15: MariaDB says deadlock and lock wait, kills connections, closes those that rest, is restarted, and
//! serves many workers at once.

use std::time::{Duration, Instant};

use harness::{DEADLINE, MariadbServer, Running, Stream, wait_until};

use super::{Deed, Expect, Stage, how_many};

/// A lease in seconds that ends while the test waits.
const LEASE: &str = "3";
/// How soon the work goes on.
const SOON: Duration = Duration::from_secs(10);
/// Of so many touched rows one meets an error.
const EVERY: usize = 61;

/// What a worker says that someone must act upon.
fn errors(worker: &Running) -> Vec<String> {
    let mut lines = worker.lines_of(Stream::Err);
    lines.retain(|line| line.contains("ERROR"));
    lines
}

/// Deadlocks and lock waits come from the server in the midst of statements: all are tried again, and no job
/// sees any of it.
#[test]
fn deadlocks_and_lock_waits() {
    let stage = Stage::mariadb();
    let deed = Deed::on(&stage, "F15");
    let jobs = how_many(500, 20_000);
    stage.push("default", &stage.job(1).times(jobs));
    // Counts that no rollback takes back.
    let trouble = |number: u16| format!("signal sqlstate '40001' set mysql_errno = {number}");
    let stumble = format!(
        "for each row begin update tries set n = n + 1; \
         if (select n % {EVERY} from tries) = 0 then \
             if (select n % {} from tries) = 0 then {}; else {}; end if; end if; end",
        2 * EVERY,
        trouble(1213),
        trouble(1205)
    );
    stage.database().execute(&format!(
        "create table tries (n int) engine = MyISAM; insert into tries values (0); \
         create trigger at_update before update on jobs {stumble}; \
         create trigger at_delete before delete on jobs {stumble}"
    ));
    let worker = stage.start(&["run", "--queue", "default", "--concurrency", "20"]);
    stage.wait_until_empty(DEADLINE * 15);
    let tries = stage.database().number("select n from tries");
    let met = usize::try_from(tries).expect("a count") / EVERY;
    assert!(met >= jobs * 2 / EVERY, "{met}");
    assert_eq!(errors(&worker), Vec::<String>::new(), "nobody noticed");
    stage.stop(worker);
    deed.done(met, &Expect::default().check(&stage));
}

/// Ends all connections to the database but the one that asks.
const KILL: &str = "begin not atomic \
    declare continue handler for 1094 begin end; \
    for session in (select id from information_schema.processlist \
        where db = database() and id <> connection_id()) do kill connection session.id; end for; end";

/// Connections are killed again and again: a reservation whose answer was lost comes back, all else goes on.
#[test]
fn killed_connections() {
    let stage = Stage::mariadb();
    let deed = Deed::on(&stage, "F15");
    let (kills, jobs) = (how_many(8, 100), how_many(1200, 15_000));
    stage.push("default", &stage.job(2).with("maxTries", 50).times(jobs));
    let args = ["run", "--queue", "default", "--concurrency", "10"];
    let worker = crate::site::started(stage.worker(&args).env("WORKER_LEASE", LEASE).spawn());
    let mut longest = Duration::ZERO;
    for kill in 1..=kills {
        let next = stage.noted("end") + 1 + (kill * 37) % 100;
        wait_until(SOON, || stage.noted("end") >= next.min(jobs));
        stage.database().execute(KILL);
        let (before, began) = (stage.noted("end"), Instant::now());
        wait_until(SOON, || stage.noted("end") > before.min(jobs - 1));
        longest = longest.max(began.elapsed());
    }
    println!("gone on after {longest:?} at most");
    stage.wait_until_empty(DEADLINE * 3);
    stage.stop(worker);
    let expect = Expect {
        attempts_without_run: true,
        ..Expect::default()
    };
    let tally = expect.check(&stage);
    assert_eq!(tally.doubled, 0);
    deed.done(kills, &tally);
}

/// A server that closes connections which rest for five seconds, and one that is stopped, killed and started.
#[test]
fn a_short_patience_and_a_restart() {
    let mut server = MariadbServer::start(&["--wait-timeout=5", "--innodb-flush-log-at-trx-commit=1"]);
    let stage = Stage::on_mariadb(server.database());
    let deed = Deed::on(&stage, "F15");
    let args = ["run", "--queue", "default", "--concurrency", "10"];
    let worker = crate::site::started(stage.worker(&args).env("WORKER_LEASE", LEASE).spawn());
    let push = |jobs| stage.push("default", &stage.job(2).with("maxTries", 20).times(jobs));
    push(20);
    stage.wait_until_empty(SOON);
    let rested = "select coalesce(max(time), 0) from information_schema.processlist \
        where db = database() and command = 'Sleep' and id <> connection_id()";
    wait_until(DEADLINE, || stage.database().number(rested) >= 7);
    push(20);
    stage.wait_until_empty(SOON);
    assert_eq!(errors(&worker), Vec::<String>::new(), "nobody noticed");

    let restarts = how_many(2, 10);
    for restart in 0..restarts {
        push(400);
        let before = stage.noted("end");
        wait_until(SOON, || stage.noted("end") > before + 20);
        if restart % 2 == 0 {
            server.stop();
        } else {
            server.kill();
        }
        server.restart();
        let (before, began) = (stage.noted("end"), Instant::now());
        wait_until(SOON, || stage.noted("end") > before);
        println!("gone on {:?} after it was back", began.elapsed());
        stage.wait_until_empty(DEADLINE);
    }
    stage.stop(worker);
    let expect = Expect {
        attempts_without_run: true,
        ..Expect::default()
    };
    deed.done(restarts + 1, &expect.check(&stage));
}

/// Many workers take jobs from one table: each job once, and never a stall.
#[test]
fn many_workers() {
    let server = MariadbServer::start(&["--max-connections=2000"]);
    let stage = Stage::on_mariadb(server.database());
    let deed = Deed::on(&stage, "F15");
    let (workers, jobs) = (how_many(5, 50), how_many(1500, 100_000));
    let args = ["run", "--queue", "default", "--concurrency", "5"];
    let workers: Vec<_> = (0..workers).map(|_| stage.worker(&args).spawn()).collect();
    let count = workers.len();
    let workers: Vec<_> = workers.into_iter().map(crate::site::started).collect();
    stage.push("default", &stage.job(1).times(jobs));
    stage.wait_until_empty(DEADLINE * 60);
    let mut ends: Vec<u64> = stage
        .notes()
        .iter()
        .filter(|note| note.event == "end")
        .map(|note| note.at)
        .collect();
    ends.sort_unstable();
    let stall = ends
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default();
    println!(
        "{jobs} jobs by {count} workers in {} ms, the longest pause {stall} ms",
        ends[jobs - 1] - ends[0]
    );
    assert!(stall < 5000, "nothing ended for {stall} ms");
    let errors: Vec<_> = workers.iter().flat_map(errors).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    workers.into_iter().for_each(|worker| stage.stop(worker));
    deed.done(count, &Expect::default().check(&stage));
}
