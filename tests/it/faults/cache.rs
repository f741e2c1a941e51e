//! F32: the cache store, through which restart and pause arrive, is down or frozen: the work goes on as it was last
//! told, and that is said once, as is the end of it.

use std::time::{Duration, Instant};

use harness::{
    DEADLINE, Daemon, MariadbServer, RedisOptions, RedisServer, Running, Stream, poll, wait_until,
};

use super::{Deed, Expect, Stage, how_many};

/// How the log says that the cache store is away, and that it is there again.
const AWAY: &str = "The cache store does not answer";
const BACK: &str = "The cache store answers again";

/// How the cache store is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Nobody takes connections.
    Down,
    /// Connections stay and nothing answers.
    Frozen,
}

/// The server of the cache store.
trait Server {
    fn lose(&mut self, loss: Loss);
    fn return_from(&mut self, loss: Loss);
    fn env(&self) -> Vec<(&'static str, String)>;
}

impl Server for RedisServer {
    fn lose(&mut self, loss: Loss) {
        match loss {
            Loss::Down => self.kill(),
            Loss::Frozen => self.pause(),
        }
    }

    fn return_from(&mut self, loss: Loss) {
        match loss {
            Loss::Down => self.restart(),
            Loss::Frozen => self.resume(),
        }
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = self.redis().env();
        env.retain(|(name, _)| name.starts_with("REDIS_"));
        env.push(("CACHE_STORE", "redis".to_owned()));
        env
    }
}

/// A database server with a database on it.
struct Mariadb {
    server: MariadbServer,
    database: harness::MariadbDatabase,
}

impl Server for Mariadb {
    fn lose(&mut self, loss: Loss) {
        match loss {
            Loss::Down => self.server.kill(),
            Loss::Frozen => self.server.pause(),
        }
    }

    fn return_from(&mut self, loss: Loss) {
        match loss {
            Loss::Down => self.server.restart(),
            Loss::Frozen => self.server.resume(),
        }
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = self.database.database_env();
        env.push(("CACHE_STORE", "database".to_owned()));
        env
    }
}

/// How often the log says something as a warning or worse.
fn warned(worker: &Running, what: &str) -> usize {
    let lines = worker.lines_of(Stream::Err).into_iter();
    let is_loud = |line: &String| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    lines.filter(|line| is_loud(line) && line.contains(what)).count()
}

/// Jobs of the queue that is not paused, one after the other, for so long.
fn work_on(stage: &Stage, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        let before = stage.noted("end");
        stage.push("default", &stage.job(10).times(10));
        wait_until(DEADLINE, || stage.noted("end") >= before + 10);
        poll(Duration::from_millis(100), || None::<()>);
    }
}

fn no_cache_is_no_reason_to_stop(stage: &Stage, server: &mut dyn Server) {
    let deed = Deed::on(stage, "F32");
    let (down, frozen) = (how_many(4, 300), how_many(2, 300));
    let worker = |args: &[&str]| -> Daemon { stage.worker(args).envs(server.env()) };
    let (pause, resume) = (worker(&["pause", "still"]), worker(&["resume", "still"]));
    let restart = worker(&["restart"]);
    let worker = worker(&["run", "--queue", "default", "--queue", "still"]);
    pause.run_to_end().success();
    let mut worker = worker.spawn();
    // By then it knows what is paused.
    worker.wait_for_line("Worker still started", DEADLINE);
    let still = stage.push("still", &stage.job(10).times(5));
    for (loss, seconds) in [(Loss::Frozen, frozen), (Loss::Down, down)] {
        let before = warned(&worker, AWAY);
        server.lose(loss);
        if loss == Loss::Down {
            worker.wait_for_line(AWAY, DEADLINE * 2);
        }
        work_on(
            stage,
            Duration::from_secs(u64::try_from(seconds).expect("some seconds")),
        );
        let ran = stage.notes().into_iter().any(|note| still.contains(&note.uuid));
        assert!(!ran, "what was paused stays so: {loss:?}");
        let said = warned(&worker, AWAY) - before;
        // Nobody can tell a frozen store from a slow one before its time is up.
        assert!(
            said == 1 || said == 0 && loss == Loss::Frozen && seconds < 60,
            "{loss:?}: said {said} times"
        );
        server.return_from(loss);
        wait_until(DEADLINE * 2, || {
            let back = worker.lines().iter().filter(|line| line.contains(BACK)).count();
            back == warned(&worker, AWAY)
        });
    }
    resume.run_to_end().success();
    stage.wait_until_empty(DEADLINE);
    assert_eq!(
        warned(&worker, ""),
        warned(&worker, AWAY),
        "nothing else went wrong"
    );
    restart.run_to_end().success();
    assert_eq!(stage.end_of(&mut worker, DEADLINE), 0, "a restart arrives again");
    deed.done(2, &Expect::default().check(stage));
}

/// The queues are elsewhere.
fn without_redis(stage: &Stage) {
    let mut server = RedisServer::start(RedisOptions::default().append_only());
    no_cache_is_no_reason_to_stop(stage, &mut server);
}

#[test]
fn a_cache_in_redis_beside_queues_in_sqlite() {
    without_redis(&Stage::sqlite());
}

#[test]
fn a_cache_in_redis_beside_queues_in_mariadb() {
    without_redis(&Stage::mariadb());
}

#[test]
fn a_cache_in_redis_beside_queues_in_postgres() {
    without_redis(&Stage::postgres());
}

#[test]
fn a_cache_in_a_database_beside_queues_in_redis() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    no_cache_is_no_reason_to_stop(&Stage::redis(), &mut Mariadb { server, database });
}
