//! Time limits: of the jobs that wait, of their queues, and PHP's `retry_after`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::catalogue::{TIMEOUT_CAPPED, TIMEOUT_LANE, TIMEOUT_QUEUE, TIMEOUT_RETRY_AFTER};
use super::{Facts, Finding};
use crate::config::QueueKind;
use crate::store::port::QueueName;
use crate::wire::Payload;

/// Seconds that `retry_after` should be above the longest time limit.
const MARGIN_S: u64 = 30;

/// The time limits in seconds that waiting jobs carry, by queue and class; 0 is no limit, and counts as the longest.
type Limits = BTreeMap<(QueueName, String), u64>;

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let limits = limits(facts);
    let mut findings = Vec::new();
    if let Some(retry_after) = facts.retry_after()
        && !matches!(facts.connection.kind, QueueKind::Embedded { .. })
    {
        findings.extend(classes(facts, &limits, retry_after.as_secs()));
        findings.extend(lanes(facts, retry_after));
    }
    findings.extend(queues(facts, &limits));
    findings
}

fn limits(facts: &Facts<'_>) -> Limits {
    let mut limits = Limits::new();
    for queue in facts.queues() {
        for sample in &queue.samples {
            let Ok(payload) = Payload::parse(sample.clone()) else {
                continue;
            };
            let Some(timeout) = payload.timeout() else {
                continue;
            };
            let class = payload
                .command_name()
                .unwrap_or_else(|| payload.name())
                .to_owned();
            let known = limits.entry((queue.queue.clone(), class)).or_insert(timeout);
            *known = longest(*known, timeout);
        }
    }
    limits
}

/// Of two limits the longer one, where 0 is none.
fn longest(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { 0 } else { one.max(other) }
}

fn in_words(timeout: u64) -> String {
    if timeout == 0 {
        "no limit".to_owned()
    } else {
        format!("{timeout} s")
    }
}

/// Classes and their limits, in one line.
fn list<'a>(limits: impl IntoIterator<Item = (&'a (QueueName, String), &'a u64)>) -> String {
    let one = |((queue, class), timeout): (&(QueueName, String), &u64)| {
        format!("{class} {} ({queue})", in_words(*timeout))
    };
    limits.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

fn classes(facts: &Facts<'_>, limits: &Limits, retry_after: u64) -> Option<Finding> {
    let long: Vec<_> = limits
        .iter()
        .filter(|(_, timeout)| **timeout == 0 || **timeout >= retry_after)
        .collect();
    if long.is_empty() {
        return None;
    }
    let name = &facts.connection.name;
    let most = long
        .iter()
        .map(|(_, timeout)| **timeout)
        .max()
        .unwrap_or(0)
        .max(retry_after);
    let needed = most.saturating_add(MARGIN_S);
    let what = format!(
        "is {retry_after} s, and waiting jobs may run for as long or longer: {}",
        list(long)
    );
    let fix = format!(
        "set 'retry_after' => {needed} for the connection {name} in config/queue.php, and {}={needed} here",
        facts.retry_after_variable()
    );
    Some(TIMEOUT_RETRY_AFTER.found(format!("retry_after of connection {name}"), what, fix))
}

fn lanes(facts: &Facts<'_>, retry_after: Duration) -> Option<Finding> {
    let config = &facts.loaded.config;
    let long: Vec<_> = facts
        .lanes
        .iter()
        .flatten()
        .map(|queue| (queue, config.queue_settings(queue.as_str()).timeout))
        .filter(|(_, limit)| limit.is_none_or(|limit| limit >= retry_after))
        .collect();
    let most = long
        .iter()
        .filter_map(|(_, limit)| *limit)
        .max()
        .unwrap_or(retry_after);
    let words: Vec<_> = long
        .iter()
        .map(|(queue, limit)| format!("{queue} {}", in_words(limit.map_or(0, |limit| limit.as_secs()))))
        .collect();
    (!long.is_empty()).then(|| {
        let what = format!("have limits that are not below retry_after ({} s): {}", retry_after.as_secs(), words.join(", "));
        let needed = most.as_secs().saturating_add(MARGIN_S);
        let fix = format!(
            "nothing, when no PHP worker serves them; else 'retry_after' => {needed} in config/queue.php and {}={needed}",
            facts.retry_after_variable()
        );
        TIMEOUT_LANE.found("queues", what, fix)
    })
}

/// Classes that run for longer than their queue is meant to take, or than it lets them.
fn queues(facts: &Facts<'_>, limits: &Limits) -> Vec<Finding> {
    let config = &facts.loaded.config;
    let mut findings = Vec::new();
    for queue in facts.queues().iter().map(|state| &state.queue) {
        let settings = config.queue_settings(queue.as_str());
        let above = |limit: Option<Duration>| -> Vec<_> {
            let Some(limit) = limit.map(|limit| limit.as_secs()) else {
                return Vec::new();
            };
            let longer = |timeout: u64| timeout == 0 || timeout > limit;
            limits
                .iter()
                .filter(|((of, _), timeout)| of == queue && longer(**timeout))
                .collect()
        };
        let subject = format!("queue {queue}");
        let cut = above(settings.max_timeout);
        if !cut.is_empty() {
            let most = in_words(settings.max_timeout.map_or(0, |limit| limit.as_secs()));
            let what = format!("has max_timeout {most}, below {}", list(cut));
            findings.push(TIMEOUT_CAPPED.found(
                &subject,
                what,
                "raise max_timeout of the queue in worker.toml, or WORKER_MAX_TIMEOUT",
            ));
        }
        let long = above(settings.timeout);
        if !long.is_empty() {
            let usual = in_words(settings.timeout.map_or(0, |limit| limit.as_secs()));
            let what = format!("has a limit of {usual}, and holds {}", list(long));
            let fix = format!(
                "dispatch them to another queue; or [queues.{queue}] timeout and max_timeout in worker.toml"
            );
            findings.push(TIMEOUT_QUEUE.found(&subject, what, fix));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::testing::{Case, queue, redis_store};
    use super::super::{Seen, Severity};

    fn payload(class: &str, timeout: &str) -> Bytes {
        let handler = r"Illuminate\\Queue\\CallQueuedHandler@call";
        format!(r#"{{"uuid":"1","displayName":"{class}","job":"{handler}","timeout":{timeout},"data":{{"commandName":"{class}","command":"O:1:\"A\":0:{{}}"}}}}"#)
            .into()
    }

    fn case(env: &[(&str, &str)], on: &str, jobs: &[(&str, &str)]) -> Case {
        let mut waiting = queue(on, jobs.len().try_into().unwrap());
        waiting.samples = jobs
            .iter()
            .map(|(class, timeout)| payload(class, timeout))
            .collect();
        let mut store = redis_store();
        store.queues = Seen::Here(vec![waiting]);
        Case::redis(env).stores(vec![store])
    }

    #[test]
    fn classes_that_run_twice_under_php() {
        let jobs = [
            ("Import", "3600"),
            ("Mail", "60"),
            ("Sync", "90"),
            ("Import", "120"),
            ("Old", "null"),
        ];
        let case = case(&[], "default", &jobs);
        let found = case.first("timeout.retry-after");
        assert_eq!(found.severity, Severity::Warning);
        assert!(
            found
                .what
                .ends_with("Import 3600 s (default), Sync 90 s (default)"),
            "{}",
            found.what
        );
        assert!(
            found.fix.contains("'retry_after' => 3630") && found.fix.contains("REDIS_QUEUE_RETRY_AFTER=3630")
        );
    }

    #[test]
    fn a_greater_retry_after_is_enough() {
        let env = [("REDIS_QUEUE_RETRY_AFTER", "3630")];
        let case = case(&env, "default", &[("Import", "3600")]);
        assert_eq!(
            (case.count("timeout.retry-after"), case.count("timeout.lane")),
            (0, 0)
        );
    }

    #[test]
    fn classes_against_their_queue() {
        let jobs = [("Import", "3600"), ("Endless", "0"), ("Mail", "60")];
        let found = case(&[("WORKER_MAX_TIMEOUT", "30m")], "migration", &jobs);
        assert!(
            found
                .first("timeout.capped")
                .what
                .contains("1800 s, below Endless no limit (migration), Import 3600 s")
        );
        assert_eq!(found.worst("timeout.queue"), Some(Severity::Note));
        let fits = case(&[], "einvoice", &[("Submit", "150")]);
        assert_eq!(
            (fits.count("timeout.capped"), fits.count("timeout.queue")),
            (0, 0)
        );
    }

    #[test]
    fn lanes_with_long_limits() {
        let case = Case::redis(&[]);
        let found = case.first("timeout.lane");
        assert!(
            found.what.ends_with("einvoice 150 s, migration 600 s"),
            "{}",
            found.what
        );
        assert_eq!(found.severity, Severity::Note);
    }
}
