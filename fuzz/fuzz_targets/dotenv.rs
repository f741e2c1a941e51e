//! Any text as a `.env` file: read or refused with a line that is there, and what was read can be written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use worker::config::dotenv::{Value, parse};

/// The longest value that `${…}` may build.
const MAX_VALUE: usize = 1 << 20;

fuzz_target!(|text: &str| {
    drop(Value::from_env(text));
    let outer = |name: &str| (name == "HOME").then(|| "/home/app".to_owned());
    let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
    let entries = match parse(text, &outer) {
        Ok(entries) => entries,
        Err(error) => {
            assert!((1..=lines).contains(&error.line), "{error}");
            return;
        }
    };
    for entry in &entries {
        assert!((1..=lines).contains(&entry.line));
        assert!(!entry.name.is_empty());
        let Some(value) = &entry.value else { continue };
        assert!(value.len() <= MAX_VALUE.max(text.len()));
        let again = parse(&quoted(value), &outer).expect("a quoted value can be read");
        assert_eq!(again[0].value.as_ref(), Some(value));
    }
});

/// The value as an entry that holds exactly it.
fn quoted(value: &str) -> String {
    let mut text = String::from("A=\"");
    for c in value.chars() {
        match c {
            '\\' | '"' | '$' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            _ => text.push(c),
        }
    }
    text.push('"');
    text
}
