//! Any bytes from a PHP process, in pieces: the same frames as in one piece, or the same refusal, and never more
//! taken than a frame.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use worker::runner::php::frame::{decode, encode};

/// Mark, kind and length of a frame.
const HEAD: usize = 8;

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_last() else { return };
    let whole = told(bytes, bytes.len().max(1));
    let pieces = told(bytes, usize::from(*size).max(1));
    assert_eq!(whole, pieces);
    // What goes to PHP has the form of what comes from it.
    let frame = encode(b'R', bytes, bytes);
    assert_eq!(frame.len(), HEAD + 4 + 2 * bytes.len());
});

/// What is heard when the bytes come in pieces of this size: frames, and how it ends.
fn told(bytes: &[u8], size: usize) -> Vec<String> {
    let mut told = Vec::new();
    let mut buffer = BytesMut::new();
    for piece in bytes.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.clone();
            match decode(&mut buffer) {
                Ok(Some(said)) => {
                    assert!(before.len() >= buffer.len() + HEAD && before.ends_with(&buffer));
                    told.push(format!("{said:?}"));
                }
                Ok(None) => {
                    assert_eq!(before, buffer);
                    break;
                }
                Err(refused) => {
                    told.push(refused.to_string());
                    return told;
                }
            }
        }
    }
    told.push(format!("{} bytes left", buffer.len()));
    told
}
