//! Hearing of changes to the file, so that an idle worker need not ask for them a hundred times a second.
//!
//! On Linux the kernel tells when the database or its write-ahead log is written to. Elsewhere, and where
//! it cannot tell, there is nothing to hear and the file is looked at every ten milliseconds.

use std::path::Path;
use std::time::Duration;

use super::writer::LATE;

/// The longest time between looks when nobody tells of changes.
const UNTOLD: Duration = Duration::from_millis(10);

/// Ears on one database file.
pub(in crate::store) struct Watch {
    told: Option<platform::Told>,
}

impl Watch {
    /// Listens for changes to the database at `path`.
    pub(in crate::store) fn new(path: &Path) -> Self {
        let told = platform::Told::new(path);
        if let Err(e) = &told {
            tracing::debug!(error = %e, "The database file is looked at every 10 ms, since it cannot be watched");
        }
        Self { told: told.ok() }
    }

    /// The longest time to let pass without a look.
    pub(in crate::store) fn longest_pause(&self) -> Duration {
        match self.told {
            Some(_) => LATE,
            None => UNTOLD,
        }
    }

    /// Listens to the files as they are now: a write-ahead log comes and goes with the journal mode and
    /// the last connection.
    pub(in crate::store) fn listen(&mut self) {
        if self.told.as_ref().is_some_and(|told| told.listen().is_err()) {
            self.told = None;
        }
    }

    /// Returns when the file was changed, by anyone. Cancellation safe; never returns when nobody tells.
    pub(in crate::store) async fn changed(&mut self) {
        match &mut self.told {
            Some(told) => told.changed().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::ffi::OsString;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::{Path, PathBuf};

    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
    use rustix::io::Errno;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// Bytes of events read at once.
    const BUFFER: usize = 4096;

    /// The kernel's events.
    pub(super) struct Told {
        events: AsyncFd<OwnedFd>,
        database: PathBuf,
        log: OsString,
    }

    impl Told {
        pub(super) fn new(path: &Path) -> io::Result<Self> {
            let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            #[expect(
                deprecated,
                reason = "its successor is unsafe only for descriptors that can be closed elsewhere; we own this one"
            )]
            let events = AsyncFd::with_interest(events, Interest::READABLE)?;
            let mut log = OsString::from(path);
            log.push("-wal");
            let told = Self {
                events,
                database: path.to_owned(),
                log,
            };
            told.listen()?;
            Ok(told)
        }

        /// A file that is listened to already is so once.
        pub(super) fn listen(&self) -> io::Result<()> {
            inotify::add_watch(&self.events, &self.database, WatchFlags::MODIFY)?;
            match inotify::add_watch(&self.events, &self.log, WatchFlags::MODIFY) {
                // There is none in the other journal modes, where a commit changes the database itself.
                Ok(_) | Err(Errno::NOENT) => Ok(()),
                Err(e) => Err(e.into()),
            }
        }

        pub(super) async fn changed(&mut self) {
            let Ok(mut ready) = self.events.readable().await else {
                // The runtime is shutting down.
                return std::future::pending().await;
            };
            let mut buffer = [MaybeUninit::uninit(); BUFFER];
            let mut reader = Reader::new(ready.get_inner(), &mut buffer);
            while reader.next().is_ok() {}
            ready.clear_ready();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::io;
    use std::path::Path;

    /// Nobody tells.
    pub(super) struct Told;

    impl Told {
        pub(super) fn new(_path: &Path) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn listen(&self) -> io::Result<()> {
            Ok(())
        }

        pub(super) async fn changed(&mut self) {
            std::future::pending().await
        }
    }
}
