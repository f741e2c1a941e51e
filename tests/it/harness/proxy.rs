//! The network between a client and a server does what it is told, in the direction it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use harness::{Fault, Proxy, wait_until};

/// How long an answer may take that should come at once.
const SOON: Duration = Duration::from_secs(10);
/// How long a test looks in order to see that nothing arrives.
const A_WHILE: Duration = Duration::from_millis(300);

/// A server that answers every line with itself in capitals, and the lines that reached it.
struct Echo {
    port: u16,
    heard: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let heard = std::sync::Arc::<std::sync::Mutex<String>>::default();
        let all = std::sync::Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = std::sync::Arc::clone(&all);
                std::thread::spawn(move || answer(stream, &heard));
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        self.heard
            .lock()
            .expect("no test panics while it holds it")
            .clone()
    }
}

fn answer(mut stream: TcpStream, heard: &std::sync::Mutex<String>) {
    let mut buffer = [0; 1 << 16];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        heard
            .lock()
            .expect("no test panics while it holds it")
            .push_str(&text);
        if stream.write_all(text.to_uppercase().as_bytes()).is_err() {
            return;
        }
    }
}

/// A connection through the network.
struct Client(TcpStream);

impl Client {
    fn of(network: &Proxy) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, network.port())).expect("it listens");
        Self(stream)
    }

    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("it is written");
    }

    /// What arrives within `time`; `None` when nothing does.
    fn hear(&mut self, time: Duration) -> Option<std::io::Result<String>> {
        self.0.set_read_timeout(Some(time)).expect("a socket can be told");
        let mut buffer = [0; 1 << 16];
        match self.0.read(&mut buffer) {
            Ok(read) => Some(Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    #[track_caller]
    fn hears(&mut self, text: &str) {
        let heard = self.hear(SOON).expect("something arrives");
        assert_eq!(heard.expect("the connection is there"), text);
    }

    #[track_caller]
    fn hears_nothing(&mut self) {
        let heard = self.hear(A_WHILE);
        assert!(heard.is_none(), "{heard:?}");
    }

    #[track_caller]
    fn is_reset(&mut self) {
        let end = self.hear(SOON).expect("it ends");
        assert_eq!(end.expect_err("it is cut").kind(), ErrorKind::ConnectionReset);
    }
}

fn line() -> (Echo, Proxy, Client) {
    let server = Echo::start();
    let network = Proxy::before(server.port);
    let mut client = Client::of(&network);
    client.say("hello");
    client.hears("HELLO");
    (server, network, client)
}

#[test]
fn a_delay_is_one() {
    let (_server, network, mut client) = line();
    let (base, jitter) = (Duration::from_millis(200), Duration::from_millis(100));
    network.set(Fault::Delay { base, jitter });
    let asked = Instant::now();
    client.say("late");
    client.hears("LATE");
    assert!(asked.elapsed() >= base, "{:?}", asked.elapsed());
    network.clear();
    client.say("soon");
    client.hears("SOON");
}

#[test]
fn a_narrow_line_takes_its_time() {
    let (_server, network, mut client) = line();
    network.set(Fault::Throttle(1000));
    let asked = Instant::now();
    client.say(&"x".repeat(200));
    client.hears(&"X".repeat(200));
    assert!(
        asked.elapsed() >= Duration::from_millis(400),
        "both directions count"
    );
}

#[test]
fn silence_keeps_what_is_on_its_way() {
    let (server, network, mut client) = line();
    network.set(Fault::Silent);
    client.say("wait");
    client.hears_nothing();
    assert!(!server.heard().contains("wait"));
    network.clear();
    client.hears("WAIT");
}

#[test]
fn one_way_is_one_way() {
    let (server, network, mut client) = line();
    network.set(Fault::Deaf);
    client.say("deaf");
    wait_until(SOON, || server.heard().ends_with("deaf"));
    client.hears_nothing();
    network.clear();
    client.hears("DEAF");
    network.set(Fault::Mute);
    client.say("mute");
    client.hears_nothing();
    assert!(server.heard().ends_with("deaf"), "nothing has arrived");
    network.clear();
    client.hears("MUTE");
}

#[test]
fn abandoned_connections_stay_silent_and_new_ones_are_well() {
    let (_server, network, mut client) = line();
    network.abandon();
    client.say("lost");
    client.hears_nothing();
    let mut other = Client::of(&network);
    other.say("new");
    other.hears("NEW");
    client.hears_nothing();
}

#[test]
fn a_reset_ends_all_connections_of_now() {
    let (_server, network, mut client) = line();
    assert_eq!(network.open(), 1);
    network.reset();
    client.is_reset();
    let mut other = Client::of(&network);
    other.say("new");
    other.hears("NEW");
    assert_eq!(network.made(), 2);
}

#[test]
fn a_cut_after_a_request_lets_it_be_carried_out() {
    let (server, network, mut client) = line();
    network.cut_after_request("order");
    client.say("another");
    client.hears("ANOTHER");
    assert!(network.is_to_cut());
    client.say("the order of today");
    client.is_reset();
    assert!(!network.is_to_cut());
    assert!(
        server.heard().ends_with("the order of today"),
        "it was carried out"
    );
}

#[test]
fn a_cut_before_a_reply_keeps_the_reply() {
    let (server, network, mut client) = line();
    network.cut_before_reply("JOB 7");
    client.say("job 6");
    client.hears("JOB 6");
    client.say("job 7");
    client.is_reset();
    assert!(!network.is_to_cut() && server.heard().ends_with("job 7"));
}
