//! One application as the behaviour tests see it: its stores, what was pushed, what lies where, what failed.
//!
//! A test written with [`on_every_site`] runs once on Redis and once on SQLite.

mod job;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{
    DEADLINE, Daemon, FailedRow, Output, Redis, RedisOptions, RedisServer, Running, Scratch, SharedRedis,
    SqliteDatabase, poll, shared_redis, wait_until,
};
use sqlx::Row;
use worker::clock::{Clock, SystemClock};

pub(crate) use job::Job;

/// Makes one test of each case for every kind of site.
macro_rules! on_every_site {
    ($($(#[$doc:meta])* fn $name:ident($site:ident: &Site) $body:block)*) => {
        $($(#[$doc])* fn $name($site: &crate::site::Site) $body)*

        mod redis {
            $(#[test] fn $name() { super::$name(&crate::site::Site::redis()); })*
        }

        mod sqlite {
            $(#[test] fn $name() { super::$name(&crate::site::Site::sqlite()); })*
        }
    };
}

pub(crate) use on_every_site;

/// The built binary.
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Unix time in seconds.
pub(crate) fn now() -> f64 {
    SystemClock.now().as_secs_f64()
}

/// Where the queues are.
enum Store {
    Shared(SharedRedis),
    Own(RedisServer, Redis),
    Sqlite,
}

/// An application with stores of its own; all is gone when it is dropped.
pub(crate) struct Site {
    store: Store,
    database: SqliteDatabase,
    dir: Scratch,
}

/// A job as it lies in a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lying {
    /// The payload's bytes.
    pub(crate) payload: Vec<u8>,
    /// The attempts counted so far.
    pub(crate) attempts: u64,
    /// Unix time when it is due, or its reservation's score or column; 0 for those that wait.
    pub(crate) at: f64,
}

/// The jobs of one queue.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Queue {
    /// Available now, the next one first.
    pub(crate) ready: Vec<Lying>,
    /// Not due yet.
    pub(crate) delayed: Vec<Lying>,
    /// In the hands of a worker.
    pub(crate) reserved: Vec<Lying>,
}

/// A line that a sample job left in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// `start`, `end` or `failed`.
    pub(crate) event: String,
    /// The job's uuid.
    pub(crate) uuid: String,
    /// The number of the attempt.
    pub(crate) attempt: u64,
    /// The queue it came from.
    pub(crate) queue: String,
}

impl Site {
    /// Queues and cache in Redis, failed jobs in SQLite.
    pub(crate) fn redis() -> Self {
        Self::with(Store::Shared(shared_redis()))
    }

    /// The same with a server that a test may stop and start.
    pub(crate) fn own_redis() -> Self {
        let server = RedisServer::start(RedisOptions::default().append_only());
        let redis = server.redis();
        Self::with(Store::Own(server, redis))
    }

    /// All in one SQLite file with the tables of Laravel's own migrations.
    pub(crate) fn sqlite() -> Self {
        Self::with(Store::Sqlite)
    }

    fn with(store: Store) -> Self {
        Self {
            store,
            database: SqliteDatabase::temp(),
            dir: Scratch::new(),
        }
    }

    /// The Redis client, when the queues are there.
    pub(crate) fn client(&self) -> Option<&Redis> {
        match &self.store {
            Store::Shared(redis) => Some(redis),
            Store::Own(_, redis) => Some(redis),
            Store::Sqlite => None,
        }
    }

    /// The server of [`Site::own_redis`].
    pub(crate) fn server(&mut self) -> &mut RedisServer {
        let server = match &mut self.store {
            Store::Own(server, _) => Some(server),
            Store::Shared(_) | Store::Sqlite => None,
        };
        server.expect("the site has a server of its own")
    }

    /// The database: of the failed jobs, and of all else where there is no Redis.
    pub(crate) fn database(&self) -> &SqliteDatabase {
        &self.database
    }

    /// The name of the queue connection.
    pub(crate) fn connection(&self) -> &'static str {
        match self.client() {
            Some(_) => "redis",
            None => "database",
        }
    }

    /// The variables of the application.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        match self.client() {
            Some(redis) => {
                let mut env = redis.env();
                env.extend(self.database.database_env());
                env.push(("CACHE_STORE", "redis".to_owned()));
                env
            }
            None => self.database.env(),
        }
    }

    /// The binary with these arguments and the application's variables.
    pub(crate) fn worker(&self, args: &[&str]) -> Daemon {
        let args = args.iter().copied();
        Daemon::new(WORKER)
            .args(args)
            .envs(self.env())
            .env("APP_ENV", "local")
    }

    /// Starts a worker process and waits until it consumes.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        started(self.worker(args).spawn())
    }

    /// Runs a command to its end.
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        self.worker(args).run_to_end()
    }

    /// A file inside a directory of the site.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.dir.write(name, content);
        path.to_str()
            .expect("a temporary directory has a plain name")
            .to_owned()
    }

    /// Pushes one job and returns its uuid.
    pub(crate) fn push(&self, queue: &str, job: &Job) -> String {
        self.push_all(queue, std::slice::from_ref(job));
        job.uuid().to_owned()
    }

    /// Pushes jobs in order.
    pub(crate) fn push_all(&self, queue: &str, jobs: &[Job]) {
        let texts: Vec<_> = jobs.iter().map(|job| job.text(self.client().is_some())).collect();
        self.push_raw(queue, &texts);
    }

    /// Pushes payloads as they are, in order.
    pub(crate) fn push_raw(&self, queue: &str, payloads: &[impl AsRef<[u8]>]) {
        if let Some(redis) = self.client() {
            for payload in payloads {
                redis.push(queue, payload);
            }
            return;
        }
        self.push_rows(queue, payloads);
    }

    /// Pushes payloads as rows of the table of jobs, in order.
    pub(crate) fn push_rows(&self, queue: &str, payloads: &[impl AsRef<[u8]>]) {
        let now = SystemClock.unix_s();
        let rows = payloads
            .iter()
            .map(|payload| format!("('{queue}', {}, 0, {now}, {now})", sql_text(payload.as_ref())));
        let rows: Vec<_> = rows.collect();
        let into = "insert into jobs (queue, payload, attempts, available_at, created_at) values ";
        self.database.execute(&format!("{into}{}", rows.join(",")));
    }

    /// What lies in a queue now.
    pub(crate) fn queue(&self, name: &str) -> Queue {
        if let Some(redis) = self.client() {
            // Three reads, between which a job may move: only what is seen twice is taken for true.
            let mut dump = redis.queue(name);
            for _ in 0..5 {
                let again = redis.queue(name);
                if std::mem::replace(&mut dump, again) == dump {
                    break;
                }
            }
            let scored =
                |list: Vec<harness::Scored>| list.into_iter().map(|it| lying(it.payload.0, it.score));
            return Queue {
                ready: dump
                    .ready
                    .into_iter()
                    .map(|payload| lying(payload.0, 0.0))
                    .collect(),
                delayed: scored(dump.delayed).collect(),
                reserved: scored(dump.reserved).collect(),
            };
        }
        self.rows(name)
    }

    /// What lies in a queue of the table of jobs now.
    pub(crate) fn rows(&self, name: &str) -> Queue {
        let sql = format!(
            "select cast(payload as blob), attempts, cast(coalesce(reserved_at, available_at) as real), \
             case when reserved_at is not null then 2 else available_at > unixepoch() end \
             from jobs where queue = '{name}' order by available_at, id"
        );
        let mut queue = Queue::default();
        let rows = self.database.rows(&sql, |row| {
            let job = Lying {
                payload: row.get(0),
                attempts: u64::try_from(row.get::<i64, _>(1)).unwrap_or_default(),
                at: row.get(2),
            };
            (job, row.get::<i64, _>(3))
        });
        for (job, place) in rows {
            match place {
                0 => queue.ready.push(Lying { at: 0.0, ..job }),
                1 => queue.delayed.push(job),
                _ => queue.reserved.push(job),
            }
        }
        queue
    }

    /// Waits until a queue looks as asked, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_queue(&self, name: &str, look: impl Fn(&Queue) -> bool) -> Queue {
        let found = poll(DEADLINE, || Some(self.queue(name)).filter(|queue| look(queue)));
        let shown = || format!("{:?}; failed: {:?}", self.queue(name), self.failed());
        assert!(
            found.is_some(),
            "the queue {name} is not as it should be: {}",
            shown()
        );
        found.unwrap_or_default()
    }

    /// Waits until a queue holds no job in any state.
    #[track_caller]
    pub(crate) fn wait_for_end_of(&self, name: &str) {
        self.wait_for_queue(name, |queue| queue.len() == 0);
    }

    /// The failed jobs, oldest first.
    pub(crate) fn failed(&self) -> Vec<FailedRow> {
        self.database.failed_jobs()
    }

    /// Waits until so many jobs have failed, and returns them.
    #[track_caller]
    pub(crate) fn wait_for_failed(&self, count: usize) -> Vec<FailedRow> {
        wait_until(DEADLINE, || self.failed().len() >= count);
        let failed = self.failed();
        assert_eq!(failed.len(), count);
        failed
    }

    /// The file to which sample jobs append.
    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// A sample that works for so long and keeps the journal.
    pub(crate) fn sample(&self, work_ms: u64) -> Job {
        Job::new(r"Worker\Demo\Sample")
            .set("workMs", work_ms)
            .set("journal", self.journal_name())
    }

    /// A job that sleeps for so long, misbehaves as told, and keeps the journal.
    pub(crate) fn slow(&self, sleep_ms: u64) -> Job {
        Job::new(r"Worker\Demo\Slow")
            .set("sleepMs", sleep_ms)
            .set("journal", self.journal_name())
    }

    fn journal_name(&self) -> String {
        self.journal()
            .to_str()
            .expect("a temporary directory has a plain name")
            .to_owned()
    }

    /// All lines of the journal.
    pub(crate) fn notes(&self) -> Vec<Note> {
        Note::all(&self.journal())
    }

    /// The lines of one event.
    pub(crate) fn noted(&self, event: &str) -> Vec<Note> {
        self.notes()
            .into_iter()
            .filter(|note| note.event == event)
            .collect()
    }

    /// Waits until an event is noted so often.
    #[track_caller]
    pub(crate) fn wait_for_note(&self, event: &str, count: usize) {
        let noted = poll(DEADLINE, || (self.noted(event).len() >= count).then_some(()));
        assert!(noted.is_some(), "not {count} times {event}: {:?}", self.notes());
    }

    /// Waits until the job with this uuid has ended well.
    #[track_caller]
    pub(crate) fn wait_for_job(&self, uuid: &str) {
        let ended = || self.noted("end").iter().any(|note| note.uuid == uuid);
        assert!(
            poll(DEADLINE, || ended().then_some(())).is_some(),
            "{uuid}: {:?}",
            self.notes()
        );
    }
}

impl Queue {
    /// Jobs in all states.
    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.reserved.len()
    }
}

impl Lying {
    /// The payload as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).expect("the payload is JSON")
    }

    /// The payload's uuid.
    pub(crate) fn uuid(&self) -> String {
        let json = self.json();
        json["uuid"].as_str().expect("the payload has a uuid").to_owned()
    }

    /// Seconds until it is due.
    pub(crate) fn due_in_s(&self) -> f64 {
        self.at - now()
    }
}

impl Note {
    /// The lines of a journal; none when there is no such file.
    pub(crate) fn all(journal: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        // A line without its end is still being written.
        let lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        lines.map(Self::read).collect()
    }

    fn read(line: &str) -> Self {
        let mut words = line.split(' ').map(str::to_owned);
        let mut next = || words.next().expect("a line of the journal has four words");
        Self {
            event: next(),
            uuid: next(),
            attempt: next().parse().expect("an attempt is a number"),
            queue: next(),
        }
    }
}

fn lying(payload: Vec<u8>, at: f64) -> Lying {
    let attempts = serde_json::from_slice::<serde_json::Value>(&payload)
        .ok()
        .and_then(|json| json["attempts"].as_u64())
        .unwrap_or_default();
    Lying {
        payload,
        attempts,
        at,
    }
}

/// A literal of SQLite for a text of any bytes.
fn sql_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => format!("'{}'", text.replace('\'', "''")),
        _ => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("cast(x'{hex}' as text)")
        }
    }
}

/// Waits until a worker process consumes.
pub(crate) fn started(mut process: Running) -> Running {
    process.wait_for_line("consumes connection", DEADLINE);
    process
}

/// The members of a line of the log.
pub(crate) fn log_line(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect("the log is JSON")
}

/// How long a test looks in order to see that something does not happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(700);

/// Looks for a while, and holds that `happened` never is true.
#[track_caller]
pub(crate) fn never(mut happened: impl FnMut() -> bool) {
    assert_eq!(poll(A_WHILE, || happened().then_some(())), None, "it happened");
}
