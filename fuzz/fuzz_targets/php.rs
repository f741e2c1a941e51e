//! Any bytes as a PHP value: what is read can be written, and then comes back the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use worker::wire::php;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = php::decode(bytes) else { return };
    let text = php::encode(&value);
    assert_eq!(php::decode(&text).as_ref(), Ok(&value));
    drop(php::from_value::<serde_json::Value>(&value));
});
