//! What a scenario left: lines that are equal on both sides, and its outcome in a few words.

use std::collections::BTreeSet;

use harness::{FailedRow, Record};
use serde_json::Value;
use sqlx::Row;

use super::entries::{Entry, entries};
use super::normal::Labels;
use super::scenario::Scenario;
use crate::laravel::site::{Lying, Site};

/// Delays are whole minutes, and a loaded machine is seconds late.
const MINUTE: f64 = 60.0;

/// After one round of one scenario.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Everything, one fact a line, without what differs from run to run.
    pub(crate) lines: Vec<String>,
    /// `ran 2, waits 60 s after 1 attempt, failed RuntimeException`
    pub(crate) outcome: String,
}

impl Snapshot {
    /// Looks at all stores. `pushed` is the unix time of the dispatch.
    pub(crate) fn of(site: &Site, scenario: &Scenario, pushed: f64) -> Self {
        let queues = scenario.queues();
        let records = records_of(site.laravel.journal().records(), scenario, &queues);
        let mut labels = Labels::default();
        for uuid in records.iter().filter_map(|record| record.uuid.as_deref()) {
            labels.learn(uuid);
        }
        let mut taken = Taken {
            lines: Vec::new(),
            facts: Vec::new(),
            labels,
        };
        taken.journal(&records);
        for queue in &queues {
            for job in site.jobs(queue) {
                taken.waiting(queue, &job, &records, pushed);
            }
        }
        for row in site.failed() {
            if is_of(&row, scenario, &queues) {
                taken.failed(&row);
            }
        }
        taken.batches(site, scenario.name);
        let waiting = taken.lines.iter().any(|line| line.starts_with("waiting"));
        for entry in entries(site) {
            let own = entry.names(scenario.name) || taken.labels.knows_in(&entry.key);
            if own && !(waiting && entry.is_history()) {
                taken.entry(&entry);
            }
        }
        Self {
            lines: taken.lines,
            outcome: taken.facts.join(", "),
        }
    }

    /// What is in the cache and names none of the scenarios.
    pub(crate) fn rest(site: &Site, scenarios: &[Scenario]) -> Vec<String> {
        let of_none = |entry: &Entry| !scenarios.iter().any(|scenario| entry.names(scenario.name));
        let mut labels = Labels::default();
        for record in site.laravel.journal().records() {
            record.uuid.iter().for_each(|uuid| labels.learn(uuid));
        }
        let mut rest: Vec<_> = entries(site)
            .into_iter()
            .filter(|entry| of_none(entry) && !labels.knows_in(&entry.key))
            .collect();
        rest.sort_by(|a, b| a.key.cmp(&b.key));
        rest.iter().map(|entry| entry.line(&labels)).collect()
    }
}

/// The records of a scenario: those of its queues, those that name it, and those that name nothing and
/// follow one of its own, as those of a job do that runs inside another.
fn records_of(all: Vec<Record>, scenario: &Scenario, queues: &[String]) -> Vec<Record> {
    let mut inside = false;
    let mut found = Vec::new();
    for record in all {
        let named = record.queue.as_ref().filter(|queue| *queue != "sync");
        if named.is_some() || !record.tag.is_empty() {
            inside = record.tag == scenario.name || named.is_some_and(|queue| queues.contains(queue));
        }
        if inside {
            found.push(record);
        }
    }
    found
}

fn is_of(row: &FailedRow, scenario: &Scenario, queues: &[String]) -> bool {
    let name = scenario.name;
    let inside = format!(r#"s:8:\"scenario\";s:{}:\"{name}\""#, name.len());
    queues.contains(&row.queue) || row.queue == "sync" && row.payload.contains(&inside)
}

struct Taken {
    lines: Vec<String>,
    facts: Vec<String>,
    labels: Labels,
}

impl Taken {
    fn journal(&mut self, records: &[Record]) {
        let mut ran = 0;
        for record in records {
            ran += usize::from(record.event == "ran");
            let uuid = record.uuid.as_deref().unwrap_or("-");
            let line = format!(
                "{} {} {} on {} attempt {}",
                record.event,
                self.labels.text(uuid),
                record.job,
                record.queue.as_deref().unwrap_or("-"),
                record.attempts.unwrap_or_default(),
            );
            self.lines.push(line);
            let data = self.labels.value(&record.data);
            self.members(&record.event, &data);
        }
        self.facts.push(format!("ran {ran}"));
    }

    fn waiting(&mut self, queue: &str, job: &Lying, records: &[Record], pushed: f64) {
        let uuid = job.payload["uuid"].as_str().unwrap_or_default();
        self.labels.learn(uuid);
        let own = |record: &&Record| record.uuid.as_deref() == Some(uuid);
        let last = records.iter().rfind(own).or_else(|| records.last());
        let since = last.map_or(pushed, |record| record.end);
        let state = match job.due {
            _ if job.reserved => "reserved".to_owned(),
            Some(due) if due - since > MINUTE / 2.0 => {
                format!("waits {} s", ((due - since) / MINUTE).round() * MINUTE)
            }
            _ => "waits".to_owned(),
        };
        let fact = format!("{state} after {}", job.attempts);
        self.lines
            .push(format!("waiting {} on {queue}: {fact}", self.labels.text(uuid)));
        self.payload("waiting payload", &job.payload);
        self.facts.push(fact);
    }

    fn failed(&mut self, row: &FailedRow) {
        self.labels.learn(&row.uuid);
        let uuid = self.labels.text(&row.uuid);
        let heads: Vec<_> = heads(&row.exception)
            .map(|head| self.labels.text(&head))
            .collect();
        self.lines.push(format!(
            "failed {uuid} on {} {}: {heads:?}",
            row.connection, row.queue
        ));
        self.payload("failed payload", &row.json());
        let class = row.reason().split([':', ' ']).next().unwrap_or_default();
        let class = class.rsplit('\\').next().unwrap_or_default();
        self.facts.push(format!("failed {class}"));
    }

    fn payload(&mut self, title: &str, payload: &Value) {
        let payload = self.labels.payload(payload);
        self.members(title, &payload);
        self.members(&format!("{title} data"), &payload["data"]);
    }

    /// A line for each member, so that a difference is seen at once.
    fn members(&mut self, title: &str, value: &Value) {
        for (name, value) in value.as_object().into_iter().flatten() {
            if name != "data" {
                self.lines.push(format!("{title} {name}: {value}"));
            }
        }
    }

    fn batches(&mut self, site: &Site, name: &str) {
        let sql = format!("select * from job_batches where name = '{name}'");
        let rows = site.file().rows(&sql, |row| {
            let number = |column: &str| row.get::<i64, _>(column);
            let time = |column: &str| row.get::<Option<i64>, _>(column).is_some();
            let ids: Value = serde_json::from_str(row.get("failed_job_ids")).unwrap_or_default();
            let counts = ["total_jobs", "pending_jobs", "failed_jobs"].map(number);
            (counts, time("cancelled_at"), time("finished_at"), ids)
        });
        for ([total, pending, failed], cancelled, finished, ids) in rows {
            let mut fact = format!("batch {total}/{pending}/{failed}");
            fact += if cancelled { " cancelled" } else { "" };
            fact += if finished { " finished" } else { "" };
            let ids = ids.as_array().into_iter().flatten();
            let ids: BTreeSet<_> = ids.map(|id| self.labels.text(&id.to_string())).collect();
            self.lines.push(format!("{fact}, failed: {ids:?}"));
            self.facts.push(fact);
        }
    }

    fn entry(&mut self, entry: &Entry) {
        self.lines.push(entry.line(&self.labels));
        self.facts.push(entry.kind().to_owned());
    }
}

/// The first line of an exception and of each that it was thrown for, without the way to their files; those
/// of earlier attempts are left out.
fn heads(exception: &str) -> impl Iterator<Item = String> {
    let (exception, _) = exception
        .split_once("\n\nEarlier attempts:")
        .unwrap_or((exception, ""));
    let lines = exception.lines().enumerate();
    let heads = lines.filter(|(number, line)| *number == 0 || line.starts_with("Next "));
    heads.map(|(_, line)| {
        let Some((text, place)) = line.rsplit_once(" in /") else {
            return line.to_owned();
        };
        let file = place.rsplit('/').next().unwrap_or_default();
        format!("{text} in {file}")
    })
}
