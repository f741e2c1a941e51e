//! Waiting for the outside world, always with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once, on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Looks until `condition` holds.
///
/// # Panics
///
/// When it does not hold within `deadline`; the message names the line of the test.
#[track_caller]
pub fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) {
    assert!(
        poll(deadline, || condition().then_some(())).is_some(),
        "what this line waits for did not happen within {deadline:?}"
    );
}

/// Looks until `look` finds something, or gives up with `None` after `deadline`.
///
/// The first look is immediate, and there is always a last one after the deadline.
pub fn poll<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let late = start.elapsed() >= deadline;
        if let Some(found) = look() {
            return Some(found);
        }
        if late {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
