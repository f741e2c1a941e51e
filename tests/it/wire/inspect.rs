//! `inspect`: every recorded payload described, one of them in full.

use serde_json::{Value as Json, json};
use worker::wire::inspect;

use super::{all_fixtures, first_payload, fixture, keys, payload_texts};

fn inspected(path: &str) -> Json {
    inspect(first_payload(&fixture(path)).as_bytes(), Some(&keys())).unwrap()
}

#[test]
fn every_payload_can_be_inspected() {
    for (path, json) in all_fixtures() {
        for text in payload_texts(&json) {
            let shown = inspect(text.as_bytes(), Some(&keys())).unwrap();
            assert!(shown.get("note").is_none(), "{}", path.display());
            let object = shown["command"].is_object();
            assert_ne!(object, shown.get("data").is_some(), "{}", path.display());
        }
    }
}

#[test]
fn an_object_job_in_full() {
    let expected = json!({
        "uuid": "334c5542-efc3-4b02-8c55-3205d6df2f81",
        "id": "pm7gMNSd3NQfWhdkGruxD4ncd12P8k1t",
        "displayName": "App\\Jobs\\SubmitEInvoiceJob",
        "job": "Illuminate\\Queue\\CallQueuedHandler@call",
        "attempts": 0,
        "maxTries": 3,
        "maxExceptions": null,
        "failOnTimeout": false,
        "backoff": [60, 300, 900],
        "timeout": 120,
        "retryUntil": null,
        "createdAt": 1_768_471_200,
        "delay": null,
        "batchId": null,
        "encrypted": false,
        "command": {"class": "App\\Jobs\\SubmitEInvoiceJob", "properties": {
            "eInvoiceId": 4711,
            "userId": 9,
            "options": {"signed": true, "channel": "УЈП", "tags": [], "retry": null},
            "queue": "einvoice",
        }},
    });
    assert_eq!(inspected("12.67.0/payloads/01-submit-job.json"), expected);
}

#[test]
fn a_string_job_shows_its_data() {
    let text = first_payload(&fixture("12.67.0/payloads/28-pushRaw.json")).to_owned();
    let shown = inspect(text.as_bytes(), None).unwrap();
    assert_eq!(shown["data"], json!({"x": []}));
    assert_eq!(
        (&shown["command"], &shown["encrypted"]),
        (&Json::Null, &Json::Bool(false))
    );
}

#[test]
fn values_of_every_kind() {
    let shown = inspected("12.67.0/payloads/10-all-types.json");
    let properties = &shown["command"]["properties"];
    let address = json!({"class": "App\\Support\\Address", "properties": {
        "street": "ул. Партизанска 12", "zip": "1000", "geo": {"lat": 41.9981, "lng": -21.4254},
        "parent": {"class": "App\\Support\\Address", "properties": {
            "street": "ул. Партизанска 12", "zip": "1000", "geo": {"lat": 41.9981, "lng": -21.4254},
            "parent": null,
        }},
    }});
    for (name, expected) in [
        ("minInt", json!(i64::MIN)),
        ("wholeFloat", json!(5.0)),
        ("inf", json!("INF")),
        ("nul", json!("a\0b")),
        ("prot", json!("protected вредност")),
        ("priv", json!("private вредност")),
        ("emptyArr", json!([])),
        ("list", json!([1, "two", 3.5, true, null, []])),
        (
            "map",
            json!({"а": 1, "b": {"c": {"d": []}}, "5": "five", "10": "ten", "-3": "neg"}),
        ),
        ("sparse", json!({"0": "a", "2": "c"})),
        ("status", json!({"enum": "App\\Enums\\InvoiceStatus::Sent"})),
        ("refs", json!(["shared", "shared", "plain"])),
        ("addr", address.clone()),
        ("sameObj", address),
    ] {
        assert_eq!(properties[name], expected, "{name}");
    }
}

#[test]
fn an_encrypted_job_without_its_key() {
    let json = fixture("12.67.0/payloads/17-encrypted.json");
    let shown = inspect(first_payload(&json).as_bytes(), None).unwrap();
    assert_eq!(
        (&shown["encrypted"], &shown["command"]),
        (&Json::Bool(true), &Json::Null)
    );
    assert!(
        shown["note"].as_str().unwrap().contains("APP_KEY"),
        "{}",
        shown["note"]
    );
    let shown = inspected("12.67.0/payloads/17-encrypted.json");
    assert_eq!(
        shown["command"]["properties"]["iban"],
        json!("MK07250120000058984")
    );
}
