//! The text of `worker.toml`: one table per queue. Pure.

use std::time::Duration;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::worker::MAX_CONCURRENCY;
use super::{Problem, units};

/// What `[queues.NAME]` sets, each with its line, from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct QueueTable {
    pub(super) name: String,
    pub(super) timeout: Option<(Option<Duration>, usize)>,
    pub(super) max_timeout: Option<(Option<Duration>, usize)>,
    pub(super) concurrency: Option<(usize, usize)>,
    pub(super) php: Option<(usize, usize)>,
    pub(super) tries: Option<(u32, usize)>,
    pub(super) backoff: Option<(Vec<u64>, usize)>,
}

const QUEUE_KEYS: &str = "timeout, max_timeout, concurrency, php, tries, backoff";
const LIMIT: &str = "seconds such as 60, or text with a unit such as \"2m\"; 0 is none";

/// The file while it is read.
struct Document<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

/// Reads `text` into the tables of its queues, in the order in which they stand there, and all that is wrong with it.
pub(super) fn parse(text: &str) -> (Vec<QueueTable>, Vec<Problem>) {
    let mut document = Document {
        text,
        problems: Vec::new(),
    };
    let mut queues = Vec::new();
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = document.line(error.span().map_or(0, |span| span.start));
        let problem = Problem::new("worker.toml", format!("is not TOML: {}", error.message()), "");
        document.problems.push(problem.at(format!("line {line}")));
    }
    if !document.problems.is_empty() {
        return (queues, document.problems);
    }
    for (key, value) in entries(root.get_ref()) {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("queues", DeValue::Table(tables)) => {
                for (name, value) in entries(tables) {
                    queues.extend(document.queue(name.get_ref(), value));
                }
            }
            ("queues", _) => document.problem(
                "queues",
                value,
                "is not a table",
                "tables such as [queues.default]",
            ),
            (other, _) => document.problem(other, value, "is not a key the worker knows", "queues"),
        }
    }
    (queues, document.problems)
}

/// The entries of a table in the order of the file.
fn entries<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<::toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

impl Document<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn problem(&mut self, key: &str, value: &Spanned<DeValue<'_>>, what: &str, allowed: &str) {
        let line = self.line(value.span().start);
        self.problems
            .push(Problem::new(key, what, allowed).at(format!("worker.toml, line {line}")));
    }

    fn queue(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<QueueTable> {
        let Some(table) = value.get_ref().as_table() else {
            self.problem(&format!("queues.{name}"), value, "is not a table", QUEUE_KEYS);
            return None;
        };
        if name.is_empty() || name.contains([',', '*']) {
            self.problem(
                &format!("queues.\"{name}\""),
                value,
                "is not a name of a queue",
                "text without `,` and `*`",
            );
            return None;
        }
        let mut queue = QueueTable {
            name: name.to_owned(),
            ..QueueTable::default()
        };
        for (key, value) in entries(table) {
            let key = key.get_ref().as_ref();
            let full = format!("queues.{name}.{key}");
            let concurrency = |value: &DeValue<'_>| {
                integer(value)
                    .and_then(|n| usize::try_from(n).ok())
                    .filter(|n| (1..=MAX_CONCURRENCY).contains(n))
            };
            match key {
                "timeout" => queue.timeout = self.read(&full, value, limit, LIMIT),
                "max_timeout" => queue.max_timeout = self.read(&full, value, limit, LIMIT),
                "concurrency" => {
                    queue.concurrency = self.read(&full, value, concurrency, "a number from 1 to 10000");
                }
                "php" => {
                    let php = |value: &DeValue<'_>| integer(value).and_then(|n| usize::try_from(n).ok());
                    queue.php = self.read(&full, value, php, "a number from 0; 0 is none in PHP");
                }
                "tries" => {
                    let tries = |value: &DeValue<'_>| integer(value).and_then(|n| u32::try_from(n).ok());
                    queue.tries = self.read(&full, value, tries, "a number from 0; 0 is no limit");
                }
                "backoff" => {
                    queue.backoff = self.read(
                        &full,
                        value,
                        backoff,
                        "seconds such as 60, or a list such as [60, 300]",
                    );
                }
                _ => self.problem(&full, value, "is not a key the worker knows", QUEUE_KEYS),
            }
        }
        Some(queue)
    }

    fn read<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
        allowed: &str,
    ) -> Option<(T, usize)> {
        let read = read(value.get_ref());
        if read.is_none() {
            self.problem(key, value, "has a wrong value", allowed);
        }
        Some((read?, self.line(value.span().start)))
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn limit(value: &DeValue<'_>) -> Option<Option<Duration>> {
    match value {
        DeValue::String(text) => units::read_limit(text),
        DeValue::Integer(_) => units::read_limit(&integer(value)?.to_string()),
        _ => None,
    }
}

fn backoff(value: &DeValue<'_>) -> Option<Vec<u64>> {
    match value {
        DeValue::Array(list) => list.iter().map(|value| one_backoff(value.get_ref())).collect(),
        _ => Some(vec![one_backoff(value)?]),
    }
}

fn one_backoff(value: &DeValue<'_>) -> Option<u64> {
    match units::backoff(&integer(value)?.to_string())?.as_slice() {
        [seconds] => Some(*seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_in_the_order_of_the_file() {
        let text = "[queues.zebra]\ntimeout = 90\n\n[queues.banking]\ntimeout = \"2m\"\nmax_timeout = 0\n\
                    concurrency = 4\nphp = 1\ntries = 3\nbackoff = [60, 300]\n";
        let (queues, problems) = parse(text);
        assert_eq!(problems, []);
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(
            queues[0],
            QueueTable {
                name: "zebra".to_owned(),
                timeout: Some((seconds(90), 2)),
                ..QueueTable::default()
            }
        );
        assert_eq!(
            queues[1],
            QueueTable {
                name: "banking".to_owned(),
                timeout: Some((seconds(120), 5)),
                max_timeout: Some((None, 6)),
                concurrency: Some((4, 7)),
                php: Some((1, 8)),
                tries: Some((3, 9)),
                backoff: Some((vec![60, 300], 10)),
            }
        );
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let text = "lanes = 1\n[queues.default]\ntimeout = 1.5\nretries = 2\ntries = -1\nbackoff = [\"a\"]\n\
                    [queues]\nhigh = 3\n[queues.\"a,b\"]\n[queues.low]\nconcurrency = 0\n";
        let (_, problems) = parse(text);
        let short: Vec<_> = problems
            .iter()
            .map(|problem| format!("{} {}", problem.name, problem.place))
            .collect();
        assert_eq!(
            short,
            [
                "lanes worker.toml, line 1",
                "queues.default.timeout worker.toml, line 3",
                "queues.default.retries worker.toml, line 4",
                "queues.default.tries worker.toml, line 5",
                "queues.default.backoff worker.toml, line 6",
                "queues.high worker.toml, line 8",
                "queues.\"a,b\" worker.toml, line 9",
                "queues.low.concurrency worker.toml, line 11",
            ]
        );
        let (queues, problems) = parse("[queues.default]\ntimeout = \n");
        assert_eq!(
            (
                queues.len(),
                problems.first().map(|problem| problem.place.as_str())
            ),
            (0, Some("line 2"))
        );
    }

    #[test]
    fn the_shipped_example_adds_banking() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/worker.example.toml");
        let (queues, problems) = parse(&std::fs::read_to_string(path).unwrap());
        assert_eq!(problems, []);
        let banking = queues.iter().find(|queue| queue.name == "banking").unwrap();
        assert_eq!(
            banking.timeout.map(|(limit, _)| limit),
            Some(Some(Duration::from_secs(150)))
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,80}", tricky in "(\\[|\\]|queues|\\.|a|=|1|\"|\n|,|\\{|\\}|timeout){0,20}") {
            drop(parse(&text));
            drop(parse(&tricky));
        }
    }
}
