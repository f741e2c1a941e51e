//! Reserved copies: the text that was taken with one number changed, whatever else stands in it.

use std::time::Duration;

use bytes::Bytes;
use worker::store::port::{Held, NewJob, QueueName, Settle};

use super::engine::{queues, settle, take, take_one, uuid};
use super::redis_laravel::{RECORDED, Wire, recording, text};

const Q: &str = "mail";

async fn push(wire: &Wire, payload: &[u8]) {
    let job = NewJob {
        queue: QueueName::new(Q),
        payload: Bytes::copy_from_slice(payload),
        delay: None,
    };
    wire.queue.push(&[job]).await.expect("push");
}

/// What stands in `:reserved` after `payload` was taken, and its attempt.
async fn copy_of(payload: &[u8]) -> (Vec<u8>, u32) {
    let wire = Wire::new();
    push(&wire, payload).await;
    let job = take_one(&*wire.queue, Q).await;
    assert_eq!(job.payload, payload);
    let copy = wire.redis.queue(Q).reserved.remove(0).payload.0;
    // The receipt names exactly this member.
    assert_eq!(settle(&*wire.queue, &job, Settle::Delete).await, Held::Yes);
    assert!(wire.redis.queue(Q).is_empty());
    (copy, job.attempts)
}

/// Every recorded payload keeps its bytes, where Laravel's own script damages them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_payloads_keep_their_bytes() {
    for path in RECORDED {
        let file = recording(&path.replace("{}", "cjson-reencode"));
        for case in ["cases", "real_jobs"]
            .iter()
            .flat_map(|list| file[list].as_array().expect("cases"))
        {
            for member in ["before", "reserved"] {
                let Some(before) = case[member].as_str() else {
                    continue;
                };
                let json: serde_json::Value = serde_json::from_str(before).expect("JSON");
                let Some(attempts) = json["attempts"].as_u64() else {
                    continue;
                };
                let number = |attempts: u64| format!("\"attempts\":{attempts}");
                let expected = before.replacen(&number(attempts), &number(attempts + 1), 1);
                let (copy, attempt) = copy_of(before.as_bytes()).await;
                assert_eq!(String::from_utf8_lossy(&copy), expected);
                assert_eq!(u64::from(attempt), attempts + 1);
            }
        }
    }
}

/// The number is found wherever it may stand, and nothing else is taken for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_is_found() {
    let table = [
        (r#"{"attempts":0}"#, r#"{"attempts":1}"#, 1),
        (
            r#"{"attempts":9,"delay":600}"#,
            r#"{"attempts":10,"delay":600}"#,
            10,
        ),
        (
            r#"{"a":1,"attempts":99,"delay":null}"#,
            r#"{"a":1,"attempts":100,"delay":null}"#,
            100,
        ),
        (
            "{ \"attempts\" : 4 ,\n\"b\": [] }",
            "{ \"attempts\" : 5 ,\n\"b\": [] }",
            5,
        ),
        // Another number of that name, deeper.
        (
            r#"{"attempts":1,"data":{"attempts":1}}"#,
            r#"{"attempts":2,"data":{"attempts":1}}"#,
            2,
        ),
        (
            r#"{"data":{"attempts":1},"attempts":1,"z":{"attempts":1}}"#,
            r#"{"data":{"attempts":1},"attempts":2,"z":{"attempts":1}}"#,
            2,
        ),
        // The name inside a text.
        (
            r#"{"t":"\"attempts\":3","attempts":2,"z":",\"attempts\":3}"}"#,
            r#"{"t":"\"attempts\":3","attempts":3,"z":",\"attempts\":3}"}"#,
            3,
        ),
        // Said twice, the last one counts, for PHP too.
        (
            r#"{"attempts":5,"x":[],"attempts":1,"z":0}"#,
            r#"{"attempts":5,"x":[],"attempts":2,"z":0}"#,
            2,
        ),
    ];
    for (payload, expected, attempt) in table {
        let (copy, attempts) = copy_of(payload.as_bytes()).await;
        assert_eq!(
            (String::from_utf8_lossy(&copy).as_ref(), attempts),
            (expected, attempt)
        );
    }
}

/// Where the number cannot be edited in place the copy is written anew, as Laravel does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_numbers_are_written_anew() {
    for (payload, attempt) in [
        (&br#"{"attempts":"2"}"#[..], 3),
        (br#"{"attempts":2.0}"#, 3),
        (br#"{"attempt\u0073":2}"#, 3),
        (br#"{"attempts":-3}"#, 1),
        (br#"{"attempts":12345678901}"#, u32::MAX),
    ] {
        let (copy, attempts) = copy_of(payload).await;
        assert_eq!(attempts, attempt);
        let before: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        let before = before["attempts"]
            .as_f64()
            .or_else(|| text(&before["attempts"]).parse().ok());
        let after: serde_json::Value = serde_json::from_slice(&copy).expect("JSON");
        assert_eq!(after["attempts"].as_f64(), before.map(|before| before + 1.0));
    }
}

/// What cannot be read is kept as it is, NUL bytes and broken UTF-8 too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_kept() {
    let deep = "[".repeat(5000);
    let unreadable: [&[u8]; 8] = [
        b"",
        b"\0\0",
        b"\xff\xfe",
        b"{\"attempts\":}",
        b"{\"attempts\":null}",
        b"{\"attempts\":true}",
        b"{\"data\":{\"attempts\":1}}",
        deep.as_bytes(),
    ];
    for payload in unreadable {
        assert_eq!(copy_of(payload).await, (payload.to_vec(), 1));
    }
}

/// Garbage that lapses comes back as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_comes_back() {
    let wire = Wire::new();
    push(&wire, b"\xff").await;
    let lease = Duration::from_secs(1);
    let first = wire
        .queue
        .reserve(&queues(&[Q]), 1, lease)
        .await
        .expect("reserve");
    let again = take_one(&*wire.queue, Q).await;
    assert_eq!((again.payload.as_ref(), again.attempts), (&b"\xff"[..], 1));
    // Byte for byte the same member, and still the old receipt is of no use.
    assert_eq!(settle(&*wire.queue, &first[0], Settle::Delete).await, Held::Lost);
    assert_eq!(
        settle(&*wire.queue, &again, Settle::Refund { delay: None }).await,
        Held::Yes
    );
    assert_eq!(wire.redis.queue(Q).ready[0].0, b"\xff");
}

/// A twin of a reserved job keeps its place and holds up nobody behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_keeps_its_place() {
    let wire = Wire::new();
    let job = |uuid: &str| format!("{{\"uuid\":\"{uuid}\",\"attempts\":0}}");
    for uuid in ["same", "same", "x", "same", "y", "z"] {
        push(&wire, job(uuid).as_bytes()).await;
    }
    let jobs = take(&*wire.queue, Q, 2).await;
    assert_eq!(jobs.iter().map(uuid).collect::<Vec<_>>(), ["same", "x"]);
    let left = |wire: &Wire| -> Vec<String> {
        wire.redis
            .queue(Q)
            .ready
            .iter()
            .map(harness::Payload::uuid)
            .collect()
    };
    assert_eq!(left(&wire), ["same", "same", "y", "z"]);
    assert_eq!(uuid(&take(&*wire.queue, Q, 1).await[0]), "y");
    assert_eq!(left(&wire), ["same", "same", "z"]);
    assert_eq!(settle(&*wire.queue, &jobs[0], Settle::Delete).await, Held::Yes);
    assert_eq!(uuid(&take(&*wire.queue, Q, 1).await[0]), "same");
    assert_eq!(left(&wire), ["same", "z"]);
    assert_eq!(wire.redis.queue(Q).notify, 2);
}

/// Twenty megabytes are a payload like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_payload_is_carried() {
    let data = "x".repeat(20 << 20);
    let payload = format!("{{\"data\":\"{data}\",\"attempts\":0,\"delay\":null}}");
    let (copy, attempts) = copy_of(payload.as_bytes()).await;
    assert_eq!((copy.len(), attempts), (payload.len(), 1));
    assert!(copy.ends_with(b"\"attempts\":1,\"delay\":null}"));
}
