//! Queues: who consumes them, what nobody takes, and the order of lanes.

use std::collections::HashSet;

use super::catalogue::{QUEUE_LAPSED, QUEUE_NO_WORKER, QUEUE_OLD, QUEUE_ORDER, QUEUE_TWICE, QUEUE_UNSERVED};
use super::{Facts, Finding};
use crate::store::port::survey::QueueState;
use crate::store::port::{Process, QueueName};

/// How long a reservation must have been over before somebody should have taken the job again, in seconds.
const LAPSED_S: u64 = 60;

/// Words in the names of queues that are meant to come first.
const URGENT: &[&str] = &["high", "urgent", "critical", "priority"];

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = consumers(facts);
    for queue in facts.queues() {
        findings.extend(lapsed(facts, queue));
        findings.extend(old(facts, queue));
    }
    findings.extend(facts.lanes.iter().flat_map(|lane| order(facts, lane)));
    findings.extend(twice(facts));
    findings
}

/// Jobs that are not in anybody's hands.
fn waiting(queue: &QueueState) -> u64 {
    queue.pending + queue.delayed + queue.lapsed
}

fn consumers(facts: &Facts<'_>) -> Vec<Finding> {
    let processes = facts
        .jobs()
        .and_then(|store| store.processes.get())
        .and_then(Option::as_deref);
    let consumed = |queue: &QueueName| {
        let serves = |process: &Process| process.queues.iter().any(|(name, _)| name == queue.as_str());
        processes.is_some_and(|processes| processes.iter().any(serves))
    };
    let configured =
        |queue: &QueueName| facts.all_queues || facts.lanes.iter().flatten().any(|served| served == queue);
    let lonely = facts
        .queues()
        .iter()
        .filter(|queue| waiting(queue) > 0 && !consumed(&queue.queue));
    let (served, unserved): (Vec<_>, Vec<_>) = lonely.partition(|queue| configured(&queue.queue));
    let mut findings: Vec<_> = unserved.into_iter().map(unserved_queue).collect();
    // Without a place to say who works nobody can be missed.
    if !served.is_empty() && processes.is_some() {
        let names: Vec<_> = served
            .iter()
            .map(|queue| format!("{} ({})", queue.queue, waiting(queue)))
            .collect();
        let alive = match processes.map_or(0, <[_]>::len) {
            0 => "no worker process is running".to_owned(),
            count => format!("none of {count} worker processes serves them"),
        };
        findings.push(QUEUE_NO_WORKER.found(
            format!("connection {}", facts.connection.name),
            format!("has jobs on {}, and {alive}", names.join(", ")),
            "systemctl start worker, or: worker run; then worker status",
        ));
    }
    findings
}

fn unserved_queue(queue: &QueueState) -> Finding {
    let name = &queue.queue;
    let age = queue
        .oldest_s
        .map(|seconds| format!(", the oldest for {}", span(seconds)))
        .unwrap_or_default();
    QUEUE_UNSERVED.found(
        format!("queue {name}"),
        format!("has {} jobs{age}, and no lane serves it", waiting(queue)),
        format!("echo '[queues.{name}]' >> worker.toml, and restart the worker; or worker run --queue '*' beside the others"),
    )
}

fn lapsed(facts: &Facts<'_>, queue: &QueueState) -> Option<Finding> {
    let over = queue
        .lapsed_s
        .filter(|over| *over > LAPSED_S && queue.lapsed > 0)?;
    let name = &queue.queue;
    Some(QUEUE_LAPSED.found(
        format!("queue {name}"),
        format!(
            "has {} jobs whose reservation ended, the first {} ago",
            queue.lapsed,
            span(over)
        ),
        format!(
            "worker run {} --queue {name} takes them up again, each counted as one more attempt",
            facts.connection.name
        ),
    ))
}

fn old(facts: &Facts<'_>, queue: &QueueState) -> Option<Finding> {
    if queue.old == 0 {
        return None;
    }
    let name = &queue.queue;
    let least = if queue.old_at_least { "at least " } else { "" };
    let days = facts.old.as_secs() / 86_400;
    let oldest = queue
        .oldest_s
        .map(|seconds| format!(", the oldest for {}", span(seconds)))
        .unwrap_or_default();
    Some(QUEUE_OLD.found(
        format!("queue {name}"),
        format!("has {least}{} jobs that have waited for more than {days} days{oldest}", queue.old),
        format!(
            "decide whether they should still run: worker run {0} --queue {name} runs them, worker clear {0} --queue {name} \
             removes every job of the queue",
            facts.connection.name
        ),
    ))
}

/// What in the strict order of one lane starves another queue.
fn order(facts: &Facts<'_>, lane: &[QueueName]) -> Vec<Finding> {
    let config = &facts.loaded.config;
    let names: Vec<_> = lane.iter().map(QueueName::as_str).collect();
    let list = names.join(",");
    let urgent = |name: &str| URGENT.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let limit = |name: &str| config.queue_settings(name).timeout;
    let mut findings = Vec::new();
    for (place, name) in names.iter().enumerate().skip(1) {
        let before = names.get(..place).unwrap_or_default();
        if urgent(name) && !before.iter().all(|before| urgent(before)) {
            let what = format!("takes from {name} only when {} is empty", before.join(", "));
            findings.push(QUEUE_ORDER.found(
                format!("lane {list}"),
                what,
                format!("put {name} first in --queue, or give it a lane of its own: --queue {name}"),
            ));
        } else if let Some(slow) = before
            .iter()
            .find(|before| limit(before).is_none_or(|slow| limit(name).is_some_and(|mine| slow >= mine * 2)))
        {
            let what = format!("takes from {name} only when {slow} is empty, whose jobs may run much longer");
            findings.push(QUEUE_ORDER.found(
                format!("lane {list}"),
                what,
                format!("give {slow} a lane of its own: --queue {slow}"),
            ));
        }
    }
    findings
}

fn twice(facts: &Facts<'_>) -> Vec<Finding> {
    let mut seen = HashSet::new();
    let mut told = HashSet::new();
    let queues = facts.lanes.iter().flatten();
    queues
        .filter(|queue| !seen.insert(*queue) && told.insert(*queue))
        .map(|queue| {
            QUEUE_TWICE.found(
                format!("queue {queue}"),
                "is named more than once in --queue",
                format!("name {queue} in one lane only"),
            )
        })
        .collect()
}

/// A time span in the largest unit that it fills twice.
fn span(seconds: u64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} h", seconds / 3_600),
        120.. => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, process, queue, redis_store};
    use super::super::{Seen, Store};
    use super::*;

    fn store(queues: Vec<QueueState>, processes: Option<Vec<Process>>) -> Store {
        Store {
            queues: Seen::Here(queues),
            processes: Seen::Here(processes),
            ..redis_store()
        }
    }

    #[test]
    fn queues_that_nobody_consumes() {
        let queues = vec![queue("banking", 3), queue("default", 2), queue("high", 0)];
        let case = Case::redis(&[]).stores(vec![store(queues.clone(), Some(Vec::new()))]);
        assert_eq!(case.subjects("queue.unserved"), ["queue banking"]);
        assert!(
            case.first("queue.no-worker")
                .what
                .contains("default (2), and no worker process is running")
        );
        let workers = vec![process(&["default", "banking"])];
        let case = Case::redis(&[]).stores(vec![store(queues.clone(), Some(workers))]);
        assert_eq!(
            (case.count("queue.unserved"), case.count("queue.no-worker")),
            (0, 0)
        );
        let case = Case::redis(&[]).stores(vec![store(queues.clone(), None)]);
        assert_eq!(
            (case.count("queue.unserved"), case.count("queue.no-worker")),
            (1, 0),
            "consumers cannot be seen"
        );
        let all = Case::redis(&[])
            .lanes(&[], true)
            .stores(vec![store(queues, Some(Vec::new()))]);
        assert_eq!(all.count("queue.unserved"), 0);
    }

    #[test]
    fn reservations_that_nobody_takes_up() {
        let with = |lapsed, lapsed_s| {
            let queue = QueueState {
                lapsed,
                lapsed_s: Some(lapsed_s),
                ..queue("default", 0)
            };
            Case::redis(&[])
                .stores(vec![store(vec![queue], None)])
                .count("queue.lapsed")
        };
        assert_eq!([with(2, 61), with(2, 60), with(0, 999)], [1, 0, 0]);
    }

    #[test]
    fn jobs_that_waited_for_months() {
        let old = QueueState {
            old: 50,
            old_at_least: true,
            oldest_s: Some(90 * 86_400),
            ..queue("default", 337)
        };
        let case = Case::redis(&[]).stores(vec![store(vec![old], None)]);
        let what = &case.first("queue.old").what;
        assert_eq!(
            what,
            "has at least 50 jobs that have waited for more than 7 days, the oldest for 90 days"
        );
    }

    #[test]
    fn orders_that_starve() {
        let subjects = |lanes: &[&[&str]]| {
            let case = Case::redis(&[]).lanes(lanes, false);
            let found = [case.subjects("queue.order"), case.subjects("queue.twice")].concat();
            found.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(subjects(&[&["default", "high"]]), ["lane default,high"]);
        assert_eq!(subjects(&[&["migration", "default"]]), ["lane migration,default"]);
        assert_eq!(
            subjects(&[&["default", "mail"], &["mail", "mail"]]),
            ["queue mail"]
        );
        assert_eq!(
            subjects(&[&["high", "default", "migration"], &["einvoice"]]),
            [""; 0]
        );
    }
}
