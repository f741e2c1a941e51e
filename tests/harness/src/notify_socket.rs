//! A socket that stands in for systemd: it hears what a service says of itself.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::Scratch;
use crate::wait::poll;

/// How often the listener looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

type Said = Mutex<Vec<(Instant, String)>>;

/// Hears the notifications of one service.
#[derive(Debug)]
pub struct NotifySocket {
    dir: Scratch,
    said: Arc<Said>,
}

impl NotifySocket {
    /// A socket in a directory of its own, already listening.
    ///
    /// # Panics
    ///
    /// When the system gives no socket.
    pub fn bind() -> Self {
        let dir = Scratch::new();
        let socket = UnixDatagram::bind(dir.join("notify")).expect("a datagram socket can be made");
        socket
            .set_read_timeout(Some(LOOK))
            .expect("a socket takes a time limit");
        let said = Arc::default();
        let heard = Arc::downgrade(&said);
        std::thread::spawn(move || listen(&socket, &heard));
        Self { dir, said }
    }

    /// The variables by which a service finds it, with a watchdog that bites after `watchdog`.
    pub fn env(&self, watchdog: Duration) -> [(&'static str, String); 2] {
        let path = self.dir.join("notify");
        let path = path.to_str().expect("a temporary directory has a plain name");
        [
            ("NOTIFY_SOCKET", path.to_owned()),
            ("WATCHDOG_USEC", watchdog.as_micros().to_string()),
        ]
    }

    /// All that was said so far, line by line, and when.
    pub fn said(&self) -> Vec<(Instant, String)> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the watchdog was fed.
    pub fn feeds(&self) -> Vec<Instant> {
        let said = self.said().into_iter();
        said.filter(|(_, line)| line == "WATCHDOG=1")
            .map(|(at, _)| at)
            .collect()
    }

    /// Waits until the watchdog was fed so often from now on.
    ///
    /// # Panics
    ///
    /// When it was not within `deadline`.
    #[track_caller]
    pub fn wait_for_feeds(&self, count: usize, deadline: Duration) {
        let before = self.feeds().len();
        let fed = poll(deadline, || (self.feeds().len() >= before + count).then_some(()));
        assert!(fed.is_some(), "not fed {count} times: {:?}", self.said());
    }

    /// Waits until something was said that begins so, and returns it.
    ///
    /// # Panics
    ///
    /// When it was not within `deadline`.
    #[track_caller]
    pub fn wait_for(&self, beginning: &str, deadline: Duration) -> String {
        let said = || {
            self.said()
                .into_iter()
                .find(|(_, line)| line.starts_with(beginning))
        };
        let found = poll(deadline, said);
        let (_, line) = found.unwrap_or_else(|| panic!("{beginning:?} was not said: {:?}", self.said()));
        line
    }
}

fn listen(socket: &UnixDatagram, heard: &Weak<Said>) {
    let mut buffer = [0; 16_384];
    while let Some(said) = heard.upgrade() {
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let now = Instant::now();
        let lines = text.lines().map(|line| (now, line.to_owned()));
        said.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }
}
