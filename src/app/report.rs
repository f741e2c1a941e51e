//! Who hears of attempts: the log, or lines in the form of `queue:work --json`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tracing::{Level, enabled, info, warn};

use crate::clock::Clock;
use crate::runtime::decide::Verdict;
use crate::runtime::report::{End, Reporter, Told};

/// Tells the log.
#[derive(Debug, Default)]
pub struct LogReporter;

impl Reporter for LogReporter {
    fn ended(&self, end: &End) {
        if !enabled!(Level::WARN) {
            return;
        }
        let Told {
            uuid,
            name,
            queue,
            attempt,
            ..
        } = &end.told;
        let duration_ms = millis(end.took);
        match &end.verdict {
            Verdict::Delete => {
                info!(job.uuid = uuid, job.attempt = attempt, %queue, duration_ms, "Processed {name} on {queue} in {duration_ms} ms");
            }
            Verdict::Release { delay } => {
                let delay_s = delay.as_secs();
                warn!(job.uuid = uuid, job.attempt = attempt, %queue, duration_ms, delay_s, "Released {name} on {queue} after attempt {attempt}, next in {delay_s} s");
            }
            Verdict::Refund { delay: None } => {
                info!(job.uuid = uuid, %queue, "Gave {name} back to {queue} uncounted");
            }
            Verdict::Refund { delay: Some(_) } | Verdict::Abandon => {}
            Verdict::Fail { exception } => {
                let (class, message) = (exception.class(), exception.message());
                warn!(job.uuid = uuid, job.attempt = attempt, %queue, duration_ms, "Failed {name} on {queue} for good after attempt {attempt}: {class}: {message}");
            }
        }
    }
}

/// Writes one JSON object a line to standard output, with the members of `queue:work --json` (Laravel 12).
#[derive(Debug)]
pub struct JsonReporter {
    clock: Arc<dyn Clock>,
    timezone: TimeZone,
}

impl JsonReporter {
    /// A reporter whose timestamps are in `timezone`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, timezone: TimeZone) -> Self {
        Self { clock, timezone }
    }

    fn line(&self, level: &str, told: &Told, status: &str, more: Map<String, Value>) {
        let mut line = Map::new();
        line.insert("level".into(), level.into());
        let id = match told.row {
            Some(row) => Value::from(row),
            None => Value::from(told.id.as_ref().unwrap_or(&told.uuid).as_str()),
        };
        line.insert("id".into(), id);
        line.insert("uuid".into(), told.uuid.as_str().into());
        line.insert("connection".into(), told.connection.as_str().into());
        line.insert("queue".into(), told.queue.as_str().into());
        line.insert("job".into(), told.name.as_str().into());
        line.insert("status".into(), status.into());
        let duration = more.get("duration").cloned();
        line.extend(
            more.into_iter()
                .filter(|(name, _)| name != "duration" && name != "attempts"),
        );
        line.insert("attempts".into(), told.attempt.into());
        line.insert("timestamp".into(), self.timestamp().into());
        line.extend(duration.map(|duration| ("duration".to_owned(), duration)));
        let text = Value::Object(line).to_string();
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{text}").is_err() {
            tracing::debug!("Standard output is closed");
        }
    }

    /// `Y-m-d\TH:i:s.uP`.
    fn timestamp(&self) -> String {
        let micros = i64::try_from(self.clock.now().as_micros()).unwrap_or(i64::MAX);
        let at = Timestamp::from_microsecond(micros)
            .unwrap_or_default()
            .to_zoned_datetime(self.timezone.clone());
        at.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string()
    }
}

impl Reporter for JsonReporter {
    fn wants_starts(&self) -> bool {
        true
    }

    fn started(&self, told: &Told) {
        self.line("info", told, "starting", Map::new());
    }

    fn ended(&self, end: &End) {
        let (level, status, result) = match &end.verdict {
            Verdict::Delete => ("info", "success", "deleted"),
            Verdict::Release { .. } if end.error.is_some() => {
                ("warning", "released_after_exception", "released")
            }
            Verdict::Release { .. } => ("info", "success", "released"),
            Verdict::Fail { .. } => ("warning", "failed", "deleted"),
            Verdict::Refund { .. } | Verdict::Abandon => return,
        };
        let mut more = Map::new();
        more.insert("result".into(), result.into());
        if let Some((class, message)) = &end.error {
            more.insert("exception".into(), class.as_str().into());
            more.insert("message".into(), message.as_str().into());
        }
        more.insert("duration".into(), json!(end.took.as_secs_f64()));
        self.line(level, &end.told, status, more);
    }
}

/// Says nothing.
#[derive(Debug, Default)]
pub struct QuietReporter;

impl Reporter for QuietReporter {
    fn ended(&self, _: &End) {}
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
