//! F5, F6: Redis is stopped and started again, with all it held, or with nothing.

use std::time::{Duration, Instant};

use harness::{DEADLINE, RedisOptions, RedisServer, Running, poll, wait_until};

use super::{Deed, Expect, Stage, how_many};

const ARGS: [&str; 5] = ["run", "--queue", "default", "--concurrency", "10"];

/// Ends the server as an operator does who is in a hurry.
fn shut_down(server: &mut RedisServer) {
    let gone = server.redis().try_query::<()>(&["SHUTDOWN", "NOSAVE"]);
    assert!(gone.is_err(), "nobody is left to answer");
    server.kill();
}

/// How many lines say that something is wrong.
fn complaints(worker: &Running) -> usize {
    let lines = worker.lines();
    let is_one = |line: &&String| line.contains("\"ERROR\"") || line.contains("\"WARN\"");
    lines.iter().filter(is_one).count()
}

#[test]
fn a_restart_of_a_redis_that_keeps_a_log_loses_nothing() {
    let mut server = RedisServer::start(RedisOptions::default().append_only());
    let stage = Stage::on_redis(server.redis());
    let deed = Deed::on(&stage, "F5");
    let (outages, jobs) = (how_many(2, 20), how_many(1500, 40_000));
    stage.push("default", &stage.job(20).with("maxTries", 1).times(jobs));
    let worker = stage.start(&ARGS);
    for outage in 0..outages {
        let done = stage.noted("end");
        wait_until(DEADLINE, || stage.noted("end") >= done + 50);
        let before = complaints(&worker);
        shut_down(&mut server);
        // As long as it takes for the pauses between two tries to become long, but for the first time.
        let outage = Duration::from_secs(if outage == 0 { 1 } else { 9 });
        poll(outage, || None::<()>);
        let said = complaints(&worker) - before;
        let most = 10 * usize::try_from(outage.as_secs()).expect("it is short");
        assert!(said < most, "{said} lines in {outage:?}");
        server.restart();
        let (up, done) = (Instant::now(), stage.noted("end"));
        wait_until(DEADLINE, || stage.noted("end") > done || stage.depth() == 0);
        let back = up.elapsed();
        assert!(back < Duration::from_secs(5), "it was back after {back:?}");
    }
    stage.wait_until_empty(DEADLINE * 3);
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(outages, &tally);
}

#[test]
fn a_redis_that_forgot_everything_is_gone_on_with() {
    let mut server = RedisServer::start(RedisOptions::default());
    let stage = Stage::on_redis(server.redis());
    let deed = Deed::on(&stage, "F6");
    let rounds = how_many(1, 10);
    let worker = stage.start(&ARGS);
    for _ in 0..rounds {
        let begun = stage.noted("start");
        // The first verdict finds the connection broken and is sent again, so it may have been written before.
        stage.push("default", &stage.job(1500).times(9));
        stage.push("default", &stage.job(3000).times(1));
        let waiting = stage.job(5).times(20);
        stage.push("default", &waiting);
        wait_until(DEADLINE, || stage.noted("start") >= begun + 10);
        server.restart();
        assert_eq!(stage.depth(), 0, "it forgot them");
        // What runs comes to its end, and its verdict is about nothing.
        wait_until(DEADLINE, || stage.noted("end") >= begun + 10);
        wait_until(DEADLINE, || is_told(&worker, "is void: its lease was lost"));
        // What Redis lost, only the application can push again.
        stage.push("default", &waiting);
        wait_until(DEADLINE, || stage.noted("end") >= begun + 30);
        stage.wait_until_empty(DEADLINE);
    }
    let before = asked(&server);
    poll(Duration::from_secs(2), || None::<()>);
    let often = asked(&server) - before;
    assert!(often < 40, "an idle worker asks {often} times in 2 s");
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(rounds, &tally);
}

fn is_told(worker: &Running, what: &str) -> bool {
    worker.lines().iter().any(|line| line.contains(what))
}

/// How many commands the server has carried out.
fn asked(server: &RedisServer) -> u64 {
    let calls = server.redis().command_calls();
    calls
        .into_iter()
        .filter(|(name, _)| name != "info")
        .map(|(_, calls)| calls)
        .sum()
}
