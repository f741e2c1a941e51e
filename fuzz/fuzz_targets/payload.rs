//! Any bytes as a payload: read, described, and its command opened, without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use worker::wire::{Command, Payload, inspect};

fuzz_target!(|bytes: &[u8]| {
    drop(inspect(bytes, None));
    let Ok(payload) = Payload::parse(bytes.to_vec().into()) else { return };
    assert_eq!(payload.text(), bytes);
    assert_eq!(payload.command().is_some(), payload.is_object_job());
    assert!(serde_json_accepts(bytes), "accepted what is no JSON");
    if let Some(text) = payload.command() {
        drop(Command::open(text, None));
    }
});

/// Whether the bytes are JSON in the eyes of another reader, which stops at 127 levels.
fn serde_json_accepts(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(_) => true,
        Err(error) => {
            let text = error.to_string();
            text.contains("recursion limit") || text.contains("out of range")
        }
    }
}
