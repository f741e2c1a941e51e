//! A Redis server as a keeper of jobs, and the place where the application's keys are.

use harness::{RedisOptions, wait_until};

use super::Shop;

#[test]
fn a_server_that_throws_keys_away() {
    let shop = Shop::new(&[("maxmemory-policy", "allkeys-lru")]);
    let report = shop.doctor(&[]);
    report
        .one("redis.eviction")
        .is("error", "Redis", "allkeys-lru")
        .fixed_by("maxmemory-policy noeviction");
}

#[test]
fn memory_that_is_nearly_used_up() {
    let shop = Shop::new(&[]);
    let redis = shop.server.redis();
    // What the doctor's own connections take is little beside this.
    for number in 0..64 {
        let () = redis.query(&["SET", &format!("filler{number}"), &"x".repeat(1 << 20)]);
    }
    let info: String = redis.query(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used
        .and_then(|text| text.parse().ok())
        .expect("the server tells its memory");
    let () = redis.query(&["CONFIG", "SET", "maxmemory", &(used * 100 / 87).to_string()]);
    shop.doctor(&[])
        .one("redis.memory")
        .is("warning", "Redis", "% of its memory");
    let () = redis.query(&["CONFIG", "SET", "maxmemory", &(used * 100 / 99).to_string()]);
    shop.doctor(&[])
        .one("redis.memory")
        .is("error", "Redis", "% of its memory");
}

#[test]
fn a_server_that_keeps_nothing_on_the_disk() {
    let shop = Shop::with(RedisOptions::default());
    shop.doctor(&[])
        .one("redis.volatile")
        .is("warning", "Redis", "neither")
        .fixed_by("appendonly yes");
}

#[test]
fn a_server_that_could_not_save() {
    let shop = Shop::new(&[("enable-protected-configs", "yes")]);
    let redis = shop.server.redis();
    let () = redis.query(&["CONFIG", "SET", "dir", "/proc"]);
    drop::<String>(redis.query(&["BGSAVE"]));
    wait_until(harness::DEADLINE, || {
        let info: String = redis.query(&["INFO", "persistence"]);
        info.contains("rdb_last_bgsave_status:err")
    });
    shop.doctor(&[])
        .one("redis.save-failed")
        .is("error", "Redis", "to the disk");
}

#[test]
fn a_node_of_a_cluster() {
    let shop = Shop::new(&[("cluster-enabled", "yes")]);
    let report = shop.doctor(&[("REDIS_QUEUE_DB", "0"), ("REDIS_CACHE_DB", "0")]);
    report.one("redis.cluster").is("error", "Redis", "cluster mode");
    let report = shop.doctor(&[]);
    report
        .one("connection.unreachable")
        .is("error", "Redis", "cluster");
}

#[test]
fn a_path_in_the_url_replaces_every_number() {
    let shop = Shop::new(&[]);
    let url = format!("{}/0", shop.server.url());
    let report = shop.doctor(&[("REDIS_URL", &url)]);
    report
        .one("redis.url-path")
        .is("warning", "REDIS_URL", "REDIS_QUEUE_DB")
        .fixed_by("take the path off");
    report
        .one("redis.shared-database")
        .is("error", "Redis database 0", "queues and the cache");
    let report = shop.doctor(&[("REDIS_URL", &shop.server.url())]);
    assert_eq!(
        (
            report.of("redis.url-path").len(),
            report.of("redis.shared-database").len()
        ),
        (0, 0)
    );
}

#[test]
fn queues_that_lie_elsewhere_are_named() {
    let shop = Shop::new(&[]);
    let redis = shop.server.redis();
    redis.db(0).push("mail", "{}");
    redis.with_prefix("facturino_database_").push("banking", "{}");
    let () = redis.query(&["SET", "facturino_cache_illuminate:queues:paused", "b:1;"]);
    let () = redis.query(&["SET", "x_queues:text", "no queue"]);
    let before = redis.keys();
    let report = shop.doctor(&[]);
    let found = report.of("redis.elsewhere");
    assert_eq!(found.len(), 2, "{:#}", report.json);
    let (db, prefix) = (super::Finding(found[0]), super::Finding(found[1]));
    db.is(
        "error",
        "Redis",
        "has 1 jobs on mail in database 0, prefix \"facturino_\"",
    )
    .fixed_by("REDIS_QUEUE_DB=0");
    prefix.is(
        "warning",
        "Redis",
        "banking in database 3, prefix \"facturino_database_\"",
    );
    prefix.fixed_by("REDIS_PREFIX=\"facturino_database_\"");
    assert_eq!(redis.keys(), before);
}
