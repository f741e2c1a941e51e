//! The scenarios, and what the framework's own worker leaves of each: facts of Laravel 8.83.

use super::differences::{
    A_ROUND_EARLIER, CLASS, DIED, DIED_FOR_GOOD, FAILED_IS_FAILED, NO_VERDICT, PLACE, PUT_BACK,
    RELEASED_AT_ONCE, RELEASED_IS_RELEASED, TIMED_OUT,
};
use super::scenario::{Flags, Scenario, scenario};

/// How often, and when again.
const ATTEMPTS: &[Scenario] = &[
    scenario("success", &["ran 1"]),
    scenario("throws", &["ran 1, failed RuntimeException"]),
    scenario("throws_nested", &["ran 1, failed LogicException"]),
    scenario("throws_error", &["ran 1, failed Error"]),
    scenario("backoff_none", &["ran 3"]),
    scenario(
        "backoff_int",
        &[
            "ran 1, waits 60 s after 1",
            "ran 2, waits 60 s after 2",
            "ran 3, failed RuntimeException",
        ],
    ),
    scenario(
        "backoff_list",
        &[
            "ran 1, waits 60 s after 1",
            "ran 2, waits 300 s after 2",
            "ran 3, waits 300 s after 3",
        ],
    ),
    scenario("tries_zero", &["ran 3"]),
    scenario(
        "flags_decide",
        &[
            "ran 1, waits 60 s after 1",
            "ran 2, waits 300 s after 2",
            "ran 3, failed RuntimeException",
        ],
    )
    .with(Flags::Policy),
    scenario(
        "payload_decides",
        &["ran 1, waits 600 s after 1", "ran 2, failed RuntimeException"],
    )
    .with(Flags::Policy),
    scenario(
        "delayed_throws",
        &[
            "ran 0, waits 600 s after 0",
            "ran 1, waits 60 s after 1",
            "ran 2, waits 300 s after 2",
        ],
    )
    .with(Flags::Policy),
    scenario(
        "retry_until_future",
        &["ran 1, waits 60 s after 1", "ran 2, waits 60 s after 2", "ran 3"],
    ),
    scenario(
        "retry_until_past",
        &["ran 0, failed MaxAttemptsExceededException"],
    ),
    scenario("max_exceptions_one", &["ran 1, failed RuntimeException"]),
    scenario(
        "max_exceptions_two",
        &[
            "ran 1, waits 60 s after 1, cached",
            "ran 2, failed RuntimeException",
        ],
    ),
    scenario(
        "max_exceptions_releases",
        &[
            "ran 1, waits 60 s after 1",
            "ran 3, waits 60 s after 3, cached",
            "ran 4, failed RuntimeException",
        ],
    ),
    scenario("max_exceptions_success", &["ran 2, cached"]),
    scenario("exhausted", &["ran 0, failed MaxAttemptsExceededException"]),
];

/// What a job decides about itself.
const VERDICTS: &[Scenario] = &[
    scenario("releases", &["ran 2"]),
    scenario(
        "releases_on_last_try",
        &["ran 1, failed MaxAttemptsExceededException"],
    ),
    scenario("releases_later", &["ran 1, waits 300 s after 1", "ran 2"]),
    scenario("releases_twice", &["ran 1, waits 300 s after 1", "ran 2"])
        .in_sql(&["ran 1, waits 60 s after 1, waits 300 s after 1", "ran 3"])
        .but(RELEASED_IS_RELEASED),
    scenario("releases_then_throws", &["ran 1, waits 300 s after 1", "ran 2"]),
    scenario(
        "releases_then_throws_on_last_try",
        &[
            "ran 1, waits 300 s after 1, failed RuntimeException",
            "ran 1, failed RuntimeException",
        ],
    )
    .but(FAILED_IS_FAILED.leaving(&["ran 1, failed RuntimeException", "ran 1, failed RuntimeException"])),
    scenario(
        "releases_after_exception",
        &[
            "ran 1, waits 60 s after 1",
            "ran 2, waits 300 s after 2",
            "ran 3, waits 60 s after 3",
        ],
    ),
    scenario("deletes", &["ran 1"]),
    scenario("deletes_then_throws", &["ran 1"]),
    scenario("deletes_then_throws_on_last_try", &["ran 1"]),
    scenario("deletes_then_releases", &["ran 1, waits 60 s after 1", "ran 2"]),
    scenario("fails", &["ran 1, failed ManuallyFailedException"]).but(PLACE),
    scenario("fails_with", &["ran 1, failed LogicException"]),
    scenario("fails_then_throws", &["ran 1, failed LogicException"]),
    scenario(
        "fails_then_releases",
        &[
            "ran 1, waits 60 s after 1, failed LogicException",
            "ran 2, failed LogicException",
        ],
    )
    .but(FAILED_IS_FAILED.leaving(&["ran 1, failed LogicException", "ran 1, failed LogicException"])),
    scenario("fails_twice", &["ran 1, failed LogicException"]),
    scenario("failed_throws", &["ran 1, failed RuntimeException"]),
    scenario("fails_and_failed_throws", &["ran 1, failed LogicException"]),
];

/// Attempts that are ended from outside.
const ENDS: &[Scenario] = &[
    scenario("timeout", &["ran 1, failed MaxAttemptsExceededException"])
        .with(Flags::Ends)
        .but(TIMED_OUT),
    scenario("timeout_by_flag", &["ran 1, failed MaxAttemptsExceededException"])
        .with(Flags::Policy)
        .but(TIMED_OUT),
    scenario("timeout_fails", &["ran 1, failed MaxAttemptsExceededException"])
        .with(Flags::Ends)
        .but(TIMED_OUT),
    scenario(
        "timeout_max_exceptions",
        &["ran 1, failed MaxAttemptsExceededException"],
    )
    .with(Flags::Ends)
    .but(TIMED_OUT),
    scenario("timeout_with_tries_left", &["ran 1, reserved after 1", "ran 2"])
        .with(Flags::Ends)
        .but(RELEASED_AT_ONCE.leaving(&["ran 1, waits 60 s after 1", "ran 2"])),
    scenario(
        "timeout_of_unique",
        &["ran 1, failed MaxAttemptsExceededException"],
    )
    .with(Flags::Ends)
    .but(TIMED_OUT),
    scenario(
        "timeout_in_batch",
        &["ran 1, failed MaxAttemptsExceededException, batch 1/1/1 cancelled finished"],
    )
    .with(Flags::Ends)
    .but(TIMED_OUT.leaving(&["ran 1, failed TimeoutExceededException, batch 1/1/1 cancelled finished"])),
    scenario("exits", &["ran 1, reserved after 1", "ran 2"])
        .with(Flags::Ends)
        .but(DIED),
    scenario(
        "exits_on_last_try",
        &[
            "ran 1, reserved after 1",
            "ran 1, failed MaxAttemptsExceededException",
        ],
    )
    .with(Flags::Ends)
    .but(DIED_FOR_GOOD),
    scenario("fatal", &["ran 1, reserved after 1", "ran 2"])
        .with(Flags::Ends)
        .but(DIED),
    scenario("killed", &["ran 1, reserved after 1", "ran 2"])
        .with(Flags::Ends)
        .but(DIED),
];

/// Chains and batches. A batch is total/pending/failed.
const GROUPS: &[Scenario] = &[
    scenario("chain", &["ran 3"]),
    scenario("chain_breaks", &["ran 2, failed RuntimeException"]),
    scenario("chain_fails", &["ran 2, failed LogicException"]),
    scenario("chain_releases", &["ran 2, waits 60 s after 1", "ran 4"]),
    scenario("chain_deletes", &["ran 3"]),
    scenario("batch", &["ran 2, batch 2/0/0 finished"]),
    scenario(
        "batch_fails",
        &["ran 2, failed RuntimeException, batch 3/1/1 cancelled finished"],
    ),
    scenario(
        "batch_allows_failures",
        &["ran 4, failed RuntimeException, failed LogicException, batch 4/2/2"],
    ),
    scenario("batch_cancelled", &["ran 1, batch 2/0/0 cancelled finished"]),
    scenario(
        "batch_releases",
        &[
            "ran 2, waits 60 s after 1, batch 2/1/0",
            "ran 3, batch 2/0/0 finished",
        ],
    ),
    scenario("batch_adds", &["ran 3, batch 3/0/0 finished"]),
    scenario(
        "batch_of_chains",
        &["ran 3, failed RuntimeException, batch 4/2/1 cancelled finished"],
    ),
];

/// Locks and middleware.
const GUARDS: &[Scenario] = &[
    scenario("unique", &["ran 1"]),
    scenario("unique_fails", &["ran 1, failed RuntimeException"]),
    scenario("unique_retries", &["ran 1, waits 60 s after 1, lock", "ran 2"]),
    scenario("unique_releases", &["ran 1, waits 60 s after 1, lock", "ran 2"]),
    scenario("unique_dispatches_another", &["ran 1"]),
    scenario("unique_deletes", &["ran 1"]),
    scenario("until_processing", &["ran 2"]),
    scenario("until_processing_fails", &["ran 2, failed RuntimeException"]),
    scenario(
        "overlaps",
        &[
            "ran 0, waits 60 s after 1, lock",
            "ran 0, waits 60 s after 2, lock",
            "ran 0, failed MaxAttemptsExceededException, lock",
        ],
    ),
    scenario("overlaps_or_drops", &["ran 0, lock"]),
    scenario(
        "overlaps_not",
        &[
            "ran 4, waits 60 s after 1, failed RuntimeException",
            "ran 5, waits 60 s after 2, failed RuntimeException",
            "ran 5, failed RuntimeException, failed MaxAttemptsExceededException",
        ],
    ),
    scenario(
        "overlap_timeout",
        &[
            "ran 1, reserved after 1, lock",
            "ran 1, waits 60 s after 2, lock",
            "ran 1, waits 60 s after 3, lock",
        ],
    )
    .with(Flags::Ends)
    .but(A_ROUND_EARLIER.leaving(&[
        "ran 1, waits 60 s after 2, lock",
        "ran 1, waits 60 s after 3, lock",
        "ran 1, failed MaxAttemptsExceededException, lock",
    ])),
    scenario("limited", &["ran 1, waits 600 s after 1"]),
    scenario("limited_or_dropped", &["ran 1"]),
    scenario(
        "throttles",
        &["ran 1, waits 300 s after 1, waits 600 s after 1, cached, cached"],
    ),
    scenario("throttles_not", &["ran 1"]),
    scenario("skips", &["ran 0"]),
    scenario("goes_through", &["ran 1"]),
];

/// All that can lie on a queue.
const FORMS: &[Scenario] = &[
    scenario("encrypted", &["ran 1"]),
    scenario(
        "encrypted_fails",
        &["ran 1, waits 60 s after 1", "ran 2, failed RuntimeException"],
    ),
    scenario("model", &["ran 1"]),
    scenario("model_missing", &["ran 0, failed ModelNotFoundException"]),
    scenario("model_missing_deletes", &["ran 0"]),
    scenario("closure", &["ran 1"]),
    scenario("closure_fails", &["ran 0, failed RuntimeException"]),
    scenario("listener", &["ran 1"]),
    scenario(
        "listener_fails",
        &["ran 1, waits 60 s after 1", "ran 2, failed RuntimeException"],
    ),
    scenario("notification", &["ran 0"]),
    scenario("notification_fails", &["ran 0, failed RuntimeException"]),
    scenario("mailable", &["ran 0"]),
    scenario("string_job", &["ran 1"]),
    scenario(
        "string_forgets",
        &[
            "ran 1, reserved after 1",
            "ran 1, failed MaxAttemptsExceededException",
        ],
    )
    .but(NO_VERDICT),
    scenario("string_fails", &["ran 1, failed RuntimeException"]),
    scenario("delayed", &["ran 0, waits 600 s after 0", "ran 1"]),
    scenario("bulk", &["ran 2, failed RuntimeException"]),
];

/// What jobs do to the process around them, and payloads that no dispatch makes.
const INSIDE: &[Scenario] = &[
    scenario("dispatches", &["ran 3, failed RuntimeException"]),
    scenario("dispatches_then_throws", &["ran 2, failed RuntimeException"]),
    scenario("dispatches_elsewhere", &["ran 1, waits after 0"]),
    scenario("dispatches_later", &["ran 1, waits 600 s after 0"]),
    scenario("after_commit", &["ran 2"]),
    scenario("inline", &["ran 2"]),
    scenario(
        "inline_throws",
        &["ran 2, failed RuntimeException, failed RuntimeException"],
    ),
    scenario("now", &["ran 2"]),
    scenario("prints", &["ran 1"]),
    scenario("job_class", &["ran 1"]).but(CLASS),
    scenario("meddles", &["ran 2"]).but(PUT_BACK),
    scenario("unknown_class", &["ran 0, failed Error"]),
    scenario("corrupt_command", &["ran 0, failed ErrorException"]),
    scenario("unknown_handler", &["ran 0, failed ReflectionException"]),
];

/// All of them.
pub(crate) fn scenarios() -> Vec<Scenario> {
    [ATTEMPTS, VERDICTS, ENDS, GROUPS, GUARDS, FORMS, INSIDE].concat()
}
