//! Payloads and commands: read, written back, composed, edited.

use serde_json::{Map, Value as Json};
use worker::wire::compose::{NewPayload, Work};
use worker::wire::php::{self, Value};
use worker::wire::{Command, Payload, edit};

use super::{VERSIONS, all_fixtures, first_payload, fixture, fixtures, keys, payload_texts, strings};

fn parse(text: &str) -> Payload {
    Payload::parse(text.to_owned().into()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_payload_is_read() {
    let mut count = 0;
    for (path, json) in all_fixtures() {
        for text in payload_texts(&json) {
            count += 1;
            let payload = parse(text);
            let whole: Json = serde_json::from_str(text).unwrap();
            let path = path.display();
            assert_eq!(payload.uuid(), whole["uuid"].as_str(), "{path}");
            assert_eq!(payload.id(), whole["id"].as_str(), "{path}");
            assert_eq!(payload.display_name(), whole["displayName"].as_str(), "{path}");
            assert_eq!(Some(payload.job()), whole["job"].as_str(), "{path}");
            assert_eq!(payload.attempts(), whole["attempts"].as_u64(), "{path}");
            assert_eq!(
                payload.max_tries().map(u64::from),
                whole["maxTries"].as_u64(),
                "{path}"
            );
            assert_eq!(
                payload.fail_on_timeout(),
                whole["failOnTimeout"] == true,
                "{path}"
            );
            assert_eq!(payload.timeout(), whole["timeout"].as_u64(), "{path}");
            assert_eq!(payload.retry_until(), whole["retryUntil"].as_i64(), "{path}");
            assert_eq!(payload.created_at(), whole["createdAt"].as_i64(), "{path}");
            assert_eq!(payload.delay(), whole["delay"].as_i64(), "{path}");
            assert_eq!(payload.batch_id(), whole["data"]["batchId"].as_str(), "{path}");
            assert_eq!(payload.command(), whole["data"]["command"].as_str(), "{path}");
            assert_eq!(
                payload.command_name(),
                whole["data"]["commandName"].as_str(),
                "{path}"
            );
        }
    }
    assert!(count > 700, "only {count} payloads found");
}

#[test]
fn every_command_comes_back_the_same() {
    for (path, json) in all_fixtures() {
        for text in payload_texts(&json) {
            let payload = parse(text);
            let Some(text) = payload.command() else { continue };
            let command = Command::open(text, Some(&keys())).unwrap();
            assert_eq!(
                Some(command.class()),
                payload.command_name(),
                "{}",
                path.display()
            );
            if !command.is_encrypted() {
                assert_eq!(
                    php::encode(command.value()),
                    text.as_bytes(),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

/// Chained jobs, cached values, batch options: whatever else PHP serialized.
#[test]
fn every_other_object_comes_back_the_same() {
    let mut found = 0;
    for (path, json) in all_fixtures() {
        let mut texts = Vec::new();
        strings(
            &json,
            |text| text.starts_with("O:") || text.starts_with("a:"),
            &mut texts,
        );
        for text in texts {
            found += 1;
            let value = php::decode(text.as_bytes()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(php::encode(&value), text.as_bytes(), "{}", path.display());
        }
    }
    assert!(found > 100, "only {found} texts found");
}

/// Takes a recorded payload apart and composes it anew.
fn compose_again(text: &str) -> String {
    let old = parse(text);
    let command = old.command().map(|text| php::decode(text.as_bytes()).unwrap());
    let data: Json = serde_json::from_str(old.data().unwrap()).unwrap();
    let work = match &command {
        Some(object) => Work::Object(object),
        None => Work::Handler {
            job: old.job(),
            data: &data,
        },
    };
    let backoff = old.backoff();
    let new = NewPayload {
        display_name: old
            .display_name()
            .filter(|name| Some(*name) != old.command_name()),
        max_tries: old.max_tries(),
        max_exceptions: old.max_exceptions(),
        fail_on_timeout: old.fail_on_timeout(),
        backoff: backoff.as_deref(),
        timeout: old.timeout(),
        retry_until: old.retry_until(),
        delay: old.delay(),
        redis: old.id().zip(old.attempts()),
        ..NewPayload::new(old.uuid().unwrap(), work, old.created_at().unwrap())
    };
    new.encode().unwrap()
}

#[test]
fn payloads_are_composed_as_laravel_12_does() {
    let mut count = 0;
    for (path, json) in fixtures("12.67.0", "payloads") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let wanted = [
            "01", "02", "03", "04", "05", "10", "11", "12", "13", "14", "15", "16", "22", "27", "29",
        ];
        if !wanted.iter().any(|number| name.starts_with(number)) {
            continue;
        }
        for entry in json["entries"].as_array().unwrap() {
            let text = entry["payload"].as_str().unwrap();
            count += 1;
            assert_eq!(compose_again(text), text, "{name}");
        }
    }
    assert!(count >= 18, "only {count} payloads found");
}

/// From named properties to the very bytes that Laravel pushed.
#[test]
fn a_job_is_built_from_json() {
    let json = fixture("12.67.0/payloads/01-submit-job.json");
    let properties: Map<String, Json> = serde_json::from_str(
        r#"{"protected:eInvoiceId": 4711, "protected:userId": 9,
            "protected:options": {"signed": true, "channel": "УЈП", "tags": [], "retry": null},
            "queue": "einvoice"}"#,
    )
    .unwrap();
    let object = php::build::object("App\\Jobs\\SubmitEInvoiceJob", &properties).unwrap();
    let new = NewPayload {
        max_tries: Some(3),
        backoff: Some(&[60, 300, 900]),
        timeout: Some(120),
        redis: Some(("pm7gMNSd3NQfWhdkGruxD4ncd12P8k1t", 0)),
        ..NewPayload::new(
            "334c5542-efc3-4b02-8c55-3205d6df2f81",
            Work::Object(&object),
            1_768_471_200,
        )
    };
    assert_eq!(new.encode().unwrap(), first_payload(&json));
}

#[test]
fn a_job_becomes_a_rust_type() {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct SubmitEInvoice {
        e_invoice_id: u64,
        user_id: Option<u64>,
        options: Options,
    }
    #[derive(serde::Deserialize)]
    struct Options {
        channel: String,
        tags: Vec<String>,
        retry: Option<u32>,
    }
    for version in VERSIONS {
        let json = fixture(&format!("{version}/payloads/01-submit-job.json"));
        let payload = parse(first_payload(&json));
        let command = Command::open(payload.command().unwrap(), None).unwrap();
        let job: SubmitEInvoice = php::from_value(command.value()).unwrap();
        assert_eq!((job.e_invoice_id, job.user_id), (4711, Some(9)));
        assert_eq!((job.options.channel.as_str(), job.options.tags.len()), ("УЈП", 0));
        assert_eq!(job.options.retry, None);
    }
}

#[test]
fn attempts_are_edited_in_place() {
    for (path, json) in all_fixtures() {
        for text in payload_texts(&json) {
            let edited = edit::with_attempts(text.as_bytes(), 9).unwrap();
            let back = match parse(text).attempts() {
                Some(before) => edit::with_attempts(&edited, before).unwrap(),
                None => edit::without_members(&edited, &["attempts"]).unwrap(),
            };
            assert_eq!(back, text.as_bytes(), "{}", path.display());
        }
    }
}

/// What cjson does to a payload does not change what we read.
#[test]
fn texts_that_went_through_cjson_read_the_same() {
    for version in VERSIONS {
        for (path, json) in fixtures(version, "redis") {
            for case in json["cases"].as_array().into_iter().flatten() {
                let (Some(before), Some(after)) = (case["before"].as_str(), case["reserved"].as_str()) else {
                    continue;
                };
                let (before, after) = (parse(before), parse(after));
                assert_eq!(
                    before.attempts().map(|n| n + 1),
                    after.attempts(),
                    "{}",
                    path.display()
                );
                assert_eq!(
                    (before.id(), before.name()),
                    (after.id(), after.name()),
                    "{}",
                    path.display()
                );
                assert_eq!(before.command(), after.command(), "{}", path.display());
            }
        }
    }
}

#[test]
fn encrypted_jobs_open_with_the_key() {
    for version in VERSIONS {
        let json = fixture(&format!("{version}/payloads/17-encrypted.json"));
        let payload = parse(first_payload(&json));
        let text = payload.command().unwrap();
        assert!(Command::open(text, None).is_err());

        let plain = keys().decrypt_value(text).unwrap();
        assert_eq!(plain.as_str(), json["decrypted_serialized_job"]["value"].as_str());
        let command = Command::open(text, Some(&keys())).unwrap();
        assert!(command.is_encrypted());
        assert_eq!(command.str_property("iban"), Some("MK07250120000058984"));

        // The same vector gives the same text, so Laravel can open ours.
        let iv = base64_of(json["envelope"]["iv"].as_str().unwrap());
        assert_eq!(
            keys().encrypt_value(&plain, iv.try_into().unwrap()).unwrap(),
            text
        );
    }
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64 in a fixture")
}

#[test]
fn locks_chains_and_batches_are_seen() {
    let sees = |version: &str, name: &str| {
        let json = fixture(&format!("{version}/payloads/{name}.json"));
        let text = payload_texts(&json)
            .first()
            .map(|text| (*text).to_owned())
            .unwrap();
        let payload = parse(&text);
        let command = Command::open(payload.command().unwrap(), None).unwrap();
        (
            payload.has_unique_lock() || command.has_lock(),
            command.has_chain(),
            command.batch_id().is_some(),
        )
    };
    for version in VERSIONS {
        for name in ["18-unique", "20-unique-displayname", "21-unique-until-processing"] {
            assert_eq!(sees(version, name), (true, false, false), "{version} {name}");
            assert_eq!(
                sees(version, &format!("{name}-dbcache")),
                (true, false, false),
                "{version} {name}"
            );
        }
        // Laravel 8 leaves no trace of a unique job without an id or a time.
        assert_eq!(
            sees(version, "19-unique-no-id").0,
            version != "8.83.26",
            "{version}"
        );
        for name in [
            "01-submit-job",
            "10-all-types",
            "11-bare-job",
            "16-method-options",
        ] {
            assert_eq!(sees(version, name), (false, false, false), "{version} {name}");
        }
        assert_eq!(sees(version, "29-chain"), (false, true, false), "{version}");
        assert_eq!(sees(version, "34-batch"), (false, false, true), "{version}");
    }
    for name in ["36-debounced-redis", "36-debounced-database"] {
        assert!(sees("13.26.1", name).0, "{name}");
    }
}

#[test]
fn references_lead_where_php_says() {
    for version in VERSIONS {
        let json = fixture(&format!("{version}/payloads/10-all-types.json"));
        let payload = parse(first_payload(&json));
        let command = Command::open(payload.command().unwrap(), None).unwrap();
        let Some(Value::Object(same)) = command.property("sameObj") else {
            panic!("{version}: no object")
        };
        assert_eq!(same.class, "App\\Support\\Address", "{version}");
        let refs: Vec<String> = {
            let table = php::Table::new(command.value());
            let refs = table.deserializer_of(command.property("refs").unwrap());
            serde::Deserialize::deserialize(refs).unwrap()
        };
        assert_eq!(refs, ["shared", "shared", "plain"], "{version}");
    }
}
