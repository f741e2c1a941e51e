//! The SQL texts, written once per database with its table names in place.

use std::fmt;
use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};

use crate::store::sql::names::Tables;
use crate::store::sql::options::SqlOptions;
use crate::store::sql::queue::whole_seconds;

/// A query whose values are being bound.
pub(in crate::store) type PgQuery = Query<'static, Postgres, PgArguments>;

/// One SQL text. It holds nothing from outside but checked and quoted table names.
#[derive(Clone)]
pub(super) struct Sql(Arc<str>);

impl Sql {
    pub(super) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text as a query without values.
    pub(super) fn query(&self) -> PgQuery {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)))
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All statements on the tables of jobs and markers, and the names of the other tables.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) tables: Tables,
    pub(super) retry_after_s: i64,
    pub(super) claim: Sql,
    pub(super) renew: Sql,
    pub(super) delete: Sql,
    pub(super) settle: Sql,
    pub(super) push: Sql,
    pub(super) push_once: Sql,
    pub(super) unmark: Sql,
    pub(super) aside_ready: Sql,
    pub(super) aside_delayed: Sql,
    pub(super) aside_left: Sql,
    pub(super) aside_delete: Sql,
    pub(super) aside_free: Sql,
    pub(super) look: Sql,
    pub(super) depth: Sql,
    pub(super) queues: Sql,
    pub(super) clear: Sql,
    pub(super) ping: Sql,
}

/// The second it is, by the database's clock, rounded down as PHP's `time()` is. The planner takes it for a
/// constant.
pub(super) const NOW: &str = "floor(extract(epoch from statement_timestamp()))::bigint";

/// The highest number that Laravel's `integer` columns hold.
const LATEST: &str = "2147483647";

/// The trigger by whose presence a table is known to announce its new rows.
pub(super) const ANNOUNCER: &str = "worker_notify_inserted";

/// What the name of the channel begins with; the table's object id follows.
pub(super) const CHANNEL: &str = "worker_ready_";

impl Statements {
    pub(super) fn new(options: &SqlOptions) -> Self {
        let tables = options.tables.clone();
        let jobs = tables.jobs.quoted('"');
        let markers = tables.markers.quoted('"');
        let sql = |text: &str| {
            let text = text.replace("{free}", FREE).replace("{held}", HELD);
            let text = text.replace("{jobs}", &jobs).replace("{markers}", &markers);
            let text = text.replace("{now}", NOW).replace("{latest}", LATEST);
            Sql::new(
                text.replace("{announcer}", ANNOUNCER)
                    .replace("{channel}", CHANNEL),
            )
        };
        Self {
            retry_after_s: whole_seconds(options.retry_after),
            claim: sql(CLAIM),
            renew: sql(RENEW),
            delete: sql(DELETE),
            settle: sql(SETTLE),
            push: sql(PUSH),
            push_once: sql(PUSH_ONCE),
            unmark: sql("delete from {markers} where marker = any($1::text[])"),
            aside_ready: sql(&ASIDE.replace("{wanted}", ASIDE_READY)),
            aside_delayed: sql(&ASIDE.replace("{wanted}", ASIDE_DELAYED)),
            aside_left: sql(ASIDE_LEFT),
            aside_delete: sql(&END_ASIDE.replace("{end}", "delete from {jobs} as j using h")),
            aside_free: sql(&END_ASIDE.replace("{end}", "update {jobs} as j set reserved_at = null from h")),
            look: sql(LOOK),
            depth: sql(DEPTH),
            queues: sql(QUEUES),
            clear: sql(CLEAR),
            ping: sql("select 1 from {jobs} limit 1"),
            tables,
        }
    }
}

/// Whether a row is to be had: nobody holds it, or its reservation is over. $2 is `retry_after`.
const FREE: &str = "(reserved_at is null or reserved_at <= {now} - $2)";

/// $1 queues, $2 `retry_after`, $3 rows at most, $4 bytes of payload at most, $5 seconds from now to the new
/// `reserved_at`.
///
/// `picked` locks the first rows of the first queue, then of the next, until there are enough: the join runs
/// as nested loops, since its inner side depends on the outer one, and the limit ends it. With the index on
/// (queue, `available_at`, id) it reads the rows it locks and those that are held before them. `chosen` stops
/// where the payloads become too many; the first one may be larger. Rows that others have locked are passed
/// over, so this waits for nobody. The time is worked out once, not for every row of a table without the index.
///
/// A row at the limit of the column goes back and forth between its two highest numbers: it must not
/// stop the others, and each reservation must look different from the one before.
const CLAIM: &str = "with picked as materialized (\
        select q.place, j.id, j.available_at, j.size \
        from unnest($1::text[]) with ordinality as q(name, place) \
        cross join lateral (\
            select id, available_at, octet_length(payload::text) as size from {jobs} \
            where queue = q.name and available_at <= (select {now}) \
                and (reserved_at is null or reserved_at <= (select {now} - $2)) \
            order by available_at, id limit $3 for update skip locked) as j \
        limit $3), \
    chosen as (\
        select id, place from (\
            select id, place, size, sum(size) over (order by place, available_at, id) as upto from picked) as p \
        where upto <= $4 or upto = size) \
    update {jobs} as j set reserved_at = {now} + $5, \
        attempts = case when j.attempts < 32767 then j.attempts + 1 else 32766 end \
    from chosen as c where j.id = c.id \
    returning c.place, j.available_at::bigint, j.id::bigint, j.attempts::bigint, j.reserved_at::bigint, j.payload::text";

/// The row `j` is the one that `h` is said to hold.
const HELD: &str = "j.id = h.id and j.attempts = h.attempts and j.reserved_at >= h.reserved_at";

/// $1 ids, $2 attempts, $3 `reserved_at` of each, $4 seconds from now to the new `reserved_at`.
///
/// A row that someone has locked is not waited for: it says where it stands, and the next renewal tells
/// more. One stuck transaction must not end the leases of all.
const RENEW: &str = "with h as materialized (\
        select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as h(id, attempts, reserved_at)), \
    ours as materialized (\
        select j.id from h join {jobs} as j on {held} order by j.id for update of j skip locked), \
    renewed as (\
        update {jobs} as j set reserved_at = greatest(j.reserved_at, {now} + $4) from ours \
        where j.id = ours.id returning j.id, j.reserved_at) \
    select id::bigint, reserved_at::bigint from renewed \
    union all \
    select j.id::bigint, j.reserved_at::bigint from h join {jobs} as j on {held} where j.id not in (select id from ours)";

/// $1 ids, $2 attempts, $3 `reserved_at` of each.
const DELETE: &str = "delete from {jobs} as j \
    using unnest($1::bigint[], $2::bigint[], $3::bigint[]) as h(id, attempts, reserved_at) \
    where {held} returning j.id::bigint";

/// As [`DELETE`], and $4 which rows become free instead, $5 attempts to take back, $6 seconds from now until
/// they are available, or null to leave that as it was.
const SETTLE: &str = "with h as materialized (\
        select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[]) \
            as h(id, attempts, reserved_at, free, uncount, delay)), \
    gone as (delete from {jobs} as j using h where not h.free and {held} returning j.id), \
    freed as (\
        update {jobs} as j set reserved_at = null, attempts = greatest(j.attempts - h.uncount, 0), \
            available_at = case when h.delay is null then j.available_at else least({now} + h.delay, {latest}) end \
        from h where h.free and {held} returning j.id) \
    select id::bigint from gone union all select id::bigint from freed";

/// $1 queues, $2 payloads, $3 seconds from now until each is available.
const PUSH: &str = "insert into {jobs} (queue, payload, attempts, reserved_at, available_at, created_at) \
    select queue, payload, 0, null, least({now} + delay, {latest}), {now} \
    from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as r(queue, payload, delay, place) \
    order by place";

/// $1 markers, $2 queues, $3 payloads, $4 seconds from now, $5 attempts, $6 days for which a marker is kept.
/// The markers that were not there. They are inserted in one order by everyone, the jobs in that given.
const PUSH_ONCE: &str = "with given as materialized (\
        select distinct on (marker) * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) \
            with ordinality as r(marker, queue, payload, delay, attempts, place) order by marker, place), \
    swept as (delete from {markers} where created_at < {now} - $6 * 86400), \
    marked as (\
        insert into {markers} (marker, created_at) select marker, {now} from given order by marker \
        on conflict (marker) do nothing returning marker), \
    pushed as (\
        insert into {jobs} (queue, payload, attempts, reserved_at, available_at, created_at) \
        select queue, payload, least(attempts, 32767)::smallint, null, least({now} + delay, {latest}), {now} \
        from given join marked using (marker) order by place) \
    select marker from marked";

/// $1 queue, $2 `retry_after`, $3 seconds to hold, $4 what markers begin with, $5 rows at most, $6 bytes of
/// payload at most, save for the first row. Rows that others have locked are passed over.
const ASIDE: &str = "with picked as materialized (\
        select id, attempts, available_at, octet_length(payload::text) as size from {jobs} as j \
        where queue = $1 and {wanted} order by available_at, id limit $5 for update skip locked), \
    chosen as materialized (\
        select id, attempts, available_at from (\
            select *, sum(size) over (order by available_at, id) as upto from picked) as p \
        where upto <= $6 or upto = size), \
    marked as (\
        insert into {markers} (marker, created_at) select $4 || id || ':' || attempts, {now} from chosen \
        order by 1 on conflict (marker) do nothing), \
    held as (\
        update {jobs} as j set reserved_at = {now} + $3 - $2 from chosen \
        where j.id = chosen.id and chosen.available_at <= {now} + $3) \
    select c.id::bigint, c.attempts::bigint, c.available_at::bigint, \
        (case when c.available_at <= {now} + $3 then {now} + $3 - $2 end)::bigint, \
        (c.available_at - {now})::bigint, j.payload::text \
    from chosen as c join {jobs} as j on j.id = c.id";

const ASIDE_READY: &str = "available_at <= {now} and {free}";

const ASIDE_DELAYED: &str = "reserved_at is null and available_at > {now} \
    and not exists (select from {markers} where marker = $4 || j.id || ':' || j.attempts)";

/// As [`ASIDE`], without $5 and $6.
const ASIDE_LEFT: &str = "with m as materialized (\
        select marker, split_part(substr(marker, length($4) + 1), ':', 1)::bigint as id, \
            split_part(substr(marker, length($4) + 1), ':', 2)::bigint as attempts \
        from {markers} where left(marker, length($4)) = $4), \
    stale as (\
        delete from {markers} as d using m where d.marker = m.marker \
        and not exists (select from {jobs} as j where j.id = m.id and j.attempts = m.attempts)), \
    chosen as materialized (\
        select j.id, j.attempts, j.available_at, j.payload from m \
        join {jobs} as j on j.id = m.id and j.attempts = m.attempts \
        where j.queue = $1 and (j.reserved_at is not null or j.available_at > {now}) \
        order by j.id for update of j skip locked), \
    held as (\
        update {jobs} as j set reserved_at = {now} + $3 - $2 from chosen \
        where j.id = chosen.id and chosen.available_at <= {now} + $3) \
    select id::bigint, attempts::bigint, available_at::bigint, \
        (case when available_at <= {now} + $3 then {now} + $3 - $2 end)::bigint, \
        (available_at - {now})::bigint, payload::text \
    from chosen";

/// $1 ids, $2 attempts, $3 `available_at`, $4 `reserved_at` or null, $5 markers of each. The ids of those that
/// stood so.
const END_ASIDE: &str = "with h as materialized (\
        select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) \
            as h(id, attempts, available_at, reserved_at, marker)), \
    unmarked as (delete from {markers} as d using h where d.marker = h.marker), \
    ended as (\
        {end} where j.id = h.id and j.attempts = h.attempts and j.available_at = h.available_at \
        and (j.reserved_at is not distinct from h.reserved_at or j.reserved_at >= h.reserved_at) returning j.id) \
    select id::bigint from ended";

/// $1 queues, $2 `retry_after`. Per queue the second in which a row is to be had: the present one, or that
/// of the first that comes due or lapses. Besides, the time to the microsecond, and the channel on which the
/// table announces new rows, if it does.
///
/// With the index on (queue, `available_at`, id) it reads the held rows and one more: what is due and not to
/// be had is held.
const LOOK: &str = "select q.place, extract(epoch from clock_timestamp())::float8, \
        (select '{channel}' || tgrelid::bigint from pg_trigger \
            where tgrelid = '{jobs}'::regclass and tgname = '{announcer}' and tgenabled in ('O', 'A')), \
        (case when exists (\
                select from {jobs} where queue = q.name and available_at <= {now} and {free}) \
            then {now} \
            else least(\
                (select available_at from {jobs} \
                    where queue = q.name and available_at > {now} and reserved_at is null \
                    order by available_at limit 1), \
                (select min(reserved_at) + $2 from {jobs} \
                    where queue = q.name and available_at <= {now} and reserved_at is not null)) \
        end)::bigint \
    from unnest($1::text[]) with ordinality as q(name, place)";

/// $1 queues, $2 `retry_after`.
const DEPTH: &str = "select q.place, d.* from unnest($1::text[]) with ordinality as q(name, place) \
    cross join lateral (select \
        count(*) filter (where (reserved_at is null and available_at <= {now}) or reserved_at <= {now} - $2), \
        count(*) filter (where reserved_at is null and available_at > {now}), \
        count(*) filter (where reserved_at > {now} - $2), \
        (max({now} - available_at) filter \
            (where (reserved_at is null and available_at <= {now}) or reserved_at <= {now} - $2))::bigint \
        from {jobs} where queue = q.name) as d";

/// Steps from one queue to the next in the index, without reading the rows between.
const QUEUES: &str = "with recursive q(name) as (\
        (select queue::text from {jobs} order by queue limit 1) \
        union all \
        select (select queue::text from {jobs} where queue > q.name order by queue limit 1) \
        from q where q.name is not null) \
    select name from q where name is not null";

const CLEAR: &str = "delete from {jobs} where id in (select id from {jobs} where queue = $1 limit $2)";
