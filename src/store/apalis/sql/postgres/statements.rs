//! The SQL of the stock PostgreSQL layout. Its one index for waiting tasks has (type, priority, time) and holds
//! what a statement asks for only when the statement says so in the same words.

/// What ours among the workers begin with stands in these texts: `laravel.worker/`.
pub(super) const BEAT: &str = "
insert into apalis.workers (id, worker_type, storage_name, layers, last_seen, started_at)
values ($1, $2, 'PgStorage', 'worker', now(), now())
on conflict (id) do update set last_seen = now()";

/// As the stock statement, for workers that are not ours and some rows at a time.
pub(super) const ORPHANS: &str = r#"
update apalis.jobs set status = 'Pending', done_at = null, lock_by = null, lock_at = null,
    attempts = attempts + 1, last_result = '{"Err":"Re-enqueued due to worker heartbeat timeout."}'
where id in (
    select j.id from apalis.workers w join apalis.jobs j on j.lock_by = w.id
    where w.worker_type = $1 and w.last_seen <= now() - make_interval(secs => $2)
        and w.id not like 'laravel.worker/%' and j.status in ('Running', 'Queued')
    limit $3 for update of j skip locked
)
returning id"#;

/// Rows of workers of ours that nothing names any more.
pub(super) const BURY: &str = "
delete from apalis.workers w where w.id like 'laravel.worker/%' and w.last_seen < now() - interval '1 hour'
    and not exists (select 1 from apalis.jobs where lock_by = w.id)";

/// The first due tasks of queue $1, numbered: at most $3. Level by level of priority, so that what is not due yet
/// is not passed over row by row.
macro_rules! first_due {
    () => {
        "
with recursive levels (p) as (
    select (select j.priority from apalis.jobs j where j.job_type = $1
        and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
        order by j.priority desc limit 1)
    union all
    select (select j.priority from apalis.jobs j where j.job_type = $1
        and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
        and j.priority < levels.p order by j.priority desc limit 1)
    from levels where p is not null
),
picked as (
    select level.p, due.id, due.run_at, due.size
    from (select p from levels where p is not null order by p desc) level
    cross join lateral (
        select j.id, j.run_at, octet_length(j.job) as size from apalis.jobs j
        where j.job_type = $1 and j.priority = level.p and j.run_at <= now()
            and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
        order by j.run_at limit $3 for update skip locked
    ) due
),
numbered as (
    select id, row_number() over by_place as place, sum(size) over by_place as bytes from picked
    window by_place as (order by p desc, run_at, id)
)"
    };
}

/// What is read of a task, after its place.
macro_rules! task {
    () => {
        "j.id, j.job, j.attempts, j.max_attempts, j.priority, j.idempotency_key, hstore_to_json(j.metadata)::text"
    };
}

pub(super) const CLAIM: &str = concat!(
    first_due!(),
    "
update apalis.jobs j set status = 'Running', lock_by = $2, done_at = null,
    lock_at = clock_timestamp() + make_interval(secs => $5)
from numbered n where j.id = n.id and n.place <= $3 and (n.bytes <= $4 or n.place = 1)
returning n.place, ",
    task!()
);

/// The row that tasks set aside name; stock workers take it for alive until the hold is over.
pub(super) const ASIDE_WORKER: &str = "
insert into apalis.workers (id, worker_type, storage_name, layers, last_seen, started_at)
values ($1, $2, 'PgStorage', 'worker', now() + make_interval(secs => $3), now())
on conflict (id) do update set last_seen = greatest(apalis.workers.last_seen, excluded.last_seen)";

/// Sets the numbered tasks aside.
macro_rules! aside {
    () => {
        concat!(
            "
update apalis.jobs j set status = 'Queued', lock_by = $2, lock_at = clock_timestamp() + make_interval(secs => $5)
from numbered n where j.id = n.id and n.place <= $3 and (n.bytes <= $4 or n.place = 1)
returning n.place, ",
            task!(),
            ", ceil(extract(epoch from j.run_at - now()))::bigint"
        )
    };
}

pub(super) const ASIDE_READY: &str = concat!(first_due!(), aside!());

pub(super) const ASIDE_DELAYED: &str = concat!(
    "
with picked as (
    select j.id, j.run_at, octet_length(j.job) as size from apalis.jobs j
    where j.job_type = $1 and j.status = 'Pending' and j.run_at > now()
    order by j.run_at, j.id limit $3 for update skip locked
),
numbered as (
    select id, row_number() over by_place as place, sum(size) over by_place as bytes from picked
    window by_place as (order by run_at, id)
)",
    aside!()
);

/// All of them, whatever their number and size.
pub(super) const ASIDE_LEFT: &str = concat!(
    "
with picked as (
    select j.id, j.run_at, j.priority from apalis.jobs j
    where j.job_type = $1 and j.lock_by = $2 and j.status = 'Queued'
    order by j.id for update
),
numbered as (
    select id, 0 as bytes, $3::bigint * 0 + row_number() over (
        order by run_at > now(), case when run_at <= now() then -priority end, run_at, id
    ) as at from picked
)
update apalis.jobs j set lock_at = clock_timestamp() + make_interval(secs => $5)
from numbered n where j.id = n.id and $4::bigint is not null
returning n.at, ",
    task!(),
    ", ceil(extract(epoch from j.run_at - now()))::bigint"
);

pub(super) const REMOVE: &str = "
delete from apalis.jobs where id = any($1::text[]) and lock_by = $2 and status = 'Queued' returning id";

pub(super) const PUT_BACK: &str = "
update apalis.jobs set status = 'Pending', lock_by = null, lock_at = null
where id = any($1::text[]) and lock_by = $2 and status = 'Queued' returning id";

pub(super) const RENEW: &str = "
with held as (
    select j.id from apalis.jobs j
    join (select distinct * from unnest($1::text[], $2::text[], $3::int[]) as h (id, worker, attempts)) h on h.id = j.id
    where j.lock_by = h.worker and j.attempts = h.attempts and j.status = 'Running'
    order by j.id for update of j
)
update apalis.jobs j set lock_at = greatest(j.lock_at, clock_timestamp() + make_interval(secs => $4))
from held where j.id = held.id returning j.id";

/// Ended tasks name no worker: the rows of our workers can go.
pub(super) const SETTLE: &str = "
with asked as (
    select * from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::float8[], $6::text[])
        as a (id, worker, attempts, verb, delay_s, result)
),
held as (
    select j.id from apalis.jobs j join asked a on a.id = j.id
    where j.lock_by = a.worker and j.attempts = a.attempts and j.status = 'Running'
    order by j.id for update of j
)
update apalis.jobs j set
    status = case
        when a.verb = 'done' then 'Done'
        when a.verb <> 'failed' then 'Pending'
        when j.attempts + 1 >= j.max_attempts then 'Failed'
        else 'Killed' end,
    attempts = j.attempts + case when a.verb = 'return' then 0 else 1 end,
    run_at = case when a.delay_s is null then j.run_at else now() + make_interval(secs => a.delay_s) end,
    done_at = case when a.verb in ('done', 'failed') then now() end,
    last_result = coalesce(a.result::jsonb, j.last_result),
    lock_by = null, lock_at = null
from held join asked a on a.id = held.id where j.id = held.id
returning j.id";

/// Times go up by a microsecond from task to task, so that they stand in the order given.
pub(super) const PUSH: &str = "
insert into apalis.jobs
    (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
select n.id, n.queue, n.job, 'Pending', n.attempts, n.max_attempts,
    now() + make_interval(secs => n.delay_s) + (n.place - cardinality($1::text[])) * interval '1 microsecond',
    n.priority,
    coalesce((select hstore(array_agg(m.key), array_agg(m.value)) from json_each_text(n.metadata::json) m), ''),
    n.marker
from unnest($1::text[], $2::text[], $3::bytea[], $4::int[], $5::float8[], $6::int[], $7::text[], $8::text[], $9::int[])
    with ordinality as n (id, queue, job, max_attempts, delay_s, priority, metadata, marker, attempts, place)
order by n.place
on conflict (job_type, idempotency_key) do nothing
returning id";

pub(super) const UNMARK: &str = "
update apalis.jobs set idempotency_key = null where ($1::text is null or job_type = $1) and idempotency_key = any($2)
returning id";

/// What was set aside is `Queued`, and no attempt of it was lost.
pub(super) const LAPSE: &str = r#"
update apalis.jobs set status = 'Pending', done_at = null, lock_by = null, lock_at = null,
    attempts = attempts + (status = 'Running')::int,
    last_result = case status when 'Running' then '{"Err":"the worker that held it is gone"}' else last_result end
where id in (
    select j.id from apalis.workers w join apalis.jobs j on j.lock_by = w.id
    where w.worker_type = $1 and w.id like 'laravel.worker/%' and j.status in ('Running', 'Queued') and j.lock_at <= now()
    limit $2 for update of j skip locked
)
returning id"#;

/// Per queue the seconds until the next task comes due or the next lease ends; null when there is none.
pub(super) const NEXT: &str = "
select q.name, extract(epoch from least(
    (
        with recursive levels (p) as (
            select (select j.priority from apalis.jobs j where j.job_type = q.name
                and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
                order by j.priority desc limit 1)
            union all
            select (select j.priority from apalis.jobs j where j.job_type = q.name
                and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
                and j.priority < levels.p order by j.priority desc limit 1)
            from levels where p is not null
        )
        select min(due.run_at) from levels cross join lateral (
            select j.run_at from apalis.jobs j where j.job_type = q.name and j.priority = levels.p
                and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
            order by j.run_at limit 1
        ) due
    ),
    (
        select min(j.lock_at) from apalis.workers w join apalis.jobs j on j.lock_by = w.id
        where w.worker_type = q.name and w.id like 'laravel.worker/%' and j.status in ('Running', 'Queued')
    )
) - clock_timestamp())::float8
from unnest($1::text[]) as q (name)";

pub(super) const DEPTH: &str = "
select count(*) filter (where run_at <= now()), count(*) filter (where run_at > now()),
    (select count(*) from apalis.workers w join apalis.jobs j on j.lock_by = w.id
        where w.worker_type = $1 and j.status in ('Queued', 'Running')),
    floor(extract(epoch from now() - min(run_at) filter (where run_at <= now())))::bigint
from apalis.jobs where job_type = $1 and (status = 'Pending' or (status = 'Failed' and attempts < max_attempts))";

/// From one name to the next, whatever stands below them; then those of held tasks.
pub(super) const QUEUES: &str = "
with recursive types (t) as (
    select (select job_type from apalis.jobs
        where status = 'Pending' or (status = 'Failed' and attempts < max_attempts)
        order by job_type limit 1)
    union all
    select (select job_type from apalis.jobs
        where (status = 'Pending' or (status = 'Failed' and attempts < max_attempts)) and job_type > t
        order by job_type limit 1)
    from types where t is not null
)
select t from types where t is not null
union
select j.job_type from apalis.workers w join apalis.jobs j on j.lock_by = w.id
where j.status in ('Queued', 'Running')";

pub(super) const CLEAR: &str = "
delete from apalis.jobs where id in (
    select id from apalis.jobs where job_type = $1
        and (status in ('Pending', 'Queued', 'Running') or (status = 'Failed' and attempts < max_attempts))
    limit $2
)
returning id";

pub(super) const PING: &str = "select id, idempotency_key from apalis.jobs limit 1";
