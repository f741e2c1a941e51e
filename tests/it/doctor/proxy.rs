//! A server seen through a wire that is slow, or that changes what the server says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// What becomes of the bytes that the server sends.
type Change = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

/// A port on 127.0.0.1 behind which the server is seen through a wire. Its threads end with the connections.
pub(super) fn through(
    server: u16,
    delay: Duration,
    change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
) -> u16 {
    let change: Change = Arc::new(change);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("a listener has an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).expect("the server listens");
            let (from_client, to_server) = (twin(&client), twin(&server));
            std::thread::spawn(move || pass(from_client, to_server, <[u8]>::to_vec));
            let change = Arc::clone(&change);
            std::thread::spawn(move || {
                pass(server, client, move |bytes| {
                    slowly(delay);
                    change(bytes.to_vec())
                });
            });
        }
    });
    port
}

fn twin(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket can be shared")
}

/// The wire's own slowness: nothing is waited for here.
fn slowly(delay: Duration) {
    std::thread::park_timeout(delay);
}

fn pass(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&change(&buffer[..read])).is_err() {
            break;
        }
    }
    // The other direction ends with this one.
    drop(to.shutdown(Shutdown::Both));
}

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
