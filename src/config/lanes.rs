//! The queues and their limits.

use std::time::Duration;

use super::explain::{Effective, Origin};
use super::reader::Reader;
use super::toml::QueueTable;
use super::worker::MAX_CONCURRENCY;
use super::{Config, Problem, Worker, units, vars};

/// What is set for one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// Name of the queue.
    pub name: String,
    /// How long an attempt may run unless the payload says otherwise; `None` is no limit (written 0). Default 60 s;
    /// einvoice 150 s, migration 600 s.
    pub timeout: Option<Duration>,
    /// Caps the time limit, also that of a payload; `None` is no cap. Default `WORKER_MAX_TIMEOUT`.
    pub max_timeout: Option<Duration>,
    /// Jobs at a time when the queue has a lane of its own. Default `WORKER_CONCURRENCY`; migration 2.
    pub concurrency: usize,
    /// How many of them may run in PHP at a time; 0 is none, `None` is as many as there are processes.
    pub php: Option<usize>,
    /// Attempts of a job whose payload sets none; 0 is no limit, `None` is Laravel's default of 1.
    pub tries: Option<u32>,
    /// Seconds before the second, third, … attempt of a job whose payload sets none; the last one repeats. Empty is 0.
    pub backoff: Vec<u64>,
}

impl Config {
    /// The settings of queue `name`; one that is not configured has a limit of 60 s and `WORKER_CONCURRENCY`, and what
    /// flags set for every queue.
    #[must_use]
    pub fn queue_settings(&self, name: &str) -> QueueSettings {
        let configured = self.queues.iter().find(|queue| queue.name == name);
        configured.unwrap_or(&self.unnamed).clone().named(name)
    }
}

/// Time limit of a queue for which nothing else is known.
const TIMEOUT_S: u64 = 60;

/// The queues that are always configured, with their time limits in seconds, in the order in which they are served.
const QUEUES: &[(&str, u64)] = &[
    ("high", TIMEOUT_S),
    ("default", TIMEOUT_S),
    ("einvoice", 150),
    ("migration", 600),
    ("background", TIMEOUT_S),
];

/// Jobs of the queue `migration` at a time: imports are heavy.
const MIGRATION_CONCURRENCY: usize = 2;

/// What the flags `--timeout`, `--tries`, `--backoff` and `--concurrency` set for every queue.
#[derive(Default)]
struct Flags {
    timeout: Option<Option<Duration>>,
    tries: Option<u32>,
    backoff: Option<Vec<u64>>,
    concurrency: Option<usize>,
}

/// The settings of all queues, those of a queue without a name of its own, and where they came from.
pub(super) struct Queues {
    pub(super) queues: Vec<QueueSettings>,
    pub(super) unnamed: QueueSettings,
    pub(super) shown: Vec<Effective>,
}

/// Puts together flags, `worker.toml` and defaults for each queue.
pub(super) fn read(reader: &mut Reader<'_>, worker: &Worker, tables: &[QueueTable]) -> Queues {
    let flags = Flags::read(reader, worker);
    let mut shown = Vec::new();
    let mut queues = Vec::new();
    let more = tables
        .iter()
        .map(|table| table.name.as_str())
        .filter(|name| QUEUES.iter().all(|(known, _)| known != name));
    let names = QUEUES.iter().copied().chain(more.map(|name| (name, TIMEOUT_S)));
    for (name, timeout_s) in names {
        let defaults = QueueSettings::new(name, timeout_s, worker);
        let table = tables.iter().find(|table| table.name == name);
        queues.push(defaults.with(table, &flags, &mut shown));
    }
    let unnamed = QueueSettings::new("", TIMEOUT_S, worker).with(None, &flags, &mut Vec::new());
    Queues {
        queues,
        unnamed,
        shown,
    }
}

impl QueueSettings {
    fn new(name: &str, timeout_s: u64, worker: &Worker) -> Self {
        let most = if name == "migration" {
            MIGRATION_CONCURRENCY
        } else {
            MAX_CONCURRENCY
        };
        Self {
            name: name.to_owned(),
            timeout: Some(Duration::from_secs(timeout_s)),
            max_timeout: worker.max_timeout,
            concurrency: worker.concurrency.min(most),
            php: None,
            tries: None,
            backoff: Vec::new(),
        }
    }

    fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Lets the table of `worker.toml` and then the flags replace the defaults.
    fn with(mut self, table: Option<&QueueTable>, flags: &Flags, shown: &mut Vec<Effective>) -> Self {
        let none = QueueTable::default();
        let table = table.unwrap_or(&none);
        let timeout = pick(
            &mut self.timeout,
            table.timeout.as_ref(),
            ("timeout", flags.timeout.as_ref()),
        );
        let max_timeout = pick(
            &mut self.max_timeout,
            table.max_timeout.as_ref(),
            ("max-timeout", None),
        );
        let concurrency = pick(
            &mut self.concurrency,
            table.concurrency.as_ref(),
            ("concurrency", flags.concurrency.as_ref()),
        );
        let table_php = table.php.map(|(php, line)| (Some(php), line));
        let php = pick(&mut self.php, table_php.as_ref(), ("php", None));
        let mut tries = self.tries.unwrap_or(1);
        let tries_origin = pick(&mut tries, table.tries.as_ref(), ("tries", flags.tries.as_ref()));
        if tries_origin != Origin::Default {
            self.tries = Some(tries);
        }
        let backoff = pick(
            &mut self.backoff,
            table.backoff.as_ref(),
            ("backoff", flags.backoff.as_ref()),
        );
        for (key, value, origin) in [
            ("timeout", units::limit(self.timeout), timeout),
            ("max_timeout", units::limit(self.max_timeout), max_timeout),
            ("concurrency", self.concurrency.to_string(), concurrency),
            (
                "php",
                self.php.map_or_else(|| "all".to_owned(), |php| php.to_string()),
                php,
            ),
            ("tries", tries.to_string(), tries_origin),
            ("backoff", units::show_backoff(&self.backoff), backoff),
        ] {
            shown.push(Effective {
                name: format!("queues.{}.{key}", self.name),
                value,
                origin,
            });
        }
        self
    }
}

/// Replaces `value` by the flag's, else by that of `worker.toml`, and says which it was.
fn pick<T: Clone>(
    value: &mut T,
    table: Option<&(T, usize)>,
    (name, flag): (&'static str, Option<&T>),
) -> Origin {
    match (flag, table) {
        (Some(flag), _) => {
            value.clone_from(flag);
            Origin::Flag(name)
        }
        (None, Some((table, line))) => {
            value.clone_from(table);
            Origin::Toml(*line)
        }
        (None, None) => Origin::Default,
    }
}

impl Flags {
    fn read(reader: &mut Reader<'_>, worker: &Worker) -> Self {
        let limit = "seconds such as 60, or with a unit: 90s, 2m; 0 is no limit";
        Self {
            timeout: flag(reader, "timeout", limit, units::read_limit),
            tries: flag(reader, "tries", "a number from 0; 0 is no limit", |text| {
                text.parse().ok()
            }),
            backoff: flag(
                reader,
                "backoff",
                "whole seconds, or several separated by commas",
                units::backoff,
            ),
            concurrency: reader
                .flag(vars::WORKER_CONCURRENCY.flag)
                .map(|_| worker.concurrency),
        }
    }
}

fn flag<T>(
    reader: &mut Reader<'_>,
    name: &'static str,
    allowed: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let parsed = parse(reader.flag(name)?.trim());
    if parsed.is_none() {
        reader
            .problems
            .push(Problem::new(format!("--{name}"), "has a wrong value", allowed));
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::super::Files;
    use super::super::testing::{file, load_all};
    use super::*;

    fn queues(env: &[(&str, &str)], flags: &[(&str, &str)], toml: &str) -> Config {
        let files = Files {
            toml: Some(file("worker.toml", toml)),
            ..Files::default()
        };
        load_all(env, flags, files).unwrap().config
    }

    fn short(config: &Config) -> Vec<(&str, u64, usize)> {
        let seconds = |queue: &QueueSettings| queue.timeout.map_or(0, |limit| limit.as_secs());
        config
            .queues
            .iter()
            .map(|queue| (queue.name.as_str(), seconds(queue), queue.concurrency))
            .collect()
    }

    #[test]
    fn defaults_and_additional_queues() {
        let config = queues(&[], &[], "[queues.banking]\ntimeout = 150\n[queues.imports]\n");
        let expected = [
            ("high", 60, 10),
            ("default", 60, 10),
            ("einvoice", 150, 10),
            ("migration", 600, 2),
            ("background", 60, 10),
            ("banking", 150, 10),
            ("imports", 60, 10),
        ];
        assert_eq!(short(&config), expected);
        assert!(
            config
                .queues
                .iter()
                .all(|queue| queue.tries.is_none() && queue.backoff.is_empty())
        );
        let other = config.queue_settings("other");
        assert_eq!(
            (other.name.as_str(), other.timeout, other.concurrency),
            ("other", Some(Duration::from_secs(60)), 10)
        );
    }

    #[test]
    fn concurrency_of_the_environment_yields_to_the_file_and_the_flag_does_not() {
        let toml = "[queues.high]\nconcurrency = 4\n";
        let concurrency = |env, flags| {
            queues(env, flags, toml)
                .queues
                .iter()
                .map(|q| q.concurrency)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            concurrency(&[("WORKER_CONCURRENCY", "20")], &[]),
            [4, 20, 20, 2, 20]
        );
        assert_eq!(concurrency(&[("WORKER_CONCURRENCY", "1")], &[]), [4, 1, 1, 1, 1]);
        assert_eq!(
            concurrency(&[("WORKER_CONCURRENCY", "20")], &[("concurrency", "8")]),
            [8; 5]
        );
    }

    #[test]
    fn flags_replace_what_the_file_says() {
        let toml = "[queues.high]\ntimeout = 5\nmax_timeout = 9\ntries = 3\nbackoff = [1, 2]\n";
        let env = [("WORKER_MAX_TIMEOUT", "1h")];
        let high = queues(&env, &[], toml).queue_settings("high");
        assert_eq!(
            (high.tries, high.backoff, high.max_timeout),
            (Some(3), vec![1, 2], Some(Duration::from_secs(9)))
        );
        let config = queues(
            &env,
            &[("timeout", "0"), ("tries", "5"), ("backoff", "60,300")],
            toml,
        );
        for queue in [config.queue_settings("high"), config.queue_settings("other")] {
            assert_eq!(
                (queue.timeout, queue.tries, queue.backoff),
                (None, Some(5), vec![60, 300])
            );
        }
        assert_eq!(
            config.queue_settings("default").max_timeout,
            Some(Duration::from_secs(3600))
        );
    }
}
