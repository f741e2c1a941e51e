//! The same on database servers that are killed and frozen: the log, the watchdog, readiness.

use std::cell::RefCell;
use std::time::Duration;

use harness::{
    DEADLINE, Daemon, MariadbServer, NotifySocket, PostgresServer, Running, Scratch, TestDatabase, wait_until,
};

use super::{assert_calm, count};
use crate::http::{free_address, get};
use crate::site::{Job, WORKER, now};
use crate::watchdog::{WATCHDOG, assert_never_hungry};

/// The queues that a worker serves by itself.
const QUEUES: [&str; 5] = ["high", "default", "einvoice", "migration", "background"];

/// A worker on a database of a server that can break, under the eyes of systemd.
struct Scene<'a> {
    database: &'a dyn TestDatabase,
    dir: Scratch,
    systemd: NotifySocket,
    address: String,
}

impl<'a> Scene<'a> {
    fn new(database: &'a dyn TestDatabase) -> Self {
        let migrate = Daemon::new(WORKER).arg("migrate").envs(database.env());
        migrate.run_to_end().success();
        Self {
            database,
            dir: Scratch::new(),
            systemd: NotifySocket::bind(),
            address: free_address(),
        }
    }

    fn worker(&self) -> Running {
        Daemon::new(WORKER)
            .args(["run", "--concurrency", "2"])
            .envs(self.database.env())
            .envs(self.systemd.env(WATCHDOG))
            .env("CACHE_STORE", "database")
            .env("WORKER_LEASE", "60")
            .env("WORKER_HTTP", &self.address)
            .spawn()
    }

    /// Pushes a job that sleeps and keeps the journal.
    fn push(&self, queue: &str, sleep_ms: u64) {
        let journal = self.dir.join("journal");
        let journal = journal.to_str().expect("a temporary directory has a plain name");
        let job = Job::new(r"Worker\Demo\Slow")
            .set("sleepMs", sleep_ms)
            .set("journal", journal);
        // The only quotation marks of SQL in it would be single ones, and it has none. MySQL wants its own
        // escape doubled.
        let payload = job.text(false).replace(
            '\\',
            if self.database.kind() == "mariadb" {
                "\\\\"
            } else {
                "\\"
            },
        );
        let now = now().floor();
        self.database.execute(&format!(
            "insert into jobs (queue, payload, attempts, available_at, created_at) \
             values ('{queue}', '{payload}', 0, {now}, {now})"
        ));
    }

    fn noted(&self, event: &str) -> usize {
        let text = std::fs::read_to_string(self.dir.join("journal")).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(event)).count()
    }

    fn wait_for_note(&self, event: &str, count: usize) {
        wait_until(DEADLINE, || self.noted(event) >= count);
    }

    fn wait_for_trouble(&self) {
        let reason = || get(&self.address, "/readyz").1["reasons"].to_string();
        wait_until(DEADLINE * 2, || reason().contains("store: "));
        assert_eq!(get(&self.address, "/livez").0, 200);
    }

    fn wait_for_recovery(&self, worker: &mut Running, jobs: usize) {
        worker.wait_for_line("The store works again after ", DEADLINE * 2);
        wait_until(DEADLINE * 2, || self.database.jobs().is_empty());
        wait_until(DEADLINE, || get(&self.address, "/readyz").0 == 200);
        assert_eq!(
            (self.noted("start"), self.noted("end")),
            (jobs, jobs),
            "each ran once"
        );
        assert!(self.database.failed_jobs().is_empty());
    }

    /// One line that the store is away, one that it is back; the same of the cache, which is in it too.
    fn assert_told_once(&self, worker: &Running) {
        let faults = assert_calm(worker);
        assert_eq!(count(worker, "trying again until it works"), 1, "{faults:#?}");
        assert_eq!(count(worker, "The store works again"), 1, "{faults:#?}");
        assert!(faults.len() <= 3, "{faults:#?}");
        assert_never_hungry(&self.systemd);
    }
}

/// Five lanes with jobs in their hands, and the server dies.
fn a_server_that_is_killed(database: &dyn TestDatabase, kill: impl FnOnce(), restart: impl FnOnce()) {
    let scene = Scene::new(database);
    for queue in QUEUES {
        (0..2).for_each(|_| scene.push(queue, 3000));
        (0..10).for_each(|_| scene.push(queue, 10));
    }
    let mut worker = scene.worker();
    scene.wait_for_note("start", 10);
    kill();
    scene.wait_for_trouble();
    scene.wait_for_note("end", 10);
    restart();
    scene.wait_for_recovery(&mut worker, 60);
    scene.assert_told_once(&worker);
}

/// The server keeps its connections and says nothing, for longer than a worker waits in silence.
fn a_server_that_is_frozen(database: &dyn TestDatabase, pause: impl FnOnce(), resume: impl FnOnce()) {
    let scene = Scene::new(database);
    for queue in QUEUES {
        scene.push(queue, 3000);
    }
    let mut worker = scene.worker();
    scene.wait_for_note("start", 5);
    pause();
    scene.wait_for_trouble();
    scene.systemd.wait_for_feeds(4, Duration::from_secs(10));
    resume();
    scene.wait_for_recovery(&mut worker, 5);
    scene.assert_told_once(&worker);
}

#[test]
fn a_postgres_that_is_killed_is_two_lines() {
    // What was committed is there after the crash.
    let server = RefCell::new(PostgresServer::start(&["synchronous_commit=on"]));
    let database = server.borrow().database();
    a_server_that_is_killed(
        &database,
        || server.borrow_mut().kill(),
        || server.borrow_mut().restart(),
    );
}

#[test]
fn a_postgres_that_is_frozen_is_two_lines() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    a_server_that_is_frozen(&database, || server.pause(), || server.resume());
}

#[test]
fn a_mariadb_that_is_killed_is_two_lines() {
    let durable = "--innodb-flush-log-at-trx-commit=2";
    let server = RefCell::new(MariadbServer::start(&[durable]));
    let database = server.borrow().database();
    a_server_that_is_killed(
        &database,
        || server.borrow_mut().kill(),
        || server.borrow_mut().restart(),
    );
}

#[test]
fn a_mariadb_that_is_frozen_is_two_lines() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    a_server_that_is_frozen(&database, || server.pause(), || server.resume());
}
