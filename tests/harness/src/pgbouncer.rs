//! PgBouncer, the pooler in front of a test's PostgreSQL database.

use std::net::TcpStream;
use std::process::Command;

use crate::database_server::prepare;
use crate::mariadb::is_root;
use crate::ports::free_port;
use crate::postgres::program;
use crate::process::Running;
use crate::wait::{DEADLINE, poll};
use crate::{PostgresDatabase, Scratch};

/// A pooler that belongs to one test and ends with it.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    _process: Running,
    _dir: Scratch,
}

impl PgBouncer {
    /// Starts a pooler before a database's server, with settings such as `pool_mode = transaction`.
    pub fn start(database: &PostgresDatabase, settings: &[&str]) -> Self {
        let dir = Scratch::new();
        let (user, password) = database.login();
        dir.write("users", format!("\"{user}\" \"{password}\"\n").as_bytes());
        for _ in 0..5 {
            let port = free_port();
            let lines = [
                "[databases]".to_owned(),
                format!("* = host={} port={}", database.host(), database.port()),
                "[pgbouncer]".to_owned(),
                "listen_addr = 127.0.0.1".to_owned(),
                format!("listen_port = {port}"),
                "unix_socket_dir =".to_owned(),
                "auth_type = scram-sha-256".to_owned(),
                format!("auth_file = {}", dir.join("users").display()),
            ];
            let lines: Vec<&str> = lines
                .iter()
                .map(String::as_str)
                .chain(settings.iter().copied())
                .collect();
            dir.write("pgbouncer.ini", lines.join("\n").as_bytes());
            if is_root() {
                // PgBouncer refuses to run as root too.
                let mut give = Command::new("chown");
                give.arg("-R").arg("postgres").arg(dir.path());
                prepare(give);
            }
            let mut command = program("pgbouncer");
            command.arg(dir.join("pgbouncer.ini"));
            let mut process = Running::spawn("pgbouncer", command);
            let answers = poll(DEADLINE, || {
                if process.ended().is_some() {
                    return Some(false);
                }
                TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true)
            });
            if answers == Some(true) {
                return Self {
                    port,
                    _process: process,
                    _dir: dir,
                };
            }
        }
        panic!("pgbouncer does not start; is it installed?");
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
