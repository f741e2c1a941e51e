//! Queues that lie where nobody looks: in other databases, below other prefixes.

use std::collections::{BTreeMap, BTreeSet};

use redis::{RedisResult, Value};

use super::super::failure::Failure;
use super::Asker;
use crate::store::port::survey::{Elsewhere, Place};

/// Databases that are looked into: 0 to 15, which is what a server has unless told otherwise.
const DATABASES: u32 = 16;
/// Keys per database whose types are asked for, at most.
const CANDIDATES: usize = 500;

type Found = BTreeMap<(u32, String), (BTreeSet<String>, u64)>;

pub(super) async fn look(asker: &mut Asker, db: u32, prefix: &str) -> Result<Elsewhere, Failure> {
    let mut elsewhere = Elsewhere {
        places: Vec::new(),
        keys: 0,
        complete: true,
    };
    let mut found = Found::new();
    for number in filled(asker, db).await? {
        let mut select = redis::cmd("SELECT");
        select.arg(number);
        drop::<Value>(asker.one(&select).await?);
        let scanned = asker.scan("*queues:*").await?;
        elsewhere.keys = elsewhere.keys.saturating_add(scanned.keys);
        elsewhere.complete &= scanned.complete && scanned.found.len() <= CANDIDATES;
        let candidates: Vec<_> = scanned
            .found
            .iter()
            .filter_map(|key| Some((key, cut(key)?)))
            .filter(|(_, (before, _))| (number, *before) != (db, prefix))
            .take(CANDIDATES)
            .collect();
        for ((_, (before, queue)), jobs) in candidates.iter().zip(count(asker, &candidates).await?) {
            if let Some(jobs) = jobs {
                let entry = found.entry((number, (*before).to_owned())).or_default();
                entry.0.insert((*queue).to_owned());
                entry.1 += jobs;
            }
        }
    }
    let place = |((db, prefix), (queues, jobs)): ((u32, String), (BTreeSet<String>, u64))| Place {
        db,
        prefix,
        queues: queues.into_iter().collect(),
        jobs,
    };
    elsewhere.places = found.into_iter().map(place).collect();
    Ok(elsewhere)
}

/// The numbers of the databases that hold keys; our own and those that exist at all when the server does not say.
async fn filled(asker: &mut Asker, own: u32) -> Result<Vec<u32>, Failure> {
    let mut command = redis::cmd("INFO");
    command.arg("keyspace");
    let info: String = asker.one(&command).await?;
    let number = |line: &str| line.strip_prefix("db")?.split_once(':')?.0.parse().ok();
    let numbers = info.lines().filter_map(number);
    Ok(numbers
        .filter(|number| *number < DATABASES || *number == own)
        .collect())
}

/// Prefix and queue of a key, if it is one that holds jobs.
fn cut(key: &str) -> Option<(&str, &str)> {
    let (prefix, name) = key.split_once("queues:")?;
    let name = name.strip_suffix(":delayed").unwrap_or(name);
    let name = name.strip_suffix(":reserved").unwrap_or(name);
    // Laravel's own `illuminate:queues:paused` is a signal in the cache.
    (!name.is_empty() && !name.ends_with(":notify") && !prefix.ends_with("illuminate:"))
        .then_some((prefix, name))
}

/// How many jobs each key holds; `None` for one that is neither a list nor a sorted set.
async fn count(
    asker: &mut Asker,
    candidates: &[(&String, (&str, &str))],
) -> Result<Vec<Option<u64>>, Failure> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let mut commands = redis::pipe();
    commands.ignore_errors();
    for (key, _) in candidates {
        if key.ends_with(":delayed") || key.ends_with(":reserved") {
            commands.cmd("ZCARD").arg(key);
        } else {
            commands.cmd("LLEN").arg(key);
        }
    }
    let counts: Vec<RedisResult<u64>> = asker.all(&commands).await?;
    Ok(counts.into_iter().map(Result::ok).collect())
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn keys_of_queues_are_told_from_others() {
        assert_eq!(cut("app_queues:mail:delayed"), Some(("app_", "mail")));
        assert_eq!(cut("queues:{mail}"), Some(("", "{mail}")));
        for other in [
            "app_queues:mail:notify",
            "app_cache_illuminate:queues:paused",
            "queue:mail",
            "queues:",
        ] {
            assert_eq!(cut(other), None, "{other}");
        }
    }
}
