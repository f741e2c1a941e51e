//! F19: a network that is slow, narrow, torn, silent, or goes one way only.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Fault, poll, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_network};

const ARGS: [&str; 5] = ["run", "--queue", "default", "--concurrency", "5"];

/// Within this time a store that does not answer is told to be away.
const NOTICED: Duration = Duration::from_secs(15);

on_every_network! {
    /// Late answers and a narrow line cost time and nothing else.
    fn a_slow_network_costs_nothing_but_time(stage: &Stage) {
        let deed = Deed::on(stage, "F19");
        let rounds = how_many(1, 10);
        let worker = stage.start(&ARGS);
        let late = |base, jitter| Fault::Delay {
            base: Duration::from_millis(base),
            jitter: Duration::from_millis(jitter),
        };
        for _ in 0..rounds {
            for (fault, jobs) in [
                (late(100, 0), 25),
                (late(50, 200), 25),
                (late(2000, 0), 5),
                (Fault::Throttle(8000), 10),
            ] {
                stage.network().set(fault);
                stage.push("default", &stage.job(20).with("maxTries", 1).times(jobs));
                stage.wait_until_empty(DEADLINE * 3);
            }
            stage.network().clear();
        }
        let tally = Expect::default().check(stage);
        stage.stop(worker);
        deed.done(rounds * 4, &tally);
    }

    /// Connections break at any moment. Where an answer to a reservation can be lost for good, its jobs come
    /// back when their lease ends.
    fn a_torn_network_loses_nothing(stage: &Stage) {
        let deed = Deed::on(stage, "F19");
        let (resets, redis) = (how_many(8, 300), stage.kind() == "redis");
        let jobs = stage.job(20).with("maxTries", if redis { 1 } else { 20 }).times(resets * 50);
        stage.push("default", &jobs);
        let lease = if redis { "60" } else { "3" };
        let worker = crate::site::started(stage.worker(&ARGS).env("WORKER_LEASE", lease).spawn());
        for reset in 1..=resets {
            let next = (reset * 30 + reset % 7).min(jobs.len() - 1);
            wait_until(DEADLINE, || stage.noted("end") >= next);
            stage.network().reset();
        }
        stage.wait_until_empty(DEADLINE * 3);
        let tally = Expect { attempts_without_run: !redis, ..Expect::default() }.check(stage);
        stage.stop(worker);
        deed.done(resets, &tally);
    }

    /// For a moment nothing arrives, or nothing comes back, or nothing goes out.
    fn a_network_that_falters_loses_nothing(stage: &Stage) {
        let deed = Deed::on(stage, "F19");
        let rounds = how_many(1, 20);
        let worker = stage.start(&ARGS);
        for _ in 0..rounds {
            for fault in [Fault::Silent, Fault::Deaf, Fault::Mute] {
                let done = stage.noted("end");
                stage.push("default", &stage.job(20).with("maxTries", 1).times(100));
                wait_until(DEADLINE, || stage.noted("end") >= done + 20);
                stage.network().set(fault);
                poll(Duration::from_secs(1), || None::<()>);
                stage.network().clear();
                stage.wait_until_empty(DEADLINE);
            }
        }
        let tally = Expect::default().check(stage);
        stage.stop(worker);
        deed.done(rounds * 3, &tally);
    }

    /// A cable is pulled while jobs run and connections rest. That is told soon; what runs comes to its end, and
    /// its verdict is written when the cable is back.
    fn a_pulled_cable_is_noticed(stage: &Stage) {
        let deed = Deed::on(stage, "F19");
        let mut worker = stage.start(&ARGS);
        let rounds = how_many(1, 10);
        for _ in 0..rounds {
            let (begun, works) = (stage.noted("start"), "The store works again");
            let before = worker.lines().len();
            stage.push("default", &stage.job(1000).with("maxTries", 1).times(5));
            wait_until(DEADLINE, || stage.noted("start") >= begun + 5);
            stage.network().set(Fault::Silent);
            let since = Instant::now();
            let told = |what: &str| worker.lines().iter().skip(before).any(|line| line.contains(what));
            wait_until(DEADLINE, || told("trying again until it works"));
            let noticed = since.elapsed();
            println!("noticed after {noticed:?}");
            assert!(noticed < NOTICED, "noticed after {noticed:?}");
            wait_until(DEADLINE, || stage.noted("end") >= begun + 5);
            let long = Duration::from_secs(how_many(0, 45) as u64);
            poll(long, || None::<()>);
            stage.network().clear();
            wait_until(DEADLINE * 2, || told(works));
            stage.push("default", &stage.job(20).with("maxTries", 1).times(20));
            stage.wait_until_empty(DEADLINE * 2);
        }
        assert!(worker.ended().is_none(), "it works on");
        let tally = Expect::default().check(stage);
        stage.stop(worker);
        deed.done(rounds, &tally);
    }

    /// The same while there is nothing to do.
    fn an_idle_worker_notices_a_pulled_cable(stage: &Stage) {
        let deed = Deed::on(stage, "F19");
        let mut worker = stage.start(&ARGS);
        let rounds = how_many(1, 10);
        for _ in 0..rounds {
            let before = worker.lines().len();
            let told = |what: &str| worker.lines().iter().skip(before).any(|line| line.contains(what));
            stage.push("default", &stage.job(20).with("maxTries", 1).times(5));
            stage.wait_until_empty(DEADLINE);
            stage.network().set(Fault::Silent);
            let since = Instant::now();
            wait_until(DEADLINE * 2, || told("trying again until it works"));
            let noticed = since.elapsed();
            println!("noticed after {noticed:?}");
            assert!(noticed < NOTICED, "noticed after {noticed:?}");
            stage.network().clear();
            wait_until(DEADLINE * 2, || told("The store works again"));
        }
        assert!(worker.ended().is_none(), "it works on");
        let tally = Expect::default().check(stage);
        stage.stop(worker);
        deed.done(rounds, &tally);
    }

    /// One worker is cut off for longer than its leases. Another one takes its jobs; when the first one hears of
    /// it, its attempts are told to end, and nothing of them counts.
    fn a_worker_that_was_cut_off_is_fenced(stage: &Stage) {
        let deed = Deed::on(stage, "F19");
        let rounds = how_many(1, 10);
        let start = |round: Option<(&'static str, String)>| {
            let worker = stage.worker(&ARGS).env("WORKER_LEASE", "3").envs(round);
            crate::site::started(worker.spawn())
        };
        for _ in 0..rounds {
            let (begun, ended) = (stage.noted("start"), stage.noted("end"));
            let mut cut_off = start(None);
            stage.push("default", &stage.job(8000).with("maxTries", 3).times(5));
            wait_until(DEADLINE, || stage.noted("start") >= begun + 5);
            stage.network().set(Fault::Silent);
            let other = start(Some(stage.round_the_network()));
            wait_until(DEADLINE, || stage.noted("start") >= begun + 10);
            stage.network().clear();
            cut_off.wait_for_line("Lost 5 leases", DEADLINE);
            stage.wait_until_empty(DEADLINE);
            assert_eq!(stage.noted("end") - ended, 5, "the attempts without a lease were ended");
            stage.stop(cut_off);
            stage.stop(other);
        }
        let expect = Expect { again_any: true, overlap: true, ..Expect::default() };
        let tally = expect.check(stage);
        assert_eq!(stage.noted("start"), rounds * 10, "no third copy");
        deed.done(rounds, &tally);
    }
}
