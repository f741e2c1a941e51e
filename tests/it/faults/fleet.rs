//! Processes of both kinds, `queue:work` and this worker, on the queue of one stage.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::{DEADLINE, Laravel, Running, Signal, poll, wait_until};
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

use super::Stage;
use super::stage::{Note, now_ms};
use crate::php::shop::{descendants, runs};
use crate::site::Job;

/// How many jobs a worker of ours runs at a time.
pub(crate) const SLOTS: usize = 3;
/// The class that both sides know.
const CLASS: &str = r"Worker\Demo\Slow";
/// A process that was started may take so long to do something: PHP boots on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Jobs of one push of the application.
const BULK: usize = 5000;
/// Jobs that wait at least while processes are started and killed, where they are pushed anew.
const STOCK: usize = 60;

/// Who runs jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `artisan queue:work`.
    Php,
    /// This worker.
    Ours,
}

/// A process that was started, and when, in milliseconds of Unix time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Born {
    pub(crate) kind: Kind,
    pub(crate) at: u64,
}

/// The processes.
pub(crate) struct Fleet {
    pub(crate) stage: Stage,
    pub(crate) laravel: Laravel,
    /// All that were ever started.
    pub(crate) born: BTreeMap<u32, Born>,
    /// The payloads as they were pushed, by uuid.
    pub(crate) originals: BTreeMap<String, Vec<u8>>,
    /// For how long either side holds a job unless it renews, in seconds.
    pub(crate) hold: u64,
    /// While processes are started and killed, jobs that work for so many milliseconds are pushed anew.
    pub(crate) restock: Option<u64>,
    php: Vec<Running>,
    ours: Vec<Running>,
    kills: usize,
}

impl Fleet {
    /// No processes yet; PHP talks to Redis through `client`. Ours has no PHP.
    pub(crate) fn new(stage: Stage, client: &str, hold: u64) -> Self {
        let seconds = hold.to_string();
        let laravel = Laravel::new()
            .envs(stage.env())
            .env("REDIS_CLIENT", client)
            .env("REDIS_QUEUE_RETRY_AFTER", &seconds)
            .env("DB_QUEUE_RETRY_AFTER", &seconds)
            .env("WORKER_LEASE", &seconds);
        Self {
            stage,
            laravel,
            born: BTreeMap::new(),
            originals: BTreeMap::new(),
            hold,
            restock: None,
            php: Vec::new(),
            ours: Vec::new(),
            kills: 0,
        }
    }

    /// Ours runs PHP's jobs as well, in two processes; its own tables are there.
    pub(crate) fn with_pool(mut self) -> Self {
        let root = self.laravel.root().display().to_string();
        self.laravel = (self.laravel)
            .env("WORKER_LARAVEL_PATH", root)
            .env("WORKER_PHP_PROCESSES", "2");
        self.stage.worker(&["migrate"]).run_to_end().success();
        self
    }

    /// Has the application push jobs that both sides know and that work for so long, in milliseconds; one in
    /// four releases itself once. Nobody may be at work yet.
    pub(crate) fn push_by_application(&mut self, jobs: usize, work: u64) {
        let journal = self.stage.journal();
        for first in (0..jobs).step_by(BULK) {
            let count = BULK.min(jobs - first);
            let plain = json!({"sleepMs": work, "journal": journal});
            let released = json!({"sleepMs": work, "releaseS": 1, "journal": journal});
            for (data, count) in [(plain, count - count / 4), (released, count / 4)] {
                let count = format!("--count={count}");
                self.laravel
                    .push(CLASS, &data, &["--bulk", &count, "--queue=default"]);
            }
        }
        assert_eq!(self.adopt(), jobs, "the application has pushed");
    }

    /// Takes what the application has pushed for jobs of the test; nobody may be at work yet.
    /// Returns how many there are.
    pub(crate) fn adopt(&mut self) -> usize {
        self.originals = texts(&self.stage);
        self.stage.adopt("default", self.originals.keys().cloned());
        self.originals.len()
    }

    fn keep_stock(&mut self) {
        if let Some(work) = self.restock
            && self.stage.depth() < STOCK
        {
            self.push(STOCK, work);
        }
    }

    /// Pushes jobs of the same kinds.
    fn push(&mut self, jobs: usize, work: u64) {
        let plain = self.job(work);
        let released = plain.clone().set("\0*\0releaseS", 1);
        let of = |n: usize| {
            if n % 4 == 3 {
                released.again()
            } else {
                plain.again()
            }
        };
        let jobs: Vec<_> = (0..jobs).map(of).collect();
        self.push_these(&jobs);
    }

    /// Pushes jobs that fail on their one attempt.
    pub(crate) fn push_failing(&mut self, jobs: usize) -> Vec<String> {
        let job = self.job(10).set("\0*\0panic", true).with("maxTries", 1);
        self.push_these(&job.times(jobs))
    }

    /// A job that both sides know, with PHP's marks of what is protected and private.
    fn job(&self, work: u64) -> Job {
        let journal = self.stage.journal().display().to_string();
        Job::new(CLASS)
            .set("\0*\0sleepMs", work)
            .set(&format!("\0{CLASS}\0journal"), journal)
    }

    fn push_these(&mut self, jobs: &[Job]) -> Vec<String> {
        let for_redis = self.stage.redis_client().is_some();
        let text = |job: &Job| (job.uuid().to_owned(), job.text(for_redis).into_bytes());
        self.originals.extend(jobs.iter().map(text));
        self.stage.push("default", jobs)
    }

    /// Starts processes of both kinds, and waits until those of PHP have begun a job each.
    pub(crate) fn start(&mut self, php: usize, ours: usize) {
        for _ in 0..php {
            self.start_one(Kind::Php);
        }
        let pids: Vec<_> = self.php.iter().map(Running::pid).collect();
        for pid in pids {
            wait_until(PATIENCE, || {
                self.keep_stock();
                self.stage.notes().iter().any(|note| note.pid == pid)
            });
        }
        for _ in 0..ours {
            self.start_one(Kind::Ours);
        }
    }

    fn start_one(&mut self, kind: Kind) {
        let at = now_ms();
        let process = match kind {
            Kind::Php => self
                .laravel
                .work(&["--queue=default", "--sleep=0.1", "--tries=30"]),
            Kind::Ours => {
                let slots = format!("--concurrency={SLOTS}");
                let args = ["run", "--queue=default", "--sleep=0.1", "--tries=30", &slots];
                let worker = self.stage.worker(&args);
                worker.envs(self.laravel.environment()).spawn()
            }
        };
        self.born.insert(process.pid(), Born { kind, at });
        match kind {
            Kind::Php => self.php.push(process),
            Kind::Ours => self.ours.push(process),
        }
    }

    /// Kills the oldest process of a kind, and its children with it, while it has a job in its hands, and starts
    /// another; `look` sees it stand still just before. A process that stands still may hold the lock of a whole SQLite
    /// file: there it goes on, until `look` says that it has seen enough. Returns whether there was a job to be had.
    pub(crate) fn kill(&mut self, kind: Kind, mut look: impl FnMut(&Self) -> bool) -> bool {
        self.let_some_end();
        let mut process = match kind {
            Kind::Php => self.php.remove(0),
            Kind::Ours => self.ours.remove(0),
        };
        let stands_still = self.stage.kind() != "sqlite";
        let found = poll(PATIENCE, || {
            self.keep_stock();
            let seen = match stands_still {
                true => {
                    process.signal(Signal::Stop);
                    true
                }
                false => look(self),
            };
            let busy = seen && self.is_busy(process.pid());
            if stands_still && !busy {
                process.signal(Signal::Cont);
            }
            (busy || self.stage.depth() == 0).then_some(busy)
        });
        let busy = found.expect("a process should have got a job by now");
        if stands_still {
            look(self);
        }
        let children = descendants(process.pid());
        self.stage.kill(&mut process);
        for child in children {
            wait_until(PATIENCE, || !runs(child));
            self.stage.died(child);
        }
        self.start_one(kind);
        busy
    }

    /// Kills a PHP process of ours that has a job in its hands. Returns whether there was one.
    pub(crate) fn kill_child(&mut self) -> bool {
        self.let_some_end();
        let worker = self.ours[0].pid();
        let found = poll(PATIENCE, || {
            let children = descendants(worker);
            let in_hand = self.in_hand();
            let mut pids = in_hand.values().map(|(_, pid)| *pid);
            let busy = pids.find(|pid| children.contains(pid));
            (busy.is_some() || self.stage.depth() == 0).then_some(busy)
        });
        let Some(child) = found.expect("a process should have got a job by now") else {
            return false;
        };
        let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
        let killed = kill_process(pid.expect("a process id"), rustix::process::Signal::KILL);
        self.stage.died(child);
        killed.is_ok()
    }

    /// Lets a few jobs end, so that the moment falls where it falls.
    fn let_some_end(&mut self) {
        self.kills += 1;
        let next = self.stage.noted("end") + (self.kills * 7) % 12;
        wait_until(PATIENCE, || {
            self.keep_stock();
            self.stage.noted("end") >= next || self.stage.depth() < 20
        });
    }

    fn is_busy(&self, worker: u32) -> bool {
        let mut pids = descendants(worker);
        pids.push(worker);
        self.in_hand().values().any(|(_, pid)| pids.contains(pid))
    }

    /// Stops all of them as an operator does.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        for mut process in self.php.drain(..).chain(self.ours.drain(..)) {
            process.signal(Signal::Term);
            assert_eq!(self.stage.end_of(&mut process, DEADLINE * 3), 0);
        }
    }

    /// The jobs that have begun and not ended, with their attempt and process; those of the dead as well.
    pub(crate) fn in_hand(&self) -> BTreeMap<String, (u64, u32)> {
        let mut in_hand = BTreeMap::new();
        for note in self.stage.notes() {
            let Note {
                event,
                uuid,
                attempt,
                pid,
                ..
            } = note;
            match event.as_str() {
                "start" => drop(in_hand.insert(uuid, (attempt, pid))),
                "end" | "released" if in_hand.get(&uuid) == Some(&(attempt, pid)) => {
                    in_hand.remove(&uuid);
                }
                _ => {}
            }
        }
        in_hand
    }

    /// Of which kind a process is.
    #[track_caller]
    pub(crate) fn kind(&self, pid: u32) -> Kind {
        self.born[&pid].kind
    }

    /// The processes that were killed.
    pub(crate) fn dead(&self) -> BTreeSet<u32> {
        self.stage.deaths().into_keys().collect()
    }
}

/// The payloads of all jobs that wait, by uuid.
fn texts(stage: &Stage) -> BTreeMap<String, Vec<u8>> {
    let texts: Vec<Vec<u8>> = match stage.redis_client() {
        Some(redis) => {
            let ready = redis.queue("default").ready;
            ready.into_iter().map(|it| it.0).collect()
        }
        None => {
            let rows = stage.database().jobs();
            rows.into_iter().map(|row| row.payload.into_bytes()).collect()
        }
    };
    let uuid = |text: &[u8]| {
        let json: Value = serde_json::from_slice(text).expect("a payload is JSON");
        json["uuid"].as_str().expect("a payload has a uuid").to_owned()
    };
    texts.into_iter().map(|text| (uuid(&text), text)).collect()
}
