//! Child processes that run beside a test: their output, their signals, their end.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wait::poll;
use crate::{Scratch, signals, watchdog};

/// The signals that tests send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End, please.
    Term,
    /// What Ctrl-C sends.
    Int,
    /// What Ctrl-\ sends.
    Quit,
    /// Reload.
    Hup,
    /// End at once.
    Kill,
    /// Laravel's pause.
    Usr2,
    /// Laravel's resume; also wakes a stopped process.
    Cont,
    /// Freeze.
    Stop,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Hup => "HUP",
            Self::Kill => "KILL",
            Self::Usr2 => "USR2",
            Self::Cont => "CONT",
            Self::Stop => "STOP",
        }
    }
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Lines in the order in which they arrived.
#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<Vec<(Stream, String)>>,
    arrived: Condvar,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<(Stream, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(self: &Arc<Self>, stream: Stream, source: impl Read + Send + 'static) {
        let lines = Arc::clone(self);
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches(['\n', '\r'])
                    .to_owned();
                lines.lock().push((stream, text));
                lines.arrived.notify_all();
                line.clear();
            }
        });
    }
}

/// A running child process with its output, in a process group of its own.
///
/// Dropping it kills the whole group. When the test is failing, what the process printed is shown.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    lines: Arc<Lines>,
    kept: Option<Arc<Scratch>>,
}

impl Running {
    /// Starts `command` with its output captured and nothing on its standard input.
    pub fn spawn(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {name} ({command:?}): {error}"));
        watchdog::adopt_group(child.id());
        let lines = Arc::new(Lines::default());
        lines.collect(Stream::Out, child.stdout.take().expect("stdout was asked for"));
        lines.collect(Stream::Err, child.stderr.take().expect("stderr was asked for"));
        Self {
            name: name.to_owned(),
            child,
            ended: None,
            lines,
            kept: None,
        }
    }

    /// Keeps a directory for as long as the process may use it.
    pub(crate) fn keeping(mut self, dir: Arc<Scratch>) -> Self {
        self.kept = Some(dir);
        self
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process itself, not to its group.
    pub fn signal(&self, signal: Signal) {
        assert!(
            signals::send(signal.name(), i64::from(self.pid())),
            "{} is gone",
            self.name
        );
    }

    /// Kills the process at once, as `kill -9` does, and waits for its end. Its children live on.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            self.child.kill().expect("an own child can be killed");
            self.ended = Some(self.child.wait().expect("an own child can be waited for"));
        }
    }

    /// How the process ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("an own child can be waited for");
        }
        self.ended
    }

    /// Waits for the end and returns the exit code, or 128 + n when signal n ended it, as a shell shows it.
    ///
    /// # Panics
    ///
    /// When it still runs after `deadline`.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> i32 {
        let Some(status) = poll(deadline, || self.ended()) else {
            panic!("{} still runs after {deadline:?}", self.name);
        };
        code(status)
    }

    /// Waits until a line contains `pattern`, and returns that line. Lines that are already there count.
    ///
    /// # Panics
    ///
    /// When no such line came within `deadline`, or the process ended without printing it.
    #[track_caller]
    pub fn wait_for_line(&mut self, pattern: &str, deadline: Duration) -> String {
        let start = Instant::now();
        loop {
            let over = self.ended().is_some() || start.elapsed() >= deadline;
            if let Some(line) = self.find(pattern, over) {
                return line;
            }
            assert!(
                !over,
                "{} printed no line with {pattern:?}; ended: {:?}",
                self.name, self.ended
            );
        }
    }

    /// All lines so far, of both streams.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().iter().map(|(_, line)| line.clone()).collect()
    }

    /// The lines of one stream so far.
    pub fn lines_of(&self, stream: Stream) -> Vec<String> {
        self.lines
            .lock()
            .iter()
            .filter(|(from, _)| *from == stream)
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// Looks for a line, and waits a moment for new ones when there is none. At the end of a process the
    /// last lines may still be on their way through the pipe, hence the longer moment.
    fn find(&self, pattern: &str, last_look: bool) -> Option<String> {
        let moment = Duration::from_millis(if last_look { 200 } else { 20 });
        let start = Instant::now();
        let mut lines = self.lines.lock();
        loop {
            if let Some((_, line)) = lines.iter().find(|(_, line)| line.contains(pattern)) {
                return Some(line.clone());
            }
            let left = moment.checked_sub(start.elapsed())?;
            lines = self
                .lines
                .arrived
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signals::send("KILL", -i64::from(self.pid()));
        self.kill();
        watchdog::free_group(self.pid());
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}

impl Running {
    fn report(&self) -> String {
        let mut text = format!(
            "---- output of {} (pid {}, {:?})",
            self.name,
            self.pid(),
            self.ended
        );
        for (stream, line) in self.lines.lock().iter() {
            write!(text, "\n{stream:?} | {line}").expect("a string takes any text");
        }
        text
    }
}

/// The exit code, or 128 + n when signal n ended the process.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
