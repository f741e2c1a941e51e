//! PostgreSQL: a server for all tests of a run or for one, and databases on it.
//!
//! `TEST_POSTGRES_URL` (`postgres://user:password@host:port`, a user that may make databases) has the
//! databases made on that server instead.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgRow, PgSslMode, Postgres};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use crate::database_server::{self, Kind, Server};
use crate::env_var;
use crate::mariadb::is_root;
use crate::ports::free_port;
use crate::process::Signal;
use crate::run_wide::{self, Prepared};
use crate::sql::{block_on, looks, test_database};
use crate::wait::{DEADLINE, poll};

/// What Laravel 8.83's own migrations send to PostgreSQL.
const TABLES: &str = include_str!("postgres.sql");

/// The user of the tests, a superuser.
const USER: &str = "laravel";
/// Its password; characters that a URL must escape.
const PASSWORD: &str = "s3cret@#/:";
/// Settings that trade safety against a crash of the machine for speed.
const FAST: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

struct Postgresql;

impl Kind for Postgresql {
    const NAME: &'static str = "postgres";

    fn install(dir: &Path) {
        std::fs::write(dir.join("password"), PASSWORD).expect("the directory is writable");
        if is_root() {
            // PostgreSQL refuses to run as root; Debian's package has made this user.
            let mut give = Command::new("chown");
            give.arg("-R").arg("postgres").arg(dir);
            database_server::prepare(give);
        }
        let mut install = program("initdb");
        install
            .args([
                "-A",
                "scram-sha-256",
                "-U",
                USER,
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .arg("--pwfile")
            .arg(dir.join("password"))
            .arg("-D")
            .arg(dir.join("data"));
        database_server::prepare(install);
    }

    fn launch(dir: &Path, port: u16, args: &[String]) -> Command {
        let mut command = program("postgres");
        command.arg("-D").arg(dir.join("data")).arg("-k").arg(dir);
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-c",
            "max_connections=400",
        ]);
        for setting in FAST {
            command.args(["-c", setting]);
        }
        for setting in args {
            command.args(["-c", setting]);
        }
        command
    }

    fn answers(port: u16) -> bool {
        let options = Place::local(port).options("postgres");
        block_on(|| async move { options.connect().await.is_ok() })
    }
}

/// A program of PostgreSQL's, to be run as someone who is not root. Debian keeps the server's own out of the
/// path.
pub(crate) fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .max();
    let path = newest.unwrap_or_else(|| name.into());
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
        .arg(path);
    command
}

/// How a server is reached.
#[derive(Debug, Clone)]
struct Place {
    host: String,
    port: u16,
    user: String,
    password: String,
}

impl Place {
    fn local(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
        }
    }

    /// The server at `TEST_POSTGRES_URL`, else the one of this run.
    fn shared() -> Self {
        if let Some(url) = env_var("TEST_POSTGRES_URL") {
            let server = crate::url::server(&url, 5432);
            return Self {
                host: server.host,
                port: server.port,
                user: server.user,
                password: server.password,
            };
        }
        let prepare = |dir: &Path| {
            if !dir.join("data").exists() {
                Postgresql::install(dir);
            }
            let port = free_port();
            Prepared {
                command: Postgresql::launch(dir, port, &[]),
                port,
                end: "QUIT",
            }
        };
        let answers = |port| poll(DEADLINE, || Postgresql::answers(port).then_some(())).is_some();
        Self::local(run_wide::port("postgres", prepare, answers))
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(&self.password)
            .database(database)
            .ssl_mode(PgSslMode::Prefer)
    }

    fn run(&self, sql: String) -> sqlx::Result<()> {
        let options = self.options("postgres");
        block_on(|| async move {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .map(drop)
        })
    }
}

/// A PostgreSQL server that belongs to one test and ends with it.
#[derive(Debug)]
pub struct PostgresServer {
    server: Server,
}

impl PostgresServer {
    /// Starts a server with settings such as `fsync=on`. Without any it does not wait for the disk.
    pub fn start(settings: &[&str]) -> Self {
        Self {
            server: Server::start::<Postgresql>(settings),
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The directory of its data (`data`) and its socket.
    pub fn dir(&self) -> &Path {
        self.server.dir()
    }

    /// A database on this server with Laravel's tables. It must not outlive the server.
    pub fn database(&self) -> PostgresDatabase {
        PostgresDatabase::on(Place::local(self.port()), TABLES)
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Kills the server as a crash does.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Stops the server as an operator does: connections are ended, nothing is lost.
    pub fn stop(&mut self) {
        self.server.stop(Signal::Int);
    }

    /// Starts the server again, on the same port and data, killing it first if it still runs.
    pub fn restart(&mut self) {
        self.server.restart::<Postgresql>();
    }
}

/// A database that belongs to one test, on a server that it may not disturb.
#[derive(Debug)]
pub struct PostgresDatabase {
    place: Arc<Place>,
    name: String,
}

impl PostgresDatabase {
    /// An empty database.
    pub fn empty() -> Self {
        Self::on(Place::shared(), "")
    }

    /// A database with Laravel's tables: `jobs`, `failed_jobs`, `job_batches`, `cache`, `cache_locks` and
    /// `sessions`.
    pub fn temp() -> Self {
        Self::on(Place::shared(), TABLES)
    }

    fn on(place: Place, tables: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        place
            .run(format!("create database \"{name}\""))
            .unwrap_or_else(|error| panic!("failed to make a database: {error}"));
        let database = Self {
            place: Arc::new(place),
            name,
        };
        if !tables.is_empty() {
            database.execute(tables);
        }
        database
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's host.
    pub fn host(&self) -> &str {
        &self.place.host
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// User and password.
    pub fn login(&self) -> (&str, &str) {
        (&self.place.user, &self.place.password)
    }

    /// The database as a URL, as `DATABASE_URL` has it.
    pub fn url(&self) -> String {
        let place = &self.place;
        crate::url::text(
            "pgsql",
            [&place.user, &place.password, &place.host],
            place.port,
            &self.name,
        )
    }

    /// The variables by which a Laravel application and the worker find this database: the queue
    /// connection `database`, and the table of failed jobs.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        crate::TestDatabase::env(self)
    }

    /// The variables of the database alone, for use beside a queue elsewhere.
    pub fn database_env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DB_CONNECTION", "pgsql".to_owned()),
            ("DB_HOST", self.place.host.clone()),
            ("DB_PORT", self.place.port.to_string()),
            ("DB_DATABASE", self.name.clone()),
            ("DB_USERNAME", self.place.user.clone()),
            ("DB_PASSWORD", self.place.password.clone()),
        ]
    }

    /// A connection to this database.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        self.place.options(&self.name).connect().await
    }

    looks!(
        Postgres,
        PgRow,
        PgConnection,
        "select id, queue, payload, attempts::bigint, reserved_at::bigint, available_at::bigint, \
         created_at::bigint from jobs order by id",
        "select id, uuid, connection, queue, payload, exception, failed_at::text from failed_jobs order by id"
    );
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        // A server that is gone has no database to drop.
        drop(
            self.place
                .run(format!("drop database if exists \"{}\" with (force)", self.name)),
        );
    }
}

test_database!(
    PostgresDatabase,
    "pgsql",
    '"',
    "floor(extract(epoch from now()))::bigint"
);
