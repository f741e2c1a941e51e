//! Settings that are wrong, that surprise, or that web and worker read differently.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use harness::{Daemon, Laravel, Scratch, SqliteDatabase};

use super::{Report, Shop, examine};
use crate::site::WORKER;

/// A directory with an application's `.env`.
fn at(dir: &Scratch, env: &[(&str, &str)]) -> Report {
    let worker = Daemon::new(WORKER)
        .args(["doctor", "--json"])
        .current_dir(dir.path());
    examine(&worker.envs(env.iter().copied()))
}

#[test]
fn all_mistakes_are_findings_and_the_rest_is_examined() {
    let shop = Shop::new(&[]);
    let report = shop.doctor(&[
        ("WORKER_LEASE", "hunter2"),
        ("WORKER_LARAVEL_PATH", "/nonexistent"),
    ]);
    let subjects: Vec<_> = report
        .of("config.invalid")
        .iter()
        .map(|finding| finding["subject"].to_string())
        .collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert!(
        subjects[0].contains("WORKER_LARAVEL_PATH") && subjects[1].contains("WORKER_LEASE"),
        "{subjects:?}"
    );
    assert!(report.store("Redis")["version"].is_string() && report.store("SQLite")["version"].is_string());
    assert!(!report.output.stdout.contains("hunter2"));
}

#[test]
fn a_store_whose_settings_are_wrong_is_not_guessed_at() {
    let shop = Shop::new(&[]);
    let report = shop.doctor(&[("REDIS_URL", "redis://u:hunter2/x@127.0.0.1")]);
    report
        .one("config.invalid")
        .is("error", "REDIS_URL", "percent-encoded");
    report
        .one("url.unescaped")
        .is("warning", "REDIS_URL", "unescaped /")
        .fixed_by("%2F");
    assert!(
        report.store("Redis").is_null() && report.store("SQLite").is_object(),
        "{:#}",
        report.json
    );
    assert!(!report.output.stdout.contains("hunter2"));
}

#[test]
fn nothing_to_consume() {
    let database = SqliteDatabase::temp();
    let worker = Daemon::new(WORKER)
        .args(["doctor", "--json"])
        .env("QUEUE_CONNECTION", "sync");
    let report = examine(&worker.envs(database.database_env()));
    report
        .one("config.sync")
        .is("error", "QUEUE_CONNECTION", "sync")
        .fixed_by("QUEUE_CONNECTION=redis");
    let worker = Daemon::new(WORKER).args(["doctor", "--json", "rabbit"]);
    worker.envs(database.env()).run_to_end().expect_code(78);
}

#[test]
fn environment_and_dotenv_that_differ() {
    let dir = Scratch::new();
    let dotenv = "QUEUE_CONNECTION=database\nDB_CONNECTION=sqlite\nDB_DATABASE=app.sqlite\nDB_PASSWORD=hunter2\n\
                  CACHE_PREFIX=a_\nREDIS_PREFIX=r_\n";
    dir.write(".env", dotenv);
    let report = at(
        &dir,
        &[
            ("CACHE_PREFIX", "b_"),
            ("DB_PASSWORD", "hunter3"),
            ("REDIS_PREFIX", "r_"),
        ],
    );
    let found: Vec<_> = report
        .of("config.env-differs")
        .iter()
        .map(|finding| finding["subject"].clone())
        .collect();
    assert_eq!(found, ["DB_PASSWORD", "CACHE_PREFIX"]);
    let prefix = super::Finding(report.of("config.env-differs")[1]);
    prefix.is(
        "warning",
        "CACHE_PREFIX",
        "is b_ in the environment and a_ in .env, line 5",
    );
    assert!(
        !report.output.stdout.contains("hunter"),
        "{}",
        report.output.stdout
    );
}

#[test]
fn a_dotenv_that_is_replaced() {
    let dir = Scratch::new();
    dir.write(".env", "QUEUE_CONNECTION=redis\n");
    dir.write(
        ".env.staging",
        "QUEUE_CONNECTION=sync\nQUEUE_FAILED_DRIVER=null\n",
    );
    let report = at(&dir, &[("APP_ENV", "staging")]);
    report
        .one("config.dotenv-replaced")
        .is("note", ".env", ".env.staging is");
    assert_eq!(at(&dir, &[]).of("config.dotenv-replaced").len(), 0);
}

#[test]
fn prefixes_that_are_made_from_the_name() {
    let shop = Shop::new(&[]);
    let worker = Daemon::new(WORKER)
        .args(["doctor", "--json"])
        .envs(
            shop.server
                .redis()
                .env()
                .into_iter()
                .filter(|(name, _)| *name != "REDIS_PREFIX"),
        )
        .envs(shop.database.database_env())
        .env("CACHE_STORE", "redis");
    let report = examine(&worker);
    let subjects: Vec<_> = report
        .of("config.prefix-derived")
        .iter()
        .map(|finding| finding["subject"].clone())
        .collect();
    assert_eq!(subjects, ["REDIS_PREFIX", "CACHE_PREFIX"]);
}

#[test]
fn clients_clusters_and_names_with_mistakes() {
    let shop = Shop::new(&[]);
    let report = shop.doctor(&[
        ("REDIS_CLIENT", ""),
        ("REDIS_CLUSTER", "redis"),
        ("WORKER_LEAES", "60"),
    ]);
    report
        .one("config.redis-client")
        .is("warning", "REDIS_CLIENT", "is set to nothing (environment)");
    report
        .one("config.redis-cluster")
        .is("note", "REDIS_CLUSTER", "redis");
    report
        .one("config.warning")
        .is("warning", "WORKER_LEAES", "not a variable the worker reads");
}

#[test]
fn urls_that_are_read_differently() {
    let shop = Shop::new(&[]);
    let url = format!("'redis://127.0.0.1:{}'", shop.server.port());
    let env = [
        ("REDIS_URL", url.as_str()),
        ("DATABASE_URL", "mysql://u:hunter2@x%@db.internal?ssl=1"),
        ("MYSQL_URL", "mysql://u:hunter2@proxy.example:1234/app"),
    ];
    let report = shop.doctor(&env);
    for (code, subject) in [
        ("url.quoted", "REDIS_URL"),
        ("url.unescaped", "DATABASE_URL"),
        ("url.percent", "DATABASE_URL"),
        ("url.port", "DATABASE_URL"),
        ("url.database", "DATABASE_URL"),
        ("url.query", "DATABASE_URL"),
        ("url.disagree", "MYSQL_URL and DATABASE_URL"),
    ] {
        assert!(report.one(code).text("subject").contains(subject), "{code}");
    }
    let report = shop.doctor(&[("DATABASE_URL", "postgress://u:hunter2@db:5432/app")]);
    report
        .one("url.scheme")
        .is("warning", "DATABASE_URL", "scheme")
        .fixed_by("postgres://");
    assert!(
        !report.output.stdout.contains("hunter2"),
        "{}",
        report.output.stdout
    );
}

/// An application whose configuration was cached by the real framework with other settings than those in force.
struct CachedSite {
    shop: Shop,
    dir: Scratch,
    file: PathBuf,
}

impl CachedSite {
    fn new() -> Self {
        let shop = Shop::new(&[]);
        let dir = Scratch::new();
        dir.write("artisan", "");
        dir.write(".env", "");
        let file = dir.write("bootstrap/cache/config.php", "");
        fs::remove_file(&file).expect("it was just written");
        let laravel = Laravel::new()
            .envs(shop.server.redis().env())
            .envs(shop.database.database_env())
            .env("REDIS_PREFIX", "other_")
            .env("REDIS_QUEUE_RETRY_AFTER", "240")
            .env("QUEUE_CONNECTION", "database")
            .env("APP_CONFIG_CACHE", file.to_string_lossy());
        laravel.php(&["config:cache"]);
        Self { shop, dir, file }
    }

    fn doctor(&self) -> Report {
        let key = [("APP_KEY", harness::laravel::APP_KEY)];
        let worker = self.shop.worker(&["doctor", "--json"], &key);
        examine(&worker.current_dir(self.dir.path()))
    }
}

#[test]
fn a_cached_configuration_that_says_something_else() {
    let site = CachedSite::new();
    let report = site.doctor();
    let differences: Vec<_> = report
        .of("config.cache-differs")
        .iter()
        .map(|finding| format!("{} {}", finding["subject"], finding["what"]).replace(['"', '\\'], ""))
        .collect();
    let starts = |start: &str| differences.iter().any(|difference| difference.starts_with(start));
    assert!(starts("queue.default is database in "), "{differences:?}");
    assert!(
        starts("database.redis.options.prefix is other_ in "),
        "{differences:?}"
    );
    assert!(
        starts("queue.connections.redis.retry_after is 240 in "),
        "{differences:?}"
    );
    assert_eq!(differences.len(), 3, "{differences:?}");
    assert_eq!(report.of("config.retry-after").len(), 0, "it can be seen");
    assert_eq!(
        report.of("config.cache-stale").len(),
        0,
        "it is younger than .env"
    );
}

#[test]
fn a_cached_configuration_that_is_older_than_its_sources() {
    let site = CachedSite::new();
    let made = fs::metadata(&site.file)
        .and_then(|data| data.modified())
        .expect("the file has a time");
    let dotenv = fs::File::options()
        .write(true)
        .open(site.dir.join(".env"))
        .expect("it can be opened");
    dotenv
        .set_modified(made + Duration::from_secs(5))
        .expect("times can be set");
    let report = site.doctor();
    report
        .one("config.cache-stale")
        .is("warning", "config.php", "is older than .env")
        .fixed_by("config:clear");
    fs::create_dir(site.dir.join("config")).expect("a directory");
    let config = fs::File::create(site.dir.join("config/queue.php")).expect("a file");
    config
        .set_modified(made + Duration::from_secs(9))
        .expect("times can be set");
    site.doctor()
        .one("config.cache-stale")
        .is("warning", "config.php", "is older than config/queue.php");
}

#[test]
fn a_cached_configuration_in_which_retry_after_is_null_or_nothing_can_be_read() {
    let site = CachedSite::new();
    let text = fs::read_to_string(&site.file).expect("it is text");
    fs::write(
        &site.file,
        text.replace("'retry_after' => 240", "'retry_after' => NULL"),
    )
    .expect("it can be written");
    site.doctor()
        .one("config.retry-after")
        .is("warning", "queue.connections.redis.retry_after", "is null");
    fs::write(&site.file, "<?php die;").expect("it can be written");
    let report = site.doctor();
    report
        .one("config.cache-unread")
        .is("note", "config.php", "not the array");
    report
        .one("config.retry-after")
        .is("note", "REDIS_QUEUE_RETRY_AFTER", "taken to be 90 s");
}
