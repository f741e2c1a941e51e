//! Job classes that may run for longer than PHP's `retry_after` or their queue's limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::catalogue::{PHP_RETRY_AFTER, PHP_TIMEOUT};
use super::super::{Facts, Finding, Severity};
use super::{JobClass, Loads, Php};

/// Seconds that `retry_after` should be above the longest time limit.
const MARGIN_S: u64 = 30;
/// The limit in seconds of a class that has none.
const NONE: u64 = u64::MAX;

/// A class with a time limit of its own.
struct Limit<'a> {
    class: &'a JobClass,
    connection: &'a str,
    queue: &'a str,
    seconds: u64,
}

pub(super) fn judge(facts: &Facts<'_>, php: &Php) -> Vec<Finding> {
    let mut connections: BTreeMap<&str, Vec<Limit<'_>>> = BTreeMap::new();
    let mut queues: BTreeMap<&str, Vec<Limit<'_>>> = BTreeMap::new();
    for class in &php.classes {
        if let Some(limit) = limit(facts, class) {
            connections.entry(limit.connection).or_default().push(limit);
        }
        if let Some(limit) = limit(facts, class)
            && limit.connection == facts.connection.name
        {
            queues.entry(limit.queue).or_default().push(limit);
        }
    }
    let mut findings = Vec::new();
    for (connection, limits) in &connections {
        findings.extend(above_retry_after(facts, connection, limits));
    }
    for (queue, limits) in &queues {
        findings.extend(above_queue(facts, queue, limits));
    }
    findings
}

fn limit<'a>(facts: &'a Facts<'_>, class: &'a JobClass) -> Option<Limit<'a>> {
    match &class.loads {
        Loads::Fine {
            timeout: Some(timeout),
            connection,
            queue,
        } => Some(Limit {
            class,
            connection: connection.as_deref().unwrap_or(&facts.connection.name),
            queue: queue.as_deref().unwrap_or(facts.connection.queue()),
            seconds: seconds(Some(*timeout)),
        }),
        Loads::Fine { timeout: None, .. } | Loads::NotFound | Loads::Broken(_) => None,
    }
}

/// Zero is no limit, as to Laravel.
fn seconds(limit: Option<Duration>) -> u64 {
    let seconds = limit.map_or(0, |limit| limit.as_secs());
    if seconds == 0 { NONE } else { seconds }
}

fn in_words(limit: u64) -> String {
    match limit {
        NONE => "no limit".to_owned(),
        limit => format!("{limit} s"),
    }
}

fn list(limits: &[&Limit<'_>]) -> String {
    let one = |limit: &&Limit<'_>| format!("{} {}", limit.class.name, in_words(limit.seconds));
    limits.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn above_retry_after(facts: &Facts<'_>, connection: &str, limits: &[Limit<'_>]) -> Option<Finding> {
    let is_served = connection == facts.connection.name;
    let retry_after = facts
        .php_retry_after(connection)
        .or_else(|| facts.retry_after().filter(|_| is_served && !facts.is_embedded()))?
        .as_secs();
    let long: Vec<_> = limits
        .iter()
        .filter(|limit| limit.seconds >= retry_after)
        .collect();
    let known = long
        .iter()
        .map(|limit| limit.seconds)
        .filter(|limit| *limit < NONE);
    let needed = known.max().unwrap_or(retry_after).saturating_add(MARGIN_S);
    let here = match is_served {
        true => format!(", and {}={needed} here", facts.retry_after_variable()),
        false => String::new(),
    };
    (!long.is_empty()).then(|| {
        let what = format!(
            "is {retry_after} s, and these may run for as long or longer: {}",
            list(&long)
        );
        let fix = format!(
            "set 'retry_after' => {needed} for the connection {connection} in config/queue.php{here}"
        );
        PHP_RETRY_AFTER.found(format!("retry_after of connection {connection}"), what, fix)
    })
}

fn above_queue(facts: &Facts<'_>, queue: &str, limits: &[Limit<'_>]) -> Vec<Finding> {
    let settings = facts.loaded.config.queue_settings(queue);
    let warning = ("max_timeout", Severity::Warning, "they are cut off there");
    let note = ("timeout", Severity::Note, "their own timeout wins");
    let caps = [(settings.max_timeout, warning), (settings.timeout, note)];
    let judge = |(cap, (key, severity, so)): (Option<Duration>, (&str, Severity, &str))| {
        let cap = seconds(cap);
        let above: Vec<_> = limits.iter().filter(|limit| limit.seconds > cap).collect();
        let most = above.iter().map(|limit| limit.seconds).max()?;
        let what = format!(
            "has {key} {}, below that of classes ({so}): {}",
            in_words(cap),
            list(&above)
        );
        let needed = if most == NONE { 0 } else { most };
        let fix =
            format!("[queues.{queue}] {key} = {needed} in worker.toml, or dispatch them to another queue");
        Some(
            PHP_TIMEOUT
                .found(format!("queue {queue}"), what, fix)
                .at(severity),
        )
    };
    caps.into_iter().filter_map(judge).collect()
}
