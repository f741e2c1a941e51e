//! Servers that say something else than they did.

/// Moves the seconds in the answer of TIME.
pub(super) fn later(seconds: i64) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let head = b"*2\r\n$10\r\n";
        let Some(digits) = bytes.strip_prefix(head).and_then(|rest| rest.get(..10)) else {
            return bytes;
        };
        let time: i64 = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("a time");
        let rest = &bytes[head.len() + 10..];
        [head, (time + seconds).to_string().as_bytes(), rest].concat()
    }
}

/// Puts a text in the place of another one that is as long.
pub(super) fn instead(old: &'static str, new: &'static str) -> impl Fn(Vec<u8>) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "the length is part of the protocol");
    move |bytes| {
        let mut bytes = bytes;
        while let Some(at) = bytes.windows(old.len()).position(|part| part == old.as_bytes()) {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
        bytes
    }
}
