//! How long jobs take at present, and how many may therefore wait for each process.

use std::time::Duration;

/// How much work may wait for each process while jobs are short.
const AHEAD: Duration = Duration::from_millis(10);
/// The most jobs that wait for one process.
const MOST_AHEAD: f64 = 4.0;
/// How many jobs must have run before their length is known.
const SAMPLE: u32 = 20;
/// How much the last job counts in the length of jobs.
const WEIGHT: f64 = 0.1;

/// How long jobs take at present.
#[derive(Debug, Default)]
pub(super) struct Pace {
    runs: u32,
    average_s: f64,
}

impl Pace {
    /// A job has run.
    pub(super) fn count(&mut self, took: Duration) {
        // One very long job says nothing of the next ones.
        let took_s = took.as_secs_f64().min(1.0);
        self.average_s = if self.runs == 0 {
            took_s
        } else {
            self.average_s * (1.0 - WEIGHT) + took_s * WEIGHT
        };
        self.runs = self.runs.saturating_add(1);
    }

    /// How many jobs may wait for each process.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number from 0 to 4"
    )]
    pub(super) fn ahead(&self) -> usize {
        if self.runs < SAMPLE {
            return 0;
        }
        (AHEAD.as_secs_f64() / self.average_s.max(1e-6)).clamp(0.0, MOST_AHEAD) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_jobs_are_taken_ahead() {
        let mut pace = Pace::default();
        let mut run = |jobs: u32, ms: u64| {
            (0..jobs).for_each(|_| pace.count(Duration::from_millis(ms)));
            pace.ahead()
        };
        assert_eq!(run(19, 1), 0, "too few to know");
        assert_eq!(run(1, 1), 4);
        assert_eq!(run(1, 60_000), 0, "a long one may be followed by another");
        assert_eq!(run(100, 1), 4);
        assert_eq!(run(100, 6), 1);
        assert_eq!(run(100, 20), 0);
    }
}
