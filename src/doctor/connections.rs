//! Stores: whether they answer, how fast, how old, and what time they have.

use std::time::Duration;

use super::catalogue::{
    CONNECTION_CLOCK, CONNECTION_INCOMPLETE, CONNECTION_OLD, CONNECTION_READ_ONLY, CONNECTION_SLOW,
    CONNECTION_UNREACHABLE,
};
use super::{Facts, Finding, Seen, Severity, Store};
use crate::store::port::survey::{Product, Server};

/// A median round trip above this is slow.
const SLOW: Duration = Duration::from_millis(5);
/// Clocks that differ by more than this are a warning, in milliseconds.
const CLOCK_WARNING_MS: u64 = 2_000;
/// Clocks that differ by more than this are an error, in milliseconds.
const CLOCK_ERROR_MS: u64 = 30_000;

/// The versions from which a product is served, and from which it is served well.
const VERSIONS: &[(Product, [u32; 3], [u32; 3], &str)] = &[
    (
        Product::Redis,
        [5, 0, 0],
        [6, 0, 0],
        "access lists, and commands that newer Laravels send, came with 6.0",
    ),
    (
        Product::Mysql,
        [5, 7, 0],
        [8, 0, 1],
        "SKIP LOCKED came with 8.0.1: without it workers wait for each other's rows",
    ),
    (
        Product::Mariadb,
        [10, 3, 0],
        [10, 6, 0],
        "SKIP LOCKED came with 10.6: without it workers wait for each other's rows",
    ),
    (
        Product::Postgres,
        [9, 5, 0],
        [12, 0, 0],
        "SKIP LOCKED came with 9.5, and versions before 12 are no longer mended",
    ),
];

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    facts.stores.iter().flat_map(one).collect()
}

fn one(store: &Store) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &store.server {
        Seen::Here(server) => {
            findings.extend(read_only(store, server));
            findings.extend(old(store, server));
            findings.extend(clock(store, server));
            findings.extend(slow(store, server));
            findings.extend(incomplete(store));
        }
        other => findings.extend(other.trouble().map(|trouble| unreachable(store, &trouble))),
    }
    findings
}

fn unreachable(store: &Store, trouble: &str) -> Finding {
    let needed = store.uses.jobs || store.uses.failures;
    let uses = [
        (store.uses.jobs, "jobs"),
        (store.uses.failures, "failed jobs"),
        (store.uses.signals, "signals"),
    ];
    let uses: Vec<_> = uses
        .iter()
        .filter(|(used, _)| *used)
        .map(|(_, what)| *what)
        .collect();
    let holds = match uses.is_empty() {
        true => "is configured and not used by the worker".to_owned(),
        false => format!("holds {}", uses.join(", ")),
    };
    let fix = match store.sql.as_ref().is_some_and(|sql| sql.is_file) {
        true => {
            "worker config | grep DB_: is DB_DATABASE the application's file, and may this user read it? worker \
                 migrate makes a missing one"
        }
        false => {
            "worker config | grep -E '^(REDIS|DB|DATABASE|MYSQL)': are host, port, user and database right? Is the \
                  server up, and reachable from this host?"
        }
    };
    CONNECTION_UNREACHABLE
        .found(&store.name, format!("{trouble}; it {holds}"), fix)
        .at(if needed {
            Severity::Error
        } else {
            Severity::Warning
        })
}

fn read_only(store: &Store, server: &Server) -> Option<Finding> {
    server.read_only.then(|| {
        CONNECTION_READ_ONLY
            .found(
                &store.name,
                "takes no writes: it is a replica",
                "point the settings at the primary server",
            )
            .at(if store.uses.jobs {
                Severity::Error
            } else {
                Severity::Warning
            })
    })
}

fn old(store: &Store, server: &Server) -> Option<Finding> {
    let (_, least, good, why) = VERSIONS.iter().find(|(product, ..)| *product == server.product)?;
    let numbers = server.numbers();
    // A server that hides its version is not judged by it.
    if numbers == [0, 0, 0] || numbers >= *good {
        return None;
    }
    let [major, minor, patch] = good;
    let severity = if numbers < *least {
        Severity::Error
    } else {
        Severity::Warning
    };
    let fix = format!(
        "upgrade to {} {major}.{minor}.{patch} or later",
        server.product.name()
    );
    let what = format!("is {} {}: {why}", server.product.name(), server.version);
    Some(CONNECTION_OLD.found(&store.name, what, fix).at(severity))
}

fn clock(store: &Store, server: &Server) -> Option<Finding> {
    let ahead_ms = server.ahead_ms?;
    let distance = ahead_ms.unsigned_abs();
    // Half of the round trip is how well it can be known.
    let doubt = u64::try_from(server.round_trip.as_millis() / 2).unwrap_or(u64::MAX);
    let distance = distance.saturating_sub(doubt);
    if distance <= CLOCK_WARNING_MS {
        return None;
    }
    let severity = if distance > CLOCK_ERROR_MS {
        Severity::Error
    } else {
        Severity::Warning
    };
    let word = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let what = format!(
        "has a clock that is {}.{} s {word} this host's",
        distance / 1000,
        distance % 1000 / 100
    );
    let fix = "timedatectl set-ntp true, on the host whose clock is wrong";
    Some(CONNECTION_CLOCK.found(&store.name, what, fix).at(severity))
}

fn slow(store: &Store, server: &Server) -> Option<Finding> {
    (server.round_trip > SLOW).then(|| {
        let what = format!("answers after {:.1} ms (median)", server.round_trip.as_secs_f64() * 1000.0);
        let fix = "run the worker in the same region and network as the store, or use the faster one of Redis and SQL";
        CONNECTION_SLOW.found(&store.name, what, fix)
    })
}

fn incomplete(store: &Store) -> Vec<Finding> {
    let mut parts = vec![
        ("its queues", store.queues.trouble()),
        ("its consumers", store.processes.trouble()),
    ];
    if let Some(redis) = &store.redis {
        parts.push(("the rights of the user", redis.missing_rights.trouble()));
        parts.push(("its other databases", redis.elsewhere.trouble()));
    }
    if let Some(sql) = &store.sql {
        parts.push(("its tables", sql.tables.trouble()));
        parts.push(("its failed jobs", sql.failures.trouble()));
    }
    parts
        .into_iter()
        .filter_map(|(part, trouble)| {
            let what = format!("{}: {part} could not be examined", trouble?);
            Some(CONNECTION_INCOMPLETE.found(&store.name, what, "worker doctor, once more; then with -v"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, redis_store, server, sql_store};
    use super::*;

    /// The severity of `code` when the served store's server looks like this.
    fn worst(code: &str, product: Product, change: impl Fn(&mut Server)) -> Option<Severity> {
        let mut server = server(product);
        change(&mut server);
        let mut store = if product == Product::Redis {
            redis_store()
        } else {
            sql_store()
        };
        store.server = Seen::Here(server);
        Case::redis(&[]).stores(vec![store]).worst(code)
    }

    #[test]
    fn versions() {
        let version = |product, version: &str| {
            worst("connection.old", product, |server| {
                server.version = version.into();
            })
        };
        assert_eq!(version(Product::Redis, "4.0.14"), Some(Severity::Error));
        assert_eq!(version(Product::Redis, "5.0.7"), Some(Severity::Warning));
        assert_eq!(version(Product::Redis, "7.0.15"), None);
        assert_eq!(version(Product::Mysql, "5.7.44"), Some(Severity::Warning));
        assert_eq!(version(Product::Mysql, "8.0.36"), None);
        assert_eq!(
            version(Product::Mariadb, "10.5.23-MariaDB"),
            Some(Severity::Warning)
        );
        assert_eq!(version(Product::Postgres, "9.4.1"), Some(Severity::Error));
        assert_eq!(version(Product::Postgres, "unknown"), None);
    }

    #[test]
    fn clocks() {
        let ahead = |ms: i64| {
            worst("connection.clock", Product::Mysql, |server| {
                server.ahead_ms = Some(ms);
            })
        };
        assert_eq!(ahead(1_900), None);
        assert_eq!(ahead(-3_000), Some(Severity::Warning));
        assert_eq!(ahead(31_000), Some(Severity::Error));
        let far = worst("connection.clock", Product::Redis, |server| {
            (server.ahead_ms, server.round_trip) = (Some(2_500), Duration::from_secs(2));
        });
        assert_eq!(far, None, "half of the round trip is doubt");
    }

    #[test]
    fn slow_and_read_only_servers() {
        let ms = |ms| {
            worst("connection.slow", Product::Redis, |server| {
                server.round_trip = Duration::from_millis(ms);
            })
        };
        assert_eq!((ms(5), ms(6)), (None, Some(Severity::Warning)));
        let replica = worst("connection.read-only", Product::Redis, |server| {
            server.read_only = true;
        });
        assert_eq!(replica, Some(Severity::Error));
    }

    #[test]
    fn only_what_is_needed_is_an_error() {
        let mut store = sql_store();
        store.server = Seen::Late(Duration::from_secs(5));
        store.uses = super::super::Uses::default();
        let case = Case::redis(&[]).stores(vec![store]);
        assert_eq!(case.worst("connection.unreachable"), Some(Severity::Warning));
        let mut store = redis_store();
        store.server = Seen::Failed("connect to 127.0.0.1:1: refused".to_owned());
        let case = Case::redis(&[]).stores(vec![store]);
        assert_eq!(case.worst("connection.unreachable"), Some(Severity::Error));
        assert!(
            case.first("connection.unreachable")
                .what
                .starts_with("failed to connect")
        );
    }

    #[test]
    fn what_was_not_seen_is_said() {
        let mut store = redis_store();
        store.queues = Seen::Late(Duration::from_secs(5));
        let case = Case::redis(&[]).stores(vec![store]);
        assert!(
            case.first("connection.incomplete")
                .what
                .contains("within 5 s: its queues")
        );
    }
}
