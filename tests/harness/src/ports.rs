//! Free loopback ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

/// Ports below the range from which the kernel takes the local ends of connections, so that a port handed
/// out here is not taken by a client a moment later.
const FIRST: u16 = 20_000;
const COUNT: u64 = 12_000;

/// A TCP port on 127.0.0.1 that nobody listens on right now.
///
/// Another process may still take it first: who starts a server on it tries again with another one.
pub fn free_port() -> u16 {
    for _ in 0..200 {
        let offset = RandomState::new().build_hasher().finish() % COUNT;
        let port = FIRST + u16::try_from(offset).expect("the offset is below COUNT");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free loopback port found");
}
