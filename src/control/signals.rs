//! Signals of the operating system, as `queue:work` takes them.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, info, warn};

use crate::runtime::state::{State, StopReason};

/// The signals that a worker takes, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    pause: Signal,
    resume: Signal,
    file_size: Signal,
}

impl Signals {
    /// Catches the signals from now on; what arrives before [`Signals::listen`] is kept.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            pause: signal(SignalKind::user_defined2())?,
            resume: signal(SignalKind::from_raw(SIGCONT))?,
            // It ends a process that does not catch it; caught, whoever wrote too much gets an error like any other.
            file_size: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    /// Returns when a signal asks to stop, for as long as nothing runs that could be finished.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            _ = self.hang_up.recv() => {}
        }
        info!("Stopped before the store answered");
    }

    /// Listens for ever: SIGTERM, SIGINT and SIGQUIT drain and a second one forces the end; SIGHUP replaces
    /// what runs jobs, or drains where that cannot be; SIGUSR2 pauses, SIGCONT resumes.
    pub async fn listen(mut self, state: &State) -> ! {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => stop(state, "SIGTERM"),
                _ = self.interrupt.recv() => stop(state, "SIGINT"),
                _ = self.quit.recv() => stop(state, "SIGQUIT"),
                _ = self.hang_up.recv() => hang_up(state),
                _ = self.pause.recv() => {
                    if state.pause(|pauses| pauses.by_signal = true) {
                        info!("Paused by SIGUSR2: running jobs go on, nothing new is taken until SIGCONT");
                    }
                }
                _ = self.resume.recv() => {
                    if state.pause(|pauses| pauses.by_signal = false) {
                        info!("Resumed by SIGCONT");
                    }
                }
                _ = self.file_size.recv() => debug!("A file has reached the limit that this process has"),
            }
        }
    }
}

#[cfg(target_os = "linux")]
const SIGCONT: i32 = 18;
#[cfg(not(target_os = "linux"))]
const SIGCONT: i32 = 19;

fn hang_up(state: &State) {
    if state.stopping().is_cancelled() {
        info!("Received SIGHUP while draining: nothing to do");
    } else if state.restart(StopReason::Signal) {
        info!("Received SIGHUP: replacing the PHP processes");
    } else {
        info!("Received SIGHUP: finishing what runs, taking nothing new");
    }
}

fn stop(state: &State, signal: &str) {
    if state.stopping().is_cancelled() {
        warn!("Received {signal} while draining: ending now, running jobs go back uncounted");
        state.force();
    } else {
        info!("Received {signal}: finishing what runs, taking nothing new; a second signal ends at once");
        state.stop(StopReason::Signal);
    }
}
