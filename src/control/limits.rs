//! Limits of the process itself: its time and its memory.

use std::time::Duration;

use tracing::{info, warn};

use crate::runtime::state::{State, StopReason};

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Ends the worker after `time`.
pub async fn time(state: &State, time: Duration) {
    tokio::time::sleep(time).await;
    info!("Ran for {} s, as asked with --max-time", time.as_secs());
    state.stop(StopReason::MaxTime);
}

/// Ends the worker when its resident memory reaches `limit_mb` megabytes.
pub async fn memory(state: &State, limit_mb: u64) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(resident_mb) = resident_bytes().map(|bytes| bytes / 1_048_576) else {
            return;
        };
        if resident_mb >= limit_mb {
            warn!(
                resident_mb,
                limit_mb, "Uses {resident_mb} MB, the limit is {limit_mb} MB: ending"
            );
            state.stop(StopReason::Memory);
            return;
        }
    }
}

/// Resident memory of this process in bytes; `None` where the system does not tell.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib * 1024)
}
