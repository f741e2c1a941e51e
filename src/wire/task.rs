//! Tasks of queues that Rust producers write (apalis), and the payloads they are run under.
//!
//! A task is JSON of any form, without an envelope; which job it is for, its limits and its identity stand
//! beside it. The rest of the worker knows envelopes only. So a driver makes one of each task that it takes,
//! and a task of each envelope that it is given. This is the one place that says how; `docs/wire.md` has it
//! as a table.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ulid::Ulid;
use uuid::Uuid;

use super::compose::Members;
use super::payload::Payload;
use super::scan::{self, Raw, Scanner};

/// Attempts that a task is given when nobody says how many: apalis' own default.
pub const MAX_ATTEMPTS: u32 = 25;

/// Before each of our names among a task's metadata.
const OURS: &str = "worker.";
/// Under this name stands what a task's data is when it is no task: a payload, kept whole.
const KEPT: &str = "worker.payload";
/// The member that carries what an envelope has no other place for.
const MORE: &str = "apalis";

/// Members between `job` and `data` that stand among the metadata under their own name, and what they are
/// when they do not.
const BEFORE: &[(&str, Form, &str)] = &[
    ("maxExceptions", Form::Bare, "null"),
    ("failOnTimeout", Form::Bare, "false"),
    ("backoff", Form::Text, "null"),
    ("timeout", Form::Bare, "null"),
];

/// A task as it lies in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Task {
    /// Its id; a ULID unless the producer chose otherwise.
    pub id: String,
    /// What the producer's codec made of the job: JSON.
    pub data: Bytes,
    /// Attempts that it is given.
    pub max_attempts: u32,
    /// Tasks of a higher one go first; 0 is usual.
    pub priority: i32,
    /// The producer's key against doubles.
    pub idempotency_key: Option<String>,
    /// Words that go with it, the producer's and ours.
    pub metadata: BTreeMap<String, String>,
}

/// How a member is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As a string, unless it is null.
    Text,
    /// As a number or a word.
    Bare,
}

/// What a task knows and no envelope does.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct More {
    #[serde(default, skip_serializing_if = "is_usual")]
    priority: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_usual(priority: &i32) -> bool {
    *priority == 0
}

impl Task {
    /// The payload under which a task of `queue` is run, the same for every attempt.
    ///
    /// It is a string job: `job` is the queue's name with `@handle`, unless the metadata says otherwise
    /// (`worker.job`), and `data` is the task's own text, byte for byte. Data that is no JSON is given as it
    /// is, for the failed jobs; nothing can be run of it.
    #[must_use]
    pub fn payload(&self, queue: &str) -> Bytes {
        if self.metadata.contains_key(KEPT) {
            return self.data.clone();
        }
        let Ok(data) = std::str::from_utf8(&self.data) else {
            return self.data.clone();
        };
        let mut out = self.before(queue);
        out.raw("data", "");
        let start = out.len();
        out.append(data);
        let end = out.len();
        self.after(&mut out);
        let text = out.end();
        if stands_alone(&text, start..end) {
            text.into()
        } else {
            self.data.clone()
        }
    }

    /// The task that carries a payload; `id` is its new id, a ULID.
    ///
    /// A string job whose text is exactly what [`Task::payload`] makes of a task becomes that task, which any
    /// worker of its queue can run. Any other payload is kept whole: only this worker knows what it is.
    #[must_use]
    pub fn of(payload: &Bytes, queue: &str, id: &str) -> Self {
        let plain = Self::plain(payload, queue, id).filter(|task| task.payload(queue) == *payload);
        plain.unwrap_or_else(|| {
            let tries = Payload::parse(payload.clone())
                .ok()
                .and_then(|read| read.max_tries());
            Self {
                id: id.to_owned(),
                data: payload.clone(),
                max_attempts: attempts_for(tries),
                metadata: BTreeMap::from([(KEPT.to_owned(), "whole".to_owned())]),
                ..Self::default()
            }
        })
    }

    /// When the task was made, in milliseconds of Unix time, as its id tells.
    #[must_use]
    pub fn made_at_ms(id: &str) -> Option<u64> {
        Ulid::from_string(id).ok().map(|ulid| ulid.timestamp_ms())
    }

    fn before(&self, queue: &str) -> Members {
        let job = self.ours("job").map_or_else(|| job_of(queue), str::to_owned);
        let mut out = Members::begin();
        out.string(
            "uuid",
            &self.ours("uuid").map_or_else(|| uuid_of(&self.id), str::to_owned),
        );
        out.string(
            "displayName",
            self.ours("displayName").unwrap_or_else(|| class_of(&job)),
        );
        out.string("job", &job);
        let tries = self.max_attempts.to_string();
        write(
            &mut out,
            "maxTries",
            Form::Bare,
            self.ours("maxTries").unwrap_or(&tries),
        );
        for (name, form, usual) in BEFORE {
            write(&mut out, name, *form, self.ours(name).unwrap_or(usual));
        }
        if let Some(until) = self.ours("retryUntil") {
            write(&mut out, "retryUntil", Form::Bare, until);
        }
        out
    }

    fn after(&self, out: &mut Members) {
        let made = made_at(&self.id);
        write(
            out,
            "createdAt",
            Form::Bare,
            self.ours("createdAt").unwrap_or(&made),
        );
        write(out, "delay", Form::Bare, self.ours("delay").unwrap_or("null"));
        let theirs = self.metadata.iter().filter(|(name, _)| !name.starts_with(OURS));
        let more = More {
            priority: self.priority,
            idempotency_key: self.idempotency_key.clone(),
            metadata: theirs
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        };
        if more != More::default() {
            // A map of strings is always JSON.
            out.raw(MORE, &serde_json::to_string(&more).unwrap_or_default());
        }
    }

    fn ours(&self, name: &str) -> Option<&str> {
        self.metadata.get(&format!("{OURS}{name}")).map(String::as_str)
    }

    /// The task that may have been this payload: `None` when it cannot have been one.
    fn plain(payload: &Bytes, queue: &str, id: &str) -> Option<Self> {
        let Some(members) = members(payload) else {
            // What is no JSON came from a task that was none either.
            return Some(Self {
                id: id.to_owned(),
                data: payload.clone(),
                max_attempts: MAX_ATTEMPTS,
                ..Self::default()
            });
        };
        let text = std::str::from_utf8(payload).ok()?;
        let said = |name: &str| Some(members.get(name)?.unescaped(text).into_owned());
        let (job, tries) = (said("job")?, said("maxTries")?);
        let more: More = match members.get(MORE) {
            Some(raw) => serde_json::from_str(raw.text(text)).ok()?,
            None => More::default(),
        };
        let read = tries.parse::<u32>().ok();
        let mut task = Self {
            id: id.to_owned(),
            data: payload.slice(with_space(text, members.get("data")?.span())),
            max_attempts: attempts_for(read),
            priority: more.priority,
            idempotency_key: more.idempotency_key,
            metadata: more.metadata,
        };
        let counted = task.max_attempts.to_string();
        task.remember("uuid", said("uuid")?, &uuid_of(id));
        task.remember("displayName", said("displayName")?, class_of(&job));
        task.remember("job", job, &job_of(queue));
        task.remember("maxTries", tries, &counted);
        for (name, _, usual) in BEFORE {
            task.remember(name, said(name)?, usual);
        }
        if let Some(until) = said("retryUntil") {
            task.remember("retryUntil", until, "");
        }
        task.remember("createdAt", said("createdAt")?, &made_at(id));
        task.remember("delay", said("delay")?, "null");
        Some(task)
    }

    fn remember(&mut self, name: &str, value: String, usual: &str) {
        if value != usual {
            self.metadata.insert(format!("{OURS}{name}"), value);
        }
    }
}

/// The attempts written beside a task whose payload says this of its tries.
fn attempts_for(tries: Option<u32>) -> u32 {
    match tries {
        None => MAX_ATTEMPTS,
        // No limit; the columns are signed.
        Some(0) => u32::MAX >> 1,
        Some(tries) => tries.min(u32::MAX >> 1),
    }
}

fn job_of(queue: &str) -> String {
    format!("{queue}@handle")
}

fn class_of(job: &str) -> &str {
    job.split_once('@').map_or(job, |(class, _)| class)
}

/// The 128 bits of a ULID in a UUID's form; any other id gives a UUID of its own.
fn uuid_of(id: &str) -> String {
    let ulid = Ulid::from_string(id)
        .ok()
        .map(|ulid| Uuid::from_u128(ulid.into()));
    let uuid = ulid.or_else(|| Uuid::parse_str(id).ok());
    uuid.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()))
        .to_string()
}

/// When an id was made, in seconds.
fn made_at(id: &str) -> String {
    match Task::made_at_ms(id) {
        Some(ms) => ms.checked_div(1000).unwrap_or_default().to_string(),
        None => "null".to_owned(),
    }
}

/// Writes a member from its metadata; what does not fit its form is written as a string, so that reading the
/// payload names the member.
fn write(out: &mut Members, name: &str, form: Form, value: &str) {
    let bare = match form {
        Form::Text => value == "null",
        Form::Bare => {
            matches!(value, "null" | "true" | "false")
                || value.parse::<i64>().is_ok_and(|n| n.to_string() == value)
        }
    };
    if bare {
        out.raw(name, value);
    } else {
        out.string(name, value);
    }
}

/// The members of a text that is one object, none of them twice.
fn members(payload: &[u8]) -> Option<BTreeMap<String, Raw>> {
    let text = scan::utf8(payload).ok()?;
    let mut members = BTreeMap::new();
    let mut twice = false;
    Scanner::new(text)
        .document(|scanner, key| {
            let value = scanner.value()?;
            twice |= members.insert(key.unescaped(text).into_owned(), value).is_some();
            Ok(())
        })
        .ok()?;
    (!twice).then_some(members)
}

/// The range and the white space around it, of which a payload of ours has none but the data's own.
fn with_space(text: &str, range: Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    let behind = after.len().saturating_sub(after.trim_ascii_start().len());
    before.trim_ascii_end().len()..range.end.saturating_add(behind)
}

/// Whether the value of `data` is what stands in this range, and nothing of it is anything else.
fn stands_alone(text: &str, range: Range<usize>) -> bool {
    let Some(members) = members(text.as_bytes()) else {
        return false;
    };
    let inside = text.get(range.clone()).unwrap_or_default();
    let front = inside.len().saturating_sub(inside.trim_ascii_start().len());
    let start = range.start.saturating_add(front);
    let end = start.saturating_add(inside.trim_ascii().len());
    members.get("data").is_some_and(|raw| raw.span() == (start..end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::compose::{NewPayload, Work};

    const ID: &str = "01KAQ4D6G0ZZZZZZZZZZZZZZZZ";

    fn task(data: &str) -> Task {
        Task {
            id: ID.to_owned(),
            data: data.to_owned().into(),
            max_attempts: 5,
            ..Task::default()
        }
    }

    fn text(task: &Task) -> String {
        String::from_utf8(task.payload("mail").to_vec()).unwrap()
    }

    #[test]
    fn a_task_becomes_a_string_job() {
        let uuid = uuid_of(ID);
        let made = Task::made_at_ms(ID).unwrap() / 1000;
        assert_eq!(
            text(&task(r#"{"to": [],"n":9007199254740993}"#)),
            format!(
                r#"{{"uuid":"{uuid}","displayName":"mail","job":"mail@handle","maxTries":5,"maxExceptions":null,"failOnTimeout":false,"backoff":null,"timeout":null,"data":{{"to": [],"n":9007199254740993}},"createdAt":{made},"delay":null}}"#
            )
        );
        let payload = Payload::parse(task("7").payload("app::Mail")).unwrap();
        assert_eq!(
            (payload.job(), payload.name(), payload.data()),
            ("app::Mail@handle", "app::Mail", Some("7"))
        );
        assert_eq!(payload.max_tries(), Some(5));
    }

    #[test]
    fn the_metadata_say_what_columns_do_not() {
        let mut task = task("{}");
        for (name, value) in [
            ("worker.job", "App\\Mail@send"),
            ("worker.timeout", "30"),
            ("worker.backoff", "60,300"),
            ("worker.retryUntil", "99"),
            ("worker.failOnTimeout", "true"),
            ("worker.maxTries", "0"),
            ("trace", "abc"),
        ] {
            task.metadata.insert(name.to_owned(), value.to_owned());
        }
        task.priority = -3;
        let payload = Payload::parse(task.payload("mail")).unwrap();
        assert_eq!((payload.job(), payload.name()), ("App\\Mail@send", "App\\Mail"));
        assert_eq!(
            (payload.timeout(), payload.backoff()),
            (Some(30), Some(vec![60, 300]))
        );
        assert_eq!((payload.retry_until(), payload.max_tries()), (Some(99), Some(0)));
        assert!(payload.fail_on_timeout());
        let back = Task::of(payload.text(), "mail", ID);
        assert_eq!((back.max_attempts, back.priority), (u32::MAX >> 1, -3));
        assert_eq!(back.metadata, task.metadata);
    }

    #[test]
    fn a_mistake_in_the_metadata_is_named() {
        let mut task = task("{}");
        task.metadata
            .insert("worker.timeout".to_owned(), "soon".to_owned());
        let error = Payload::parse(task.payload("mail")).unwrap_err().to_string();
        assert!(error.contains("`timeout`"), "{error}");
    }

    #[test]
    fn a_new_string_job_is_a_plain_task() {
        let work = Work::Json {
            job: "mail@handle",
            data: "{\"a\":1}",
        };
        let mut new = NewPayload::new("5b1c6f0e-0000-4000-8000-000000000001", work, 5);
        new.max_tries = Some(3);
        new.backoff = Some(&[1, 2]);
        new.delay = Some(9);
        let payload = Bytes::from(new.encode().unwrap());
        let task = Task::of(&payload, "mail", ID);
        assert_eq!((&*task.data, task.max_attempts), (&b"{\"a\":1}"[..], 3));
        assert!(!task.metadata.contains_key(KEPT));
        assert_eq!(task.payload("mail"), payload);
    }

    #[test]
    fn what_is_no_string_job_of_ours_is_kept_whole() {
        for text in [
            "[1]",
            "null",
            "{}",
            r#"{"attempts":"many"}"#,
            r#"{"job":"A@b","data":1,"x":2}"#,
        ] {
            let task = Task::of(&Bytes::copy_from_slice(text.as_bytes()), "mail", ID);
            assert!(task.metadata.contains_key(KEPT), "{text}");
            assert_eq!(task.payload("mail"), text.as_bytes());
        }
        let bytes = Bytes::from_static(b"\xff{");
        assert_eq!(Task::of(&bytes, "mail", ID).payload("mail"), bytes);
    }

    #[test]
    fn data_cannot_reach_out_of_its_place() {
        for data in ["1,\"job\":\"evil\"", "1}", "", "{} {}", "1,\"data\":2"] {
            assert_eq!(text(&task(data)), data);
        }
        let spaced = task(" 1 ");
        assert!(text(&spaced).contains("\"data\": 1 ,"));
        assert_eq!(&*Task::of(&spaced.payload("mail"), "mail", ID).data, b" 1 ");
    }

    proptest! {
        #[test]
        fn every_payload_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
            let payload = Bytes::from(bytes);
            prop_assert_eq!(Task::of(&payload, "mail", ID).payload("mail"), payload);
        }

        #[test]
        fn every_task_comes_back(
            data in prop::sample::select(vec!["{}", "[]", " 7", "\"x\"", "null", "{\"apalis\":1}"]),
            max_attempts in 1..99_u32,
            priority in -5..5_i32,
            key in proptest::option::of("[a-z]{1,3}"),
            metadata in prop::collection::btree_map("(worker\\.)?(timeout|delay|uuid|job|backoff|x)", "[0-9a-z@]{0,3}", 0..4),
        ) {
            let task = Task { id: ID.to_owned(), data: data.into(), max_attempts, priority, idempotency_key: key, metadata };
            let payload = task.payload("mail");
            let back = Task::of(&payload, "mail", ID);
            prop_assert_eq!(back.payload("mail"), payload);
            prop_assert_eq!((back.priority, back.max_attempts), (task.priority, task.max_attempts));
        }
    }
}
