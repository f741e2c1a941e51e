//! Judgements on PHP.

use std::time::Duration;

use super::super::testing::Case;
use super::*;

fn healthy() -> Php {
    let names = |names: &str| names.split(' ').map(str::to_owned).collect();
    Php {
        binary: "php".to_owned(),
        base: "/app".to_owned(),
        engine: Ok(Engine {
            version: "8.2.1".to_owned(),
            number: 80_201,
            sapi: "cli".to_owned(),
            extensions: names("ctype json mbstring openssl tokenizer redis pcntl"),
            drivers: names("sqlite"),
        }),
        application: Some(Ok(Booted {
            ms: 40,
            peak_mb: 8,
            framework: "8.83.0".to_owned(),
            driver: Some("sqlite".to_owned()),
            client: Some("phpredis".to_owned()),
            predis: false,
            retry_after: [("redis", 90), ("slow", 300)]
                .map(|(name, seconds)| (name.to_owned(), seconds))
                .into(),
        })),
        classes: Vec::new(),
        unseen: None,
    }
}

fn with(change: impl FnOnce(&mut Engine, &mut Booted)) -> Php {
    let mut php = healthy();
    if let (Ok(engine), Some(Ok(booted))) = (&mut php.engine, &mut php.application) {
        change(engine, booted);
    }
    php
}

fn case(env: &[(&str, &str)], php: Php) -> Case {
    Case::redis(env).php(php)
}

fn codes(case: &Case) -> Vec<(&str, Severity, &str)> {
    let ours = case
        .findings
        .iter()
        .filter(|finding| finding.code.starts_with("php."));
    ours.map(|finding| (finding.code, finding.severity, finding.subject.as_str()))
        .collect()
}

#[test]
fn a_healthy_php_is_not_mentioned() {
    assert_eq!(codes(&case(&[], healthy())), []);
    assert_eq!(codes(&Case::redis(&[])), []);
}

#[test]
fn old_and_odd_builds() {
    let old = with(|engine, _| {
        engine.number = 70_333;
        engine.sapi = "cgi-fcgi".to_owned();
    });
    let expected = [
        ("php.version", Severity::Error, "php"),
        ("php.sapi", Severity::Warning, "php"),
    ];
    assert_eq!(codes(&case(&[], old)), expected);
}

#[test]
fn extensions_that_are_missing() {
    let bare = with(|engine, booted| {
        engine.extensions = ["ctype", "json", "openssl", "tokenizer"]
            .map(str::to_owned)
            .to_vec();
        booted.driver = Some("mariadb".to_owned());
    });
    let expected = [
        ("php.extension", Severity::Error, "mbstring"),
        ("php.extension", Severity::Error, "pdo_mysql"),
        ("php.extension", Severity::Warning, "redis"),
        ("php.extension", Severity::Note, "pcntl"),
    ];
    assert_eq!(codes(&case(&[], bare)), expected);
}

#[test]
fn the_redis_client_is_the_applications() {
    let predis = |installed| {
        with(|engine, booted| {
            engine.extensions.retain(|name| name != "redis");
            booted.client = Some("predis".to_owned());
            booted.predis = installed;
        })
    };
    assert_eq!(codes(&case(&[], predis(true))), []);
    assert_eq!(
        codes(&case(&[], predis(false))),
        [("php.extension", Severity::Warning, "predis")]
    );
    let elsewhere = Case::database(&[("CACHE_STORE", "database")]).php(predis(false));
    assert_eq!(codes(&elsewhere), [], "nothing is in Redis");
}

#[test]
fn without_a_boot_our_own_settings_say_what_is_needed() {
    let mut php = with(|engine, _| engine.drivers.clear());
    php.application = Some(Err("Error: no".to_owned()));
    let found = case(&[], php);
    let expected = [
        ("php.extension", Severity::Error, "pdo_sqlite"),
        ("php.boot", Severity::Error, "the application at /app"),
    ];
    assert_eq!(codes(&found), expected);
}

/// A class with a limit in seconds.
fn class(name: &str, timeout: u64, connection: Option<&str>, queue: Option<&str>) -> JobClass {
    JobClass {
        name: name.to_owned(),
        file: format!("app/Jobs/{name}.php"),
        loads: Loads::Fine {
            timeout: Some(Duration::from_secs(timeout)),
            connection: connection.map(str::to_owned),
            queue: queue.map(str::to_owned),
        },
    }
}

#[test]
fn limits_of_classes() {
    let mut php = healthy();
    php.classes = vec![
        class("Endless", 0, None, Some("migration")),
        class("Import", 600, Some("redis"), None),
        class("Mail", 60, None, None),
    ];
    let found = case(&[("WORKER_MAX_TIMEOUT", "5m")], php);
    let expected = [
        (
            "php.retry-after",
            Severity::Warning,
            "retry_after of connection redis",
        ),
        ("php.timeout", Severity::Warning, "queue default"),
        ("php.timeout", Severity::Warning, "queue migration"),
        ("php.timeout", Severity::Note, "queue default"),
        ("php.timeout", Severity::Note, "queue migration"),
    ];
    assert_eq!(codes(&found), expected);
    let first = found.first("php.retry-after");
    assert!(
        first.what.ends_with("Endless no limit, Import 600 s"),
        "{}",
        first.what
    );
    assert!(
        first.fix.contains("'retry_after' => 630") && first.fix.ends_with("REDIS_QUEUE_RETRY_AFTER=630 here"),
        "{}",
        first.fix
    );
}

#[test]
fn a_class_with_a_connection_of_its_own_is_held_against_that() {
    let mut php = healthy();
    php.classes = vec![
        class("Export", 200, Some("slow"), None),
        class("Archive", 300, Some("slow"), None),
        class("Elsewhere", 0, Some("sqs"), None),
    ];
    let found = case(&[], php);
    assert_eq!(
        codes(&found),
        [(
            "php.retry-after",
            Severity::Warning,
            "retry_after of connection slow"
        )]
    );
    let first = found.first("php.retry-after");
    assert!(
        first.what.starts_with("is 300 s") && first.what.ends_with(": Archive 300 s"),
        "{}",
        first.what
    );
    assert!(first.fix.ends_with("config/queue.php"), "{}", first.fix);
}

#[test]
fn retry_after_is_what_the_application_says() {
    let found = case(&[], healthy());
    assert_eq!(
        found.subjects("config.retry-after"),
        Vec::<&str>::new(),
        "both have 90"
    );
    let longer = with(|_, booted| {
        booted.retry_after.insert("redis".to_owned(), 240);
    });
    let found = case(&[], longer);
    let finding = found.first("config.retry-after");
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.what, "is 240 s in the application, and 90 s here");
    assert!(
        finding.fix.starts_with("set REDIS_QUEUE_RETRY_AFTER=240"),
        "{}",
        finding.fix
    );
}

#[test]
fn what_could_not_be_tried_is_said() {
    let mut php = healthy();
    php.unseen = Some("60 s were not enough".to_owned());
    php.classes = vec![JobClass {
        name: r"App\Jobs\Stray".to_owned(),
        file: "app/Jobs/Stray.php".to_owned(),
        loads: Loads::NotFound,
    }];
    let expected = [
        ("php.class", Severity::Warning, r"App\Jobs\Stray"),
        ("php.incomplete", Severity::Warning, "job classes"),
    ];
    assert_eq!(codes(&case(&[], php)), expected);
}
