//! The SQL of the stock SQLite layout. `run_at` and `lock_at` are whole seconds; what is a part of one counts as
//! one more.

/// What ours among the workers begin with stands in these texts: `laravel.worker/`.
pub(super) const BEAT: &str = "
INSERT INTO Workers (id, worker_type, storage_name, layers, last_seen, started_at)
VALUES (?1, ?2, 'SqliteStorage', 'worker', unixepoch(), unixepoch())
ON CONFLICT (id) DO UPDATE SET last_seen = excluded.last_seen";

/// As the stock statement, for workers that are not ours and some rows at a time.
pub(super) const ORPHANS: &str = r#"
UPDATE Jobs SET status = 'Pending', done_at = NULL, lock_by = NULL, lock_at = NULL, attempts = attempts + 1,
    last_result = '{"Err":"Re-enqueued due to worker heartbeat timeout."}'
WHERE id IN (
    SELECT Jobs.id FROM Workers JOIN Jobs ON Jobs.lock_by = Workers.id
    WHERE Workers.worker_type = ?1 AND unixepoch() - Workers.last_seen >= ?2
        AND Workers.id NOT LIKE 'laravel.worker/%' AND Jobs.status IN ('Running', 'Queued')
    LIMIT ?3
)"#;

/// Rows of workers of ours that nothing names any more.
pub(super) const BURY: &str = "
DELETE FROM Workers WHERE id LIKE 'laravel.worker/%' AND last_seen < unixepoch() - 3600
    AND NOT EXISTS (SELECT 1 FROM Jobs WHERE lock_by = Workers.id)";

pub(super) const DUE: &str = "
SELECT EXISTS (SELECT 1 FROM Jobs WHERE job_type = ?1 AND status = 'Pending' AND run_at <= unixepoch() AND lock_by IS NULL)
    OR EXISTS (SELECT 1 FROM Jobs WHERE job_type = ?1 AND status = 'Failed' AND attempts < max_attempts
        AND run_at <= unixepoch())";

/// The priorities that waiting tasks have, without reading every task.
pub(super) const LEVELS: &str = "
WITH RECURSIVE
pending (p) AS (
    SELECT (SELECT priority FROM Jobs WHERE job_type = ?1 AND status = 'Pending' AND lock_by IS NULL
        ORDER BY priority DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT priority FROM Jobs WHERE job_type = ?1 AND status = 'Pending' AND lock_by IS NULL
        AND priority < p ORDER BY priority DESC LIMIT 1)
    FROM pending WHERE p IS NOT NULL
),
failed (p) AS (
    SELECT (SELECT priority FROM Jobs WHERE job_type = ?1 AND status = 'Failed' AND attempts < max_attempts
        ORDER BY priority DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT priority FROM Jobs WHERE job_type = ?1 AND status = 'Failed' AND attempts < max_attempts
        AND priority < p ORDER BY priority DESC LIMIT 1)
    FROM failed WHERE p IS NOT NULL
)
SELECT p FROM pending WHERE p IS NOT NULL UNION SELECT p FROM failed WHERE p IS NOT NULL";

/// The first due tasks of one priority.
pub(super) const PICK: &str = "
SELECT place, size FROM (
    SELECT * FROM (
        SELECT rowid AS place, length(job) AS size, run_at, id FROM Jobs
        WHERE job_type = ?1 AND status = 'Pending' AND lock_by IS NULL AND priority = ?2
            AND run_at <= unixepoch()
        ORDER BY run_at, id LIMIT ?3
    )
    UNION ALL
    SELECT * FROM (
        SELECT rowid AS place, length(job) AS size, run_at, id FROM Jobs
        WHERE job_type = ?1 AND status = 'Failed' AND attempts < max_attempts AND priority = ?2
            AND run_at <= unixepoch()
        ORDER BY run_at, id LIMIT ?3
    )
) ORDER BY run_at, id LIMIT ?3";

pub(super) const TAKE: &str = "
UPDATE Jobs SET status = 'Running', lock_by = ?1, lock_at = CAST(unixepoch('subsec') + ?2 AS INTEGER) + 1,
    done_at = NULL
WHERE rowid IN (SELECT value FROM json_each(?3))
RETURNING rowid, id, job, attempts, max_attempts, priority, idempotency_key, metadata";

pub(super) const RENEW: &str = "
UPDATE Jobs SET lock_at = max(lock_at, CAST(unixepoch('subsec') + ?4 AS INTEGER) + 1)
WHERE id = ?1 AND lock_by = ?2 AND attempts = ?3 AND status = 'Running'";

/// Ended tasks name no worker: the rows of our workers can go.
pub(super) const DONE: &str = r#"
UPDATE Jobs SET status = 'Done', attempts = attempts + 1, last_result = '{"Ok":null}', done_at = unixepoch(),
    lock_by = NULL, lock_at = NULL
WHERE id = ?1 AND lock_by = ?2 AND attempts = ?3 AND status = 'Running'"#;

pub(super) const FAILED: &str = "
UPDATE Jobs SET status = CASE WHEN attempts + 1 >= max_attempts THEN 'Failed' ELSE 'Killed' END,
    attempts = attempts + 1, last_result = ?4, done_at = unixepoch(), lock_by = NULL, lock_at = NULL
WHERE id = ?1 AND lock_by = ?2 AND attempts = ?3 AND status = 'Running'";

pub(super) const FREE: &str = "
UPDATE Jobs SET status = 'Pending', attempts = attempts + ?4, lock_by = NULL, lock_at = NULL,
    run_at = CASE WHEN ?5 IS NULL THEN run_at WHEN ?5 <= 0 THEN unixepoch()
        ELSE CAST(unixepoch('subsec') + ?5 AS INTEGER) + 1 END
WHERE id = ?1 AND lock_by = ?2 AND attempts = ?3 AND status = 'Running'";

/// Delays are whole seconds and count from the second that has begun, as a stock producer's and Laravel's do.
pub(super) const PUSH: &str = "
INSERT INTO Jobs (job, id, job_type, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
VALUES (?1, ?2, ?3, 'Pending', ?9, ?4,
    unixepoch() + CAST(?5 AS INTEGER), ?6, ?7, ?8)
ON CONFLICT (job_type, idempotency_key) DO NOTHING";

pub(super) const UNMARK: &str = "
UPDATE Jobs SET idempotency_key = NULL WHERE (?1 IS NULL OR job_type = ?1) AND idempotency_key IN (SELECT value FROM json_each(?2))";

pub(super) const OVER: &str = "
SELECT EXISTS (SELECT 1 FROM Jobs WHERE status IN ('Running', 'Queued') AND job_type = ?1
    AND lock_by LIKE 'laravel.worker/%' AND lock_at <= unixepoch())";

/// What was set aside is `Queued`, and no attempt of it was lost.
pub(super) const LAPSE: &str = r#"
UPDATE Jobs SET status = 'Pending', done_at = NULL, lock_by = NULL, lock_at = NULL,
    attempts = attempts + (status = 'Running'),
    last_result = CASE status WHEN 'Running' THEN '{"Err":"the worker that held it is gone"}' ELSE last_result END
WHERE rowid IN (
    SELECT rowid FROM Jobs WHERE status IN ('Running', 'Queued') AND job_type = ?1 AND lock_by LIKE 'laravel.worker/%'
        AND lock_at <= unixepoch()
    LIMIT ?2
)"#;

/// The row that tasks set aside name; stock workers take it for alive until the hold is over.
pub(super) const ASIDE_WORKER: &str = "
INSERT INTO Workers (id, worker_type, storage_name, layers, last_seen, started_at)
VALUES (?1, ?2, 'SqliteStorage', 'worker', unixepoch() + CAST(?3 AS INTEGER) + 1, unixepoch())
ON CONFLICT (id) DO UPDATE SET last_seen = max(Workers.last_seen, excluded.last_seen)";

pub(super) const PICK_LEFT: &str = "
SELECT rowid, 0 FROM Jobs WHERE status = 'Queued' AND job_type = ?1 AND lock_by = ?2
ORDER BY run_at > unixepoch(), CASE WHEN run_at <= unixepoch() THEN -priority END, run_at, id";

pub(super) const PICK_DELAYED: &str = "
SELECT rowid, length(job) FROM Jobs
WHERE job_type = ?1 AND status = 'Pending' AND lock_by IS NULL AND run_at > unixepoch()
ORDER BY run_at, id LIMIT ?2";

pub(super) const ASIDE: &str = "
UPDATE Jobs SET status = 'Queued', lock_by = ?1, lock_at = CAST(unixepoch('subsec') + ?2 AS INTEGER) + 1
WHERE rowid IN (SELECT value FROM json_each(?3))
RETURNING rowid, id, job, attempts, max_attempts, priority, idempotency_key, metadata, run_at - unixepoch()";

pub(super) const REMOVE: &str = "
DELETE FROM Jobs WHERE id = ?1 AND lock_by = ?2 AND status = 'Queued'";

pub(super) const PUT_BACK: &str = "
UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
WHERE id = ?1 AND lock_by = ?2 AND status = 'Queued'";

/// Seconds until the next task comes due or the next lease ends; null when there is none.
pub(super) const NEXT: &str = "
SELECT min(at) - unixepoch('subsec') FROM (
    SELECT (SELECT run_at FROM Jobs WHERE job_type = ?1 AND status = 'Pending' ORDER BY run_at LIMIT 1) AS at
    UNION ALL
    SELECT min(run_at) FROM Jobs WHERE job_type = ?1 AND status = 'Failed' AND attempts < max_attempts
    UNION ALL
    SELECT min(lock_at) FROM Jobs WHERE status IN ('Running', 'Queued') AND job_type = ?1
        AND lock_by LIKE 'laravel.worker/%'
)";

pub(super) const DEPTH: &str = "
SELECT coalesce(sum(run_at <= unixepoch()), 0), coalesce(sum(run_at > unixepoch()), 0),
    (SELECT count(*) FROM Jobs WHERE job_type = ?1 AND status IN ('Queued', 'Running')),
    unixepoch() - min(CASE WHEN run_at <= unixepoch() THEN run_at END)
FROM (
    SELECT run_at FROM Jobs WHERE job_type = ?1 AND status = 'Pending'
    UNION ALL
    SELECT run_at FROM Jobs WHERE job_type = ?1 AND status = 'Failed' AND attempts < max_attempts
)";

/// From one name to the next, whatever stands below them.
pub(super) const QUEUES: &str = "
WITH RECURSIVE types (t) AS (
    SELECT min(job_type) FROM Jobs
    UNION ALL
    SELECT (SELECT min(job_type) FROM Jobs WHERE job_type > t) FROM types WHERE t IS NOT NULL
)
SELECT t FROM types
WHERE t IS NOT NULL AND (
    EXISTS (SELECT 1 FROM Jobs WHERE job_type = t AND status IN ('Pending', 'Queued', 'Running'))
    OR EXISTS (SELECT 1 FROM Jobs WHERE job_type = t AND status = 'Failed' AND attempts < max_attempts)
)
ORDER BY t";

pub(super) const CLEAR: &str = "
DELETE FROM Jobs WHERE rowid IN (
    SELECT rowid FROM Jobs WHERE job_type = ?1
        AND (status IN ('Pending', 'Queued', 'Running') OR (status = 'Failed' AND attempts < max_attempts))
    LIMIT ?2
)";

pub(super) const PING: &str = "SELECT id, idempotency_key FROM Jobs LIMIT 1";
