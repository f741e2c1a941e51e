//! The differences on purpose, each with the words of docs/compatibility.md that say so.

use super::scenario::{Difference, Store};

/// A job that was ended by its time limit and has failed.
pub(crate) const TIMED_OUT: Difference = Difference::of(
    &["failed() message", "JobFailed message", "failed job1"],
    "a time limit that fails a job is recorded as `TimeoutExceededException`",
)
.leaving(&["ran 1, failed TimeoutExceededException"]);

/// A job that was ended by its time limit and has tries left.
pub(crate) const RELEASED_AT_ONCE: Difference = Difference::of(
    &["waiting"],
    "an attempt out of time is ended, then released with its backoff, or failed, at once",
);

/// The same, when the next attempt follows in the same round.
pub(crate) const A_ROUND_EARLIER: Difference = Difference {
    lines: &[
        "waiting",
        "failed",
        "JobProcess",
        "JobFailed",
        "JobExceptionOccurred",
        "reported",
    ],
    ..RELEASED_AT_ONCE
};

/// A job whose process ended, and that has tries left.
pub(crate) const DIED: Difference = Difference::of(
    &["waiting", "JobProcess", "ran"],
    "a PHP process that dies costs its job an attempt, at once, with its cause recorded",
)
.leaving(&["ran 2", "ran 2"]);

/// A job whose process ended, and that has none.
pub(crate) const DIED_FOR_GOOD: Difference = Difference {
    lines: A_ROUND_EARLIER.lines,
    ..DIED
}
.leaving(&[
    "ran 1, failed PhpProcessDiedException",
    "ran 1, failed PhpProcessDiedException",
]);

/// A job that has failed and was released too.
pub(crate) const FAILED_IS_FAILED: Difference = Difference::of(
    &[
        "waiting",
        "ran",
        "failed()",
        "JobProcess",
        "JobFailed",
        "JobExceptionOccurred",
        "reported",
    ],
    "a PHP job that has failed is not released as well",
);

/// A job that was released twice.
pub(crate) const RELEASED_IS_RELEASED: Difference = Difference::of(
    &["waiting", "JobProcess", "ran"],
    "a PHP job that is released twice comes back once",
)
.only(&[Store::Sql])
.leaving(&["ran 1, waits 300 s after 1", "ran 2"]);

/// A handler that said nothing of what becomes of its job.
pub(crate) const NO_VERDICT: Difference = Difference::of(
    &["waiting"],
    "a job that neither deletes nor releases itself comes back after a lease",
)
.leaving(&[
    "ran 1, waits 60 s after 1",
    "ran 1, failed MaxAttemptsExceededException",
]);

/// What the second job finds of what the first has changed.
pub(crate) const PUT_BACK: Difference = Difference::of(
    &["finds disk", "finds locale"],
    "the locale, the default disk and more that a PHP job changed are put back",
);

/// The class of the job that code sees.
pub(crate) const CLASS: Difference = Difference::of(
    &["class redis", "class database"],
    "a job's `instanceof RedisJob`",
);

/// Where the exception was made that records a failure without one.
pub(crate) const PLACE: Difference = Difference::of(
    &["failed job1"],
    "the record of a bare `fail()` names the worker's script",
);

/// In every scenario: what the worker keeps of earlier attempts stands below the record, and in the cache
/// while the job waits for its next one.
pub(crate) const EARLIER: &str = "the record goes on with the errors of earlier attempts";
