//! The worker's own settings, `WORKER_*`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::{units, vars};

/// What the worker does, apart from what Laravel's variables say.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// How long a reservation lasts unless renewed (`WORKER_LEASE`), 3 s to 1 day, default 60 s.
    pub lease: Duration,
    /// How long a stop waits for running jobs (`WORKER_DRAIN`, `--drain`), default 600 s.
    pub drain: Duration,
    /// How long the start waits for its store (`WORKER_START_WAIT`), default 120 s.
    pub start_wait: Duration,
    /// Jobs at a time per lane (`WORKER_CONCURRENCY`, `--concurrency`), 1 to 10,000, default 10. Already applied to
    /// [`super::QueueSettings::concurrency`]; here for lanes of several queues and queues without settings.
    pub concurrency: usize,
    /// Caps every time limit, also that of a payload (`WORKER_MAX_TIMEOUT`); none by default.
    pub max_timeout: Option<Duration>,
    /// What becomes of a job of a class that no runner knows (`WORKER_ON_UNKNOWN`, `--on-unknown`).
    pub on_unknown: OnUnknown,
    /// The longest wait between two looks at an idle store that cannot wake us (`WORKER_SLEEP`, `--sleep`); fractions
    /// allowed, default 3 s.
    pub sleep: Duration,
    /// Form of the log lines (`WORKER_LOG_FORMAT`).
    pub log_format: LogFormat,
    /// The file of the per-queue tables that was read (`WORKER_CONFIG`, else `worker.toml` if it is there).
    pub config_file: Option<PathBuf>,
}

/// What becomes of a job of an unknown class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is released with its attempt refunded. The default.
    Release,
    /// It fails.
    Fail,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise. The default.
    Auto,
    /// Sentences with colours.
    Human,
    /// One JSON object per line.
    Json,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Worker {
    pub(super) fn read(reader: &mut Reader<'_>, config_file: Option<PathBuf>) -> Self {
        let seconds = Duration::from_secs;
        let any = Duration::ZERO..=DAY * 365;
        let on_unknown = [("release", OnUnknown::Release), ("fail", OnUnknown::Fail)];
        let formats = [
            ("auto", LogFormat::Auto),
            ("human", LogFormat::Human),
            ("json", LogFormat::Json),
        ];
        let max_timeout = reader.parsed(&vars::WORKER_MAX_TIMEOUT, "is not a duration", units::read_limit);
        Self {
            lease: reader.duration(&vars::WORKER_LEASE, seconds(60), seconds(3)..=DAY),
            drain: reader.duration(&vars::WORKER_DRAIN, seconds(600), any.clone()),
            start_wait: reader.duration(&vars::WORKER_START_WAIT, seconds(120), any),
            concurrency: reader
                .number(&vars::WORKER_CONCURRENCY, 1..=MAX_CONCURRENCY)
                .unwrap_or(10),
            max_timeout: max_timeout.flatten(),
            on_unknown: reader
                .choice(&vars::WORKER_ON_UNKNOWN, &on_unknown)
                .unwrap_or(OnUnknown::Release),
            sleep: reader.duration(&vars::WORKER_SLEEP, seconds(3), Duration::ZERO..=DAY),
            log_format: reader
                .choice(&vars::WORKER_LOG_FORMAT, &formats)
                .unwrap_or(LogFormat::Auto),
            config_file,
        }
    }
}

/// The most jobs at a time that can be set for one lane.
pub(super) const MAX_CONCURRENCY: usize = 10_000;

/// Reads `WORKER_HTTP`. Platforms that hand out a port without a shell to expand it are met half way: `$PORT`
/// in the value stands for the variable `PORT`, which counts for nothing otherwise.
pub(super) fn http(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let port = reader.text(&vars::PORT);
    reader.parsed(&vars::WORKER_HTTP, "is not an address and a port", |text| {
        let mut text = text.to_owned();
        if let Some(port) = &port {
            text = text.replace("${PORT}", port).replace("$PORT", port);
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            text = format!("127.0.0.1:{port}");
        }
        text.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, problems};
    use super::*;

    #[test]
    fn defaults_and_forms() {
        let seconds = |s| Duration::from_secs(s);
        let worker = load(&[]).config.worker;
        assert_eq!(
            (worker.lease, worker.drain, worker.start_wait),
            (seconds(60), seconds(600), seconds(120))
        );
        assert_eq!(
            (worker.concurrency, worker.max_timeout, worker.sleep),
            (10, None, seconds(3))
        );
        assert_eq!(
            (worker.on_unknown, worker.log_format),
            (OnUnknown::Release, LogFormat::Auto)
        );
        let config = load(&[
            ("WORKER_LEASE", "2m"),
            ("WORKER_SLEEP", "0.25"),
            ("WORKER_MAX_TIMEOUT", "0"),
            ("WORKER_ON_UNKNOWN", "fail"),
            ("WORKER_LOG_FORMAT", "json"),
            ("WORKER_HTTP", "localhost:9090"),
        ])
        .config;
        let worker = config.worker;
        assert_eq!(
            (worker.lease, worker.sleep.as_millis(), worker.max_timeout),
            (seconds(120), 250, None)
        );
        assert_eq!(
            (worker.on_unknown, worker.log_format),
            (OnUnknown::Fail, LogFormat::Json)
        );
        assert_eq!(config.http, Some(([127, 0, 0, 1], 9090).into()));
    }

    #[test]
    fn mistakes() {
        for (name, value) in [
            ("WORKER_LEASE", "12moons"),
            ("WORKER_LEASE", "2"),
            ("WORKER_LEASE", "25h"),
            ("WORKER_DRAIN", "true"),
            ("WORKER_START_WAIT", "-1"),
            ("WORKER_MAX_TIMEOUT", "never"),
            ("WORKER_CONCURRENCY", "0"),
            ("WORKER_CONCURRENCY", "10001"),
            ("WORKER_ON_UNKNOWN", "drop"),
            ("WORKER_SLEEP", "2d"),
            ("WORKER_LOG_FORMAT", "xml"),
            ("WORKER_HTTP", "9090"),
            ("WORKER_HTTP", "0.0.0.0:"),
        ] {
            let problems = problems(&[(name, value)]);
            let expected = format!("{name} (environment) is not ");
            assert!(
                problems.len() == 1
                    && problems[0].starts_with(&expected)
                    && problems[0].contains("; allowed: ")
            );
        }
    }
}
