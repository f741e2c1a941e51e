//! A network between the worker and its server, which can fall silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A forwarder of connections to a port of this machine.
pub(super) struct Proxy {
    port: u16,
    /// Connections up to this number are silent.
    silent: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("an address").port();
        let (silent, made) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut task = JoinSet::new();
        task.spawn(serve(listener, server, Arc::clone(&silent), Arc::clone(&made)));
        Self {
            port,
            silent,
            made,
            _task: task,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Nothing goes through any connection from now on, not even a new one, as when the server hangs.
    pub(super) fn hang(&self) {
        self.silent.store(usize::MAX, Ordering::Release);
    }

    /// Nothing goes through the connections of now any more, in either direction, and none of them is
    /// closed; new ones are as good as ever.
    pub(super) fn silence(&self) {
        self.silent
            .store(self.made.load(Ordering::Acquire), Ordering::Release);
    }
}

async fn serve(listener: TcpListener, server: u16, silent: Arc<AtomicUsize>, made: Arc<AtomicUsize>) {
    let mut pipes = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
            continue;
        };
        let number = made.fetch_add(1, Ordering::AcqRel) + 1;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        pipes.spawn(pipe(from_client, to_server, number, Arc::clone(&silent)));
        pipes.spawn(pipe(from_server, to_client, number, Arc::clone(&silent)));
    }
}

async fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: usize, silent: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if silent.load(Ordering::Acquire) >= number {
            // Held open, and nothing more comes of it.
            std::future::pending::<()>().await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
