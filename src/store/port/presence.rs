//! Who is working: worker processes make themselves known, so that `status` can tell consumers and progress.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::Error;

/// One worker process, as it last described itself. Payload contents are no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Unique for the life of the process.
    pub id: String,
    /// The host's name.
    pub host: String,
    /// The process id on that host.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// The connection it consumes.
    pub connection: String,
    /// Unix time of its start, in seconds.
    pub started_at: i64,
    /// `running`, `paused` or `draining`.
    pub state: String,
    /// The queues it consumes and the slots of the lane each belongs to.
    pub queues: Vec<(String, usize)>,
    /// What it is working on.
    pub running: Vec<Running>,
    /// Its PHP processes.
    #[serde(default)]
    pub php: Vec<PhpProcess>,
}

/// One process that runs PHP jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhpProcess {
    /// Its process id.
    pub pid: i32,
    /// How many jobs it has begun.
    pub jobs: u64,
    /// The job it is at, if any.
    pub job: Option<String>,
    /// Its age in seconds.
    pub age_s: u64,
    /// Its resident memory in megabytes.
    pub memory_mb: u64,
}

/// One running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The job's uuid.
    pub uuid: String,
    /// The job's name.
    pub name: String,
    /// The queue it came from.
    pub queue: String,
    /// The number of this attempt.
    pub attempt: u32,
    /// Unix time of its start, in seconds.
    pub started_at: i64,
    /// What the job said of its progress, if anything: per cent and a word.
    pub progress: Option<(u8, String)>,
}

/// Where processes make themselves known.
#[async_trait::async_trait]
pub trait Presence: Send + Sync + fmt::Debug {
    /// Says that `process` lives, for the next `ttl`. Replaces what it said before.
    ///
    /// # Errors
    /// When the store cannot be asked, or has no place for it (a table that `worker migrate` creates).
    async fn beat(&self, process: &Process, ttl: Duration) -> Result<(), Error>;

    /// Says that the process with this id is gone.
    ///
    /// # Errors
    /// As [`Presence::beat`].
    async fn leave(&self, id: &str) -> Result<(), Error>;

    /// The processes that live.
    ///
    /// # Errors
    /// As [`Presence::beat`].
    async fn list(&self) -> Result<Vec<Process>, Error>;
}
