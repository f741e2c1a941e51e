//! What becomes of a job after an attempt: a pure function of policy, attempt, outcome and time.
//!
//! The rules are Laravel's (`Queue/Worker.php`, 12.x: `markJobAsFailedIfAlreadyExceedsMaxAttempts`,
//! `handleJobException`, `calculateBackoff`), but for time-outs, which follow tries and backoff at once.

use std::time::Duration;

use crate::runner::Decided;
use crate::wire::Exception;

/// The class of a failure that the job asked for (`Queue/ManuallyFailedException.php`).
pub const MANUAL: &str = r"Illuminate\Queue\ManuallyFailedException";

/// How a job may be tried, from its payload and its queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// How many attempts it has; zero for no limit. Ignored when `retry_until` is set.
    pub tries: u32,
    /// Unix time in seconds until which it may be tried, whatever the attempts.
    pub retry_until: Option<i64>,
    /// How many attempts may end in an error; `None` for no limit.
    pub max_exceptions: Option<u32>,
    /// Whether running out of time fails the job at once.
    pub fail_on_timeout: bool,
    /// Waits before the next attempt, in seconds, by number of the attempt; the last one repeats.
    pub backoff: Vec<u64>,
}

/// One attempt, as far as deciding needs it.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// The job's name, for the texts of failures.
    pub name: &'a str,
    /// The number of the attempt: 1 on the first.
    pub attempt: u32,
    /// How many attempts have ended in an error, this one included; known only when the policy limits them.
    pub exceptions: Option<i64>,
    /// Unix time in seconds.
    pub now: i64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done.
    Done,
    /// The job gave itself back.
    Released {
        /// Time until it is available again.
        after: Duration,
    },
    /// The job gave up.
    FailedByJob {
        /// What it said.
        reason: String,
    },
    /// The job ended in an error.
    Error {
        /// What went wrong.
        exception: Exception,
        /// The wait that the job asks for in place of its backoff.
        retry_after: Option<Duration>,
    },
    /// The framework ran it and has decided.
    Decided(Decided),
    /// The job ran out of time.
    TimedOut,
    /// The worker stopped before the job was done.
    Interrupted,
    /// Another worker holds the job now; whatever this attempt did is void.
    Lost,
}

/// What becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Delete,
    /// It is tried again after this time.
    Release {
        /// Time until it is available again.
        delay: Duration,
    },
    /// It goes back uncounted.
    Refund {
        /// Time until it is available again; `None` for the head of its queue.
        delay: Option<Duration>,
    },
    /// It has failed for good.
    Fail {
        /// What the failed job's record will say.
        exception: Exception,
    },
    /// Nothing is written: it is no longer ours.
    Abandon,
}

/// Whether the job may run at all: the failure when its attempts were used up before this one.
#[must_use]
pub fn gate(policy: &Policy, tried: &Tried<'_>) -> Option<Verdict> {
    let may_run = match policy.retry_until {
        Some(until) => tried.now <= until,
        None => policy.tries == 0 || tried.attempt <= policy.tries,
    };
    (!may_run).then(|| Verdict::Fail {
        exception: Exception::max_attempts_exceeded(tried.name),
    })
}

/// The verdict on an attempt.
#[must_use]
pub fn decide(policy: &Policy, tried: &Tried<'_>, outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Done => Verdict::Delete,
        Outcome::Released { after } => Verdict::Release { delay: after },
        Outcome::FailedByJob { reason } => Verdict::Fail {
            exception: Exception::new(MANUAL, reason),
        },
        Outcome::Decided(Decided::Deleted) => Verdict::Delete,
        Outcome::Decided(Decided::Released { after, .. }) => Verdict::Release { delay: after },
        Outcome::Decided(Decided::Failed { exception }) => Verdict::Fail { exception },
        Outcome::Interrupted => Verdict::Refund { delay: None },
        Outcome::Lost => Verdict::Abandon,
        Outcome::Error {
            exception,
            retry_after,
        } => {
            if is_exhausted(policy, tried) {
                Verdict::Fail { exception }
            } else {
                Verdict::Release {
                    delay: retry_after.unwrap_or_else(|| backoff(policy, tried.attempt)),
                }
            }
        }
        Outcome::TimedOut => {
            if policy.fail_on_timeout || is_exhausted(policy, tried) {
                Verdict::Fail {
                    exception: Exception::timeout_exceeded(tried.name),
                }
            } else {
                Verdict::Release {
                    delay: backoff(policy, tried.attempt),
                }
            }
        }
    }
}

/// Whether there is no further attempt after an unsuccessful one.
fn is_exhausted(policy: &Policy, tried: &Tried<'_>) -> bool {
    let out_of_tries = match policy.retry_until {
        Some(until) => until <= tried.now,
        None => policy.tries > 0 && tried.attempt >= policy.tries,
    };
    let too_many_errors = matches!(
        (policy.max_exceptions, tried.exceptions),
        (Some(max), Some(seen)) if seen >= i64::from(max)
    );
    out_of_tries || too_many_errors
}

/// The wait after this attempt: the list's entry of the same number, or its last.
fn backoff(policy: &Policy, attempt: u32) -> Duration {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = policy
        .backoff
        .get(index)
        .or(policy.backoff.last())
        .copied()
        .unwrap_or(0);
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tried(attempt: u32, now: i64) -> Tried<'static> {
        Tried {
            name: "SendInvoice",
            attempt,
            exceptions: None,
            now,
        }
    }

    fn error() -> Outcome {
        Outcome::Error {
            exception: Exception::new("RuntimeException", "it broke"),
            retry_after: None,
        }
    }

    #[test]
    fn the_gate_counts_tries_unless_a_time_is_set() {
        let tries = |tries| Policy {
            tries,
            ..Policy::default()
        };
        assert_eq!(gate(&tries(3), &tried(3, 0)), None);
        assert!(matches!(
            gate(&tries(3), &tried(4, 0)),
            Some(Verdict::Fail { .. })
        ));
        assert_eq!(gate(&tries(0), &tried(4000, 0)), None);
        let until = Policy {
            tries: 1,
            retry_until: Some(100),
            ..Policy::default()
        };
        assert_eq!(gate(&until, &tried(9, 100)), None);
        assert!(matches!(gate(&until, &tried(1, 101)), Some(Verdict::Fail { .. })));
    }

    #[test]
    fn backoff_goes_by_attempt_and_its_last_entry_repeats() {
        let policy = Policy {
            tries: 0,
            backoff: vec![60, 300, 900],
            ..Policy::default()
        };
        for (attempt, seconds) in [(1, 60), (2, 300), (3, 900), (4, 900), (u32::MAX, 900)] {
            let delay = Duration::from_secs(seconds);
            assert_eq!(
                decide(&policy, &tried(attempt, 0), error()),
                Verdict::Release { delay }
            );
        }
        let at_once = Verdict::Release {
            delay: Duration::ZERO,
        };
        assert_eq!(decide(&Policy::default(), &tried(1, 0), error()), at_once);
    }

    #[test]
    fn the_last_try_fails_with_what_went_wrong() {
        let policy = Policy {
            tries: 2,
            ..Policy::default()
        };
        assert!(matches!(
            decide(&policy, &tried(1, 0), error()),
            Verdict::Release { .. }
        ));
        let Verdict::Fail { exception } = decide(&policy, &tried(2, 0), error()) else {
            panic!()
        };
        assert!(exception.to_string().contains("it broke"));
    }

    #[test]
    fn exceptions_may_be_limited_apart_from_tries() {
        let policy = Policy {
            tries: 0,
            max_exceptions: Some(2),
            ..Policy::default()
        };
        let seen = |exceptions| Tried {
            exceptions: Some(exceptions),
            ..tried(5, 0)
        };
        assert!(matches!(
            decide(&policy, &seen(1), error()),
            Verdict::Release { .. }
        ));
        assert!(matches!(decide(&policy, &seen(2), error()), Verdict::Fail { .. }));
    }

    #[test]
    fn a_timeout_follows_backoff_unless_it_is_told_to_fail() {
        let mut policy = Policy {
            tries: 2,
            backoff: vec![7],
            ..Policy::default()
        };
        let later = Verdict::Release {
            delay: Duration::from_secs(7),
        };
        assert_eq!(decide(&policy, &tried(1, 0), Outcome::TimedOut), later);
        policy.fail_on_timeout = true;
        let Verdict::Fail { exception } = decide(&policy, &tried(1, 0), Outcome::TimedOut) else {
            panic!()
        };
        assert!(exception.to_string().contains("has timed out"));
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Done),
            (0..9999_u64).prop_map(|s| Outcome::Released {
                after: Duration::from_secs(s)
            }),
            Just(Outcome::FailedByJob { reason: "no".into() }),
            Just(error()),
            Just(Outcome::TimedOut),
            Just(Outcome::Interrupted),
            Just(Outcome::Lost),
        ]
    }

    proptest! {
        #[test]
        fn no_attempt_is_granted_past_the_tries(
            tries in 1..9_u32,
            attempt in 1..20_u32,
            backoff in prop::collection::vec(0..9999_u64, 0..4),
            outcome in any_outcome(),
        ) {
            let policy = Policy { tries, backoff: backoff.clone(), ..Policy::default() };
            let unsuccessful = matches!(outcome, Outcome::Error { .. } | Outcome::TimedOut);
            let verdict = decide(&policy, &tried(attempt, 0), outcome);
            if unsuccessful && attempt >= tries {
                let failed = matches!(verdict, Verdict::Fail { .. });
                prop_assert!(failed);
            } else if let (true, Verdict::Release { delay }) = (unsuccessful, verdict) {
                let most = backoff.iter().copied().max().unwrap_or(0);
                prop_assert!(delay <= Duration::from_secs(most));
            }
        }
    }
}
