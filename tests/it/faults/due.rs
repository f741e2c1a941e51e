//! F23: many delayed jobs are due in the same second, and many workers wait for them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::{DEADLINE, RedisOptions, RedisServer};

use super::{Deed, Expect, Stage, how_many};
use crate::faults::stage::stage_tests;

/// Slots of each worker.
const SLOTS: usize = 5;
/// The longest time that one command may keep Redis busy, in microseconds.
const BUSY_US: &str = "50000";

/// So many are due in one second and as many in another one, the later ones pushed first, while workers wait.
fn due_at_once(stage: &Stage) {
    let deed = Deed::on(stage, "F23");
    let workers = how_many(3, 20);
    let concurrency = SLOTS.to_string();
    let args = ["run", "--queue", "default", "--concurrency", &concurrency];
    let running: Vec<_> = (0..workers).map(|_| stage.worker(&args).spawn()).collect();
    let running: Vec<_> = running.into_iter().map(crate::site::started).collect();
    // Short, one round only: the second is of a size that the first is a part of.
    let rounds = [how_many(1000, 10_000), how_many(0, 100_000)];
    for jobs in rounds.into_iter().filter(|jobs| *jobs > 0) {
        let jobs = stage.job(0).times(jobs);
        let (earlier, later) = jobs.split_at(jobs.len() / 2);
        let soon = Instant::now()
            + Duration::from_secs(2)
            + Duration::from_millis(1) * u32::try_from(jobs.len()).expect("not that many");
        let later = stage.push_later("default", later, soon + Duration::from_secs(2));
        let earlier = stage.push_later("default", earlier, soon);
        assert!(soon > Instant::now(), "all were pushed in time");
        if let Some(redis) = stage.redis_client() {
            assert_eq!(redis.query::<String>(&["SLOWLOG", "RESET"]), "OK");
        }
        stage.wait_until_empty(DEADLINE * 30);
        if let Some(redis) = stage.redis_client() {
            let slow: Vec<redis::Value> = redis.query(&["SLOWLOG", "GET", "100"]);
            assert!(slow.is_empty(), "no command keeps the server busy: {slow:#?}");
        }
        assert_in_order(stage, (&earlier, &later), workers * SLOTS);
    }
    running.into_iter().for_each(|worker| stage.stop(worker));
    deed.done(rounds.iter().sum(), &Expect::default().check(stage));
}

/// Those due earlier started earlier, but for what many slots do side by side.
fn assert_in_order(stage: &Stage, (earlier, later): (&[String], &[String]), slots: usize) {
    let [earlier, later] = [earlier, later].map(|uuids| uuids.iter().collect::<BTreeSet<_>>());
    let mut starts = stage.notes();
    starts
        .retain(|note| note.event == "start" && (earlier.contains(&note.uuid) || later.contains(&note.uuid)));
    starts.sort_by_key(|note| note.at);
    assert_eq!(starts.len(), earlier.len() + later.len(), "each ran once");
    let last = starts.iter().rposition(|note| earlier.contains(&note.uuid));
    let last = last.expect("they have started");
    assert!(
        last < earlier.len() + slots,
        "{last}, of {} due earlier",
        earlier.len()
    );
}

stage_tests!(sqlite { due_at_once });
stage_tests!(mariadb { due_at_once });
stage_tests!(postgres { due_at_once });

#[test]
fn due_at_once_on_redis() {
    let server = RedisServer::start(RedisOptions::default().arg("slowlog-log-slower-than", BUSY_US));
    due_at_once(&Stage::on_redis(server.redis()));
}
