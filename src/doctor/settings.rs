//! The settings: what is wrong with them, what surprises, and what web and worker would read differently.

use super::catalogue::{
    CONFIG_DOTENV_REPLACED, CONFIG_ENV_DIFFERS, CONFIG_FAILURES, CONFIG_INVALID, CONFIG_PREFIX_DERIVED,
    CONFIG_REDIS_CLIENT, CONFIG_REDIS_CLUSTER, CONFIG_RETRY_AFTER, CONFIG_SYNC, CONFIG_WARNING,
};
use super::facts::NO_RETRY_AFTER_S;
use super::{Facts, Finding, Severity};
use crate::config::{CacheStore, FailedStore, Origin, PrefixSource, Problem, QueueKind};

/// Variables about which another concern says more than the loader's warning does.
const SAID_ELSEWHERE: &[&str] = &[
    "CACHE_STORE",
    "CACHE_DRIVER",
    "QUEUE_FAILED_DRIVER",
    "REDIS_CLIENT",
    "REDIS_URL",
];

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> = facts.problems.iter().map(invalid).collect();
    findings.extend(sync(facts));
    findings.extend(failures(facts));
    findings.extend(files(facts));
    findings.extend(prefixes(facts));
    findings.extend(clients(facts));
    findings.extend(retry_after(facts));
    let said = |name: &str| {
        SAID_ELSEWHERE.contains(&name) || facts.problems.iter().any(|problem| problem.name == name)
    };
    let warnings = facts
        .loaded
        .warnings
        .iter()
        .filter(|warning| !said(&warning.name));
    findings.extend(warnings.map(|warning| {
        let fix = format!("worker config | grep {}", warning.name);
        CONFIG_WARNING.found(&warning.name, &warning.what, fix)
    }));
    findings
}

fn invalid(problem: &Problem) -> Finding {
    let subject = match problem.place.as_str() {
        "" => problem.name.clone(),
        place => format!("{} ({place})", problem.name),
    };
    let fix = match problem.allowed.as_str() {
        "" => format!("correct {}, then: worker config", problem.name),
        allowed => format!("set {} to: {allowed}", problem.name),
    };
    CONFIG_INVALID.found(subject, &problem.what, fix)
}

fn sync(facts: &Facts<'_>) -> Option<Finding> {
    // A connection that cannot be read has its own finding and stands in as this one.
    let is_sync = facts.connection.kind == QueueKind::Sync;
    let known = matches!(facts.connection.name.as_str(), "sync" | "deferred" | "null");
    (is_sync && known).then(|| {
        let what = format!("is {}", facts.connection.name);
        CONFIG_SYNC.found(
            "QUEUE_CONNECTION",
            what,
            "set QUEUE_CONNECTION=redis or QUEUE_CONNECTION=database",
        )
    })
}

fn failures(facts: &Facts<'_>) -> Option<Finding> {
    let fix = "set QUEUE_FAILED_DRIVER=database-uuids and DB_CONNECTION, then: worker migrate";
    match &facts.loaded.config.failed {
        FailedStore::Database { .. } => None,
        FailedStore::Null => Some(
            CONFIG_FAILURES
                .found(
                    "QUEUE_FAILED_DRIVER",
                    "is null: failed jobs are logged and not kept",
                    fix,
                )
                .at(Severity::Warning),
        ),
        FailedStore::Unavailable(problem) => Some(CONFIG_FAILURES.found(
            "QUEUE_FAILED_DRIVER",
            format!("has no store, and the worker does not start without one: {problem}"),
            fix,
        )),
    }
}

fn files(facts: &Facts<'_>) -> Vec<Finding> {
    let clues = facts.clues;
    let differing = clues.differing.iter().map(|differing| {
        CONFIG_ENV_DIFFERS.found(
            differing.name,
            format!(
                "is {} in the environment and {} in {}",
                differing.environment, differing.dotenv, differing.place
            ),
            format!("make both say the same, or take {} out of one", differing.name),
        )
    });
    let read = clues
        .dotenv
        .as_ref()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let replaced = clues.replaced.iter().map(|path| {
        CONFIG_DOTENV_REPLACED.found(
            path.display().to_string(),
            format!("is not read: {read} is, because APP_ENV or --env names it"),
            "make sure that every process of the application has the same APP_ENV, or remove one of the files",
        )
    });
    differing.chain(replaced).collect()
}

fn prefixes(facts: &Facts<'_>) -> Vec<Finding> {
    let config = &facts.loaded.config;
    let mut findings = Vec::new();
    let in_redis = facts.in_redis() || matches!(config.cache, CacheStore::Redis { .. });
    let redis = &config.redis;
    if in_redis && redis.prefix_source == PrefixSource::AppName {
        findings.push(CONFIG_PREFIX_DERIVED.found(
            "REDIS_PREFIX",
            format!("is not set: {:?} is made from APP_NAME", redis.prefix),
            format!(
                "php artisan tinker --execute='echo config(\"database.redis.options.prefix\")', then set REDIS_PREFIX \
                 to it everywhere (here it would be {:?})",
                redis.prefix
            ),
        ));
    }
    if let CacheStore::Redis {
        prefix,
        prefix_alternatives,
        ..
    }
    | CacheStore::Database {
        prefix,
        prefix_alternatives,
        ..
    } = &config.cache
        && !prefix_alternatives.is_empty()
    {
        findings.push(
            CONFIG_PREFIX_DERIVED
                .found(
                    "CACHE_PREFIX",
                    format!("is not set: {prefix:?} is made from APP_NAME, and other forms are looked at too"),
                    "php artisan tinker --execute='echo config(\"cache.prefix\")', then set CACHE_PREFIX to it everywhere",
                )
                .at(Severity::Note),
        );
    }
    findings
}

fn clients(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let setting = facts.loaded.sources.get("REDIS_CLIENT");
    if let Some(client) = setting.filter(|setting| setting.origin != Origin::Default)
        && !matches!(client.value.as_str(), "phpredis" | "predis")
    {
        let what = match client.value.as_str() {
            "" => format!("is set to nothing ({})", client.origin),
            other => format!("is {other:?} ({})", client.origin),
        };
        findings.push(CONFIG_REDIS_CLIENT.found(
            "REDIS_CLIENT",
            what,
            "set REDIS_CLIENT=phpredis or REDIS_CLIENT=predis, or do not set it",
        ));
    }
    let cluster = facts.shown("REDIS_CLUSTER");
    if !cluster.is_empty() {
        findings.push(CONFIG_REDIS_CLUSTER.found(
            "REDIS_CLUSTER",
            format!("is {cluster:?}"),
            "nothing, when config/database.php has no clusters; else give queues a Redis server that is no cluster",
        ));
    }
    findings
}

/// What PHP workers use is the application's to say.
fn retry_after(facts: &Facts<'_>) -> Option<Finding> {
    let ours = facts.retry_after()?.as_secs();
    if facts.is_embedded() {
        return None;
    }
    let name = &facts.connection.name;
    let variable = facts.retry_after_variable();
    let key = format!("queue.connections.{name}.retry_after");
    let cached = facts.clues.cached.as_ref();
    match (cached.and_then(|cached| cached.retry_after.get(name)), facts.php_retry_after(name)) {
        // Another number there is a finding of the cached configuration.
        (Some(Some(_)), _) => None,
        (Some(None), _) => Some(CONFIG_RETRY_AFTER.found(
            key,
            format!("is null in the cached configuration of the application: {NO_RETRY_AFTER_S} s to Laravel"),
            format!("set 'retry_after' => {ours} in config/queue.php, then: php artisan config:cache"),
        )),
        (None, Some(theirs)) if theirs.as_secs() == ours => None,
        (None, Some(theirs)) => {
            let theirs = theirs.as_secs();
            Some(CONFIG_RETRY_AFTER.found(
                key,
                format!("is {theirs} s in the application, and {ours} s here"),
                format!("set {variable}={theirs} here, or 'retry_after' => {ours} in config/queue.php"),
            ))
        }
        (None, None) => Some(
            CONFIG_RETRY_AFTER
                .found(
                    variable,
                    format!("is taken to be {ours} s, also for PHP workers; what they use cannot be seen from here"),
                    format!("php artisan tinker --execute='var_dump(config(\"{key}\"))', then set {variable} to it; null is {NO_RETRY_AFTER_S}"),
                )
                .at(Severity::Note),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;

    #[test]
    fn every_problem_is_a_finding() {
        let case = Case::new(&[("QUEUE_CONNECTION", "rabbit"), ("WORKER_LEASE", "soon")]);
        let subjects = case.subjects("config.invalid");
        assert_eq!(
            subjects,
            ["QUEUE_CONNECTION (environment)", "WORKER_LEASE (environment)"]
        );
        assert!(case.first("config.invalid").fix.contains("redis, database"));
        assert_eq!(case.count("config.sync"), 0);
    }

    #[test]
    fn nothing_to_consume() {
        assert_eq!(
            Case::new(&[("QUEUE_CONNECTION", "sync")]).worst("config.sync"),
            Some(Severity::Error)
        );
    }

    #[test]
    fn failures_that_are_kept_nowhere() {
        let worst = |driver| Case::redis(&[("QUEUE_FAILED_DRIVER", driver)]).worst("config.failures");
        assert_eq!(worst("null"), Some(Severity::Warning));
        assert_eq!(worst("dynamodb"), Some(Severity::Error));
        assert_eq!(worst("database"), None);
    }

    #[test]
    fn environment_and_dotenv_differ() {
        let case = Case::with_dotenv(
            &[
                ("REDIS_PREFIX", "a_"),
                ("REDIS_PASSWORD", "hunter2"),
                ("REDIS_PORT", "6379"),
            ],
            "QUEUE_CONNECTION=redis\nREDIS_PREFIX=b_\nREDIS_PASSWORD=hunter3\nREDIS_PORT=6379\n",
        );
        let subjects = case.subjects("config.env-differs");
        assert_eq!(subjects, ["REDIS_PASSWORD", "REDIS_PREFIX"]);
        assert!(
            case.findings
                .iter()
                .all(|finding| !format!("{finding:?}").contains("hunter"))
        );
    }

    #[test]
    fn derived_prefixes() {
        let case = Case::new(&[
            ("QUEUE_CONNECTION", "redis"),
            ("DB_CONNECTION", "sqlite"),
            ("DB_DATABASE", "/a"),
        ]);
        assert_eq!(
            case.subjects("config.prefix-derived"),
            ["REDIS_PREFIX", "CACHE_PREFIX"]
        );
        assert_eq!(
            Case::redis(&[("CACHE_PREFIX", "c_")]).count("config.prefix-derived"),
            0
        );
    }

    #[test]
    fn clients_that_laravel_does_not_have() {
        assert_eq!(
            Case::redis(&[("REDIS_CLIENT", "")]).count("config.redis-client"),
            1
        );
        assert_eq!(
            Case::redis(&[("REDIS_CLIENT", "credis")]).count("config.redis-client"),
            1
        );
        assert_eq!(
            Case::redis(&[("REDIS_CLIENT", "predis")]).count("config.redis-client"),
            0
        );
        assert_eq!(Case::redis(&[]).count("config.redis-client"), 0);
        assert_eq!(
            Case::redis(&[("REDIS_CLUSTER", "redis")]).worst("config.redis-cluster"),
            Some(Severity::Note)
        );
    }

    #[test]
    fn what_php_is_taken_to_do_is_said() {
        let case = Case::redis(&[("REDIS_QUEUE_RETRY_AFTER", "120")]);
        let found = case.first("config.retry-after");
        assert_eq!(
            (found.severity, found.subject.as_str()),
            (Severity::Note, "REDIS_QUEUE_RETRY_AFTER")
        );
        assert!(found.what.contains("120 s"));
    }

    #[test]
    fn other_warnings_are_told_once() {
        let case = Case::redis(&[("WORKER_LEAES", "60"), ("CACHE_STORE", "file")]);
        assert_eq!(case.subjects("config.warning"), ["WORKER_LEAES"]);
    }
}
