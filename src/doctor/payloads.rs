//! Payloads: whether they can be read, and opened. Nothing of them is shown but their form.

use super::catalogue::{PAYLOAD_NO_KEY, PAYLOAD_PACKED, PAYLOAD_UNREADABLE, PAYLOAD_WRONG_KEY};
use super::{Facts, Finding};
use crate::store::port::survey::QueueState;
use crate::wire::{Command, Payload};

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    facts
        .queues()
        .iter()
        .flat_map(|queue| one(facts, queue))
        .collect()
}

/// What was seen in the samples of one queue.
#[derive(Default)]
struct Tally {
    packed: Vec<&'static str>,
    unreadable: usize,
    encrypted: usize,
    closed: usize,
}

fn one(facts: &Facts<'_>, queue: &QueueState) -> Vec<Finding> {
    let mut tally = Tally::default();
    for sample in &queue.samples {
        match Payload::parse(sample.clone()) {
            Ok(payload) if payload.is_encrypted() => {
                tally.encrypted += 1;
                let opened = payload
                    .command()
                    .map(|text| Command::open(text, facts.keys.as_ref()));
                tally.closed += usize::from(matches!(opened, Some(Err(_))));
            }
            Ok(_) => {}
            Err(_) => match packed(sample) {
                Some(how) => tally.packed.push(how),
                None => tally.unreadable += 1,
            },
        }
    }
    found(facts, queue, &tally)
}

fn found(facts: &Facts<'_>, queue: &QueueState, tally: &Tally) -> Vec<Finding> {
    let subject = format!("queue {}", queue.queue);
    let seen = queue.samples.len();
    let mut findings = Vec::new();
    if let Some(how) = tally.packed.first() {
        let what = format!(
            "has payloads in the form of {how} ({} of {seen} looked at)",
            tally.packed.len()
        );
        let fix = "in config/database.php, take 'serializer' and 'compression' out of redis.options (or set them to \
                   NONE), or give queues a Redis connection without them; work off what is queued with PHP first";
        findings.push(PAYLOAD_PACKED.found(&subject, what, fix));
    }
    if tally.unreadable > 0 {
        let what = format!(
            "has payloads that are no jobs ({} of {seen} looked at)",
            tally.unreadable
        );
        findings.push(PAYLOAD_UNREADABLE.found(
            &subject,
            what,
            "find out who pushes them; worker inspect shows what is wrong with one",
        ));
    }
    if tally.encrypted > 0 && facts.keys.is_none() {
        let what = format!(
            "has encrypted jobs ({} of {seen} looked at), and APP_KEY is not set",
            tally.encrypted
        );
        findings.push(PAYLOAD_NO_KEY.found(&subject, what, "set APP_KEY to the application's"));
    } else if tally.closed > 0 {
        let what = format!(
            "has encrypted jobs that neither APP_KEY nor APP_PREVIOUS_KEYS opens ({} of {seen} looked at)",
            tally.closed
        );
        let fix = "set APP_KEY to the application's, and keys that were in use before as APP_PREVIOUS_KEYS";
        findings.push(PAYLOAD_WRONG_KEY.found(&subject, what, fix));
    }
    findings
}

/// What PHP's Redis client has made of a payload, by its first bytes.
fn packed(bytes: &[u8]) -> Option<&'static str> {
    let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
    let json_at = |places: std::ops::Range<usize>| {
        bytes
            .get(places)
            .is_some_and(|part| part.windows(2).any(|pair| pair == b"{\""))
    };
    let length = bytes
        .get(1..5)
        .and_then(|four| four.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    let longer = usize::try_from(length).is_ok_and(|length| length >= bytes.len() / 2 && length < 1 << 30);
    match at(0) {
        0 if bytes.starts_with(&[0, 0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 2]) => {
            Some("the igbinary serializer")
        }
        0x28 if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => Some("zstd compression"),
        b's' if at(1) == b':' && at(2).is_ascii_digit() => Some("the PHP serializer"),
        b'"' if at(1) == b'{' => Some("the JSON serializer"),
        0xa0..=0xbf | 0xd9..=0xdb if json_at(1..7) => Some("the msgpack serializer"),
        _ if longer && json_at(5..12) => Some("LZ4 compression"),
        0x01..=0x1f if json_at(1..4) => Some("LZF compression"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::testing::{Case, queue, redis_store};
    use super::super::{Seen, Severity};
    use super::*;

    fn with_samples(env: &[(&str, &str)], samples: &[&[u8]]) -> Case {
        let mut store = redis_store();
        let mut waiting = queue("mail", samples.len().try_into().unwrap());
        waiting.samples = samples
            .iter()
            .map(|sample| Bytes::copy_from_slice(sample))
            .collect();
        store.queues = Seen::Here(vec![waiting]);
        Case::redis(env).stores(vec![store])
    }

    #[test]
    fn packers_are_told_apart() {
        for (bytes, how) in [
            (
                &b"\0\0\0\x02\x11\x05{\"uuid\""[..],
                Some("the igbinary serializer"),
            ),
            (b"s:12:\"{\"uuid\":1}\";", Some("the PHP serializer")),
            (b"\"{\\\"uuid\\\":1}\"", Some("the JSON serializer")),
            (b"\xd9\x30{\"uuid\":\"hunter2\"}", Some("the msgpack serializer")),
            (
                b"\xda\x01\x30{\"uuid\":\"hunter2\"}",
                Some("the msgpack serializer"),
            ),
            (b"\x28\xb5\x2f\xfd\x04", Some("zstd compression")),
            (b"\x1f{\"uuid\":\"0123456789", Some("LZF compression")),
            (
                b"\x99\x20\0\0\0\xf2\x05{\"uuid\":\"0123456789",
                Some("LZ4 compression"),
            ),
            (b"{\"uuid\":", None),
            (b"", None),
            (b"hello", None),
        ] {
            assert_eq!(packed(bytes), how, "{bytes:?}");
        }
    }

    #[test]
    fn they_are_counted_and_not_shown() {
        let good = br#"{"uuid":"1","displayName":"A","job":"A@b","data":[]}"#;
        let case = with_samples(&[], &[good, b"s:2:\"hunter2\";", b"hunter2"]);
        assert_eq!(case.worst("payload.packed"), Some(Severity::Error));
        assert!(
            case.first("payload.packed")
                .what
                .contains("PHP serializer (1 of 3")
        );
        assert_eq!(case.worst("payload.unreadable"), Some(Severity::Warning));
        assert!(!format!("{:?}", case.findings).contains("hunter2"));
    }

    #[test]
    fn encrypted_jobs_need_their_key() {
        use crate::wire::{Cipher, Keys};
        let key = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let keys = Keys::parse(key, &[], Cipher::Aes256Cbc).unwrap();
        let object = crate::wire::php::Value::String(b"O:1:\"A\":0:{}".as_slice().into());
        let command = keys.encrypt_value(&object, [7; 16]).unwrap();
        let payload = format!(
            r#"{{"uuid":"1","job":"Illuminate\\Queue\\CallQueuedHandler@call","data":{{"commandName":"A","command":"{command}"}}}}"#
        );
        let codes = |env: &[(&str, &str)]| {
            let case = with_samples(env, &[payload.as_bytes()]);
            [case.count("payload.no-key"), case.count("payload.wrong-key")]
        };
        assert_eq!(codes(&[]), [1, 0]);
        assert_eq!(codes(&[("APP_KEY", key)]), [0, 0]);
        assert_eq!(codes(&[("APP_KEY", "0123456789abcdef0123456789abcdef")]), [0, 1]);
    }
}
