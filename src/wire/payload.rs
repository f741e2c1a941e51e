//! Laravel's job envelope, read without touching what it carries.

use std::sync::OnceLock;

use bytes::Bytes;

use super::Error;
use super::number;
use super::scan::{Kind, Raw, Scanner};

/// The handler that Laravel names for every job that is an object.
pub(super) const OBJECT_HANDLER: &str = "Illuminate\\Queue\\CallQueuedHandler@call";

/// One payload: the JSON text that a queue holds for a job.
///
/// Parsing reads the envelope in one pass; `data` is only skipped, and the PHP text inside it is
/// unescaped when [`Payload::command`] first asks for it. Of duplicate members the last counts, as in
/// PHP. The text itself is kept and never re-written (see [`super::edit`] for what may change in it).
///
/// Getters answer `None` for an absent or `null` member. Fields and their meaning: laravel/framework
/// 12.x, `Queue/Queue.php` (`createObjectPayload`) and `Queue/Jobs/Job.php`.
#[derive(Clone)]
pub struct Payload {
    text: Bytes,
    uuid: Option<Box<str>>,
    id: Option<Box<str>>,
    display_name: Option<Box<str>>,
    job: Box<str>,
    command_name: Option<Box<str>>,
    command: Option<Raw>,
    unescaped_command: OnceLock<String>,
    batch_id: Option<Box<str>>,
    data: Option<Raw>,
    context: Option<Raw>,
    attempts: Option<u64>,
    max_tries: Option<u32>,
    max_exceptions: Option<u32>,
    fail_on_timeout: bool,
    backoff: Option<Vec<u64>>,
    timeout: Option<u64>,
    retry_until: Option<i64>,
    created_at: Option<i64>,
    delay: Option<i64>,
}

/// Where the members stand; the last of a name wins.
#[derive(Default)]
struct Places {
    uuid: Option<Raw>,
    id: Option<Raw>,
    display_name: Option<Raw>,
    job: Option<Raw>,
    attempts: Option<Raw>,
    max_tries: Option<Raw>,
    max_exceptions: Option<Raw>,
    fail_on_timeout: Option<Raw>,
    backoff: Option<Raw>,
    timeout: Option<Raw>,
    retry_until: Option<Raw>,
    created_at: Option<Raw>,
    delay: Option<Raw>,
    context: Option<Raw>,
    data: Option<Raw>,
    command_name: Option<Raw>,
    command: Option<Raw>,
    batch_id: Option<Raw>,
}

impl Places {
    fn find(text: &[u8]) -> Result<Self, Error> {
        let mut places = Self::default();
        Scanner::new(text)?.document(|scanner, key| {
            let name = key.unescaped(text);
            if name == "data" {
                return places.read_data(scanner, text);
            }
            let value = Some(scanner.value()?);
            match &*name {
                "uuid" => places.uuid = value,
                "id" => places.id = value,
                "displayName" => places.display_name = value,
                "job" => places.job = value,
                "attempts" => places.attempts = value,
                "maxTries" => places.max_tries = value,
                "maxExceptions" => places.max_exceptions = value,
                "failOnTimeout" => places.fail_on_timeout = value,
                "backoff" => places.backoff = value,
                "timeout" => places.timeout = value,
                "retryUntil" => places.retry_until = value,
                "createdAt" => places.created_at = value,
                "delay" => places.delay = value,
                "illuminate:log:context" => places.context = value,
                _ => {}
            }
            Ok(())
        })?;
        Ok(places)
    }

    fn read_data(&mut self, scanner: &mut Scanner<'_>, text: &[u8]) -> Result<(), Error> {
        (self.command_name, self.command, self.batch_id) = (None, None, None);
        if !scanner.at_object() {
            self.data = Some(scanner.value()?);
            return Ok(());
        }
        self.data = Some(scanner.object(|scanner, key| {
            let value = Some(scanner.value()?);
            match &*key.unescaped(text) {
                "commandName" => self.command_name = value,
                "command" => self.command = value,
                "batchId" => self.batch_id = value,
                _ => {}
            }
            Ok(())
        })?);
        Ok(())
    }
}

impl Payload {
    /// Reads a payload.
    ///
    /// Numbers may be given as numeric strings or as floats without a fraction, as PHP would take them.
    /// `backoff` may be a number, a comma-separated string, or a list.
    ///
    /// # Errors
    /// [`Error::Json`] when the text is not one JSON object; [`Error::Member`] when `job` is missing or a
    /// known member is of the wrong type.
    pub fn parse(text: Bytes) -> Result<Self, Error> {
        let places = Places::find(&text)?;
        let read = Reader { text: &text };
        let job = read.string("job", places.job)?;
        let job = job.ok_or(Error::Member {
            member: "job",
            offset: text.len(),
            reason: "expected a string",
        })?;
        // Only an object job's `data` is Laravel's own; a string job may keep anything in it.
        let object = &*job == OBJECT_HANDLER;
        let of_object = |raw| if object { raw } else { None };
        let command = of_object(places.command);
        read.string_kind("data.command", command)?;
        Ok(Self {
            uuid: read.identifier("uuid", places.uuid)?,
            id: read.identifier("id", places.id)?,
            display_name: read.string("displayName", places.display_name)?,
            command_name: read.string("data.commandName", of_object(places.command_name))?,
            command: command.filter(|raw| raw.kind != Kind::Null),
            unescaped_command: OnceLock::new(),
            batch_id: read.identifier("data.batchId", of_object(places.batch_id))?,
            attempts: read.unsigned("attempts", places.attempts)?,
            max_tries: read.small("maxTries", places.max_tries)?,
            max_exceptions: read.small("maxExceptions", places.max_exceptions)?,
            fail_on_timeout: read.truth("failOnTimeout", places.fail_on_timeout)?,
            backoff: read.backoff(places.backoff)?,
            timeout: read
                .integer("timeout", places.timeout)?
                .map(|s| u64::try_from(s).unwrap_or(0)),
            retry_until: read.integer("retryUntil", places.retry_until)?,
            created_at: read.integer("createdAt", places.created_at)?,
            delay: read.integer("delay", places.delay)?,
            data: places.data,
            context: places.context,
            job,
            text,
        })
    }

    /// The original text, byte for byte.
    #[must_use]
    pub const fn text(&self) -> &Bytes {
        &self.text
    }

    /// The job's own identity, stable over all its attempts and its failure record.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.uuid.as_deref()
    }

    /// The 32 random characters of a Redis payload (with Horizon: the uuid).
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The name that the application chose to show; usually the class.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// The handler: `Illuminate\Queue\CallQueuedHandler@call` for objects, else `Class` or `Class@method`.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Attempts before the present one, as the text says; only Redis payloads carry it.
    #[must_use]
    pub const fn attempts(&self) -> Option<u64> {
        self.attempts
    }

    /// The most attempts allowed; 0 = no limit.
    #[must_use]
    pub const fn max_tries(&self) -> Option<u32> {
        self.max_tries
    }

    /// The most exceptions allowed, counted over all attempts.
    #[must_use]
    pub const fn max_exceptions(&self) -> Option<u32> {
        self.max_exceptions
    }

    /// Whether a timeout fails the job for good; absent = no.
    #[must_use]
    pub const fn fail_on_timeout(&self) -> bool {
        self.fail_on_timeout
    }

    /// Seconds before each next attempt, by attempt; the last holds for all later ones. Never empty.
    #[must_use]
    pub fn backoff(&self) -> Option<Vec<u64>> {
        self.backoff.clone()
    }

    /// What Laravel's worker takes for backoff: [`Payload::backoff`], else the dispatch `delay`.
    ///
    /// The second half is a quirk of `Job::backoff()` (12.x, `Queue/Jobs/Job.php`), seen in a run.
    #[must_use]
    pub fn backoff_or_delay(&self) -> Option<Vec<u64>> {
        self.backoff()
            .or_else(|| self.delay.map(|delay| vec![u64::try_from(delay).unwrap_or(0)]))
    }

    /// Seconds that an attempt may run; 0 = no limit (a negative one counts as 0, as in Laravel).
    #[must_use]
    pub const fn timeout(&self) -> Option<u64> {
        self.timeout
    }

    /// Unix time in seconds after which no attempt may start. 0 means none, as in Laravel.
    #[must_use]
    pub fn retry_until(&self) -> Option<i64> {
        self.retry_until.filter(|&at| at != 0)
    }

    /// Unix time in seconds of the dispatch (Laravel 12 and later).
    #[must_use]
    pub const fn created_at(&self) -> Option<i64> {
        self.created_at
    }

    /// Seconds between dispatch and the first attempt; may be negative (Laravel 12 and later).
    #[must_use]
    pub const fn delay(&self) -> Option<i64> {
        self.delay
    }

    /// The batch that an object job belongs to (Laravel 12 and later; before, see
    /// [`Command::batch_id`](super::Command::batch_id)).
    #[must_use]
    pub fn batch_id(&self) -> Option<&str> {
        self.batch_id.as_deref()
    }

    /// The class of an object job.
    #[must_use]
    pub fn command_name(&self) -> Option<&str> {
        self.command_name.as_deref()
    }

    /// The PHP-serialized (or encrypted) object of an object job. Unescaped once, then kept.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        let raw = self.command?;
        match raw.kind {
            Kind::String { escaped: false } => Some(raw.text(&self.text)),
            _ => Some(
                self.unescaped_command
                    .get_or_init(|| raw.unescaped(&self.text).into_owned()),
            ),
        }
    }

    /// The JSON text of `data`, whatever it holds.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        let span = self.data?.span();
        self.text
            .get(span)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Whether the payload carries a serialized object rather than the name of a handler.
    #[must_use]
    pub fn is_object_job(&self) -> bool {
        self.command.is_some()
    }

    /// What logs and lists show: the display name, else the class, else the handler.
    #[must_use]
    pub fn name(&self) -> &str {
        let shown = [self.display_name(), self.command_name()].into_iter().flatten();
        shown
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or(&self.job)
    }

    /// Whether the dispatch took a unique lock, as the hidden context of Laravel 11 and later tells.
    ///
    /// Laravel 8 to 10 leave no trace here; there only
    /// [`Command::has_lock`](super::Command::has_lock) can tell, and not in every case.
    #[must_use]
    pub fn has_unique_lock(&self) -> bool {
        // Searched as text: a stray hit inside a value only sends the job to PHP.
        self.context
            .is_some_and(|raw| raw.text(&self.text).contains("\"laravel_unique_job_key\""))
    }

    /// Where the text of `data` begins in the payload, in bytes.
    pub(super) fn data_offset(&self) -> usize {
        self.data.map_or(self.text.len(), |raw| raw.span().start)
    }

    /// As [`Payload::retry_until`], but as written.
    pub(super) const fn raw_retry_until(&self) -> Option<i64> {
        self.retry_until
    }
}

impl std::fmt::Debug for Payload {
    /// Name and length; the contents may be personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload")
            .field("uuid", &self.uuid)
            .field("name", &self.name())
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// Turns places into values.
struct Reader<'a> {
    text: &'a [u8],
}

impl Reader<'_> {
    fn wrong<T>(member: &'static str, raw: Raw, reason: &'static str) -> Result<T, Error> {
        Err(Error::Member {
            member,
            offset: raw.span().start,
            reason,
        })
    }

    fn string_kind(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<Raw>, Error> {
        match raw {
            None => Ok(None),
            Some(raw) => match raw.kind {
                Kind::Null => Ok(None),
                Kind::String { .. } => Ok(Some(raw)),
                Kind::Number | Kind::True | Kind::False | Kind::Array | Kind::Object => {
                    Self::wrong(member, raw, "expected a string")
                }
            },
        }
    }

    fn string(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<Box<str>>, Error> {
        Ok(self
            .string_kind(member, raw)?
            .map(|raw| raw.unescaped(self.text).into()))
    }

    /// A string, or an integer as PHP would turn it into one.
    fn identifier(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<Box<str>>, Error> {
        match raw {
            Some(raw) if raw.kind == Kind::Number => Ok(Some(raw.text(self.text).into())),
            other => self.string(member, other),
        }
    }

    fn integer(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<i64>, Error> {
        let Some(raw) = raw else { return Ok(None) };
        let value = match raw.kind {
            Kind::Null => return Ok(None),
            Kind::Number => number::integer(raw.text(self.text)),
            Kind::String { .. } => number::integer(raw.unescaped(self.text).trim()),
            Kind::True | Kind::False | Kind::Array | Kind::Object => None,
        };
        match value {
            Some(value) => Ok(Some(value)),
            None => Self::wrong(member, raw, "expected a whole number"),
        }
    }

    fn unsigned(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<u64>, Error> {
        let Some(value) = self.integer(member, raw)? else {
            return Ok(None);
        };
        match (u64::try_from(value), raw) {
            (Err(_), Some(raw)) => Self::wrong(member, raw, "expected a number of at least 0"),
            (value, _) => Ok(value.ok()),
        }
    }

    fn small(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<u32>, Error> {
        Ok(self
            .unsigned(member, raw)?
            .map(|value| u32::try_from(value).unwrap_or(u32::MAX)))
    }

    fn truth(&self, member: &'static str, raw: Option<Raw>) -> Result<bool, Error> {
        let Some(raw) = raw else { return Ok(false) };
        match raw.kind {
            Kind::Null | Kind::False => Ok(false),
            Kind::True => Ok(true),
            Kind::Number => Ok(number::integer(raw.text(self.text)) != Some(0)),
            Kind::String { .. } => Ok(!matches!(&*raw.unescaped(self.text), "" | "0")),
            Kind::Array | Kind::Object => Self::wrong(member, raw, "expected a boolean"),
        }
    }

    /// Laravel joins lists with commas and reads the parts with PHP's `(int)`.
    fn backoff(&self, raw: Option<Raw>) -> Result<Option<Vec<u64>>, Error> {
        let member = "backoff";
        let Some(raw) = raw else { return Ok(None) };
        let parts = match raw.kind {
            Kind::Null => return Ok(None),
            Kind::Number => vec![number::cast(raw.text(self.text))],
            Kind::String { .. } => raw.unescaped(self.text).split(',').map(number::cast).collect(),
            Kind::Array => match serde_json::from_str::<Vec<serde_json::Value>>(raw.text(self.text)) {
                Ok(list) => list.iter().map(|item| number::cast(&scalar_text(item))).collect(),
                Err(_) => return Self::wrong(member, raw, "expected a list of numbers"),
            },
            Kind::True | Kind::False | Kind::Object => {
                return Self::wrong(member, raw, "expected a number, a string, or a list");
            }
        };
        let seconds: Vec<u64> = parts
            .into_iter()
            .map(|part| u64::try_from(part).unwrap_or(0))
            .collect();
        Ok(Some(if seconds.is_empty() { vec![0] } else { seconds }))
    }
}

fn scalar_text(item: &serde_json::Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), str::to_owned)
}
