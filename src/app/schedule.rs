//! `--schedule`: the application's own scheduler, every minute, once per host.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::App;
use crate::clock::Clock;
use crate::runner::php::children::{Child, Children, Exit, Group};
use crate::runtime::troubles::Troubles;

/// How often the scheduler of another process on this host is looked for.
const STAND_BY: Duration = Duration::from_secs(10);
/// How many of its last lines a failed run is told with.
const LINES: usize = 5;
/// The longest line that is taken in.
const LINE: usize = 500;
/// The most runs at a time; one that takes longer than this many minutes holds up those to come.
const RUNS: usize = 60;
/// What is wrong, by its subject among the troubles.
const SUBJECT: &str = "schedule";

/// The scheduler of one application.
#[derive(Debug)]
pub struct Schedule {
    /// The application.
    pub app: App,
    /// Where it is.
    pub base: PathBuf,
    /// How its runs are started.
    pub children: Children,
    /// Where failures are told.
    pub troubles: Arc<Troubles>,
    /// Ends it.
    pub stopping: CancellationToken,
    /// Ends what it has started too.
    pub forced: CancellationToken,
}

impl Schedule {
    /// Runs `artisan schedule:run` at every full minute until the worker stops, and then waits up to `drain`
    /// for the runs that are under way. Runs may overlap, as they do under cron.
    pub async fn run(self, drain: Duration) {
        let Some(_lock) = self.stopping.run_until_cancelled(self.lock()).await else {
            return;
        };
        info!(
            "Running artisan schedule:run of {} every minute",
            self.base.display()
        );
        let mut runs = JoinSet::new();
        loop {
            let minute = tokio::time::sleep(until_next_minute(&*self.app.clock));
            if self.stopping.run_until_cancelled(minute).await.is_none() {
                break;
            }
            while runs.try_join_next().is_some() {}
            if runs.len() < RUNS {
                self.start(&mut runs).await;
            } else {
                self.fail(&format!(
                    "{RUNS} runs of schedule:run are still under way; this minute is left out"
                ));
            }
        }
        let all = async { while runs.join_next().await.is_some() {} };
        let in_time = self
            .forced
            .run_until_cancelled(tokio::time::timeout(drain, all))
            .await;
        if !matches!(in_time, Some(Ok(()))) {
            warn!("Scheduled tasks that still run are ended: the time to drain is over");
        }
    }

    /// Waits until this process is the one on this host that runs the schedule of the application.
    async fn lock(&self) -> Option<std::os::unix::net::UnixListener> {
        let mut said = false;
        loop {
            match take_lock(&self.base) {
                Ok(lock) => return lock,
                Err(error) if !said => {
                    said = true;
                    info!("Another process on this host runs the schedule ({error}); standing by");
                }
                Err(_) => {}
            }
            tokio::time::sleep(STAND_BY).await;
        }
    }

    async fn start(&self, runs: &mut JoinSet<()>) {
        let php = &self.app.config.php;
        let mut command = Command::new(&php.binary);
        command
            .args(&php.args)
            .arg(self.base.join("artisan"))
            .arg("schedule:run")
            .env_clear()
            .envs(self.app.config.php_env())
            .current_dir(&self.base);
        match self.children.spawn(command).await {
            Ok(child) => {
                let troubles = Arc::clone(&self.troubles);
                runs.spawn(async move {
                    if let Some(what) = follow(child).await {
                        tell(&troubles, &what);
                    } else if troubles.clear(SUBJECT) {
                        info!("Scheduled tasks succeed again");
                    }
                });
            }
            Err(error) => self.fail(&format!(
                "cannot start {} (WORKER_PHP_BINARY): {error}",
                php.binary.display()
            )),
        }
    }

    fn fail(&self, what: &str) {
        tell(&self.troubles, what);
    }
}

/// Each failure is said: a task that fails every minute unnoticed is worse than a long log.
fn tell(troubles: &Troubles, what: &str) {
    error!("Scheduled tasks fail: {what}");
    troubles.note(SUBJECT, what);
}

fn until_next_minute(clock: &dyn Clock) -> Duration {
    let now = clock.now();
    Duration::from_secs(60).saturating_sub(Duration::from_nanos(
        u64::try_from(now.as_nanos() % 60_000_000_000).unwrap_or_default(),
    ))
}

/// Ends a run that is left alone before its end. What a run leaves in the background after that lives on.
struct Ends(Option<Group>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            group.kill();
        }
    }
}

/// Sees one run to its end; what went wrong with it, if anything did.
async fn follow(child: Child) -> Option<String> {
    let mut ends = Ends(Some(child.group()));
    let Child {
        stdout,
        stderr,
        mut exit,
        ..
    } = child;
    let (Ok(stdout), Ok(stderr)) = (Receiver::from_owned_fd(stdout), Receiver::from_owned_fd(stderr)) else {
        return Some("its output cannot be read".to_owned());
    };
    let ended = async {
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|exit| *exit)
    };
    // What a task leaves in the background may hold the pipes open for long.
    let words = async { tokio::join!(lines(stdout), lines(stderr)) };
    let (exit, (out, err)) = tokio::join!(ended, words);
    ends.0 = None;
    verdict(exit, &out, &err)
}

/// Lines of a run: those that tell of a failed task, and the last ones.
#[derive(Debug, Default)]
struct Said {
    failed: Vec<String>,
    last: VecDeque<String>,
}

async fn lines(pipe: impl AsyncRead + Unpin) -> Said {
    let mut said = Said::default();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        let chunk = match reader.fill_buf().await {
            Ok(chunk) if !chunk.is_empty() => chunk,
            _ => break,
        };
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        let room = (4 * LINE).saturating_sub(line.len());
        line.extend_from_slice(part.get(..room).unwrap_or(part));
        let read = end.map_or(chunk.len(), |end| end + 1);
        reader.consume(read);
        if end.is_some() {
            said.take(&line);
            line.clear();
        }
    }
    said.take(&line);
    said
}

impl Said {
    fn take(&mut self, line: &[u8]) {
        let text: String = String::from_utf8_lossy(line).trim().chars().take(LINE).collect();
        if text.is_empty() {
            return;
        }
        debug!("schedule:run: {text}");
        if is_failure(&text) && self.failed.len() < LINES {
            self.failed.push(text.clone());
        }
        self.last.push_back(text);
        if self.last.len() > LINES {
            self.last.pop_front();
        }
    }
}

/// Laravel 9 and later end the line of a task with DONE or FAIL.
fn is_failure(line: &str) -> bool {
    line.ends_with("FAIL")
}

fn verdict(exit: Option<Exit>, out: &Said, err: &Said) -> Option<String> {
    if exit.and_then(|exit| exit.code) == Some(0) {
        let failed = &out.failed;
        return (!failed.is_empty()).then(|| failed.join("; "));
    }
    let last = if err.last.is_empty() { &out.last } else { &err.last };
    let last: Vec<_> = last.iter().map(String::as_str).collect();
    let exit = exit.map_or_else(|| "ended, nobody knows how".to_owned(), |exit| exit.to_string());
    Some(format!("artisan schedule:run {exit}: {}", last.join(" / ")))
}

/// An abstract socket: one process of a host (of a network namespace, as containers have) can hold it, and
/// it is free the moment that process ends.
#[cfg(target_os = "linux")]
fn take_lock(base: &std::path::Path) -> std::io::Result<Option<std::os::unix::net::UnixListener>> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;

    let base = base.canonicalize().unwrap_or_else(|_| base.to_path_buf());
    let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, base.as_os_str().as_bytes());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(format!("worker-schedule-{digest}"))?;
    std::os::unix::net::UnixListener::bind_addr(&address).map(Some)
}

/// Elsewhere nothing keeps a second process from running the schedule too.
#[cfg(not(target_os = "linux"))]
fn take_lock(_: &std::path::Path) -> std::io::Result<Option<std::os::unix::net::UnixListener>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Said {
        let lines = lines.iter().map(|line| (*line).to_owned());
        Said {
            failed: lines.clone().filter(|line| is_failure(line)).collect(),
            last: lines.collect(),
        }
    }

    #[test]
    fn a_run_fails_by_its_exit_code_or_by_one_of_its_tasks() {
        let exit = |code| {
            Some(Exit {
                code: Some(code),
                signal: None,
                peak_mb: 0,
            })
        };
        let none = said(&[]);
        assert_eq!(
            verdict(
                exit(0),
                &said(&["No scheduled commands are ready to run."]),
                &none
            ),
            None
        );
        let lines = [
            "Running ['artisan' a] ... 12ms DONE",
            "Running ['artisan' b] ... 12ms FAIL",
        ];
        assert_eq!(
            verdict(exit(0), &said(&lines), &none),
            Some("Running ['artisan' b] ... 12ms FAIL".to_owned())
        );
        assert_eq!(
            verdict(exit(255), &said(&["a"]), &said(&["PHP Fatal error: x"])),
            Some("artisan schedule:run ended with exit code 255: PHP Fatal error: x".to_owned())
        );
    }
}
