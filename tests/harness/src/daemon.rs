//! The built binary, driven as an operator drives it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::Scratch;
use crate::command::{Output, run_to_end};
use crate::process::Running;

/// How to start the binary: arguments, environment, directory.
///
/// It starts in an empty directory, with no variable of the test's own environment but `PATH`, and with
/// `HOME` inside the scratch directory, so that no `.env` and no configuration of the machine reaches it.
///
/// ```no_run
/// use harness::{DEADLINE, Daemon, RedisOptions, RedisServer, Signal};
///
/// let server = RedisServer::start(RedisOptions::default());
/// let worker = Daemon::new("target/debug/worker").args(["run", "--queue", "einvoice"]).envs(server.redis().env());
/// let mut worker = worker.spawn();
/// worker.wait_for_line("einvoice", DEADLINE);
/// worker.signal(Signal::Term);
/// assert_eq!(worker.wait_exit(DEADLINE), 0);
/// ```
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    home: Arc<Scratch>,
    dir: Option<PathBuf>,
}

impl Daemon {
    /// The binary at `program`; a test passes `env!("CARGO_BIN_EXE_worker")`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            input: Vec::new(),
            home: Arc::default(),
            dir: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn envs<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        self.env.extend(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        self
    }

    /// Takes an environment variable out again.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// What a command run to its end finds on its standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Starts in `dir` instead of the empty directory of its own.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// The directory it starts in, for a test that puts a file there or looks at what was left.
    pub fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or_else(|| self.home.path())
    }

    /// Starts it. The settings stay usable: a second `spawn` starts a second process with the same ones.
    pub fn spawn(&self) -> Running {
        Running::spawn(&self.name(), self.command()).keeping(Arc::clone(&self.home))
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    #[track_caller]
    pub fn run_to_end(&self) -> Output {
        run_to_end(&self.name(), self.command(), &self.input)
    }

    fn name(&self) -> String {
        let mut name = self.program.file_name().unwrap_or_default().to_owned();
        for arg in &self.args {
            name.push(" ");
            name.push(arg);
        }
        name.to_string_lossy().into_owned()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", crate::env_var("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir());
        command
    }
}
