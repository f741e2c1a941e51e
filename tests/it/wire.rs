//! The wire room against what real Laravel wrote: tests/fixtures/laravel.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stop at the first fault"
)]

mod control;
mod failed;
mod inspect;
mod payloads;

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use worker::wire::{Cipher, Keys};

/// The recorded versions of Laravel.
const VERSIONS: [&str; 4] = ["8.83.26", "11.56.0", "12.67.0", "13.26.1"];

/// The key that the recording application had.
const APP_KEY: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn keys() -> Keys {
    Keys::parse(APP_KEY, &[], Cipher::default()).expect("the recorded key is a key")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/laravel")
}

/// One recorded file, such as `12.67.0/payloads/27-string-job.json`.
fn fixture(path: &str) -> Json {
    read(&root().join(path))
}

fn read(path: &Path) -> Json {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("parse {}: {error}", path.display()))
}

/// All recorded files of one version and kind, with their paths; empty where nothing was recorded.
fn fixtures(version: &str, kind: &str) -> Vec<(PathBuf, Json)> {
    let Ok(files) = std::fs::read_dir(root().join(version).join(kind)) else {
        return Vec::new();
    };
    let paths = files.map(|file| file.expect("list the fixtures").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

/// Every recorded file of every version.
fn all_fixtures() -> Vec<(PathBuf, Json)> {
    let kinds = ["payloads", "redis", "failed", "control"];
    let all = VERSIONS
        .into_iter()
        .flat_map(|version| kinds.map(|kind| fixtures(version, kind)));
    all.flatten().collect()
}

/// Every string in a recorded file that `wanted` picks.
fn strings<'a>(json: &'a Json, wanted: fn(&str) -> bool, found: &mut Vec<&'a str>) {
    match json {
        Json::String(text) if wanted(text) => found.push(text),
        Json::Array(items) => items.iter().for_each(|item| strings(item, wanted, found)),
        Json::Object(members) => members.values().for_each(|member| strings(member, wanted, found)),
        _ => {}
    }
}

/// Every payload text in a recorded file.
fn payload_texts(json: &Json) -> Vec<&str> {
    let mut found = Vec::new();
    strings(
        json,
        |text| text.starts_with('{') && text.contains("\"job\""),
        &mut found,
    );
    found
}

/// The payload text of the first entry of a recorded push.
fn first_payload(json: &Json) -> &str {
    json["entries"][0]["payload"]
        .as_str()
        .expect("a recorded payload")
}
