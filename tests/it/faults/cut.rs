//! F12: the connection is cut after the store did what it was asked, and before it could say so.

use std::time::Duration;

use harness::DEADLINE;

use super::{Deed, Expect, Stage, how_many, on_every_network};

/// A lease in seconds that ends while the test waits.
const LEASE: &str = "3";

/// Bytes of a request that settles. The next job that is pushed is one of those that it is about.
fn settling(stage: &Stage, verb: &str) -> Vec<u8> {
    match stage.kind() {
        "redis" => format!("\r\n{verb}\r\n").into_bytes(),
        "mariadb" if verb == "release" => b"set reserved_at = null".to_vec(),
        "mariadb" => b"delete from `jobs`".to_vec(),
        // The number of its row, as a value that is bound.
        _ => {
            let row = i64::try_from(stage.pushed().len() + 1).expect("not that many");
            [&8_i32.to_be_bytes()[..], &row.to_be_bytes()].concat()
        }
    }
}

on_every_network! {
    /// The store has given jobs, and nobody heard of it. In Redis they go back as they were, so that one try is
    /// enough; elsewhere they come back when their lease ends.
    fn the_answer_to_a_reservation_is_lost(stage: &Stage) {
        let deed = Deed::on(stage, "F12");
        let (cuts, redis) = (how_many(3, 50), stage.kind() == "redis");
        let lease = if redis { "60" } else { LEASE };
        let mut worker = stage.worker(&["run", "--queue", "default", "--concurrency", "20"]).env("WORKER_LEASE", lease).spawn();
        worker.wait_for_line("consumes connection", DEADLINE);
        for _ in 0..cuts {
            let jobs = stage.job(5).with("maxTries", if redis { 1 } else { 5 }).times(30);
            // The answer to a reservation is the only one with a payload in it.
            stage.network().cut_before_reply(jobs[0].uuid());
            stage.push("default", &jobs);
            stage.wait_until_empty(Duration::from_secs(30));
            assert!(!stage.network().is_to_cut(), "the connection was cut");
        }
        let tally = Expect { attempts_without_run: !redis, ..Expect::default() }.check(stage);
        assert_eq!(tally.doubled, 0, "what nobody heard of did not run");
        deed.done(cuts, &tally);
        stage.stop(worker);
    }

    /// The store has written verdicts, and nobody heard of it: they are sent again, and found to be written. No
    /// job runs again, none is recorded twice.
    fn the_answer_to_a_verdict_is_lost(stage: &Stage) {
        let deed = Deed::on(stage, "F12");
        let cuts = how_many(4, 50);
        let worker = stage.start(&["run", "--queue", "default", "--concurrency", "10"]);
        let mut expect = Expect::default();
        for cut in 0..cuts {
            let verb = ["delete", "release"][cut % 2];
            stage.network().cut_after_request(settling(stage, verb));
            let job = |tries: u64| stage.job(5).with("maxTries", tries);
            let released = job(2).set("releaseS", 0).times(10);
            expect.again.extend(stage.push("default", &released));
            expect = expect.failing(&stage.push("default", &job(1).set("panic", true).times(10)));
            stage.push("default", &job(1).times(10));
            stage.wait_until_empty(DEADLINE);
            assert!(!stage.network().is_to_cut(), "the connection was cut");
        }
        let tally = expect.check(stage);
        assert_eq!((tally.done, tally.failed), (cuts * 20, cuts * 10));
        assert_eq!(tally.doubled, cuts * 10, "those that were released, and no others");
        assert!(worker.lines().iter().all(|line| !line.contains("is void")), "no result is lost");
        deed.done(cuts, &tally);
        stage.stop(worker);
    }
}
