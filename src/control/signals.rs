//! Signals of the operating system, as `queue:work` takes them.

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::runtime::state::{State, StopReason};

/// Listens for ever: SIGTERM, SIGINT and SIGQUIT drain and a second one forces the end; SIGUSR2 pauses,
/// SIGCONT resumes.
///
/// # Errors
/// When the system does not let us listen.
pub async fn listen(state: &State) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut pause = signal(SignalKind::user_defined2())?;
    let mut resume = signal(SignalKind::from_raw(SIGCONT))?;
    loop {
        tokio::select! {
            _ = terminate.recv() => stop(state, "SIGTERM"),
            _ = interrupt.recv() => stop(state, "SIGINT"),
            _ = quit.recv() => stop(state, "SIGQUIT"),
            _ = pause.recv() => {
                if state.pause(|pauses| pauses.by_signal = true) {
                    info!("Paused by SIGUSR2: running jobs go on, nothing new is taken until SIGCONT");
                }
            }
            _ = resume.recv() => {
                if state.pause(|pauses| pauses.by_signal = false) {
                    info!("Resumed by SIGCONT");
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
const SIGCONT: i32 = 18;
#[cfg(not(target_os = "linux"))]
const SIGCONT: i32 = 19;

fn stop(state: &State, signal: &str) {
    if state.stopping().is_cancelled() {
        warn!("Received {signal} while draining: ending now, running jobs go back uncounted");
        state.force();
    } else {
        info!("Received {signal}: finishing what runs, taking nothing new; a second signal ends at once");
        state.stop(StopReason::Signal);
    }
}
