//! Redis as Laravel lays it out: every key and byte that PHP workers beside us read.

use std::time::Duration;

use bytes::Bytes;
use worker::store::port::{Held, NewJob, QueueName, Settle};

use super::engine::{LONG, once, queues, settle, settlement, take, uuids};
use super::redis_laravel::{RECORDED, Wire, now, recording, step, text};

const E: &str = "einvoice";
const RELEASE: Settle = Settle::Release {
    delay: Duration::ZERO,
};

fn new_job(text: &str, delay: Option<u64>) -> NewJob {
    NewJob {
        queue: QueueName::new(E),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        delay: delay.map(Duration::from_secs),
    }
}

fn lives() -> impl Iterator<Item = serde_json::Value> {
    RECORDED
        .iter()
        .map(|path| recording(&path.replace("{}", "lifecycle")))
}

/// Our push leaves what Laravel's own left: the list, one notify entry per job, and `later` in the set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_laravels() {
    for life in lives() {
        let wire = Wire::new();
        let state = &step(&life, "later job 3")["redis_after"];
        let values = |key: &str| &state[format!("facturino_queues:{E}{key}")]["values"];
        let ready: Vec<&str> = values("").as_array().expect("a list").iter().map(text).collect();
        let late = text(&values(":delayed")[0]["member"]);
        let jobs = [
            new_job(ready[0], None),
            new_job(late, Some(60)),
            new_job(ready[1], None),
        ];
        let before = now(&wire.redis);
        wire.queue.push(&jobs).await.expect("push");
        let dump = wire.redis.queue(E);
        assert_eq!(
            dump.ready.iter().map(harness::Payload::text).collect::<Vec<_>>(),
            ready
        );
        assert_eq!(dump.notify, values(":notify").as_array().expect("a list").len());
        assert_eq!(dump.delayed[0].payload.text(), late);
        let due = dump.delayed[0].score - 60.0;
        assert!(due.fract() == 0.0 && due >= before as f64 && due <= before as f64 + 2.0);
        let ours: Vec<String> = wire.redis.keys();
        let ours = ours.iter().filter(|key| key.starts_with(wire.redis.prefix()));
        assert_eq!(ours.count(), state.as_object().expect("keys").len());
    }
}

/// What Laravel pushed is taken as it lies, and the reserved copy is the same text with the next attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn laravels_jobs_are_taken() {
    for life in lives() {
        let wire = Wire::new();
        wire.restore(&step(&life, "push job 2")["redis_after"]);
        let ready = wire.redis.queue(E).ready;
        let jobs = take(&*wire.queue, E, 10).await;
        assert_eq!(jobs.len(), 2);
        let mut dump = wire.redis.queue(E);
        assert_eq!((dump.ready.len(), dump.notify, dump.reserved.len()), (0, 0, 2));
        dump.reserved
            .sort_by_key(|held| ready.iter().position(|job| job.uuid() == held.payload.uuid()));
        for ((job, text), held) in jobs.iter().zip(&ready).zip(&dump.reserved) {
            assert_eq!((&job.payload[..], job.attempts), (&text.0[..], 1));
            let expected = text.text().replace("\"attempts\":0", "\"attempts\":1");
            assert_eq!(held.payload.text(), expected);
        }
        let recorded = text(&step(&life, "pop (gets job 1)")["popped"]["reserved_job"]);
        let recorded: serde_json::Value = serde_json::from_str(recorded).expect("JSON");
        assert_eq!(dump.reserved[0].payload.json()["uuid"], recorded["uuid"]);
        assert_eq!(dump.reserved[0].payload.json()["attempts"], recorded["attempts"]);
    }
}

/// A reservation of PHP's is left alone until it lapses, and its text is taken as PHP wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_of_phps_is_respected() {
    let wire = Wire::new();
    let life = lives().next().expect("a life");
    wire.restore(&step(&life, "push job 1")["redis_after"]);
    let lists = [E, &format!("{E}:reserved"), &format!("{E}:notify")];
    let later = (now(&wire.redis) + 90).to_string();
    let popped = wire.laravel("pop", &lists, &[&later]);
    assert!(take(&*wire.queue, E, 10).await.is_empty());

    // PHP's lease ends.
    let member = String::from_utf8(popped[1].clone()).expect("UTF-8");
    wire.redis.query::<()>(&[
        "ZADD",
        &wire.key(&format!("{E}:reserved")),
        &now(&wire.redis).to_string(),
        &member,
    ]);
    let jobs = take(&*wire.queue, E, 10).await;
    assert_eq!(
        (jobs[0].payload.as_ref(), jobs[0].attempts),
        (member.as_bytes(), 2)
    );
    // PHP comes back too late: it removes nothing of ours.
    let removed: i64 = wire
        .redis
        .query(&["ZREM", &wire.key(&format!("{E}:reserved")), &member]);
    assert_eq!(removed, 0);
    assert_eq!(settle(&*wire.queue, &jobs[0], Settle::Delete).await, Held::Yes);
}

/// PHP migrates and runs what we released, and reads its attempts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_runs_what_we_released() {
    for life in lives() {
        let wire = Wire::new();
        wire.restore(&step(&life, "push job 1")["redis_after"]);
        let job = take(&*wire.queue, E, 1).await.remove(0);
        assert_eq!(settle(&*wire.queue, &job, RELEASE).await, Held::Yes);
        let copy = wire.redis.queue(E).delayed[0].clone();
        assert_eq!(copy.score.fract(), 0.0, "as Laravel's own");

        let time = now(&wire.redis);
        let moves = [format!("{E}:delayed"), E.to_owned(), format!("{E}:notify")];
        let moves: Vec<&str> = moves.iter().map(String::as_str).collect();
        wire.laravel("migrateExpiredJobs", &moves, &[&time.to_string()]);
        let lists = [E, &format!("{E}:reserved"), &format!("{E}:notify")];
        let popped = wire.laravel("pop", &lists, &[&(time + 90).to_string()]);
        assert_eq!(popped[0], copy.payload.0);
        let reserved: serde_json::Value = serde_json::from_slice(&popped[1]).expect("JSON");
        assert_eq!(reserved["attempts"], 2);
        assert_eq!(wire.redis.queue(E).notify, 0);
    }
}

/// PHP takes a job of ours only when our lease has ended, and what we then do has no effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_takes_over_only_after_the_lease() {
    let wire = Wire::new();
    let life = lives().last().expect("a life");
    wire.restore(&step(&life, "push job 1")["redis_after"]);
    let start = now(&wire.redis);
    let lease = Duration::from_secs(60);
    let job = wire
        .queue
        .reserve(&queues(&[E]), 1, lease)
        .await
        .expect("reserve")
        .remove(0);
    let reserved = format!("{E}:reserved");
    let notify = format!("{E}:notify");
    let migrate = |time: u64| {
        let lists = [reserved.as_str(), E, notify.as_str()];
        wire.laravel("migrateExpiredJobs", &lists, &[&time.to_string()])
            .len()
    };
    assert_eq!(migrate(start + 60), 0);
    assert_eq!(migrate(start + 63), 1);
    let receipts = [(job.queue.clone(), job.receipt.clone())];
    assert_eq!(
        wire.queue.renew(&receipts, LONG).await.expect("renew"),
        [Held::Lost]
    );

    // The same text reserved by PHP, as a payload without attempts would be: whole seconds are not ours.
    let copy = wire.redis.queue(E).ready[0].text().to_owned();
    wire.redis
        .query::<()>(&["ZADD", &wire.key(&reserved), "4000000000", &copy]);
    wire.redis.query::<()>(&["DEL", &wire.key(E)]);
    for verb in [
        Settle::Delete,
        RELEASE,
        Settle::Refund { delay: None },
        Settle::Refund { delay: Some(LONG) },
    ] {
        assert_eq!(settle(&*wire.queue, &job, verb).await, Held::Lost);
    }
    assert_eq!(
        wire.queue.renew(&receipts, LONG).await.expect("renew"),
        [Held::Lost]
    );
    let dump = wire.redis.queue(E);
    assert_eq!((dump.len(), dump.reserved[0].score), (1, 4_000_000_000.0));
}

/// Our mark is a fraction of 2^20 that stays through renewals; another reservation has another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mark_of_a_reservation_stays() {
    let wire = Wire::new();
    let mut marks = std::collections::HashSet::new();
    let mut last = 0.0;
    for round in 0..4 {
        wire.queue
            .push(&[new_job("{\"attempts\":0}", None)])
            .await
            .expect("push");
        let job = take(&*wire.queue, E, 1).await.remove(0);
        let score = wire.redis.queue(E).reserved[0].score;
        let parts = score.fract() * f64::from(1 << 20);
        assert!(parts >= 1.0 && parts.fract() == 0.0, "{score}");
        let receipts = [(job.queue.clone(), job.receipt.clone())];
        let longer = LONG + Duration::from_secs(100 + round);
        wire.queue.renew(&receipts, longer).await.expect("renew");
        let renewed = wire.redis.queue(E).reserved[0].score;
        assert!(renewed >= score + 99.0 && renewed.fract() == score.fract());
        assert_eq!(settle(&*wire.queue, &job, Settle::Delete).await, Held::Yes);
        last = parts;
        marks.insert(score.fract().to_bits());
    }
    assert!(last > 0.0 && marks.len() > 1, "each reservation draws its own");
}

/// One notify entry per available job, whoever has taken an entry before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notify_stays_in_step() {
    let wire = Wire::new();
    let texts = [0, 1, 2, 3].map(|n| format!("{{\"uuid\":\"{n}\",\"attempts\":0}}"));
    let jobs: Vec<NewJob> = texts.iter().map(|text| new_job(text, None)).collect();
    wire.queue.push(&jobs).await.expect("push");
    let notify = wire.key(&format!("{E}:notify"));
    let counts = || {
        let dump = wire.redis.queue(E);
        (dump.ready.len(), dump.notify)
    };
    let first = take(&*wire.queue, E, 1).await;
    assert_eq!(counts(), (3, 3));
    // A blocked worker takes an entry, then another worker its job.
    let taken: Vec<String> = wire.redis.query(&["BLPOP", &notify, "1"]);
    assert_eq!(taken[1], "1");
    let second = take(&*wire.queue, E, 1).await;
    assert_eq!(counts(), (2, 2));
    let batch = [&first[0], &second[0]].map(|job| settlement(job, Settle::Refund { delay: None }));
    wire.queue.settle(&batch).await.expect("settle");
    assert_eq!(counts(), (4, 4));
    // Stray entries do not stay.
    wire.redis.query::<()>(&["RPUSH", &notify, "1", "1", "1"]);
    assert_eq!(take(&*wire.queue, E, 3).await.len(), 3);
    assert_eq!(counts(), (1, 1));
    wire.redis.query::<()>(&["RPUSH", &notify, "1"]);
    assert_eq!(take(&*wire.queue, E, 3).await.len(), 1);
    wire.redis.query::<()>(&["RPUSH", &notify, "1"]);
    assert!(take(&*wire.queue, E, 3).await.is_empty());
    assert_eq!(counts(), (0, 0));
}

/// Due jobs go behind the ready ones, by score and then by their bytes; lapsed ones behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_jobs_keep_laravels_order() {
    let wire = Wire::new();
    let job = |uuid: &str| format!("{{\"uuid\":\"{uuid}\",\"attempts\":0}}");
    wire.queue
        .push(&[new_job(&job("ready"), None)])
        .await
        .expect("push");
    for (set, score, uuid) in [
        ("reserved", "9", "lapsed"),
        ("delayed", "20", "b"),
        ("delayed", "20", "a"),
        ("delayed", "10", "z"),
    ] {
        let key = wire.key(&format!("{E}:{set}"));
        wire.redis.query::<()>(&["ZADD", &key, score, &job(uuid)]);
    }
    let jobs = take(&*wire.queue, E, 10).await;
    assert_eq!(uuids(&jobs), ["ready", "z", "a", "b", "lapsed"]);
    assert_eq!(wire.redis.queue(E).notify, 0);
}

/// Ten thousand jobs that come due at once are promoted a few hundred at a time, none lost, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_due_jobs_is_taken_in_batches() {
    let wire = Wire::new();
    let key = wire.key(&format!("{E}:delayed"));
    for chunk in 0..100 {
        let mut words = vec!["ZADD".to_owned(), key.clone()];
        for n in 0..100 {
            words.push("1000".to_owned());
            words.push(format!("{{\"uuid\":\"{:05}\",\"attempts\":0}}", chunk * 100 + n));
        }
        wire.redis.query::<()>(&words);
    }
    let mut seen = uuids(&take(&*wire.queue, E, 10).await);
    assert_eq!(seen.len(), 10);
    let left: usize = wire.redis.query(&["ZCARD", &key]);
    assert!((9500..10_000).contains(&left), "{left} left after one call");
    loop {
        let jobs = take(&*wire.queue, E, 500).await;
        if jobs.is_empty() {
            break;
        }
        seen.extend(uuids(&jobs));
    }
    let expected: Vec<String> = (0..10_000).map(|n| format!("{n:05}")).collect();
    assert_eq!(seen, expected);
}

/// Clearing removes the four keys, as `queue:clear` does, and a marker is a key of our own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_keys_are_touched() {
    let wire = Wire::new();
    let job = new_job("{\"attempts\":0}", None);
    assert_eq!(
        wire.queue.push_once(&[once("m", &job)]).await.expect("push"),
        [true]
    );
    let marker = wire.redis.key("worker:m");
    let ttl: i64 = wire.redis.query(&["TTL", &marker]);
    assert!((6 * 86_400..=7 * 86_400).contains(&ttl));
    assert_eq!(wire.queue.clear(&QueueName::new(E)).await.expect("clear"), 1);
    let keys = wire.redis.keys();
    let ours: Vec<&String> = keys
        .iter()
        .filter(|key| key.starts_with(wire.redis.prefix()))
        .collect();
    assert_eq!(ours, [&marker]);
}
