//! One side: an installation, and a worker that runs all scenarios on it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::scenario::{Flags, Scenario};
use super::snapshot::Snapshot;
use crate::laravel::site::Site;
use crate::site::now;

/// How long a worker may take for a round of all scenarios.
const ROUND: Duration = Duration::from_secs(150);
/// How often the framework's own worker may end itself in a round.
const STARTS: usize = 20;

/// Who works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The framework's own worker.
    Artisan,
    /// This worker, with one PHP process.
    Worker,
}

/// What each scenario left, round by round, and what belongs to none of them.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// By the scenario's name.
    pub(crate) scenarios: BTreeMap<&'static str, Vec<Snapshot>>,
    /// Keys of the cache that name no scenario.
    pub(crate) rest: Vec<String>,
}

/// An installation and its worker.
#[derive(Debug)]
pub(crate) struct Side {
    site: Site,
    who: Who,
    flags: Flags,
}

impl Side {
    /// Dispatches nothing yet.
    pub(crate) fn new(site: Site, who: Who, flags: Flags) -> Self {
        let site = site.env("SCENARIOS", "1");
        Self { site, who, flags }
    }

    /// Dispatches the scenarios with these flags, and runs each for as many rounds as it has outcomes.
    pub(crate) fn run(self, scenarios: &[Scenario]) -> Left {
        let mut running: Vec<_> = scenarios
            .iter()
            .filter(|scenario| scenario.flags == self.flags)
            .collect();
        let names: Vec<_> = running.iter().map(|scenario| scenario.name).collect();
        let pushed = now();
        self.site.laravel.php(&[&["scenario:push"], &names[..]].concat());
        let mut left = Left::default();
        for round in 0.. {
            running.retain(|scenario| scenario.rounds() > round);
            if running.is_empty() {
                break;
            }
            self.round(&running, round);
            for scenario in &running {
                let snapshot = Snapshot::of(&self.site, scenario, pushed);
                left.scenarios.entry(scenario.name).or_default().push(snapshot);
            }
        }
        left.rest = Snapshot::rest(&self.site, scenarios);
        left
    }

    fn round(&self, running: &[&Scenario], round: usize) {
        let queues: Vec<_> = running.iter().map(|scenario| scenario.name).collect();
        if round > 0 {
            for queue in &queues {
                self.time_passes(queue);
            }
        }
        match self.who {
            Who::Artisan => self.artisan_works(&queues),
            Who::Worker => self.worker_works(&queues),
        }
    }

    /// The framework's worker ends itself at a time limit: a supervisor starts it again.
    fn artisan_works(&self, queues: &[&str]) {
        let list = format!("--queue={}", queues.join(","));
        let args = [&[&list, "--stop-when-empty", "--sleep=0"], self.flags.args()].concat();
        let worked_off = (0..STARTS).any(|_| {
            self.site.laravel.work(&args).wait_exit(ROUND);
            !queues.iter().any(|queue| self.may_run(queue))
        });
        assert!(worked_off, "artisan leaves jobs on {queues:?}");
    }

    fn worker_works(&self, queues: &[&str]) {
        let list = format!("--queue={}", queues.join(","));
        let args = [
            &["run", &list, "--stop-when-empty", "--concurrency=1"],
            self.flags.args(),
        ]
        .concat();
        let root = self.site.laravel.root();
        let worker = self
            .site
            .worker(&args)
            .env("WORKER_LARAVEL_PATH", root)
            .env("WORKER_PHP_PROCESSES", "1");
        assert_eq!(worker.spawn().wait_exit(ROUND), 0);
    }

    fn may_run(&self, queue: &str) -> bool {
        let now = now();
        let jobs = self.site.jobs(queue);
        jobs.iter()
            .any(|job| !job.reserved && job.due.is_none_or(|due| due <= now))
    }

    /// Everything that waits for its time becomes due, and every reservation lapses.
    fn time_passes(&self, queue: &str) {
        let Some(redis) = &self.site.redis else {
            self.site.file().execute(&format!(
                "update jobs set available_at = min(available_at, {now}),
                 reserved_at = case when reserved_at is null then null else {now} - 10000 end
                 where queue = '{queue}'",
                now = now().floor(),
            ));
            return;
        };
        let dump = redis.queue(queue);
        let list = redis.key(&format!("queues:{queue}"));
        for (set, members) in [("delayed", dump.delayed), ("reserved", dump.reserved)] {
            let (key, score) = (format!("{list}:{set}"), now().floor().to_string());
            for member in members {
                let words: [&[u8]; 5] = [
                    b"ZADD",
                    key.as_bytes(),
                    b"XX",
                    score.as_bytes(),
                    &member.payload.0,
                ];
                let _: i64 = redis.query(&words);
            }
        }
    }
}
