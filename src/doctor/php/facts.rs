//! What PHP answered.

use std::collections::BTreeMap;
use std::time::Duration;

/// PHP and the application, as they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Php {
    /// The binary (`WORKER_PHP_BINARY`).
    pub binary: String,
    /// The directory that holds `artisan`.
    pub base: String,
    /// PHP itself, or why it does not answer: goes on after the binary.
    pub engine: Result<Engine, String>,
    /// The application, or PHP's words on why it does not boot; `None` when it was not tried.
    pub application: Option<Result<Booted, String>>,
    /// The job classes that were tried.
    pub classes: Vec<JobClass>,
    /// Why not all of them were.
    pub unseen: Option<String>,
}

/// What PHP is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Engine {
    /// Its version as people write it.
    pub version: String,
    /// Its version as a number, 80236 for 8.2.36.
    pub number: u32,
    /// How it was built to be called; `cli` is what jobs need.
    pub sapi: String,
    /// Its extensions, in lower case.
    pub extensions: Vec<String>,
    /// The databases that PDO has drivers for.
    pub drivers: Vec<String>,
}

/// An application that is up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Booted {
    /// How long that took, in milliseconds.
    pub ms: u64,
    /// The most memory PHP had for it, in megabytes.
    pub peak_mb: u64,
    /// The version of the framework.
    pub framework: String,
    /// The driver of its default database.
    pub driver: Option<String>,
    /// Its Redis client.
    pub client: Option<String>,
    /// Whether predis is installed.
    pub predis: bool,
    /// Seconds of `retry_after`, by connection in Redis or SQL.
    pub retry_after: BTreeMap<String, u64>,
}

impl Php {
    /// The application, when it is up.
    #[must_use]
    pub fn booted(&self) -> Option<&Booted> {
        self.application.as_ref()?.as_ref().ok()
    }
}

/// A class below `app/Jobs` or `Modules/*/Jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobClass {
    /// Its name.
    pub name: String,
    /// Its file, below the application.
    pub file: String,
    /// Whether it loads.
    pub loads: Loads,
}

/// What came of loading a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loads {
    /// It is there.
    Fine {
        /// The default of its property `timeout`: 0 is no limit.
        timeout: Option<Duration>,
        /// The default of its property `connection`.
        connection: Option<String>,
        /// The default of its property `queue`.
        queue: Option<String>,
    },
    /// The autoloader does not find it.
    NotFound,
    /// It cannot be loaded, in PHP's words.
    Broken(String),
}
