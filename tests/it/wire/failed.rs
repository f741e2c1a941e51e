//! Failure records: the exception's text, and payloads made ready for another try.

use serde_json::{Map, Value as Json, json};
use worker::wire::{Exception, Payload, edit, raw};

use super::{VERSIONS, fixture, fixtures, payload_texts, strings};

/// Takes the text of an exception apart and builds it again.
fn build_again(text: &str) -> String {
    let mut built: Option<Exception> = None;
    for part in text.split("\n\nNext ") {
        let (head, trace) = part.split_once("\nStack trace:\n").unwrap();
        let (what, place) = head.rsplit_once(" in ").unwrap();
        let (file, line) = place.rsplit_once(':').unwrap();
        let (class, message) = what.split_once(": ").unwrap_or((what, ""));
        let mut exception = Exception::new(class, message).at(file, line.parse().unwrap());
        for frame in trace.lines().filter(|frame| !frame.ends_with(" {main}")) {
            exception = exception.called_from(frame.split_once(' ').unwrap().1);
        }
        built = Some(match built {
            Some(previous) => exception.caused_by(previous),
            None => exception,
        });
    }
    built.unwrap().to_string()
}

#[test]
fn exceptions_have_the_shape_of_php() {
    let mut count = 0;
    for version in VERSIONS {
        for (path, json) in fixtures(version, "failed") {
            let mut texts = Vec::new();
            strings(
                &json,
                |text| text.contains("\nStack trace:\n#0") && text.ends_with("{main}"),
                &mut texts,
            );
            for text in texts {
                count += 1;
                assert_eq!(build_again(text), text, "{}", path.display());
            }
        }
    }
    assert!(count > 20, "only {count} exceptions found");
}

#[test]
fn the_frameworks_own_failures_read_the_same() {
    for version in ["12.67.0", "13.26.1"] {
        for (name, ours) in [
            (
                "max-attempts-exceeded",
                Exception::max_attempts_exceeded("App\\Jobs\\FailingJob"),
            ),
            (
                "timeout-max-tries",
                Exception::timeout_exceeded("App\\Jobs\\SlowRetryJob"),
            ),
        ] {
            let json = fixture(&format!("{version}/failed/{name}.json"));
            let theirs = json["failed_jobs_rows"][0]["exception"].as_str().unwrap();
            let head = format!("{}: {} in /", ours.class(), ours.message());
            assert!(theirs.starts_with(&head), "{version}: {head}");
            assert!(ours.to_string().starts_with(head.strip_suffix('/').unwrap()));
        }
    }
}

/// What a re-pushed payload is for PHP, with the marks that `json_decode` and `json_encode` leave:
/// empty objects are lists, large integers floats, floats without a fraction integers.
fn decoded(text: &[u8]) -> Map<String, Json> {
    let mut json: Map<String, Json> = serde_json::from_slice(text).unwrap();
    if let Some(data) = json
        .get_mut("data")
        .and_then(Json::as_object_mut)
        .filter(|data| data.contains_key("big"))
    {
        data.extend([
            ("o".to_owned(), json!([])),
            ("big".to_owned(), json!(0)),
            ("f".to_owned(), json!(1)),
        ]);
    }
    json
}

#[test]
fn a_retry_is_what_queue_retry_pushes() {
    let mut count = 0;
    for version in ["8.83.26", "12.67.0", "13.26.1"] {
        let json = fixture(&format!("{version}/failed/queue-retry.json"));
        for case in json["cases"].as_array().unwrap() {
            let before = case["failed_row"]["payload"]
                .as_str()
                .or(case["string_payload_before"].as_str());
            let after = [&case["redis_after_retry"], &case["jobs_rows_after_retry"]];
            let after = after.into_iter().flat_map(payload_texts).next().unwrap();
            let now = case["now_unix"].as_i64().unwrap_or(0);
            let mut ours = decoded(&edit::for_retry(before.unwrap().as_bytes(), None, now).unwrap());
            let mut theirs = decoded(after.as_bytes());
            // Laravel asked the class for a new time, in the second before or after; without `createdAt`
            // only the class can know it.
            let until =
                [&mut ours, &mut theirs].map(|json| json.remove("retryUntil").and_then(|at| at.as_i64()));
            if let [Some(ours), Some(theirs)] = until {
                assert!(
                    ours.abs_diff(theirs) <= 1 || version == "8.83.26",
                    "{version}: {ours} {theirs}"
                );
            }
            assert_eq!(ours, theirs, "{version}");
            count += 1;
        }
    }
    assert_eq!(count, 12);
}

#[test]
fn recorded_payloads_need_no_wrapper() {
    for version in VERSIONS {
        for (_, json) in fixtures(version, "failed") {
            for text in payload_texts(&json) {
                assert_eq!(raw::to_text(text.as_bytes(), raw::Nul::Refused), text);
                let payload = Payload::parse(text.to_owned().into()).unwrap();
                assert_eq!(payload.text(), text.as_bytes());
            }
        }
    }
}
