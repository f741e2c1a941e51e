//! The cache store and the list of processes in Redis.

use std::time::Duration;

use bytes::Bytes;
use harness::{SharedRedis, shared_redis};
use worker::store::Kind;
use worker::store::port::{Cache, CacheValue, Names, Presence, Process};
use worker::store::redis::{RedisCache, RedisOptions, RedisPresence};

use super::engine::{redis_options, until};
use super::redis_laravel::{recording, text};

const CACHE_DB: u32 = 4;
const RESTART: &str = "illuminate:queue:restart";

fn cache() -> (SharedRedis, harness::Redis, RedisCache) {
    let redis = shared_redis();
    let options = RedisOptions {
        db: CACHE_DB,
        ..redis_options(&redis)
    };
    let cache = RedisCache::new(&options, &["facturino_cache_".to_owned()]).expect("the options are good");
    let db = redis.db(i64::from(CACHE_DB));
    (redis, db, cache)
}

/// Signals that Laravel gave are read, of every version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn laravels_signals_are_read() {
    for version in ["8.83.26", "12.67.0", "13.26.1"] {
        let file = recording(&format!("{version}/control/restart-pause.json"));
        for step in file["stores"]["redis"].as_array().expect("steps") {
            let (_redis, db, cache) = cache();
            let state = step["state_after"]["db4"].as_object().expect("a state");
            for (key, held) in state {
                let key = db.key(key.strip_prefix("facturino_").expect("the prefix"));
                db.query::<()>(&["SET", &key, text(&held["value"])]);
            }
            let asked = [RESTART, "illuminate:queue:paused:redis:mail", "none"];
            let values = cache.get(&asked).await.expect("get");
            let restart = text(&step_value(state, RESTART).expect("a restart")["value"]).to_owned();
            assert_eq!(
                values[0],
                Some(CacheValue::Int(restart.parse().expect("a number")))
            );
            let paused = step_value(state, asked[1]).map(|_| CacheValue::Bool(true));
            assert_eq!((&values[1], &values[2]), (&paused, &None));
        }
    }
}

fn step_value<'a>(
    state: &'a serde_json::Map<String, serde_json::Value>,
    key: &str,
) -> Option<&'a serde_json::Value> {
    state
        .iter()
        .find(|(name, _)| name.ends_with(key))
        .map(|(_, value)| value)
}

/// What we write is what Laravel writes, under both of its names, and is removed under both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_are_written_as_laravels() {
    let (_redis, db, cache) = cache();
    cache
        .put(RESTART, &CacheValue::Int(1_795_375_432), None, Names::All)
        .await
        .expect("put");
    let hour = Some(Duration::from_secs(3600));
    cache
        .put("paused", &CacheValue::Bool(true), hour, Names::All)
        .await
        .expect("put");
    for colon in ["", ":"] {
        let name = |key: &str| db.key(&format!("facturino_cache_{colon}{key}"));
        let (restart, ttl): (String, i64) = (
            db.query(&["GET", &name(RESTART)]),
            db.query(&["TTL", &name(RESTART)]),
        );
        assert_eq!((restart.as_str(), ttl), ("1795375432", -1));
        let (paused, ttl): (String, i64) = (
            db.query(&["GET", &name("paused")]),
            db.query(&["TTL", &name("paused")]),
        );
        assert_eq!((paused.as_str(), (3590..=3600).contains(&ttl)), ("b:1;", true));
    }
    let other = CacheValue::Other(Bytes::from_static(b"s:1:\"\xff\";"));
    cache.put("x", &other, None, Names::All).await.expect("put");
    assert_eq!(cache.get(&["x"]).await.expect("get"), [Some(other)]);
    for key in [RESTART, "paused", "x", "never"] {
        cache.forget(key).await.expect("forget");
    }
    assert!(!db.keys().iter().any(|key| key.starts_with(db.prefix())));
    assert!(cache.get(&[]).await.expect("get").is_empty());
}

/// Of two restart signals the later one counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_later_signal_counts() {
    let (_redis, db, cache) = cache();
    for (plain, colon, expected) in [("5", "9", 9), ("9", "5", 9)] {
        db.query::<()>(&["SET", &db.key("facturino_cache_k"), plain]);
        db.query::<()>(&["SET", &db.key("facturino_cache_:k"), colon]);
        assert_eq!(
            cache.get(&["k"]).await.expect("get"),
            [Some(CacheValue::Int(expected))]
        );
    }
}

/// A counter starts at one, goes on from what PHP counted, and keeps its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_count() {
    let (_redis, db, cache) = cache();
    let day = Duration::from_secs(86_400);
    assert_eq!(
        cache.increment("job-exceptions:u", day).await.expect("increment"),
        1
    );
    let name = db.key("facturino_cache_job-exceptions:u");
    db.query::<()>(&["INCR", &name]);
    db.query::<()>(&["EXPIRE", &name, "100"]);
    assert_eq!(
        cache.increment("job-exceptions:u", day).await.expect("increment"),
        3
    );
    let ttl: i64 = db.query(&["TTL", &name]);
    assert!((90..=100).contains(&ttl), "{ttl}");
    cache
        .put("word", &CacheValue::Bool(true), None, Names::All)
        .await
        .expect("put");
    let error = cache.increment("word", day).await.expect_err("not a number");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}

fn process(id: &str) -> Process {
    Process {
        id: id.to_owned(),
        host: "h".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        connection: "redis".to_owned(),
        started_at: 1,
        state: "running".to_owned(),
        queues: vec![("mail".to_owned(), 10)],
        running: Vec::new(),
        php: Vec::new(),
    }
}

/// Processes are listed while they live; those that leave or fall silent are not, and leave nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_come_and_go() {
    let redis = shared_redis();
    let presence = RedisPresence::new(&redis_options(&redis)).expect("the options are good");
    assert!(presence.list().await.expect("list").is_empty());
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(60));
    presence.beat(&process("b"), long).await.expect("beat");
    presence.beat(&process("silent"), short).await.expect("beat");
    let changed = Process {
        state: "draining".to_owned(),
        ..process("a")
    };
    presence.beat(&process("a"), long).await.expect("beat");
    presence.beat(&changed, long).await.expect("beat");
    until("the silent one is gone", async || {
        (presence.list().await.expect("list") == [changed.clone(), process("b")]).then_some(())
    })
    .await;
    presence.leave("a").await.expect("leave");
    presence.leave("never").await.expect("leave");
    presence.beat(&process("b"), long).await.expect("beat");
    assert_eq!(presence.list().await.expect("list"), [process("b")]);
    let kept: i64 = redis.query(&["HLEN", &redis.key("worker:process")]);
    let ttl: i64 = redis.query(&["TTL", &redis.key("worker:process")]);
    assert_eq!((kept, (50..=60).contains(&ttl)), (1, true));
}
