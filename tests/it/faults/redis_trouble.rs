//! F8 to F11: a Redis that is full, says no, throws clients out, forgets scripts, or is busy with one.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Redis, RedisOptions, RedisServer, Running, poll, wait_until};

use super::{Deed, Expect, Stage, how_many};
use crate::http::{free_address, get};

const ARGS: [&str; 5] = ["run", "--queue", "default", "--concurrency", "10"];
/// How the log says that something does not work, once.
const ALERT: &str = "trying again until it works";

fn start() -> (RedisServer, Redis, Stage) {
    let server = RedisServer::start(RedisOptions::default());
    let (redis, stage) = (server.redis(), Stage::on_redis(server.redis()));
    (server, redis, stage)
}

fn told(worker: &Running, what: &str) -> usize {
    worker.lines().iter().filter(|line| line.contains(what)).count()
}

/// Waits until a line was told once more than before.
#[track_caller]
fn wait_for_another(worker: &Running, what: &str, before: usize) {
    wait_until(DEADLINE, || told(worker, what) > before);
}

#[test]
fn a_full_redis_stops_the_taking_and_nothing_else() {
    let (_server, redis, stage) = start();
    let deed = Deed::on(&stage, "F8");
    let rounds = how_many(2, 10);
    let worker = stage.start(&ARGS);
    for _ in 0..rounds {
        let (begun, alerts) = (stage.noted("start"), told(&worker, ALERT));
        let jobs = stage.job(300).with("maxTries", 1).times(60);
        stage.push("default", &jobs);
        wait_until(DEADLINE, || stage.noted("start") >= begun + 20);
        redis.query::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        wait_for_another(&worker, ALERT, alerts);
        // What runs ends and is deleted; the rest stays where it is.
        wait_until(DEADLINE, || stage.lying().iter().all(|job| !job.reserved));
        let (done, left) = (stage.noted("end") - begun, stage.lying().len());
        assert_eq!(done + left, 60);
        let calls = || redis.command_calls().get("evalsha").copied().unwrap_or_default();
        let before = calls();
        poll(Duration::from_secs(2), || None::<()>);
        let often = calls() - before;
        assert!(often < 20, "{often} calls in 2 s");
        assert_eq!(stage.lying().len(), left, "nothing is taken");
        redis.query::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        stage.wait_until_empty(DEADLINE);
    }
    let memory = worker.lines().into_iter().find(|line| line.contains(ALERT));
    assert!(
        memory.is_some_and(|line| line.contains("out of memory")),
        "it says why"
    );
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(rounds, &tally);
}

#[test]
fn a_wrong_password_and_a_missing_right_are_named_and_waited_for() {
    let (_server, redis, stage) = start();
    let deed = Deed::on(&stage, "F9");
    let acl = |rules: &[&str]| {
        let words: Vec<_> = ["ACL", "SETUSER", "jobs"].iter().chain(rules).copied().collect();
        redis.query::<()>(&words);
    };
    acl(&["on", ">hush-hush", "~*", "+@all"]);
    let address = free_address();
    let worker = stage
        .worker(&ARGS)
        .env("REDIS_USERNAME", "jobs")
        .env("REDIS_PASSWORD", "hush-hush")
        .env("WORKER_HTTP", &address);
    let worker = crate::site::started(worker.spawn());
    let rounds = how_many(1, 10);
    for _ in 0..rounds {
        for (wrong, right, named) in [
            (
                ["resetpass", ">another"],
                ["resetpass", ">hush-hush"],
                "check the user name and the password",
            ),
            (["-eval", "-evalsha"], ["+eval", "+evalsha"], "evalsha"),
            (["-zadd", "-lrange"], ["+zadd", "+lrange"], "ACL SETUSER"),
        ] {
            acl(&wrong);
            // A password is asked for when a client comes.
            redis.query::<()>(&["CLIENT", "KILL", "USER", "jobs"]);
            stage.push("default", &stage.job(5).with("maxTries", 1).times(20));
            let why = || get(&address, "/readyz").1["reasons"].to_string();
            wait_until(DEADLINE, || why().contains(named));
            acl(&right);
            stage.wait_until_empty(DEADLINE);
        }
    }
    let credentials = "Failed to take jobs on lane default, trying again until it works: reserve from queue";
    let named = |line: &String| line.contains(credentials) && line.contains("the password");
    assert!(worker.lines().iter().any(named), "the log tells it too");
    assert_eq!(told(&worker, "hush"), 0, "no secret in the log");
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(rounds * 3, &tally);
}

#[test]
fn clients_that_are_thrown_out_come_back() {
    let (_server, redis, stage) = start();
    let deed = Deed::on(&stage, "F10");
    let (time, kills) = (how_many(4, 20), how_many(4, 150));
    // Its slots are what limits it, so that the rate does not depend on the machine.
    let jobs = stage.job(50).with("maxTries", 1).times(how_many(2500, 80_000));
    stage.push("default", &jobs);
    let worker = stage.start(&ARGS);
    wait_until(DEADLINE, || stage.noted("end") >= 50);
    let rate = |time: usize, mut during: Box<dyn FnMut() + '_>| {
        let (before, began) = (stage.noted("end"), Instant::now());
        for _ in 0..time {
            during();
            poll(Duration::from_secs(1), || None::<()>);
        }
        f64::from(u32::try_from(stage.noted("end") - before).expect("not that many"))
            / began.elapsed().as_secs_f64()
    };
    let well = rate(time, Box::new(|| {}));
    let mut second = 0;
    let kill = || {
        // Every two seconds.
        if second % 2 == 0 {
            redis.query::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        second += 1;
    };
    let ill = rate(2 * kills, Box::new(kill));
    println!("{well:.0} jobs/s, {ill:.0} jobs/s while clients are thrown out");
    assert!(ill > well / 2.0, "{well} jobs/s, then {ill}");
    stage.wait_until_empty(DEADLINE * 6);
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(kills, &tally);
}

#[test]
fn forgotten_scripts_and_a_busy_server_are_waited_out() {
    let (server, redis, stage) = start();
    let deed = Deed::on(&stage, "F11");
    let rounds = how_many(4, 300);
    let worker = stage.start(&ARGS);
    for round in 0..rounds {
        stage.push("default", &stage.job(20).with("maxTries", 1).times(100));
        redis.query::<()>(&["SCRIPT", "FLUSH"]);
        stage.wait_until_empty(DEADLINE);
        // A rest, so that the next flush is not in the same second.
        poll(Duration::from_millis(how_many(0, 500) as u64), || None::<()>);
        if round % 20 == 0 {
            busy(&server, &stage, &worker);
        }
    }
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(rounds, &tally);
}

/// Somebody's script does not end, until an operator ends it.
fn busy(server: &RedisServer, stage: &Stage, worker: &Running) {
    let redis = server.redis();
    redis.query::<()>(&["CONFIG", "SET", "lua-time-limit", "50"]);
    let (alerts, begun) = (told(worker, "BUSY"), stage.noted("start"));
    stage.push("default", &stage.job(300).with("maxTries", 1).times(20));
    wait_until(DEADLINE, || stage.noted("start") >= begun + 10);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ended = server
                .redis()
                .try_query::<()>(&["EVAL", "while true do end", "0"]);
            assert!(ended.is_err(), "it was ended");
        });
        let is_busy = || {
            redis
                .try_query::<()>(&["PING"])
                .is_err_and(|error| error.to_string().contains("BUSY"))
        };
        wait_until(DEADLINE, is_busy);
        wait_for_another(worker, "BUSY", alerts);
        redis.query::<()>(&["SCRIPT", "KILL"]);
    });
    stage.wait_until_empty(DEADLINE);
}
