//! Asks PHP what it is, whether the application boots, and which job classes load.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::task::JoinSet;

use crate::app::php;
use crate::config::Config;
use crate::doctor::{Booted, Engine, JobClass, Loads, Php};
use crate::runner::php::children::Children;
use crate::runner::php::output::Sink;
use crate::runner::php::script::{self, Ran};

const SCRIPT: &str = include_str!("../../../php/doctor.php");
/// How long one process may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How long all processes together may take.
const IN_ALL: Duration = Duration::from_secs(60);
/// How many processes may be ended by classes that cannot be loaded.
const PROCESSES: usize = 20;

/// Asks the PHP that `config` names about the application at `base`. Of its own, it changes nothing there.
pub(super) async fn examine(config: &Config, base: PathBuf) -> Php {
    let mut php = Php {
        binary: config.php.binary.display().to_string(),
        base: base.display().to_string(),
        engine: Err(String::new()),
        application: None,
        classes: Vec::new(),
        unseen: None,
    };
    if let Err(why) = ask(config, base, &mut php).await {
        match &mut php.engine {
            Err(none) => *none = why,
            Ok(_) => php.unseen = Some(why),
        }
    }
    php
}

/// Starts one process after the other, until all was asked.
///
/// # Errors
/// Why something was not.
async fn ask(config: &Config, base: PathBuf, php: &mut Php) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot be started: {error}");
    let lists = Lists::new().map_err(|error| format!("was not started: no temporary directory: {error}"))?;
    let children = Children::new().map_err(failed)?;
    let mut reaper = JoinSet::new();
    let reaped = children.clone();
    reaper.spawn(async move { reaped.reap().await });
    let settings = php::settings(config, base, Sink::Log);
    let started = Instant::now();
    for _ in 0..PROCESSES {
        let limit = LIMIT.min(IN_ALL.saturating_sub(started.elapsed()));
        if limit.is_zero() {
            return Err(format!("{} s were not enough", IN_ALL.as_secs()));
        }
        let skip = php.classes.len().to_string();
        let arguments = [lists.0.as_os_str(), OsStr::new(&skip)];
        let ran = script::run(&children, &settings, (SCRIPT, &arguments), limit).await;
        let ran = ran.map_err(failed)?;
        if Heard::from(&ran).note(php, &End { ran: &ran, limit })? {
            return Ok(());
        }
    }
    Err(format!("they ended {PROCESSES} processes"))
}

/// A directory for the framework's lists of packages and providers, which it would write in the application.
struct Lists(PathBuf);

impl Lists {
    fn new() -> io::Result<Self> {
        let name = format!("worker-doctor-{}", uuid::Uuid::new_v4());
        let lists = Self(std::env::temp_dir().join(name));
        DirBuilder::new().mode(0o700).create(&lists.0)?;
        Ok(lists)
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!("{} stays: {error}", self.0.display());
        }
    }
}

/// One line of `php/doctor.php`.
#[derive(Debug, Deserialize)]
#[serde(tag = "said", rename_all = "lowercase")]
enum Said {
    Engine(Engine),
    Booted(Booted),
    Broken { error: String },
    Loading { class: String, file: String },
    Class(Answer),
    Ended { error: Option<String> },
    Done,
}

/// What came of loading a class.
#[derive(Debug, Deserialize)]
struct Answer {
    error: Option<String>,
    found: Option<bool>,
    timeout: Option<u64>,
    connection: Option<String>,
    queue: Option<String>,
}

impl From<Answer> for Loads {
    fn from(answer: Answer) -> Self {
        match (answer.error, answer.found) {
            (Some(error), _) => Self::Broken(error),
            (None, Some(false)) => Self::NotFound,
            (None, _) => Self::Fine {
                timeout: answer.timeout.map(Duration::from_secs),
                connection: answer.connection,
                queue: answer.queue,
            },
        }
    }
}

/// What one process said.
#[derive(Debug, Default)]
struct Heard {
    engine: Option<Engine>,
    application: Option<Result<Booted, String>>,
    classes: Vec<JobClass>,
    /// The class that was being loaded at the end, and its file.
    open: Option<(String, String)>,
    /// The fatal error at the end.
    fatal: Option<String>,
    is_done: bool,
}

impl From<&Ran> for Heard {
    fn from(ran: &Ran) -> Self {
        let mut heard = Self::default();
        let lines = ran.lines.iter();
        for said in lines.filter_map(|line| serde_json::from_str(line).ok()) {
            match said {
                Said::Engine(engine) => heard.engine = Some(engine),
                Said::Booted(booted) => heard.application = Some(Ok(booted)),
                Said::Broken { error } => heard.application = Some(Err(error)),
                Said::Loading { class, file } => heard.open = Some((class, file)),
                Said::Class(answer) => {
                    let loads = Loads::from(answer);
                    let class = heard.open.take();
                    let class = class.map(|(name, file)| JobClass { name, file, loads });
                    heard.classes.extend(class);
                }
                Said::Ended { error } => heard.fatal = error,
                Said::Done => heard.is_done = true,
            }
        }
        heard
    }
}

impl Heard {
    /// Adds it to what is known, and says whether that is all there is.
    ///
    /// # Errors
    /// Why no other process is worth starting, though not all was asked.
    fn note(self, php: &mut Php, end: &End<'_>) -> Result<bool, String> {
        let why = end.in_words(self.fatal);
        let Some(engine) = self.engine else {
            return Err(format!(
                "does not answer as PHP 7.4 or newer does on the command line: {why}"
            ));
        };
        php.engine = Ok(engine);
        let is_up = matches!(self.application, Some(Ok(_)));
        if !is_up && matches!(php.application, Some(Ok(_))) {
            // It was up in an earlier process.
            let why = self.application.and_then(Result::err).unwrap_or(why);
            return Err(format!("the application did not boot once more: {why}"));
        }
        php.application
            .get_or_insert(self.application.unwrap_or_else(|| Err(why.clone())));
        if !is_up || self.is_done {
            php.classes.extend(self.classes);
            return Ok(true);
        }
        let got_on = !self.classes.is_empty();
        php.classes.extend(self.classes);
        match self.open {
            None => Err(why),
            // The time went to others: this one begins the next process.
            Some(_) if got_on && end.ran.exit.is_none() => Ok(false),
            Some((name, file)) => {
                let loads = Loads::Broken(why);
                php.classes.push(JobClass { name, file, loads });
                Ok(false)
            }
        }
    }
}

/// How a process ended.
struct End<'a> {
    ran: &'a Ran,
    limit: Duration,
}

impl End<'_> {
    /// In PHP's own words where there are any.
    fn in_words(&self, fatal: Option<String>) -> String {
        let end = match (fatal, self.ran.exit) {
            (Some(fatal), _) => return fatal,
            (None, Some(exit)) => format!("its process {exit}"),
            (None, None) => format!(
                "its process was not done after {} s, and was killed",
                self.limit.as_secs()
            ),
        };
        match self.ran.words.lines().last() {
            Some(last) => format!("{end} ({last})"),
            None => end,
        }
    }
}
