//! What PHP code prints: to the log, with a cap for each job, and its last bytes for the record of a death.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// How many bytes of one job's output are logged.
const CAP: usize = 64 * 1024;
/// How many of the last bytes of standard error are kept for the record of a death.
const TAIL: usize = 4096;
/// The longest line that is logged whole.
const LINE: usize = 4096;
/// How long after the end of a process its last output may take; what it started may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Where output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sink {
    /// To the log.
    #[default]
    Log,
    /// To our own standard output and error, byte for byte: a person is watching.
    Terminal,
}

/// The output of one process. Dropped, it is read no more.
#[derive(Debug)]
pub struct Output {
    shared: Arc<Shared>,
    readers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    pid: i32,
    sink: Sink,
    job: Mutex<Job>,
    tail: Mutex<VecDeque<u8>>,
}

/// The job that prints at present.
#[derive(Debug, Default)]
struct Job {
    uuid: String,
    printed: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Output {
    /// Reads both streams of process `pid` from now on.
    ///
    /// # Errors
    /// When the pipes cannot be watched.
    pub fn read(pid: i32, stdout: OwnedFd, stderr: OwnedFd, sink: Sink) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            pid,
            sink,
            job: Mutex::default(),
            tail: Mutex::default(),
        });
        let mut readers = JoinSet::new();
        for (pipe, is_error) in [(stdout, false), (stderr, true)] {
            let pipe = Receiver::from_owned_fd(pipe)?;
            readers.spawn(follow(Arc::clone(&shared), pipe, is_error));
        }
        Ok(Self { shared, readers })
    }

    /// What is printed from now on belongs to this job.
    pub fn begin(&self, uuid: &str) {
        let mut job = lock(&self.shared.job);
        uuid.clone_into(&mut job.uuid);
        job.printed = 0;
        drop(job);
        lock(&self.shared.tail).clear();
    }

    /// The last words on standard error, once the process has ended; waits a moment for them.
    pub async fn last_words(&mut self) -> String {
        let all = async { while self.readers.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            self.readers.abort_all();
        }
        let tail: Vec<u8> = lock(&self.shared.tail).iter().copied().collect();
        String::from_utf8_lossy(&tail).trim().to_owned()
    }
}

async fn follow(shared: Arc<Shared>, mut pipe: Receiver, is_error: bool) {
    let mut chunk = vec![0; 16 * 1024];
    let mut line = Vec::new();
    while let Ok(read) = pipe.read(&mut chunk).await {
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if is_error {
            shared.keep(bytes);
        }
        match shared.sink {
            Sink::Log => shared.log(bytes, &mut line, is_error),
            Sink::Terminal => show(bytes, is_error),
        }
    }
    if !line.is_empty() {
        shared.say(&line, is_error);
    }
}

fn show(bytes: &[u8], is_error: bool) {
    let shown = if is_error {
        std::io::stderr().lock().write_all(bytes)
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    };
    if shown.is_err() {
        debug!("The terminal is closed");
    }
}

impl Shared {
    fn keep(&self, bytes: &[u8]) {
        let mut tail = lock(&self.tail);
        tail.extend(bytes.iter().skip(bytes.len().saturating_sub(TAIL)));
        let over = tail.len().saturating_sub(TAIL);
        tail.drain(..over);
    }

    /// Logs what is whole lines by now, until the job has had its share.
    fn log(&self, bytes: &[u8], line: &mut Vec<u8>, is_error: bool) {
        if !self.count(bytes.len()) {
            line.clear();
            return;
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            if part.ends_with(b"\n") {
                self.say(line, is_error);
                line.clear();
            }
        }
    }

    /// Counts what the job prints, and says whether it is still to be logged.
    fn count(&self, bytes: usize) -> bool {
        let mut job = lock(&self.job);
        let before = job.printed;
        job.printed = before.saturating_add(bytes);
        if before <= CAP && job.printed > CAP {
            warn!(
                pid = self.pid,
                job.uuid = job.uuid,
                "A PHP job prints more than {CAP} bytes; the rest is not logged"
            );
        }
        job.printed <= CAP
    }

    fn say(&self, line: &[u8], is_error: bool) {
        let job = lock(&self.job);
        let (pid, uuid) = (self.pid, job.uuid.as_str());
        let stream = if is_error { "stderr" } else { "stdout" };
        let text = String::from_utf8_lossy(line);
        debug!(pid, job.uuid = uuid, stream, "PHP: {}", text.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_long_words_is_kept() {
        let shared = Shared {
            pid: 1,
            sink: Sink::Log,
            job: Mutex::default(),
            tail: Mutex::default(),
        };
        shared.keep(&[b'a'; 5000]);
        shared.keep(b"end");
        let tail = lock(&shared.tail);
        assert_eq!(tail.len(), TAIL);
        assert!(tail.iter().rev().zip(b"dne").all(|(kept, said)| kept == said));
    }
}
