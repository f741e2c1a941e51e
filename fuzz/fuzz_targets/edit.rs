//! Any bytes as a payload to be edited: an edit leaves an object, and undoing it leaves the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use worker::wire::edit;

fuzz_target!(|bytes: &[u8]| {
    drop(edit::for_retry(bytes, Some("u"), 1_800_000_000));
    drop(edit::with_id_and_attempts(bytes, "i", 1));
    let Ok(edited) = edit::with_attempts(bytes, 7) else { return };
    let again = edit::with_attempts(&edited, 7).expect("an edited text can be edited");
    assert_eq!(again, edited);
    let without = |text: &[u8]| edit::without_members(text, &["attempts"]).expect("it was an object");
    assert_eq!(without(&edited), without(bytes));
});
