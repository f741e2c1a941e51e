//! One warm PHP process: booted once, then asked to run one job after the other.

use std::os::unix::net::UnixStream as StdStream;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::children::{Child, Children, Exit, Group};
use super::frame::{self, Done, Hello, NoFrame, Said};
use super::output::Output;
use super::script;
use super::settings::Settings;
use crate::wire::Exception;

/// The script.
const SCRIPT: &str = include_str!("../../../php/worker.php");
/// How long an application may take to boot.
const BOOT: Duration = Duration::from_secs(60);
/// How long a process that says that it ends, or has closed its socket, may take for it.
const ENDING: Duration = Duration::from_secs(5);
/// How long a process that is not needed any more may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the system may take to end a process that is killed.
const KILLED: Duration = Duration::from_secs(2);

/// Why no process came up, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BootError(pub String);

/// How a run ended.
#[derive(Debug)]
pub enum Answer {
    /// PHP says how.
    Done(Done),
    /// The process is of no use any more.
    Died(Death),
}

/// The end of a process in the middle of a run.
#[derive(Debug)]
pub struct Death {
    /// What is known of it, in sentences.
    pub what: String,
    /// Why the job had failed before, when the process ended while it was told so.
    pub given_up: Option<Exception>,
}

/// A PHP process. Dropped, it is killed with all that it started.
#[derive(Debug)]
pub struct Process {
    /// What it said when it was ready.
    pub hello: Hello,
    /// When it was ready.
    pub born: Instant,
    /// How many jobs it has run.
    pub jobs: u64,
    /// The generation of the pool that it belongs to.
    pub generation: u64,
    line: Line,
    run: u64,
}

/// The process below what it has said.
#[derive(Debug)]
struct Line {
    group: Group,
    stream: UnixStream,
    buffer: BytesMut,
    exit: watch::Receiver<Option<Exit>>,
    output: Output,
    given_up: Option<Exception>,
    fatal: Option<String>,
}

impl Drop for Line {
    /// One that has ended is let alone: its number may be another's by now.
    fn drop(&mut self) {
        if self.exit.borrow().is_none() {
            self.group.kill();
        }
    }
}

impl Process {
    /// Starts a process and waits until its application is up.
    ///
    /// # Errors
    /// When it does not come up, with PHP's own words.
    pub async fn boot(children: &Children, settings: &Settings, generation: u64) -> Result<Self, BootError> {
        let started = children
            .spawn_talking(|descriptor| script::command(settings, SCRIPT, descriptor))
            .await;
        let (child, socket) = started.map_err(|error| {
            let binary = settings.binary.display();
            BootError(format!("cannot start {binary} (WORKER_PHP_BINARY): {error}"))
        })?;
        let mut line = Line::open(child, socket, settings)
            .map_err(|error| BootError(format!("cannot talk to PHP: {error}")))?;
        let hello = tokio::time::timeout(BOOT, line.next()).await;
        let why = match hello {
            Ok(Ok(Said::Hello(hello))) => {
                return Ok(Self {
                    hello,
                    born: Instant::now(),
                    jobs: 0,
                    generation,
                    line,
                    run: 0,
                });
            }
            Ok(Ok(Said::Broken(why))) => why,
            Ok(Ok(_)) => "it answers before it was asked".to_owned(),
            Ok(Err(lost)) => line.obituary(&lost).await,
            Err(_) => format!("it did not boot within {} s", BOOT.as_secs()),
        };
        if line.exit.borrow().is_none() {
            line.group.kill();
        }
        let words = line.output.last_words().await;
        let words = words.lines().last().map(|last| format!(" ({last})"));
        Err(BootError(format!(
            "the application at {} does not boot in PHP: {why}{}",
            settings.base.display(),
            words.unwrap_or_default()
        )))
    }

    /// The process group.
    pub fn group(&self) -> Group {
        self.line.group
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.line.exit.borrow().is_none()
    }

    /// The number of the next run, which its frame must carry.
    pub fn next_run(&self) -> u64 {
        self.run + 1
    }

    /// Begins a run: sends `frame`, which belongs to the job `uuid`. Its end comes with [`Process::answer`].
    pub async fn ask(&mut self, frame: Bytes, uuid: &str) {
        self.run += 1;
        self.jobs += 1;
        self.line.given_up = None;
        self.line.fatal = None;
        self.line.output.begin(uuid);
        // A process that is gone or takes nothing shows when its answer is waited for.
        if let Err(error) = self.line.stream.write_all(&frame).await {
            tracing::debug!("A PHP process took no job: {error}");
        }
    }

    /// The end of the run. Cancellation safe: the next call waits on.
    pub async fn answer(&mut self) -> Answer {
        let lost = loop {
            match self.line.next().await {
                Ok(Said::Done(done)) if done.run == self.run => return Answer::Done(done),
                Ok(Said::GivingUp { run, exception }) if run == self.run => {
                    self.line.given_up = Some(exception);
                }
                Ok(Said::Ending { run, fatal }) if run == self.run => {
                    self.line.fatal = Some(fatal.unwrap_or_default());
                    break Lost::Closed;
                }
                Ok(_) => break Lost::Garbage("it answers what it was not asked".to_owned()),
                Err(lost) => break lost,
            }
        };
        let what = self.line.obituary(&lost).await;
        Answer::Died(Death {
            what,
            given_up: self.line.given_up.take(),
        })
    }

    /// Ends a process that is not needed any more: it may say goodbye, for a moment.
    pub async fn end(mut self) {
        let goodbye = self.line.stream.shutdown().await;
        if goodbye.is_err() || self.line.ended_within(FAREWELL).await.is_none() {
            self.line.group.terminate();
            if self.line.ended_within(FAREWELL / 2).await.is_none() {
                tracing::debug!("A PHP process does not end when it is asked to; it is killed");
                self.line.group.kill();
            }
        }
        drop(self.line.output.last_words().await);
    }
}

/// Why nothing more comes from a process.
#[derive(Debug)]
enum Lost {
    /// Its end of the socket is closed, or it says that it ends.
    Closed,
    /// It has ended.
    Ended,
    /// It sends what is no frame.
    Garbage(String),
}

impl From<NoFrame> for Lost {
    fn from(error: NoFrame) -> Self {
        Self::Garbage(error.to_string())
    }
}

impl Line {
    fn open(child: Child, socket: StdStream, settings: &Settings) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let group = child.group();
        let opened = UnixStream::from_std(socket).and_then(|stream| {
            let output = Output::read(group.id(), child.stdout, child.stderr, settings.sink)?;
            Ok(Self {
                group,
                stream,
                buffer: BytesMut::with_capacity(4096),
                exit: child.exit,
                output,
                given_up: None,
                fatal: None,
            })
        });
        if opened.is_err() {
            group.kill();
        }
        opened
    }

    /// The next thing that the process says. Cancellation safe.
    async fn next(&mut self) -> Result<Said, Lost> {
        loop {
            if let Some(said) = frame::decode(&mut self.buffer)? {
                return Ok(said);
            }
            let read = tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.buffer) => Some(read),
                _ = self.exit.wait_for(Option::is_some) => None,
            };
            match read {
                Some(Ok(1..)) => {}
                Some(_) => return Err(Lost::Closed),
                None => return self.last_frame(),
            }
        }
    }

    /// What the process had said before it ended, when its children hold the socket open.
    fn last_frame(&mut self) -> Result<Said, Lost> {
        while let Ok(1..) = self.stream.try_read_buf(&mut self.buffer) {}
        match frame::decode(&mut self.buffer)? {
            Some(said) => Ok(said),
            None => Err(Lost::Ended),
        }
    }

    async fn ended_within(&mut self, limit: Duration) -> Option<Exit> {
        let ended = self.exit.wait_for(Option::is_some);
        let ended = tokio::time::timeout(limit, ended).await.ok()?;
        ended.ok().and_then(|exit| *exit)
    }

    /// Sees the process to its end, and says what is known of it.
    async fn obituary(&mut self, lost: &Lost) -> String {
        let mut exit = match lost {
            Lost::Garbage(_) => None,
            Lost::Closed | Lost::Ended => self.ended_within(ENDING).await,
        };
        let ended_by_itself = exit.is_some();
        if exit.is_none() {
            self.group.kill();
            exit = self.ended_within(KILLED).await;
        }
        let mut what = match (lost, exit, &self.fatal) {
            (_, Some(exit), Some(fatal)) if !fatal.is_empty() => format!("it {exit}: {fatal}"),
            (Lost::Garbage(garbage), _, _) => format!("it was killed because {garbage}"),
            (_, Some(exit), _) if ended_by_itself => format!("it {exit}"),
            _ => "it closed its socket and was killed".to_owned(),
        };
        if let Some(exit) = exit.filter(|exit| exit.peak_mb > 0) {
            what = format!("{what}; peak memory {} MB", exit.peak_mb);
        }
        let words = self.output.last_words().await;
        if words.is_empty() {
            what
        } else {
            format!("{what}; last output on stderr:\n{words}")
        }
    }
}
