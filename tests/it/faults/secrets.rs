//! F9: a password is changed on the server and in the file that holds it while the worker runs.

use std::path::{Path, PathBuf};

use harness::{DEADLINE, Daemon, Redis, RedisOptions, RedisServer, Running, wait_until};

use super::{Deed, Expect, Stage, how_many};
use crate::http::{free_address, get};
use crate::site::{Job, started};

const ARGS: [&str; 5] = ["run", "--queue", "default", "--concurrency", "10"];
/// Part of every password here, and of nothing else.
const SECRET: &str = "hush";
/// How the log says that a new login is in use.
const TAKEN: &str = "New login taken from";

/// The password of this turn; characters that a URL must escape are left out.
fn password(turn: usize) -> String {
    format!("{SECRET}-{turn}-{:016x}", fastrand::u64(..))
}

/// Writes a file in one go, as those do who rotate secrets.
fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("the directory is writable");
    std::fs::rename(&beside, path).expect("the directory is writable");
}

/// What must come true of a worker with a new password.
type Then<'a> = Box<dyn Fn(&Running, &str) + 'a>;

/// A secret and its two places.
struct Rotation<'a> {
    stage: &'a Stage,
    /// What the worker is started with.
    worker: Daemon,
    /// What the log calls the place.
    place: String,
    /// Gives the user this password on the server.
    on_server: Box<dyn Fn(&str) + 'a>,
    /// Throws all of the user's clients out.
    throw_out: Box<dyn Fn() + 'a>,
    /// Writes the password where the worker finds it.
    in_file: Box<dyn Fn(&str) + 'a>,
    /// Jobs that run for a second.
    job: Job,
    /// How many of them run at a time.
    slots: usize,
    /// What else must come true with a new password.
    then: Then<'a>,
}

impl Rotation<'_> {
    /// Changes the secret so many times, and holds that nothing but time is lost.
    fn turn(self, times: usize) {
        let deed = Deed::on(self.stage, "F9");
        let first = password(0);
        (self.on_server)(&first);
        (self.in_file)(&first);
        let address = free_address();
        let mut worker = started(self.worker.env("WORKER_HTTP", &address).spawn());
        let stage = self.stage;
        let job = self.job.with("maxTries", 1);
        for turn in 1..=times {
            let (begun, new) = (stage.noted("start"), password(turn));
            // All slots are at work, so that no job is on its way to the worker when its connections end.
            stage.push("default", &job.times(self.slots));
            wait_until(DEADLINE, || stage.noted("start") == begun + self.slots);
            (self.on_server)(&new);
            (self.throw_out)();
            stage.push("default", &job.times(5));
            let why = || get(&address, "/readyz").1["reasons"].to_string();
            wait_until(DEADLINE, || why().contains("taken up without a restart"));
            assert!(why().contains(&self.place), "{}", why());
            (self.in_file)(&new);
            stage.push("default", &job.times(5));
            stage.wait_until_empty(DEADLINE);
            wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
            (self.then)(&worker, &new);
            assert_eq!(told(&worker, TAKEN), turn, "once for all connections");
        }
        assert!(worker.ended().is_none(), "it is the same process");
        let taken = format!("{TAKEN} {}", self.place);
        assert_eq!(told(&worker, &taken), times, "it names the place");
        assert_eq!(told(&worker, SECRET), 0, "no secret in the log");
        let tally = Expect::default().check(stage);
        stage.stop(worker);
        deed.done(times, &tally);
    }
}

fn told(worker: &Running, what: &str) -> usize {
    worker.lines().iter().filter(|line| line.contains(what)).count()
}

/// A user of Redis, who is thrown out alone: the test has connections of its own.
fn redis_rotation<'a>(stage: &'a Stage, redis: &'a Redis, worker: Daemon) -> Rotation<'a> {
    let file = worker.dir().join("redis-password");
    redis.query::<()>(&["ACL", "SETUSER", "jobs", "on", "~*", "+@all"]);
    Rotation {
        stage,
        worker: worker
            .env("REDIS_USERNAME", "jobs")
            .env("REDIS_PASSWORD_FILE", &file),
        place: format!("REDIS_PASSWORD_FILE ({})", file.display()),
        on_server: Box::new(|password| {
            redis.query::<()>(&["ACL", "SETUSER", "jobs", "resetpass", &format!(">{password}")]);
        }),
        throw_out: Box::new(|| redis.query::<()>(&["CLIENT", "KILL", "USER", "jobs"])),
        in_file: Box::new(move |password| write(&file, &format!("{password}\n"))),
        job: stage.job(1000),
        slots: 10,
        then: Box::new(|_, _| {}),
    }
}

fn own_redis() -> (RedisServer, Redis, Stage) {
    let server = RedisServer::start(RedisOptions::default());
    let (redis, stage) = (server.redis(), Stage::on_redis(server.redis()));
    (server, redis, stage)
}

fn dotenv(worker: &Daemon) -> PathBuf {
    worker.dir().join(".env")
}

#[test]
fn a_new_redis_password_is_taken_from_its_file() {
    let (_server, redis, stage) = own_redis();
    redis_rotation(&stage, &redis, stage.worker(&ARGS)).turn(how_many(2, 10));
}

#[test]
fn a_new_redis_password_is_taken_from_the_dotenv() {
    let (_server, redis, stage) = own_redis();
    let worker = stage.worker(&ARGS);
    let file = dotenv(&worker);
    Rotation {
        worker: worker.without("REDIS_PASSWORD"),
        place: "REDIS_PASSWORD (.env, line 2)".to_owned(),
        in_file: Box::new(move |password| {
            write(
                &file,
                &format!("REDIS_USERNAME=jobs\nREDIS_PASSWORD={password}\n"),
            );
        }),
        ..redis_rotation(&stage, &redis, stage.worker(&ARGS))
    }
    .turn(how_many(1, 10));
}

/// PHP is started with the password: processes that know the old one are replaced, once.
#[test]
fn php_processes_follow_a_new_password() {
    let (_server, redis, stage) = own_redis();
    let stage = stage.with_php();
    let worker = stage.worker(&ARGS).env("WORKER_PHP_PROCESSES", "2");
    let knows = |pid: u32, password: &str| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let wanted = format!("REDIS_PASSWORD={password}");
        environ
            .split(|byte| *byte == 0)
            .any(|pair| pair == wanted.as_bytes())
    };
    let follow = |worker: &Running, password: &str| {
        wait_until(DEADLINE, || {
            let children = harness::vitals::children(worker.pid());
            children.len() == 2 && children.iter().all(|pid| knows(*pid, password))
        });
    };
    let rotation = Rotation {
        job: stage.php_job(1000),
        slots: 2,
        then: Box::new(move |worker, password| {
            follow(worker, password);
            assert_eq!(told(worker, "Replacing the PHP processes"), 1);
        }),
        ..redis_rotation(&stage, &redis, worker)
    };
    rotation.turn(1);
}

#[test]
fn a_new_mariadb_login_is_taken_from_a_url_in_the_dotenv() {
    let stage = Stage::mariadb();
    let worker = without_login(&stage);
    let (file, user) = (dotenv(&worker), format!("u{:08x}", fastrand::u32(..)));
    let database = stage.database();
    let env = database.database_env();
    let of = |name: &str| {
        env.iter()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    };
    let (host, port, name) = (of("DB_HOST"), of("DB_PORT"), of("DB_DATABASE"));
    database.execute(&format!("create user '{user}'@'%' identified by 'x'"));
    database.execute(&format!("grant all on `{name}`.* to '{user}'@'%'"));
    Rotation {
        stage: &stage,
        worker,
        place: "DB_URL (.env, line 1)".to_owned(),
        on_server: Box::new(|password| {
            database.execute(&format!("alter user '{user}'@'%' identified by '{password}'"));
        }),
        throw_out: Box::new(|| database.execute(&format!("kill connection user '{user}'"))),
        in_file: Box::new(|password| {
            write(
                &file,
                &format!("DB_URL=mysql://{user}:{password}@{host}:{port}/{name}\n"),
            );
        }),
        job: stage.job(1000),
        slots: 10,
        then: Box::new(|worker, _| {
            // A native job has connections of its own.
            let (prune, before) = (r"Processed App\\Jobs\\PruneExpiredRecords", worker.lines().len());
            let job = Job::new(r"App\Jobs\PruneExpiredRecords");
            stage.push_raw("default", job.text(false).as_bytes());
            wait_until(DEADLINE, || {
                worker
                    .lines()
                    .iter()
                    .skip(before)
                    .any(|line| line.contains(prune))
            });
        }),
    }
    .turn(how_many(2, 10));
    database.execute(&format!("drop user '{user}'@'%'"));
}

/// A role of PostgreSQL whose password is in a file, and what listens for it.
struct Role<'a> {
    database: &'a dyn harness::TestDatabase,
    user: String,
    file: PathBuf,
}

impl<'a> Role<'a> {
    fn on(stage: &'a Stage) -> (Self, Daemon) {
        stage.worker(&["migrate", "--notify"]).run_to_end().success();
        let worker = without_login(stage);
        let role = Self {
            database: stage.database(),
            user: format!("u{:08x}", fastrand::u32(..)),
            file: worker.dir().join("password"),
        };
        let user = &role.user;
        role.database
            .execute(&format!("create role {user} login in role laravel"));
        let worker = worker
            .env("DB_USERNAME", user)
            .env("DB_PASSWORD_FILE", &role.file);
        (role, worker)
    }

    fn alter(&self, password: &str) {
        let user = &self.user;
        self.database
            .execute(&format!("alter role {user} password '{password}'"));
    }

    fn write(&self, password: &str) {
        write(&self.file, password);
    }

    /// Ends its sessions of which `which` holds.
    fn end(&self, which: &str) {
        let user = &self.user;
        self.database.execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{user}' and {which}"
        ));
    }

    fn listeners(&self) -> i64 {
        let user = &self.user;
        self.database.number(&format!(
            "select count(*) from pg_stat_activity where usename = '{user}' and {LISTENS}"
        ))
    }

    fn drop(self) {
        self.database.execute(&format!("drop role {}", self.user));
    }
}

/// True of the session that listens.
const LISTENS: &str = "datname = current_database() and query ilike '%listen%'";

#[test]
fn a_new_postgres_password_is_taken_from_its_file_by_those_who_listen_too() {
    let stage = Stage::postgres();
    let (role, worker) = Role::on(&stage);
    Rotation {
        stage: &stage,
        worker,
        place: format!("DB_PASSWORD_FILE ({})", role.file.display()),
        on_server: Box::new(|password| role.alter(password)),
        throw_out: Box::new(|| role.end("true")),
        in_file: Box::new(|password| role.write(password)),
        job: stage.job(1000),
        slots: 10,
        then: Box::new(|_, _| wait_until(DEADLINE, || role.listeners() == 1)),
    }
    .turn(how_many(2, 10));
    role.drop();
}

/// The sessions that take jobs stand; the one that listens has to log in again, and nobody else shows it how.
#[test]
fn a_listener_alone_takes_a_new_password() {
    let stage = Stage::postgres();
    let deed = Deed::on(&stage, "F9");
    let (role, worker) = Role::on(&stage);
    let (old, new) = (password(0), password(1));
    role.alter(&old);
    role.write(&old);
    let worker = started(worker.spawn());
    wait_until(DEADLINE, || role.listeners() == 1);
    role.alter(&new);
    role.write(&new);
    role.end(LISTENS);
    wait_until(DEADLINE, || told(&worker, TAKEN) == 1);
    wait_until(DEADLINE, || role.listeners() == 1);
    stage.push("default", &stage.job(5).with("maxTries", 1).times(20));
    stage.wait_until_empty(DEADLINE);
    assert_eq!(told(&worker, SECRET), 0);
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(1, &tally);
    role.drop();
}

/// A worker whose environment holds neither user nor password of the database.
fn without_login(stage: &Stage) -> Daemon {
    let worker = stage.worker(&ARGS);
    ["DB_HOST", "DB_PORT", "DB_USERNAME", "DB_PASSWORD"]
        .into_iter()
        .filter(|name| stage.kind() == "mariadb" || !["DB_HOST", "DB_PORT"].contains(name))
        .fold(worker, Daemon::without)
}

/// What is in the environment cannot change: the message says so, and the old password makes it well again.
#[test]
fn a_password_of_the_environment_takes_a_restart_and_is_said_to() {
    let (_server, redis, stage) = own_redis();
    let deed = Deed::on(&stage, "F9");
    let (old, new) = (password(0), password(1));
    let rotation = redis_rotation(&stage, &redis, stage.worker(&ARGS));
    (rotation.on_server)(&old);
    let address = free_address();
    let worker = stage
        .worker(&ARGS)
        .env("REDIS_USERNAME", "jobs")
        .env("REDIS_PASSWORD", &old)
        .env("WORKER_HTTP", &address);
    write(&dotenv(&worker), &format!("REDIS_PASSWORD={new}\n"));
    let worker = started(worker.spawn());
    (rotation.on_server)(&new);
    (rotation.throw_out)();
    stage.push("default", &stage.job(5).with("maxTries", 1).times(20));
    let named = "the password comes from REDIS_PASSWORD (environment), so a new one takes a restart";
    let why = || get(&address, "/readyz").1["reasons"].to_string();
    wait_until(DEADLINE, || why().contains(named));
    (rotation.on_server)(&old);
    stage.wait_until_empty(DEADLINE);
    assert!(told(&worker, named) > 0, "the log tells it too");
    assert_eq!((told(&worker, SECRET), told(&worker, TAKEN)), (0, 0));
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(1, &tally);
}

/// A file that is away for a moment is no password; a start without it is refused.
#[test]
fn a_file_that_is_away_keeps_the_old_password_and_refuses_a_start() {
    let (_server, redis, stage) = own_redis();
    let deed = Deed::on(&stage, "F9");
    let worker = stage.worker(&ARGS);
    let file = worker.dir().join("redis-password");
    let rotation = redis_rotation(&stage, &redis, worker);
    let refused = rotation.worker.run_to_end();
    let said = refused.expect_code(78);
    let missing = "REDIS_PASSWORD_FILE (environment) leads to no file that can be read";
    assert!(said.stderr.contains(missing), "{}", said.stderr);
    let (old, new) = (password(0), password(1));
    (rotation.on_server)(&old);
    (rotation.in_file)(&old);
    let worker = started(rotation.worker.spawn());
    std::fs::remove_file(&file).expect("it is there");
    (rotation.on_server)(&new);
    (rotation.throw_out)();
    stage.push("default", &stage.job(5).with("maxTries", 1).times(20));
    wait_until(DEADLINE, || told(&worker, missing) > 0);
    (rotation.in_file)(&new);
    stage.wait_until_empty(DEADLINE);
    assert_eq!(
        (
            told(&worker, missing),
            told(&worker, TAKEN),
            told(&worker, SECRET)
        ),
        (1, 1, 0)
    );
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(1, &tally);
}

/// A server that had none gets a password: it says so in other words, to a command and not to the login.
#[test]
fn a_first_password_is_taken_up() {
    let (_server, redis, stage) = own_redis();
    let deed = Deed::on(&stage, "F9");
    let clients = || {
        let list: String = redis.query(&["CLIENT", "LIST"]);
        let ids = list
            .lines()
            .filter_map(|line| line.strip_prefix("id=")?.split(' ').next());
        ids.map(str::to_owned).collect::<Vec<_>>()
    };
    // The test's own connections, which stay.
    stage.push("default", &stage.job(5).with("maxTries", 1).times(1));
    assert_eq!(stage.lying().len(), 1);
    let ours = clients();
    let address = free_address();
    let worker = stage.worker(&ARGS).env("WORKER_HTTP", &address);
    let file = dotenv(&worker);
    let worker = started(worker.spawn());
    stage.wait_until_empty(DEADLINE);
    let new = password(1);
    redis.query::<()>(&["CONFIG", "SET", "requirepass", &new]);
    for id in clients().iter().filter(|id| !ours.contains(id)) {
        // One of them may have gone by itself.
        drop(redis.try_query::<()>(&["CLIENT", "KILL", "ID", id]));
    }
    stage.push("default", &stage.job(5).with("maxTries", 1).times(20));
    let why = || get(&address, "/readyz").1["reasons"].to_string();
    wait_until(DEADLINE, || {
        why().contains("no password is set in REDIS_PASSWORD")
    });
    write(&file, &format!("REDIS_PASSWORD={new}\n"));
    stage.wait_until_empty(DEADLINE);
    assert_eq!((told(&worker, TAKEN), told(&worker, SECRET)), (1, 0));
    let tally = Expect::default().check(&stage);
    stage.stop(worker);
    deed.done(1, &tally);
}
