//! Laravel's job envelope, read without touching what it carries.

mod members;

use std::sync::OnceLock;

use bytes::Bytes;

use super::Error;
use super::scan::{self, Kind, Raw};
use members::{Places, Reader};

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
        let json = scan::utf8(&text)?;
        let places = Places::find(json)?;
        let read = Reader { text: json };
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
            Kind::String { escaped: false } => Some(self.slice(raw.start..raw.end)),
            _ => Some(
                self.unescaped_command
                    .get_or_init(|| scan::unescape(self.slice(raw.start..raw.end))),
            ),
        }
    }

    /// The JSON text of `data`, whatever it holds.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        Some(self.slice(self.data?.span()))
    }

    /// Whether the payload carries a serialized object rather than the name of a handler.
    #[must_use]
    pub fn is_object_job(&self) -> bool {
        self.command.is_some()
    }

    /// Whether the serialized object is encrypted (`ShouldBeEncrypted`).
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.command()
            .is_some_and(|text| !text.starts_with("O:") && super::crypt::is_encrypted(text))
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
            .is_some_and(|raw| self.slice(raw.span()).contains("\"laravel_unique_job_key\""))
    }

    /// A part of the text, which is known to be UTF-8.
    fn slice(&self, range: std::ops::Range<usize>) -> &str {
        self.text
            .get(range)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Payload, Error> {
        Payload::parse(text.to_owned().into())
    }

    /// The payload with one more member.
    fn with(member: &str) -> Result<Payload, Error> {
        parse(&format!("{{\"job\":\"A@b\",{member}}}"))
    }

    fn object_job(data: &str) -> Result<Payload, Error> {
        parse(&format!(
            "{{\"job\":\"Illuminate\\\\Queue\\\\CallQueuedHandler@call\",\"data\":{data}}}"
        ))
    }

    #[test]
    fn numbers_are_taken_as_php_would() {
        for member in [
            "\"attempts\":3",
            "\"attempts\":\"3\"",
            "\"attempts\":3.0",
            "\"attempts\":\" 3 \"",
        ] {
            assert_eq!(with(member).unwrap().attempts(), Some(3), "{member}");
        }
        assert_eq!(with("\"attempts\":null").unwrap().attempts(), None);
        assert_eq!(with("\"timeout\":-5").unwrap().timeout(), Some(0));
        assert_eq!(
            with("\"maxTries\":99999999999").unwrap().max_tries(),
            Some(u32::MAX)
        );
        assert_eq!(with("\"retryUntil\":0").unwrap().retry_until(), None);
        assert_eq!(with("\"delay\":-5").unwrap().delay(), Some(-5));
        assert_eq!(with("\"id\":5").unwrap().id(), Some("5"));
        assert!(with("\"failOnTimeout\":1").unwrap().fail_on_timeout());
        assert!(!with("\"failOnTimeout\":\"0\"").unwrap().fail_on_timeout());
    }

    #[test]
    fn backoff_comes_in_three_forms() {
        for (member, seconds) in [
            ("\"60,300,900\"", vec![60, 300, 900]),
            ("15", vec![15]),
            ("[1,\"5\",10]", vec![1, 5, 10]),
            ("\"\"", vec![0]),
            ("[]", vec![0]),
            ("-5", vec![0]),
        ] {
            assert_eq!(
                with(&format!("\"backoff\":{member}")).unwrap().backoff(),
                Some(seconds),
                "{member}"
            );
        }
        assert_eq!(with("\"delay\":90").unwrap().backoff_or_delay(), Some(vec![90]));
        assert_eq!(
            with("\"delay\":90,\"backoff\":5").unwrap().backoff_or_delay(),
            Some(vec![5])
        );
    }

    #[test]
    fn wrong_types_name_their_member() {
        for (member, name) in [
            ("\"attempts\":\"x\"", "attempts"),
            ("\"attempts\":-1", "attempts"),
            ("\"maxTries\":1.5", "maxTries"),
            ("\"timeout\":[]", "timeout"),
            ("\"uuid\":{}", "uuid"),
            ("\"displayName\":5", "displayName"),
            ("\"backoff\":{}", "backoff"),
            ("\"backoff\":[\"", ""),
            ("\"failOnTimeout\":[]", "failOnTimeout"),
            ("\"job\":5", "job"),
            ("\"job\":null", "job"),
        ] {
            match with(member) {
                Err(Error::Member {
                    member: found,
                    offset,
                    ..
                }) => {
                    assert_eq!(found, name);
                    assert!(offset >= 13, "{member}");
                }
                Err(Error::Json { .. }) => assert_eq!(name, "", "{member}"),
                other => panic!("{member}: {other:?}"),
            }
        }
        for bad in ["", "[]", "{}", "null", "\"x\"", "{\"job\":\"a\"} x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_of_a_name_wins() {
        let payload = with("\"attempts\":[],\"attempts\":1,\"attempts\":2,\"job\":\"C@d\"").unwrap();
        assert_eq!((payload.attempts(), payload.job()), (Some(2), "C@d"));
        assert_eq!(
            object_job("{\"command\":\"a\",\"command\":\"b\"}")
                .unwrap()
                .command(),
            Some("b")
        );
    }

    #[test]
    fn data_is_laravels_own_only_in_object_jobs() {
        let string_job = with("\"data\":{\"command\":5,\"commandName\":[],\"batchId\":{}}").unwrap();
        assert_eq!((string_job.command(), string_job.is_object_job()), (None, false));
        assert!(object_job("{\"command\":5}").is_err());
        let object =
            object_job("{\"commandName\":\"J\",\"command\":\"O:\\u0031\",\"batchId\":\"b\"}").unwrap();
        assert_eq!(
            (object.command(), object.batch_id(), object.name()),
            (Some("O:1"), Some("b"), "J")
        );
        assert!(object.is_object_job());
    }

    #[test]
    fn a_payload_does_not_show_its_contents() {
        let payload = with("\"data\":\"secret\"").unwrap();
        assert_eq!(
            format!("{payload:?}"),
            "Payload { uuid: None, name: \"A@b\", bytes: 29, .. }"
        );
    }

    #[test]
    fn size_and_depth_do_not_matter() {
        let deep = format!("\"data\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(with(&deep).unwrap().data().map(str::len), Some(200_000));
        let large = format!("{{\"command\":\"{}\"}}", "\\n".repeat(10_000_000));
        assert_eq!(
            object_job(&large).unwrap().command().map(str::len),
            Some(10_000_000)
        );
    }

    proptest! {
        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(Payload::parse(bytes.into()));
        }

        #[test]
        fn survives_nearly_right_texts(value in r#"[\[\]{}",:0-9eE.\\u+ntrfalse \-]{0,16}"#) {
            for name in ["job", "data", "backoff", "attempts", "uuid"] {
                if let Ok(payload) = with(&format!("\"{name}\":{value}")) {
                    prop_assert_eq!(payload.command().is_some(), payload.is_object_job());
                }
            }
        }
    }
}
