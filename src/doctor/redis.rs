//! A Redis server as a keeper of jobs.

use super::catalogue::{
    REDIS_CLUSTER, REDIS_ELSEWHERE, REDIS_EVICTION, REDIS_MEMORY, REDIS_RIGHTS, REDIS_SAVE_FAILED,
    REDIS_SHARED, REDIS_URL_PATH, REDIS_VOLATILE,
};
use super::{Facts, Finding, Severity, Store};
use crate::config::{CacheStore, Origin};
use crate::store::port::survey::{Place, RedisState};

/// Memory in use above this part of the limit, in per cent, is a warning.
const MEMORY_WARNING: u64 = 80;
/// Above this it is an error.
const MEMORY_ERROR: u64 = 95;

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(url_path(facts));
    findings.extend(shared(facts));
    // What a server does with keys hurts only where they are jobs.
    let store = facts.jobs().filter(|store| store.redis.is_some());
    let Some(store) = store else {
        return findings;
    };
    if let Some(state) = store.server.get().and_then(|server| server.redis.as_ref()) {
        findings.extend(keeping(store, state));
        findings.extend(memory(store, state));
    }
    findings.extend(rights(store));
    findings.extend(elsewhere(facts, store));
    findings
}

/// Laravel lets the path of the URL win over the number of every connection.
fn url_path(facts: &Facts<'_>) -> Option<Finding> {
    let replaced = |name: &str| {
        let setting = facts.loaded.sources.get(name)?;
        (setting.origin == Origin::Within("REDIS_URL")).then_some(setting.value.as_str())
    };
    let number = replaced("REDIS_QUEUE_DB")?;
    let what = format!(
        "ends in a database number: {number} stands in for REDIS_DB, REDIS_CACHE_DB, REDIS_SESSION_DB and \
                        REDIS_QUEUE_DB alike"
    );
    let fix = "take the path off REDIS_URL, here and in every service of the application, and leave the numbers to \
               REDIS_QUEUE_DB (3) and its companions";
    Some(REDIS_URL_PATH.found("REDIS_URL", what, fix))
}

fn shared(facts: &Facts<'_>) -> Option<Finding> {
    use crate::config::QueueKind;
    let QueueKind::Redis { db, .. } = facts.connection.kind else {
        return None;
    };
    match facts.loaded.config.cache {
        CacheStore::Redis { db: cache, .. } if cache == db => Some(REDIS_SHARED.found(
            format!("Redis database {db}"),
            "holds the queues and the cache",
            "give each a database of its own: REDIS_QUEUE_DB=3, REDIS_CACHE_DB=1, and no path in REDIS_URL",
        )),
        CacheStore::Redis { .. } | CacheStore::Database { .. } | CacheStore::Unreadable { .. } => None,
    }
}

fn keeping(store: &Store, state: &RedisState) -> Vec<Finding> {
    let mut findings = Vec::new();
    if state.mode != "standalone" {
        let what = format!("runs in {} mode", state.mode);
        findings.push(REDIS_CLUSTER.found(
            &store.name,
            what,
            "point REDIS_HOST at a Redis server of its own",
        ));
    }
    if let Some(policy) = state.policy.as_deref().filter(|policy| *policy != "noeviction") {
        let what = format!("has the eviction policy {policy}");
        let fix = "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf";
        findings.push(REDIS_EVICTION.found(&store.name, what, fix));
    }
    if state.save_failed {
        let fix =
            "redis-cli INFO persistence; free space on the server's disk, or let it write its directory";
        findings.push(REDIS_SAVE_FAILED.found(&store.name, "could not write its data to the disk", fix));
    }
    if !state.append_only && state.snapshots == Some(false) {
        let fix = "redis-cli CONFIG SET appendonly yes, and the same in redis.conf";
        findings.push(REDIS_VOLATILE.found(&store.name, "writes neither a log (AOF) nor snapshots", fix));
    }
    findings
}

fn memory(store: &Store, state: &RedisState) -> Option<Finding> {
    let percent = state.used.saturating_mul(100).checked_div(state.limit)?;
    if percent < MEMORY_WARNING {
        return None;
    }
    let mb = |bytes: u64| bytes >> 20;
    let what = format!(
        "uses {percent} % of its memory ({} of {} MB)",
        mb(state.used),
        mb(state.limit)
    );
    let fix = "redis-cli --bigkeys; then raise maxmemory, or remove what is not needed";
    let severity = if percent < MEMORY_ERROR {
        Severity::Warning
    } else {
        Severity::Error
    };
    Some(REDIS_MEMORY.found(&store.name, what, fix).at(severity))
}

fn rights(store: &Store) -> Option<Finding> {
    match store.redis.as_ref()?.missing_rights.get()? {
        None => {
            let what = "does not let this user open a transaction, so its rights could not be tried";
            let fix = "redis-cli ACL SETUSER <user> +multi +discard, then: worker doctor";
            Some(REDIS_RIGHTS.found(&store.name, what, fix).at(Severity::Note))
        }
        Some(missing) if missing.is_empty() => None,
        Some(missing) => {
            let commands: Vec<_> = missing
                .iter()
                .filter_map(|right| right.split(' ').next())
                .collect();
            let rights: Vec<_> = commands
                .iter()
                .map(|name| format!("+{}", name.to_lowercase()))
                .collect();
            let keys = match missing.iter().any(|right| right.contains(' ')) {
                true => " ~<REDIS_PREFIX>*",
                false => "",
            };
            let fix = format!("redis-cli ACL SETUSER <user> {}{keys}", rights.join(" "));
            let what = format!("does not let this user run {}", missing.join(", "));
            Some(REDIS_RIGHTS.found(&store.name, what, fix))
        }
    }
}

fn elsewhere(facts: &Facts<'_>, store: &Store) -> Vec<Finding> {
    let Some(redis) = &store.redis else {
        return Vec::new();
    };
    let Some(elsewhere) = redis.elsewhere.get() else {
        return Vec::new();
    };
    let here = facts.queues().iter();
    let nothing_here = here
        .into_iter()
        .all(|queue| queue.pending + queue.delayed + queue.reserved + queue.lapsed == 0);
    let seen = match elsewhere.complete {
        true => String::new(),
        false => format!(" (only {} keys were looked at)", elsewhere.keys),
    };
    let config = &facts.loaded.config.redis;
    let place = |place: &Place| {
        let prefix = &config.prefix;
        // The application's own jobs, as good as certain: its prefix in another database, or the prefix of a newer skeleton.
        let ours = place.prefix == *prefix || config.prefix_alternative.as_ref() == Some(&place.prefix);
        let severity = if ours && nothing_here {
            Severity::Error
        } else {
            Severity::Warning
        };
        let mut queues = place.queues.clone();
        let more = queues.len().saturating_sub(10);
        queues.truncate(10);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let what = format!(
            "has {} jobs on {}{more} in database {}, prefix {:?}; here database {} and prefix {prefix:?} are looked at{seen}",
            place.jobs,
            queues.join(", "),
            place.db,
            place.prefix,
            redis.db,
        );
        let fix = match place.db == redis.db {
            true => format!(
                "if they are this application's: set REDIS_PREFIX={:?}",
                place.prefix
            ),
            false => format!(
                "if they are this application's: set REDIS_QUEUE_DB={} REDIS_PREFIX={:?}, and look for a path in REDIS_URL",
                place.db, place.prefix
            ),
        };
        REDIS_ELSEWHERE.found(&store.name, what, fix).at(severity)
    };
    elsewhere.places.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, queue, redis_store, server};
    use super::super::{Redis, Seen};
    use super::*;
    use crate::store::port::survey::{Elsewhere, Product};

    fn with_state(change: impl Fn(&mut RedisState)) -> Case {
        let mut store = redis_store();
        let mut server = server(Product::Redis);
        if let Some(state) = &mut server.redis {
            change(state);
        }
        store.server = Seen::Here(server);
        Case::redis(&[]).stores(vec![store])
    }

    #[test]
    fn a_good_server_is_not_complained_of() {
        let case = with_state(|_| {});
        let codes: Vec<_> = case
            .findings
            .iter()
            .map(|finding| finding.code)
            .filter(|code| code.starts_with("redis."))
            .collect();
        assert_eq!(codes, [""; 0]);
    }

    #[test]
    fn how_it_keeps_data() {
        let policy = |policy: &'static str| {
            with_state(move |state| state.policy = Some(policy.into())).worst("redis.eviction")
        };
        assert_eq!(policy("allkeys-lru"), Some(Severity::Error));
        assert_eq!(policy("volatile-ttl"), Some(Severity::Error));
        assert_eq!(policy("noeviction"), None);
        let used = |used| {
            with_state(move |state| (state.used, state.limit) = (used, 100 << 20)).worst("redis.memory")
        };
        assert_eq!(used(79 << 20), None);
        assert_eq!(used(80 << 20), Some(Severity::Warning));
        assert_eq!(used(96 << 20), Some(Severity::Error));
        let saved = |aof, snapshots| {
            with_state(move |state| (state.append_only, state.snapshots) = (aof, snapshots))
                .count("redis.volatile")
        };
        assert_eq!(
            [
                saved(false, Some(false)),
                saved(true, Some(false)),
                saved(false, Some(true)),
                saved(false, None)
            ],
            [1, 0, 0, 0]
        );
        assert_eq!(
            with_state(|state| state.save_failed = true).count("redis.save-failed"),
            1
        );
        assert_eq!(
            with_state(|state| state.mode = "cluster".into()).count("redis.cluster"),
            1
        );
    }

    #[test]
    fn a_path_replaces_every_number() {
        let case = Case::redis(&[("REDIS_URL", "redis://cache:6379/0"), ("CACHE_STORE", "redis")]);
        assert!(case.first("redis.url-path").what.contains("number: 0"));
        assert_eq!(case.worst("redis.shared-database"), Some(Severity::Error));
        let case = Case::redis(&[("REDIS_URL", "redis://cache:6379"), ("CACHE_STORE", "redis")]);
        assert_eq!(
            (case.count("redis.url-path"), case.count("redis.shared-database")),
            (0, 0)
        );
    }

    #[test]
    fn missing_rights_are_named() {
        let mut store = redis_store();
        let missing = vec!["EVAL".to_owned(), "RPUSH a_queues:default".to_owned()];
        store.redis = store.redis.map(|redis| Redis {
            missing_rights: Seen::Here(Some(missing.clone())),
            ..redis
        });
        let case = Case::redis(&[]).stores(vec![store]);
        let found = case.first("redis.rights");
        assert!(
            found.what.ends_with("EVAL, RPUSH a_queues:default"),
            "{}",
            found.what
        );
        assert!(
            found.fix.ends_with("+eval +rpush ~<REDIS_PREFIX>*"),
            "{}",
            found.fix
        );
    }

    #[test]
    fn queues_that_lie_elsewhere() {
        let place = |db, prefix: &str| Place {
            db,
            prefix: prefix.into(),
            queues: vec!["default".into()],
            jobs: 337,
        };
        let case = |here, places| {
            let mut store = redis_store();
            store.queues = Seen::Here(vec![queue("default", here)]);
            let elsewhere = Elsewhere {
                places,
                keys: 1000,
                complete: true,
            };
            store.redis = store.redis.map(|redis| Redis {
                elsewhere: Seen::Here(elsewhere.clone()),
                ..redis
            });
            Case::redis(&[]).stores(vec![store])
        };
        assert_eq!(
            case(0, vec![place(0, "app_")]).worst("redis.elsewhere"),
            Some(Severity::Error)
        );
        assert_eq!(
            case(5, vec![place(0, "app_")]).worst("redis.elsewhere"),
            Some(Severity::Warning)
        );
        let other = case(0, vec![place(3, "other_")]);
        assert_eq!(other.worst("redis.elsewhere"), Some(Severity::Warning));
        assert!(
            other
                .first("redis.elsewhere")
                .fix
                .contains("REDIS_PREFIX=\"other_\"")
        );
    }
}
