//! What a MariaDB and a PostgreSQL server of a test have in common: a process, a port, a directory.

use std::path::Path;
use std::process::Command;

use crate::ports::free_port;
use crate::process::{Running, Signal};
use crate::wait::{DEADLINE, poll};
use crate::{Scratch, signals, vitals};

/// One kind of server.
pub(crate) trait Kind {
    /// The program's name, for messages.
    const NAME: &'static str;

    /// Makes an empty data directory below `dir`.
    fn install(dir: &Path);

    /// What starts a server on `port` with the data below `dir`, in the foreground, with more arguments.
    fn launch(dir: &Path, port: u16, args: &[String]) -> Command;

    /// Whether the server at `port` takes a connection now.
    fn answers(port: u16) -> bool;
}

/// A server that belongs to one test and ends with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    args: Vec<String>,
    process: Running,
    dir: Scratch,
}

impl Server {
    /// Starts a server with more arguments and waits until it answers.
    pub(crate) fn start<K: Kind>(args: &[&str]) -> Self {
        let dir = Scratch::new();
        K::install(dir.path());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        for _ in 0..5 {
            let port = free_port();
            let mut process = Running::spawn(K::NAME, K::launch(dir.path(), port, &args));
            if wait_for::<K>(&mut process, port) {
                return Self {
                    port,
                    args,
                    process,
                    dir,
                };
            }
        }
        panic!("{} does not start; is it installed?", K::NAME);
    }

    /// The directory of its data.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Freezes the server and its children: connections stay open and nothing answers.
    pub(crate) fn pause(&self) {
        self.signal_all("STOP");
    }

    /// Ends a pause.
    pub(crate) fn resume(&self) {
        self.signal_all("CONT");
    }

    /// Sends a signal to the server and its children. PostgreSQL's are in process groups of their own, and
    /// none is started while the server itself is frozen.
    fn signal_all(&self, signal: &str) {
        let server = self.process.pid();
        signals::send(signal, i64::from(server));
        for child in vitals::children(server) {
            // One that has ended in the meantime needs no signal.
            signals::send(signal, i64::from(child));
        }
    }

    /// Ends the server at once, as a crash does, its children with it.
    pub(crate) fn kill(&mut self) {
        if self.process.ended().is_none() {
            signals::send("KILL", -i64::from(self.process.pid()));
        }
        self.process.kill();
    }

    /// Ends the server as an operator does, and waits for its end.
    pub(crate) fn stop(&mut self, signal: Signal) {
        self.process.signal(signal);
        self.process.wait_exit(DEADLINE);
    }

    /// Starts the server again, on the same port and data, killing it first if it still runs.
    pub(crate) fn restart<K: Kind>(&mut self) {
        self.kill();
        let started = poll(DEADLINE, || {
            let launch = K::launch(self.dir.path(), self.port, &self.args);
            self.process = Running::spawn(K::NAME, launch);
            wait_for::<K>(&mut self.process, self.port).then_some(())
        });
        let port = self.port;
        assert!(
            started.is_some(),
            "{} does not start again on port {port}",
            K::NAME
        );
    }
}

/// Waits for the first answer; false when the server ends instead, as it does when the port was taken.
fn wait_for<K: Kind>(process: &mut Running, port: u16) -> bool {
    let answered = poll(DEADLINE, || {
        if process.ended().is_some() {
            return Some(false);
        }
        K::answers(port).then_some(true)
    });
    answered == Some(true)
}

/// Runs a command that prepares a server's data.
pub(crate) fn prepare(mut command: Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("failed to start {command:?}, is it installed? {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
