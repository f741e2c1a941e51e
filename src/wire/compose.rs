//! New payloads, with the members and the order of Laravel 12.

use serde_json::Value as Json;

use super::php::{self, Value};
use super::{Error, Payload, edit, json};

/// What a new payload asks to be run.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    /// A job object, to be serialized.
    Object(&'a Value),
    /// A job object that is encrypted already (`ShouldBeEncrypted`).
    Encrypted {
        /// Its class, which stays readable.
        class: &'a str,
        /// The text of [`Keys::encrypt_value`](super::Keys::encrypt_value) over the serialized object
        /// as a string.
        command: &'a str,
    },
    /// A string job: a method and its data.
    Handler {
        /// `Class@method`, or `Class` for its `fire` method.
        job: &'a str,
        /// Any JSON.
        data: &'a Json,
    },
    /// The same with data that is JSON text already, which is taken over as it is.
    Json {
        /// `Class@method`.
        job: &'a str,
        /// One JSON value.
        data: &'a str,
    },
}

/// A payload to be written. Absent options are written as `null`, as Laravel does.
#[derive(Debug, Clone)]
pub struct NewPayload<'a> {
    /// A new random UUID.
    pub uuid: &'a str,
    /// What is to be run.
    pub work: Work<'a>,
    /// The name to show; else the class.
    pub display_name: Option<&'a str>,
    /// The most attempts; 0 = no limit.
    pub max_tries: Option<u32>,
    /// The most exceptions.
    pub max_exceptions: Option<u32>,
    /// Whether a timeout fails the job for good.
    pub fail_on_timeout: bool,
    /// Seconds before each next attempt.
    pub backoff: Option<&'a [u64]>,
    /// Seconds that an attempt may run; 0 = no limit.
    pub timeout: Option<u64>,
    /// Unix time in seconds after which no attempt may start; object jobs only.
    pub retry_until: Option<i64>,
    /// Unix time in seconds of the dispatch.
    pub created_at: i64,
    /// Seconds until the first attempt.
    pub delay: Option<i64>,
    /// For Redis: the payload's own id (32 random characters) and the attempts so far.
    pub redis: Option<(&'a str, u64)>,
}

impl<'a> NewPayload<'a> {
    /// A payload with no options, for a store that keeps id and attempts in columns.
    #[must_use]
    pub const fn new(uuid: &'a str, work: Work<'a>, created_at: i64) -> Self {
        Self {
            uuid,
            work,
            display_name: None,
            max_tries: None,
            max_exceptions: None,
            fail_on_timeout: false,
            backoff: None,
            timeout: None,
            retry_until: None,
            created_at,
            delay: None,
            redis: None,
        }
    }

    /// Writes the text.
    ///
    /// # Errors
    /// [`Error::Field`] when the work is not an object, or holds bytes that are not UTF-8 (Laravel refuses
    /// these too).
    pub fn encode(&self) -> Result<String, Error> {
        let work = self.work.prepare()?;
        let mut out = Members::begin();
        out.string("uuid", self.uuid);
        out.string("displayName", self.display_name.unwrap_or(work.name));
        out.string("job", work.job);
        out.option("maxTries", self.max_tries);
        out.option("maxExceptions", self.max_exceptions);
        out.raw(
            "failOnTimeout",
            if self.fail_on_timeout { "true" } else { "false" },
        );
        match self.backoff {
            Some(seconds) => {
                let seconds: Vec<String> = seconds.iter().map(u64::to_string).collect();
                out.string("backoff", &seconds.join(","));
            }
            None => out.raw("backoff", "null"),
        }
        out.option("timeout", self.timeout);
        if !matches!(self.work, Work::Handler { .. } | Work::Json { .. }) {
            out.option("retryUntil", self.retry_until);
        }
        out.raw("data", &work.data);
        out.raw("createdAt", &self.created_at.to_string());
        if let Some((id, attempts)) = self.redis {
            out.string("id", id);
            out.raw("attempts", &attempts.to_string());
        }
        out.option("delay", self.delay);
        Ok(out.end())
    }
}

/// Checks a payload that was written elsewhere (`dispatch --raw`), for pushing it as it is.
///
/// For Redis give the id and the attempts that it gets where it has none; every other byte stays.
///
/// # Errors
/// Those of [`Payload::parse`].
pub fn raw(text: &[u8], redis: Option<&str>) -> Result<Vec<u8>, Error> {
    let payload = Payload::parse(bytes::Bytes::copy_from_slice(text))?;
    match redis {
        Some(id) => edit::with_id_and_attempts(text, id, payload.attempts().unwrap_or(0)),
        None => Ok(text.to_vec()),
    }
}

/// The members that differ by kind of work.
struct Prepared<'a> {
    name: &'a str,
    job: &'a str,
    data: String,
}

impl<'a> Work<'a> {
    fn prepare(self) -> Result<Prepared<'a>, Error> {
        match self {
            Self::Object(value) => {
                let Value::Object(object) = value else {
                    return Err(Error::Field("a job must be an object".to_owned()));
                };
                let command = String::from_utf8(php::encode(value))
                    .map_err(|_| Error::Field("a job cannot hold bytes that are not UTF-8".to_owned()))?;
                Ok(Self::of_command(&object.class, &command))
            }
            Self::Encrypted { class, command } => Ok(Self::of_command(class, command)),
            Self::Handler { job, data } => Ok(Self::of_handler(job, json::encode(data))),
            Self::Json { job, data } => Ok(Self::of_handler(job, data.to_owned())),
        }
    }

    fn of_handler(job: &'a str, data: String) -> Prepared<'a> {
        let name = job.split_once('@').map_or(job, |(class, _)| class);
        Prepared { name, job, data }
    }

    fn of_command(class: &'a str, command: &str) -> Prepared<'a> {
        let mut data = Members::begin();
        data.string("commandName", class);
        data.string("command", command);
        data.raw("batchId", "null");
        Prepared {
            name: class,
            job: super::payload::OBJECT_HANDLER,
            data: data.end(),
        }
    }
}

/// A JSON object while it is written.
pub(super) struct Members(String);

impl Members {
    pub(super) fn begin() -> Self {
        Self(String::from("{"))
    }

    pub(super) fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        json::write_string(name, &mut self.0);
        self.0.push(':');
        self.0.push_str(value);
    }

    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.raw(name, "");
        json::write_string(value, &mut self.0);
    }

    fn option(&mut self, name: &str, value: Option<impl ToString>) {
        self.raw(
            name,
            &value.map_or_else(|| "null".to_owned(), |value| value.to_string()),
        );
    }

    /// Adds to the last value.
    pub(super) fn append(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// How many bytes are written.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_objects_of_text_can_be_jobs() {
        let encode = |value: &Value| NewPayload::new("u", Work::Object(value), 1).encode();
        assert!(encode(&Value::Int(5)).is_err());
        let mut object = php::build::object("J", &serde_json::Map::new()).unwrap();
        assert!(encode(&object).is_ok());
        if let Value::Object(object) = &mut object {
            object.properties.push(("x".into(), Value::String(vec![0xFF])));
        }
        assert!(encode(&object).is_err());
    }

    #[test]
    fn what_is_written_can_be_read() {
        let data = json!({"a": [1]});
        let mut new = NewPayload::new(
            "u",
            Work::Handler {
                job: "A\\B@c",
                data: &data,
            },
            5,
        );
        new.backoff = Some(&[1, 2]);
        new.redis = Some(("x", 3));
        let payload = Payload::parse(new.encode().unwrap().into()).unwrap();
        assert_eq!(
            (payload.job(), payload.name(), payload.id()),
            ("A\\B@c", "A\\B", Some("x"))
        );
        assert_eq!(
            (payload.attempts(), payload.backoff()),
            (Some(3), Some(vec![1, 2]))
        );
        assert_eq!(payload.data(), Some("{\"a\":[1]}"));
    }

    #[test]
    fn raw_texts_are_only_completed() {
        let text = br#"{ "job":"A","data":[] }"#;
        assert_eq!(raw(text, None).unwrap(), text);
        assert_eq!(
            raw(text, Some("i")).unwrap(),
            br#"{ "job":"A","data":[],"id":"i","attempts":0 }"#
        );
        assert!(raw(b"{}", None).is_err());
    }
}
