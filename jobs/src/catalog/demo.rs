//! Sample jobs: what `worker demo` shows, `worker bench` measures, and tests watch.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::{Job, JobContext, JobError, Outcome};

/// Works for a while, telling its progress, and succeeds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Sample {
    /// How long it works, in milliseconds.
    pub(super) work_ms: u64,
    /// When set, a line is appended to this file before the work and after it; see `note`.
    pub(super) journal: Option<PathBuf>,
}

impl Job for Sample {
    const CLASS: &'static str = r"Worker\Demo\Sample";
    type Resources = ();

    async fn handle(&self, job: &JobContext<()>) -> Result<Outcome, JobError> {
        note(self.journal.as_ref(), "start", job).await?;
        for step in 1..=4_u8 {
            tokio::time::sleep(Duration::from_millis(self.work_ms) / 4).await;
            job.progress(step * 25, "working");
        }
        note(self.journal.as_ref(), "end", job).await?;
        Ok(Outcome::Done)
    }
}

/// Fails on its first attempts, then succeeds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Flaky {
    /// How many attempts fail.
    pub(super) failures: u32,
}

impl Default for Flaky {
    fn default() -> Self {
        Self { failures: 1 }
    }
}

impl Job for Flaky {
    const CLASS: &'static str = r"Worker\Demo\Flaky";
    type Resources = ();

    async fn handle(&self, job: &JobContext<()>) -> Result<Outcome, JobError> {
        if job.attempt() <= self.failures {
            return Err(JobError::new(
                "the service did not answer (this sample fails on purpose at first)",
            ));
        }
        Ok(Outcome::Done)
    }
}

/// Fails for good.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Broken {}

impl Job for Broken {
    const CLASS: &'static str = r"Worker\Demo\Broken";
    type Resources = ();

    async fn handle(&self, _: &JobContext<()>) -> Result<Outcome, JobError> {
        Err(JobError::new(
            "invoice 4711 has no lines (this sample always fails)",
        ))
    }
}

/// Sleeps, and can be told to hold on to its thread, to panic, or to release itself: what limits must bear.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Slow {
    /// How long it sleeps, in milliseconds.
    pub(super) sleep_ms: u64,
    /// Block the thread instead of awaiting: code that ignores its cancellation.
    pub(super) block: bool,
    /// Panic afterwards.
    pub(super) panic: bool,
    /// Release itself afterwards for this many seconds, on its first attempt.
    pub(super) release_s: Option<u64>,
    /// When set, a line is appended to this file before the work and after it; see `note`.
    pub(super) journal: Option<PathBuf>,
}

impl Job for Slow {
    const CLASS: &'static str = r"Worker\Demo\Slow";
    const NAMES: &'static [&'static str] = &["worker-demo-slow"];
    type Resources = ();

    #[expect(clippy::disallowed_methods, reason = "this sample misbehaves on purpose")]
    async fn handle(&self, job: &JobContext<()>) -> Result<Outcome, JobError> {
        note(self.journal.as_ref(), "start", job).await?;
        let time = Duration::from_millis(self.sleep_ms);
        if self.block {
            std::thread::sleep(time);
        } else {
            tokio::time::sleep(time).await;
        }
        assert!(!self.panic, "this sample panics on purpose");
        if let Some(seconds) = self.release_s.filter(|_| job.attempt() == 1) {
            note(self.journal.as_ref(), "released", job).await?;
            return Ok(Outcome::Release {
                after: Duration::from_secs(seconds),
            });
        }
        note(self.journal.as_ref(), "end", job).await?;
        Ok(Outcome::Done)
    }

    async fn failed(&self, job: &JobContext<()>, _error: &str) {
        if let Err(error) = note(self.journal.as_ref(), "failed", job).await {
            tracing::warn!("{error}");
        }
    }
}

/// Does nothing: the cost of a job that is all queue.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Noop {}

impl Job for Noop {
    const CLASS: &'static str = r"Worker\Bench\Noop";
    type Resources = ();

    async fn handle(&self, _: &JobContext<()>) -> Result<Outcome, JobError> {
        Ok(Outcome::Done)
    }
}

/// Appends a line to the journal: event, uuid, attempt, queue, process, unix time in milliseconds. It is written
/// at once and whole, so that many processes may share a journal and one that is killed leaves no half line.
#[expect(clippy::disallowed_methods, reason = "a job has no clock of the worker's")]
async fn note(journal: Option<&PathBuf>, event: &str, job: &JobContext<()>) -> Result<(), JobError> {
    use tokio::io::AsyncWriteExt;
    let Some(path) = journal else { return Ok(()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = format!(
        "{event} {} {} {} {} {}\n",
        job.uuid(),
        job.attempt(),
        job.queue(),
        std::process::id(),
        now.as_millis()
    );
    let mut file = tokio::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .await?;
    file.write_all(line.as_bytes()).await?;
    file.flush().await?;
    Ok(())
}
