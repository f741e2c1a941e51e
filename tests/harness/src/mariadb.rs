//! MariaDB: a server for all tests of a run or for one, and databases on it.
//!
//! `TEST_MYSQL_URL` (`mysql://user:password@host:port`, a user that may make databases) has the databases
//! made on that server instead, which may be a MySQL.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, MySqlConnection};

use crate::database_server::{self, Kind, Server};
use crate::env_var;
use crate::ports::free_port;
use crate::process::Signal;
use crate::run_wide::{self, Prepared};
use crate::sql::{block_on, looks, test_database};
use crate::wait::{DEADLINE, poll};

/// What Laravel 8.83's own migrations send to MariaDB.
const TABLES: &str = include_str!("mysql.sql");

/// The user of the tests, who may do everything.
const USER: &str = "laravel";
/// Its password; characters that a URL must escape.
const PASSWORD: &str = "s3cret@#/:";
/// Run by the server at each start.
const INIT: &str = "create user if not exists 'laravel'@'%' identified by 's3cret@#/:';\n\
    grant all on *.* to 'laravel'@'%' with grant option;\n";

struct Mariadb;

impl Kind for Mariadb {
    const NAME: &'static str = "mariadbd";

    fn install(dir: &Path) {
        // A server that starts removes what looks like its own from the directory of temporary tables.
        std::fs::create_dir_all(dir.join("tmp")).expect("the directory is writable");
        let mut install = Command::new("mariadb-install-db");
        install
            .arg("--no-defaults")
            .arg(format!("--tmpdir={}", dir.join("tmp").display()))
            .arg(format!("--datadir={}", dir.join("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        if is_root() {
            install.arg("--user=root");
        }
        database_server::prepare(install);
        std::fs::write(dir.join("init.sql"), INIT).expect("the directory is writable");
    }

    fn launch(dir: &Path, port: u16, args: &[String]) -> Command {
        let mut command = Command::new(program());
        let path = |name: &str| dir.join(name).display().to_string();
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--init-file={}", path("init.sql")))
            .arg(format!("--tmpdir={}", path("tmp")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--port={port}"))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args([
                "--innodb-buffer-pool-size=64M",
                "--innodb-flush-log-at-trx-commit=0",
            ])
            .args(["--max-connections=500", "--character-set-server=utf8mb4"]);
        if is_root() {
            command.arg("--user=root");
        }
        command.args(args);
        command
    }

    fn answers(port: u16) -> bool {
        let options = Place::local(port).options();
        block_on(|| async move { options.connect().await.is_ok() })
    }
}

/// The server's program; Debian keeps it where not everyone's path leads.
fn program() -> &'static str {
    let debian = "/usr/sbin/mariadbd";
    if Path::new(debian).exists() {
        debian
    } else {
        "mariadbd"
    }
}

/// Whether servers would run as root, which they want to be told.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
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

    /// The server at `TEST_MYSQL_URL`, else the one of this run.
    fn shared() -> Self {
        if let Some(url) = env_var("TEST_MYSQL_URL") {
            return Self::of_url(&url);
        }
        let prepare = |dir: &Path| {
            if !dir.join("data").exists() {
                Mariadb::install(dir);
            }
            let port = free_port();
            Prepared {
                command: Mariadb::launch(dir, port, &[]),
                port,
                end: "KILL",
            }
        };
        let answers = |port| poll(DEADLINE, || Mariadb::answers(port).then_some(())).is_some();
        Self::local(run_wide::port("mariadb", prepare, answers))
    }

    fn of_url(url: &str) -> Self {
        let server = crate::url::server(url, 3306);
        Self {
            host: server.host,
            port: server.port,
            user: server.user,
            password: server.password,
        }
    }

    fn options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(&self.password)
            .ssl_mode(MySqlSslMode::Preferred)
    }

    fn run(&self, sql: String) -> sqlx::Result<()> {
        let options = self.options();
        block_on(|| async move {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .map(drop)
        })
    }
}

/// A MariaDB server that belongs to one test and ends with it.
#[derive(Debug)]
pub struct MariadbServer {
    server: Server,
}

impl MariadbServer {
    /// Starts a server with arguments of `mariadbd`, such as `--wait-timeout=5`.
    pub fn start(args: &[&str]) -> Self {
        Self {
            server: Server::start::<Mariadb>(args),
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The directory of its data and socket (`socket`).
    pub fn dir(&self) -> &Path {
        self.server.dir()
    }

    /// A database on this server with Laravel's tables. It must not outlive the server.
    pub fn database(&self) -> MariadbDatabase {
        MariadbDatabase::on(Place::local(self.port()), TABLES)
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

    /// Stops the server as an operator does.
    pub fn stop(&mut self) {
        self.server.stop(Signal::Term);
    }

    /// Starts the server again, on the same port and data, killing it first if it still runs.
    pub fn restart(&mut self) {
        self.server.restart::<Mariadb>();
    }
}

/// A database that belongs to one test, on a server that it may not disturb.
#[derive(Debug)]
pub struct MariadbDatabase {
    place: Arc<Place>,
    name: String,
}

impl MariadbDatabase {
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
        let create = format!("create database `{name}` character set utf8mb4 collate utf8mb4_unicode_ci");
        place
            .run(create)
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

    /// The database as a URL, as `DATABASE_URL` and `MYSQL_URL` have it.
    pub fn url(&self) -> String {
        let place = &self.place;
        crate::url::text(
            "mysql",
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
            ("DB_CONNECTION", "mysql".to_owned()),
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
    pub async fn connect(&self) -> sqlx::Result<MySqlConnection> {
        self.place.options().database(&self.name).connect().await
    }

    looks!(
        MySql,
        MySqlRow,
        MySqlConnection,
        "select cast(id as signed) as id, queue, payload, cast(attempts as signed) as attempts, \
         cast(reserved_at as signed) as reserved_at, cast(available_at as signed) as available_at, \
         cast(created_at as signed) as created_at from jobs order by id",
        "select cast(id as signed) as id, uuid, connection, queue, payload, exception, \
         cast(failed_at as char) as failed_at from failed_jobs order by id"
    );
}

impl Drop for MariadbDatabase {
    fn drop(&mut self) {
        // A server that is gone has no database to drop.
        drop(self.place.run(format!("drop database if exists `{}`", self.name)));
    }
}

test_database!(MariadbDatabase, "mariadb", '`', "unix_timestamp()");
