//! A network between a client and a server of this machine, with everything that can be wrong with one.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What the network does to the bytes that pass, until it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Replies arrive this much later, and up to `jitter` later still.
    Delay {
        /// What every reply waits.
        base: Duration,
        /// The most that comes on top, by chance.
        jitter: Duration,
    },
    /// Each direction carries so many bytes a second.
    Throttle(u32),
    /// Nothing arrives, in either direction, and no connection ends: a cable that was pulled. What was on
    /// its way arrives when it is put back.
    Silent,
    /// Requests arrive, replies do not.
    Deaf,
    /// Requests do not arrive, replies do.
    Mute,
}

/// What becomes of the bytes that the server sends.
type Change = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

/// When a connection is cut, once.
enum Cut {
    /// When a request with these bytes was executed: before its reply arrives.
    AfterRequest(Vec<u8>),
    /// When a reply with these bytes comes: before it arrives.
    BeforeReply(Vec<u8>),
}

struct Shared {
    fault: watch::Sender<Fault>,
    /// Connections up to this number are silent for ever.
    abandoned: AtomicU64,
    /// How often all connections were reset.
    resets: watch::Sender<u64>,
    made: AtomicU64,
    open: AtomicU64,
    cut: Mutex<Option<Cut>>,
    change: Change,
}

/// A forwarder of connections to a port of this machine. Dropping it ends them all.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Proxy(port {}, {:?})", self.port, self.shared.fault.borrow())
    }
}

impl Proxy {
    /// A network before the server at `port` on 127.0.0.1, without a fault. The server need not be there yet.
    pub fn before(port: u16) -> Self {
        Self::changing(port, |bytes| bytes)
    }

    /// The same, where what the server says is changed on its way. `change` gets what one read returned.
    pub fn changing(port: u16, change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            fault: watch::Sender::new(Fault::None),
            abandoned: AtomicU64::new(0),
            resets: watch::Sender::new(0),
            made: AtomicU64::new(0),
            open: AtomicU64::new(0),
            cut: Mutex::new(None),
            change: Arc::new(change),
        });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let own = listener.local_addr().expect("a listener has an address").port();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be made");
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, port, serving) => {}
                }
            });
        });
        Self {
            port: own,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The port on 127.0.0.1 to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on the network has this fault and no other.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// The network is well again; connections that were abandoned stay so.
    pub fn clear(&self) {
        self.set(Fault::None);
    }

    /// Nothing goes through the connections of now any more, in either direction, and none of them ends; new
    /// ones are as good as ever.
    pub fn abandon(&self) {
        let made = self.shared.made.load(Ordering::SeqCst);
        self.shared.abandoned.store(made, Ordering::SeqCst);
    }

    /// Resets all connections of now, as a router does that was started again.
    pub fn reset(&self) {
        self.shared.resets.send_modify(|resets| *resets += 1);
    }

    /// Resets, once, the connection on which a request with `bytes` was executed, before its reply arrives.
    pub fn cut_after_request(&self, bytes: impl Into<Vec<u8>>) {
        *self.shared.cut() = Some(Cut::AfterRequest(bytes.into()));
    }

    /// Resets, once, the connection on which a reply with `bytes` comes, before it arrives.
    pub fn cut_before_reply(&self, bytes: impl Into<Vec<u8>>) {
        *self.shared.cut() = Some(Cut::BeforeReply(bytes.into()));
    }

    /// Whether the cut that was asked for has not happened yet.
    pub fn is_to_cut(&self) -> bool {
        self.shared.cut().is_some()
    }

    /// How many connections were made through it.
    pub fn made(&self) -> u64 {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// How many connections go through it now.
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was shown when it happened.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn cut(&self) -> MutexGuard<'_, Option<Cut>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: std::net::TcpListener, server: u16, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a listener can be told");
    let listener = TcpListener::from_std(listener).expect("the runtime takes a listener");
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let number = shared.made.fetch_add(1, Ordering::SeqCst) + 1;
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A server that is away refuses: so does the end of this connection.
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await {
                shared.open.fetch_add(1, Ordering::SeqCst);
                let connection = Connection {
                    number,
                    shared: &shared,
                    cut_reply: AtomicBool::new(false),
                };
                connection.forward(client, server).await;
                shared.open.fetch_sub(1, Ordering::SeqCst);
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// How a direction ended.
#[derive(PartialEq, Eq)]
enum End {
    Closed,
    Cut,
}

struct Connection<'a> {
    number: u64,
    shared: &'a Shared,
    /// The next reply is the one to be cut.
    cut_reply: AtomicBool,
}

impl Connection<'_> {
    async fn forward(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut resets = self.shared.resets.subscribe();
        let end = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            tokio::select! {
                end = self.pass(from_client, to_server, Way::ToServer) => end,
                end = self.pass(from_server, to_client, Way::ToClient) => end,
                _ = resets.changed() => End::Cut,
            }
        };
        if end == End::Cut {
            for stream in [&client, &server] {
                stream.set_zero_linger().expect("a socket can be told");
            }
        }
    }

    async fn pass(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
        way: Way,
    ) -> End {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                // A cable that was pulled does not tell that the other side has gone away.
                self.let_through(way).await;
                return End::Closed;
            }
            let mut bytes = buffer.get(..read).unwrap_or_default().to_vec();
            if way == Way::ToClient {
                if self.is_cut(&bytes) {
                    return End::Cut;
                }
                bytes = (self.shared.change)(bytes);
            } else {
                self.look_for_cut(&bytes);
            }
            self.let_through(way).await;
            self.slow_down(way, bytes.len()).await;
            if to.write_all(&bytes).await.is_err() {
                return End::Closed;
            }
        }
    }

    /// Waits while nothing goes this way.
    async fn let_through(&self, way: Way) {
        let stops = |fault: &Fault| match fault {
            Fault::Silent => true,
            Fault::Deaf => way == Way::ToClient,
            Fault::Mute => way == Way::ToServer,
            Fault::None | Fault::Delay { .. } | Fault::Throttle(_) => false,
        };
        let mut fault = self.shared.fault.subscribe();
        // The sender lives as long as the connections.
        drop(fault.wait_for(|fault| !stops(fault)).await);
        if self.shared.abandoned.load(Ordering::SeqCst) >= self.number {
            std::future::pending::<()>().await;
        }
    }

    /// The network's own slowness: nothing is waited for here.
    async fn slow_down(&self, way: Way, bytes: usize) {
        let fault = *self.shared.fault.borrow();
        let pause = match fault {
            Fault::Delay { base, jitter } if way == Way::ToClient => base + jitter.mul_f64(chance()),
            Fault::Throttle(rate) => Duration::from_secs_f64(bytes as f64 / f64::from(rate)),
            _ => return,
        };
        tokio::time::sleep(pause).await;
    }

    fn look_for_cut(&self, request: &[u8]) {
        let mut cut = self.shared.cut();
        if matches!(&*cut, Some(Cut::AfterRequest(bytes)) if contains(request, bytes)) {
            *cut = None;
            self.cut_reply.store(true, Ordering::SeqCst);
        }
    }

    fn is_cut(&self, reply: &[u8]) -> bool {
        if self.cut_reply.load(Ordering::SeqCst) {
            return true;
        }
        let mut cut = self.shared.cut();
        let is_it = matches!(&*cut, Some(Cut::BeforeReply(bytes)) if contains(reply, bytes));
        if is_it {
            *cut = None;
        }
        is_it
    }
}

/// A number from 0 to 1.
fn chance() -> f64 {
    let (bits, ..) = uuid::Uuid::new_v4().as_fields();
    f64::from(bits) / f64::from(u32::MAX)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}
