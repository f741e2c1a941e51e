//! Servers that do not answer, are far away, old, late, or refuse.

use std::time::{Duration, Instant};

use harness::{Fault, Proxy, RedisOptions, RedisServer};

use super::distort::{instead, later};
use super::{Report, Shop, doctor};
use crate::site::Site;

#[test]
fn a_server_that_does_not_answer_keeps_nothing_else_from_being_examined() {
    let shop = Shop::new(&[]);
    shop.server.pause();
    let asked = Instant::now();
    let report = shop.doctor(&[]);
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "each question has its own deadline"
    );
    shop.server.resume();
    report.one("connection.unreachable").is(
        "error",
        "Redis at 127.0.0.1",
        "within 4 s; it holds jobs, signals",
    );
    assert!(report.store("SQLite")["version"].is_string(), "{:#}", report.json);
}

#[test]
fn a_server_that_is_not_there() {
    let mut shop = Shop::new(&[]);
    shop.server.kill();
    let report = shop.doctor(&[]);
    let found = report.one("connection.unreachable");
    found
        .is("error", "Redis at 127.0.0.1", "connect to 127.0.0.1")
        .fixed_by("worker config");
}

#[test]
fn a_store_that_is_not_served_is_a_warning() {
    let mut shop = Shop::new(&[]);
    shop.server.kill();
    let report = shop.doctor(&[("QUEUE_CONNECTION", "database"), ("CACHE_STORE", "database")]);
    report
        .one("connection.unreachable")
        .is("warning", "Redis", "is configured and not used by the worker");
}

#[test]
fn a_database_file_that_is_not_there_is_not_made() {
    let shop = Shop::new(&[]);
    let report = shop.doctor(&[("DB_DATABASE", "/nonexistent/app.sqlite")]);
    let found = report.one("connection.unreachable");
    found
        .is("error", "SQLite file /nonexistent", "it holds failed jobs")
        .fixed_by("worker migrate");
    assert!(!std::path::Path::new("/nonexistent").exists());
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    let shop = Shop::new(&[("requirepass", "secret")]);
    let report = shop.doctor(&[("REDIS_PASSWORD", "hunter2")]);
    report
        .one("connection.unreachable")
        .is("error", "Redis", "password");
    assert!(
        !report.output.stdout.contains("hunter2"),
        "{}",
        report.output.stdout
    );
}

/// The report of a shop whose Redis is seen through a wire.
fn over(delay_ms: u64, change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Report {
    let shop = Shop::new(&[]);
    let proxy = Proxy::changing(shop.server.port(), change);
    let base = Duration::from_millis(delay_ms);
    let jitter = Duration::ZERO;
    proxy.set(Fault::Delay { base, jitter });
    shop.doctor(&[("REDIS_PORT", &proxy.port().to_string())])
}

#[test]
fn round_trips_that_are_long() {
    let report = over(12, |bytes| bytes);
    report
        .one("connection.slow")
        .is("warning", "Redis", "answers after ");
}

#[test]
fn clocks_that_differ() {
    let report = over(0, later(10));
    report
        .one("connection.clock")
        .is("warning", "Redis", "s ahead of this host's")
        .fixed_by("timedatectl");
    let report = over(0, later(-60));
    report
        .one("connection.clock")
        .is("error", "Redis", "s behind this host's");
    assert_eq!(over(0, later(0)).of("connection.clock").len(), 0);
}

#[test]
fn a_server_that_is_too_old() {
    let report = over(0, instead("redis_version:7.", "redis_version:4."));
    report
        .one("connection.old")
        .is("error", "Redis", "is Redis 4.")
        .fixed_by("6.0.0");
    let report = over(0, instead("redis_version:7.", "redis_version:5."));
    report.one("connection.old").is("warning", "Redis", "is Redis 5.");
}

#[test]
fn a_replica_takes_no_writes() {
    let primary = RedisServer::start(RedisOptions::default());
    let shop = Shop::new(&[]);
    let () = shop
        .server
        .redis()
        .query(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    let report = shop.doctor(&[]);
    report.one("connection.read-only").is("error", "Redis", "replica");
}

#[test]
fn a_user_without_rights_is_told_which() {
    let shop = Shop::new(&[]);
    let redis = shop.server.redis();
    let keys = "~facturino_*";
    let () = redis.query(&[
        "ACL", "SETUSER", "app", "on", ">secret", keys, "+@all", "-eval", "-zadd", "-info", "-config",
    ]);
    let user = [("REDIS_USERNAME", "app"), ("REDIS_PASSWORD", "secret")];
    let report = shop.doctor(&user);
    let found = report.one("redis.rights");
    found
        .is("error", "Redis", "does not let this user run EVAL, ZADD")
        .fixed_by("ACL SETUSER <user> +eval +zadd");
    let () = redis.query(&["ACL", "SETUSER", "app", "+@all", "resetkeys", "~other_*"]);
    let report = shop.doctor(&user);
    let found = report.one("redis.rights");
    found
        .is("error", "Redis", "RPUSH facturino_queues:high")
        .fixed_by("~<REDIS_PREFIX>*");
    let () = redis.query(&["ACL", "SETUSER", "app", "resetkeys", keys, "-multi"]);
    shop.doctor(&user)
        .one("redis.rights")
        .is("note", "Redis", "could not be tried");
    let () = redis.query(&["ACL", "SETUSER", "app", "+@all"]);
    let report = shop.doctor(&user);
    assert_eq!(report.of("redis.rights").len(), 0, "{:#}", report.json);
    assert_eq!(redis.keys(), [""; 0], "nothing was carried out");
}

#[test]
fn what_could_not_be_examined_is_said() {
    let site = Site::sqlite();
    site.database()
        .execute("alter table jobs rename column available_at to due_at");
    let report = doctor(&site, &[], &[]);
    report
        .one("connection.incomplete")
        .is("warning", "SQLite", "its queues could not be examined");
    report
        .one("table.column")
        .is("error", "column jobs.available_at", "is not in SQLite");
}
