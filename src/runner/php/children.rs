//! Child processes of the worker: how they are started, how their ends are heard of, how they are killed.
//!
//! All of them are started by one thread that lives as long as the process, because the system ends a child
//! when the *thread* that started it ends. All of them are waited for by one reaper, which also takes the
//! orphans of their own children; so no zombie stays, as process 1 of a container or not. Children that
//! other code of this process starts are its own to wait for.
//!
//! This file needs `unsafe`: std's hook between fork and exec, and `wait4`,
//! which tells how much memory a child took and has no safe form in a well-kept crate.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// How often ended children are looked for, besides when the system says that there are some.
const LOOK: Duration = Duration::from_secs(1);
/// For how many looks a child that is not ours to wait for must have been a zombie before it is taken for an
/// orphan that was left to us.
const PATIENCE: u32 = 2;
/// The lowest number of a child's descriptor for frames: above what programs commonly count on.
const LOWEST: i32 = 10;

/// How a child process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, when it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The most memory it had, in megabytes.
    pub peak_mb: u64,
}

impl fmt::Display for Exit {
    /// Goes on after "it": `ended with exit code 255`, `was ended by signal 11 (SIGSEGV)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "ended with exit code {code}"),
            (None, Some(number)) => write!(f, "was ended by signal {number} ({})", name(number)),
            (None, None) => f.write_str("ended, nobody knows how"),
        }
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL: killed from outside, perhaps for want of memory",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        _ => "see kill -l",
    }
}

/// A child process with its output, in a process group of its own.
#[derive(Debug)]
pub struct Child {
    group: Group,
    /// What it writes to standard output.
    pub stdout: OwnedFd,
    /// What it writes to standard error.
    pub stderr: OwnedFd,
    /// How it ended, once it has.
    pub exit: watch::Receiver<Option<Exit>>,
}

impl Child {
    /// The process group.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group
    }
}

/// A process and all that it started, named by its process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(Pid);

impl Group {
    /// The process id of its head.
    #[must_use]
    pub fn id(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Asks all of it to end.
    pub fn terminate(self) {
        self.signal(Signal::TERM);
    }

    /// Ends all of it at once.
    pub fn kill(self) {
        self.signal(Signal::KILL);
    }

    fn signal(self, signal: Signal) {
        if let Err(error) = rustix::process::kill_process_group(self.0, signal) {
            tracing::trace!(group = self.id(), %error, "A process group could not be signalled");
        }
    }
}

/// Resident memory of process `pid` in megabytes; `None` when it is gone, or the system does not tell.
#[must_use]
pub fn resident_mb(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Some(pages * page / 1_048_576)
}

/// The children of this process.
#[derive(Clone)]
pub struct Children {
    orders: mpsc::SyncSender<Order>,
    ends: Ends,
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Children")
    }
}

struct Order {
    command: Command,
    socket: Option<OwnedFd>,
    started: oneshot::Sender<io::Result<Child>>,
}

/// Who waits for the end of which process.
type Ends = Arc<Mutex<HashMap<i32, End>>>;

#[derive(Debug)]
struct End {
    heard: watch::Sender<Option<Exit>>,
    /// Whether what the process leaves running ends with it.
    ends_all: bool,
}

fn lock(ends: &Ends) -> MutexGuard<'_, HashMap<i32, End>> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Children {
    /// Starts the thread that starts them. Orphans below this process become its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            tracing::debug!("Orphans of children go to process 1: {error}");
        }
        let (orders, received) = mpsc::sync_channel::<Order>(16);
        let ends = Ends::default();
        let known = Arc::clone(&ends);
        std::thread::Builder::new()
            .name("children".to_owned())
            .spawn(move || {
                for order in received {
                    let child = start(order.command, order.socket, &known);
                    if let Err(Ok(unwanted)) = order.started.send(child) {
                        unwanted.group().kill();
                    }
                }
            })?;
        Ok(Self { orders, ends })
    }

    /// Starts `command` with its output captured and nothing on its standard input; it dies with this process.
    /// What it leaves running lives on.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub async fn spawn(&self, command: Command) -> io::Result<Child> {
        self.order(command, None).await
    }

    /// As [`Children::spawn`], with a socket to talk over, and what it leaves running ends with it. `command`
    /// is made for the number that the child's end has in the child.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub async fn spawn_talking(
        &self,
        command: impl FnOnce(i32) -> Command,
    ) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = fcntl_dupfd_cloexec(theirs, LOWEST)?;
        let command = command(theirs.as_raw_fd());
        let child = self.order(command, Some(theirs)).await?;
        Ok((child, ours))
    }

    async fn order(&self, command: Command, socket: Option<OwnedFd>) -> io::Result<Child> {
        let (started, child) = oneshot::channel();
        let order = Order {
            command,
            socket,
            started,
        };
        let gone = || io::Error::other("the thread that starts processes is gone or busy");
        self.orders.try_send(order).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }

    /// Hears of ends, for ever.
    pub async fn reap(&self) -> ! {
        let mut ended = signal(SignalKind::child()).ok();
        let mut zombies = HashMap::new();
        loop {
            reap_known(&self.ends);
            let heard = async {
                match &mut ended {
                    Some(ended) => drop(ended.recv().await),
                    None => std::future::pending().await,
                }
            };
            if tokio::time::timeout(LOOK, heard).await.is_err() {
                zombies = reap_orphans(&self.ends, &zombies);
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "between fork and exec only what is async-signal-safe may run: three system calls"
)]
fn start(mut command: Command, socket: Option<OwnedFd>, ends: &Ends) -> io::Result<Child> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let parent = rustix::process::getpid();
    let inherit = socket.as_ref().map(AsRawFd::as_raw_fd);
    // SAFETY: the closure allocates nothing and takes no lock; the descriptor is open until after the spawn.
    unsafe {
        command.pre_exec(move || prepare(parent, inherit));
    }
    // The reaper is shut out until the process is known, so that it cannot take its end from us or from std.
    let mut ends = lock(ends);
    let mut child = command.spawn()?;
    drop(socket);
    let missing = || io::Error::other("the system gave no pipe");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (ended, exit) = watch::channel(None);
    let pid = i32::try_from(child.id()).map_err(|_| missing())?;
    let group = Group(Pid::from_raw(pid).ok_or_else(missing)?);
    let end = End {
        heard: ended,
        ends_all: inherit.is_some(),
    };
    ends.insert(pid, end);
    Ok(Child {
        group,
        stdout: stdout.ok_or_else(missing)?.into(),
        stderr: stderr.ok_or_else(missing)?.into(),
        exit,
    })
}

/// In the child: dies with its parent, and keeps its end of the socket.
fn prepare(parent: Pid, inherit: Option<i32>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    if let Some(fd) = inherit {
        keep(fd)?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "the descriptor is known by its number only")]
fn keep(fd: i32) -> io::Result<()> {
    // SAFETY: the parent holds the descriptor open until the spawn is over.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    Ok(fcntl_setfd(fd.as_fd(), FdFlags::empty())?)
}

/// Takes the ends of children that were started here. What they leave running is ended at once, while
/// nobody else can have got their number.
fn reap_known(ends: &Ends) {
    let mut ends = lock(ends);
    ends.retain(|pid, end| {
        let exit = wait_for(*pid);
        if exit.is_some() {
            if end.ends_all {
                Pid::from_raw(*pid).map(Group).into_iter().for_each(Group::kill);
            }
            end.heard.send_replace(exit);
        }
        exit.is_none()
    });
}

/// Takes orphans that were left to us. `seen` counts for how many looks each has been a zombie.
fn reap_orphans(ends: &Ends, seen: &HashMap<i32, u32>) -> HashMap<i32, u32> {
    let known: Vec<_> = lock(ends).keys().copied().collect();
    let strangers = children().into_iter().filter(|pid| !known.contains(pid));
    let zombies = strangers.filter(|pid| is_zombie(*pid));
    let mut counts = HashMap::new();
    for pid in zombies {
        let count = seen.get(&pid).map_or(1, |count| count + 1);
        if count > PATIENCE {
            let exit = wait_for(pid);
            tracing::debug!(pid, ?exit, "Took the end of an orphan");
        } else {
            counts.insert(pid, count);
        }
    }
    counts
}

/// The children of this process, where the system tells.
fn children() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let pids = list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
            pids.collect::<Vec<_>>()
        })
        .collect()
}

fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}

/// How a child ended, if it has.
#[expect(
    unsafe_code,
    reason = "wait4 tells the memory that a child took; std and rustix have no form of it"
)]
fn wait_for(pid: i32) -> Option<Exit> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for the call, and a zeroed rusage is a valid one.
    let (waited, usage) = unsafe {
        let waited = libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
        (waited, usage.assume_init())
    };
    let unit = if cfg!(target_os = "linux") {
        1024
    } else {
        1_048_576
    };
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or_default();
    let exit = Exit {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        peak_mb: peak / unit,
    };
    (waited == pid).then_some(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_read_as_sentences() {
        let exit = |code, signal| Exit {
            code,
            signal,
            peak_mb: 1,
        };
        assert_eq!(exit(Some(255), None).to_string(), "ended with exit code 255");
        assert_eq!(
            exit(None, Some(11)).to_string(),
            "was ended by signal 11 (SIGSEGV)"
        );
    }
}
