//! A private Redis server on a free loopback port, with temporary data.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ports::free_port;
use crate::process::{Running, Signal};
use crate::wait::{DEADLINE, poll};
use crate::{Redis, Scratch};

/// The prefix of Laravel's keys in the first application that uses the worker.
pub const PREFIX: &str = "facturino_";

/// What a private server is started with. The default keeps nothing on disk.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    args: Vec<(String, String)>,
}

impl RedisOptions {
    /// Write every command to disk before it is answered, so that `kill -9` loses nothing.
    #[must_use]
    pub fn append_only(self) -> Self {
        self.arg("appendonly", "yes").arg("appendfsync", "always")
    }

    /// Any setting of redis.conf.
    #[must_use]
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.args.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A Redis server that belongs to one test and ends with it.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    port: u16,
    process: Running,
    dir: Scratch,
    starts: Arc<AtomicU64>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub fn start(options: RedisOptions) -> Self {
        let dir = Scratch::new();
        for _ in 0..5 {
            let port = free_port();
            let mut process = launch(&options, port, &dir);
            if answers(&mut process, port) {
                return Self {
                    options,
                    port,
                    process,
                    dir,
                    starts: Arc::default(),
                };
            }
        }
        panic!("redis-server does not start; is it installed?");
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's URL, without a database number.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A client of the queue database with Laravel's usual prefix. It finds the server again after
    /// [`restart`](Self::restart).
    pub fn redis(&self) -> Redis {
        Redis::of_server(&self.url(), PREFIX, Arc::clone(&self.starts))
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.process.signal(Signal::Stop);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.process.signal(Signal::Cont);
    }

    /// Kills the server as a crash does. Only what `append_only` has written survives.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server again, on the same port and data, killing it first if it still runs.
    pub fn restart(&mut self) {
        self.kill();
        let started = poll(DEADLINE, || {
            self.process = launch(&self.options, self.port, &self.dir);
            answers(&mut self.process, self.port).then_some(())
        });
        assert!(
            started.is_some(),
            "redis-server does not start again on port {}",
            self.port
        );
        self.starts.fetch_add(1, Ordering::SeqCst);
    }
}

fn launch(options: &RedisOptions, port: u16, dir: &Scratch) -> Running {
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--daemonize",
        "no",
        "--save",
        "",
    ]);
    command.arg("--dir").arg(dir.path());
    for (name, value) in &options.args {
        command.args([&format!("--{name}"), value]);
    }
    Running::spawn("redis-server", command)
}

/// Waits for the first answer; false when the server ends instead, as it does when the port was taken.
fn answers(process: &mut Running, port: u16) -> bool {
    let answered = poll(DEADLINE, || {
        if process.ended().is_some() {
            return Some(false);
        }
        ping(port).then_some(true)
    });
    answered == Some(true)
}

fn ping(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let mut reply = [0; 5];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut reply).is_ok()
        && (&reply == b"+PONG" || &reply == b"-NOAU")
}

/// A view of the server that the tests of one process share, below a key prefix of its own.
///
/// Dropping it removes every key with its prefix.
#[derive(Debug)]
pub struct SharedRedis {
    redis: Redis,
}

impl std::ops::Deref for SharedRedis {
    type Target = Redis;

    fn deref(&self) -> &Redis {
        &self.redis
    }
}

impl Drop for SharedRedis {
    fn drop(&mut self) {
        self.redis.remove_all();
    }
}

/// A prefix of its own on one server per test process, or on the server at `TEST_REDIS_URL` if that is
/// set. For tests that do not disturb the server itself.
pub fn shared_redis() -> SharedRedis {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    let url = crate::env_var("TEST_REDIS_URL").unwrap_or_else(|| {
        SERVER
            .get_or_init(|| RedisServer::start(RedisOptions::default()))
            .url()
    });
    let name = uuid::Uuid::new_v4().simple().to_string();
    let prefix = format!("{PREFIX}{name}_");
    SharedRedis {
        redis: Redis::open(&url, &prefix),
    }
}
