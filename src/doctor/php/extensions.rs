//! Extensions that the framework or the application needs and PHP does not have.

use super::super::catalogue::PHP_EXTENSION;
use super::super::{Facts, Finding, Severity};
use super::{Booted, Engine, Php};
use crate::config::{CacheStore, Database, Origin, QueueKind};

/// Extensions without which the framework does not run.
const NEEDED: &[&str] = &["ctype", "json", "mbstring", "openssl", "tokenizer"];

pub(super) fn judge(facts: &Facts<'_>, php: &Php, engine: &Engine) -> Vec<Finding> {
    let has = |name: &str| engine.extensions.iter().any(|known| known == name);
    let install = |name: &str| {
        format!(
            "install the extension {name} for PHP {} (php -m lists what is there)",
            engine.version
        )
    };
    let mut findings: Vec<_> = NEEDED
        .iter()
        .filter(|name| !has(name))
        .map(|name| PHP_EXTENSION.found(*name, "is missing, and the framework needs it", install(name)))
        .collect();
    let booted = php.booted();
    if let Some(driver) = driver(facts, booted)
        && !engine.drivers.contains(&driver)
    {
        let name = format!("pdo_{driver}");
        let what = format!("is missing, and the application's default database is {driver}");
        findings.push(PHP_EXTENSION.found(&name, what, install(&name)));
    }
    if uses_redis(facts) {
        findings.extend(redis_client(facts, booted, has("redis")));
    }
    if !has("pcntl") {
        let what = "is missing, which is harmless: this worker keeps time limits and signals itself";
        let fix = "nothing here; php artisan queue:work keeps no time limit without it";
        findings.push(PHP_EXTENSION.found("pcntl", what, fix).at(Severity::Note));
    }
    findings
}

/// PDO's name for the default database: as the application says, else as it is set here.
fn driver(facts: &Facts<'_>, booted: Option<&Booted>) -> Option<String> {
    if let Some(booted) = booted {
        let known = |driver: &&String| ["mysql", "mariadb", "pgsql", "sqlite"].contains(&driver.as_str());
        let driver = booted.driver.as_ref().filter(known);
        return driver.map(|driver| driver.replace("mariadb", "mysql"));
    }
    let named = facts.loaded.sources.get("DB_CONNECTION");
    named.filter(|setting| setting.origin != Origin::Default)?;
    let driver = match facts.loaded.config.databases.default().ok()? {
        Database::Mysql { .. } => "mysql",
        Database::Postgres { .. } => "pgsql",
        Database::Sqlite { .. } => "sqlite",
    };
    Some(driver.to_owned())
}

fn uses_redis(facts: &Facts<'_>) -> bool {
    matches!(facts.connection.kind, QueueKind::Redis { .. })
        || matches!(facts.loaded.config.cache, CacheStore::Redis { .. })
}

fn redis_client(facts: &Facts<'_>, booted: Option<&Booted>, has_extension: bool) -> Option<Finding> {
    let set = facts.shown("REDIS_CLIENT");
    let client = booted.and_then(|booted| booted.client.as_deref()).unwrap_or(set);
    let missing = match client {
        "predis" => booted.is_some_and(|booted| !booted.predis),
        "phpredis" | "" => !has_extension,
        _ => false,
    };
    let (subject, fix) = match client {
        "predis" => (
            "predis",
            "composer require predis/predis, or set REDIS_CLIENT=phpredis",
        ),
        _ => (
            "redis",
            "install the extension redis (php-redis), or set REDIS_CLIENT=predis",
        ),
    };
    let what = "is missing, and the application reaches Redis through it";
    missing.then(|| PHP_EXTENSION.found(subject, what, fix).at(Severity::Warning))
}
