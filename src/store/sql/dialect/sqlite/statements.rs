//! The SQL texts, written once per database with its table names in place.

use std::fmt;
use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};

use crate::store::sql::names::Tables;
use crate::store::sql::options::SqlOptions;
use crate::store::sql::queue::whole_seconds;

/// A query whose values are being bound.
pub(super) type SqliteQuery = Query<'static, Sqlite, SqliteArguments>;

/// One SQL text. It holds nothing from outside but checked and quoted table names.
#[derive(Clone)]
pub(super) struct Sql(Arc<str>);

impl Sql {
    fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text as a query without values.
    pub(super) fn query(&self) -> SqliteQuery {
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
    pub(super) begin: Sql,
    pub(super) look: Sql,
    pub(super) newer: Sql,
    pub(super) free: Sql,
    pub(super) held: Sql,
    pub(super) claim: Sql,
    pub(super) renew: Sql,
    pub(super) delete: Sql,
    pub(super) release: Sql,
    pub(super) push: Sql,
    pub(super) push_many: Sql,
    pub(super) mark: Sql,
    pub(super) unmark: Sql,
    pub(super) sweep_marks: Sql,
    pub(super) aside_due: Sql,
    pub(super) aside_later: Sql,
    pub(super) aside_marks: Sql,
    pub(super) aside_marked: Sql,
    pub(super) aside_read: Sql,
    pub(super) aside_hold: Sql,
    pub(super) aside_delete: Sql,
    pub(super) aside_free: Sql,
    pub(super) depth: Sql,
    pub(super) queues: Sql,
    pub(super) clear: Sql,
    pub(super) ping: Sql,
}

/// Rows in one `push_many`.
pub(super) const PUSH_ROWS: usize = 32;

impl Statements {
    pub(super) fn new(options: &SqlOptions) -> Self {
        let tables = options.tables.clone();
        let jobs = tables.jobs.quoted('"');
        let markers = tables.markers.quoted('"');
        let sql = |text: &str| Sql::new(text.replace("{jobs}", &jobs).replace("{markers}", &markers));
        Self {
            retry_after_s: whole_seconds(options.retry_after),
            begin: sql("begin immediate; pragma data_version; select unixepoch()"),
            look: sql("pragma data_version; select unixepoch()"),
            newer: sql(NEWER),
            free: sql(FREE),
            held: sql(HELD),
            claim: sql(&format!("{CLAIMED}; {CLAIM}").replace("{due}", DUE)),
            renew: sql(&format!("{RENEWED}; {RENEW}").replace("{held}", OURS)),
            delete: sql(&format!("{DELETED}; {DELETE}").replace("{held}", OURS)),
            release: sql(&format!("{RELEASED}; {RELEASE}").replace("{held}", OURS)),
            push: sql(&push(1)),
            push_many: sql(&push(PUSH_ROWS)),
            mark: sql(MARK),
            unmark: sql("delete from {markers} where marker in (select value from json_each(?1))"),
            sweep_marks: sql("delete from {markers} where created_at < unixepoch() - ?1 * 86400"),
            aside_due: sql(&format!("{ASIDE_DUE} order by j.available_at, j.id")),
            aside_later: sql(ASIDE_LATER),
            aside_marks: sql("select marker from {markers} where marker >= ?1 and marker < ?2"),
            aside_marked: sql(ASIDE_MARKED),
            aside_read: sql(ASIDE_READ),
            aside_hold: sql(
                "update {jobs} set reserved_at = ?2 where id in (select value from json_each(?1))",
            ),
            aside_delete: sql(&format!("{ASIDE_ENDED}; {DELETE}").replace("{held}", ASIDE_STANDS)),
            aside_free: sql(&format!("{ASIDE_ENDED}; {ASIDE_FREE}").replace("{held}", ASIDE_STANDS)),
            depth: sql(DEPTH),
            queues: sql(QUEUES),
            clear: sql(CLEAR),
            ping: sql("select 1 from {jobs} limit 1"),
            tables,
        }
    }
}

// Rows to be remembered are read as one JSON text: a row on its way from SQLite's thread to ours costs more
// than its reading. Each is [id, queue, `available_at`, `reserved_at`, bytes].

/// The highest id, and the rows of known queues that came after an id: ?1 that id, ?2 rows at most,
/// ?3 queues.
const NEWER: &str = "select (select max(id) from {jobs}), \
    json_group_array(json_array(id, queue, available_at, reserved_at, octet_length(payload))) \
    from (select * from {jobs} where id > ?1 and queue in (select value from json_each(?3)) order by id limit ?2)";

/// The first rows of a queue that nobody holds, due or not: ?1 queue, ?2 rows at most.
const FREE: &str = "select json_group_array(json_array(id, ?1, available_at, null, octet_length(payload))) \
    from (select * from {jobs} where queue = ?1 and reserved_at is null order by available_at, id limit ?2)";

/// The rows of a queue that someone holds, the first to lapse first: ?1 queue, ?2 rows at most.
const HELD: &str = "select json_group_array(json_array(id, ?1, available_at, reserved_at, octet_length(payload))) \
    from (select * from {jobs} where queue = ?1 and reserved_at is not null order by reserved_at, id limit ?2)";

// The writes that must say which rows they touched are two statements in one text: the first says it in
// a single row, the second does it. Nobody can come between, since the writer holds the lock; and a row on
// its way from SQLite's thread to ours costs more than the work on it. Times are bound, not asked for, so
// that both mean the same second.

/// Rows to be claimed: ?1 ids in order, ?2 rows at most, ?3 now, ?4 `retry_after`, ?5 queues.
const DUE: &str = "from json_each(?1) as h cross join {jobs} as j where j.id = h.value \
    and ((j.reserved_at is null and j.available_at <= ?3) or j.reserved_at <= ?3 - ?4) \
    and j.queue in (select value from json_each(?5)) limit ?2";

const CLAIMED: &str = "select json_group_array(json_array(id, attempts, size)), group_concat(payload, '') \
    from (select j.id, cast(j.attempts as integer) as attempts, octet_length(j.payload) as size, j.payload {due})";

/// ?6 `reserved_at`.
const CLAIM: &str =
    "update {jobs} set reserved_at = ?6, attempts = attempts + 1 where id in (select j.id {due})";

/// Rows that are held: ?1 list of [id, attempts, `reserved_at`].
const OURS: &str = "from json_each(?1) as h cross join {jobs} as j where j.id = h.value ->> 0 \
    and j.attempts = h.value ->> 1 and j.reserved_at >= h.value ->> 2";

const RENEWED: &str = "select json_group_array(json_array(j.id, max(j.reserved_at, ?2))) {held}";

/// ?2 `reserved_at`.
const RENEW: &str = "update {jobs} set reserved_at = max(reserved_at, ?2) where id in (select j.id {held})";

const DELETED: &str = "select json_group_array(json_array(j.id, 0)) {held}";

const DELETE: &str = "delete from {jobs} where id in (select j.id {held})";

const RELEASED: &str = "select json_group_array(json_array(j.id, coalesce(?3, j.available_at))) {held}";

/// ?2 attempts to take back, ?3 `available_at` or null.
const RELEASE: &str = "update {jobs} set reserved_at = null, attempts = max(attempts - ?2, 0), \
    available_at = coalesce(?3, available_at) where id in (select j.id {held})";

/// Those of ?1, a list, that were not there.
const MARK: &str = "insert or ignore into {markers} (marker, created_at) \
    select value, unixepoch() from json_each(?1) where true returning marker";

// Rows to be set aside: id, attempts, `available_at`, `reserved_at`, bytes.

/// Those of ?1 (ids) on queue ?2 that are free and due at ?3, or lapsed by ?4, `retry_after`.
const ASIDE_DUE: &str = "select j.id, cast(j.attempts as integer), j.available_at, j.reserved_at, \
    octet_length(j.payload) from json_each(?1) as h cross join {jobs} as j where j.id = h.value and j.queue = ?2 \
    and ((j.reserved_at is null and j.available_at <= ?3) or j.reserved_at <= ?3 - ?4)";

/// Those of queue ?1 that are free and not due at ?2, without a marker that begins with ?3: ?4 at most.
const ASIDE_LATER: &str = "select j.id, cast(j.attempts as integer), j.available_at, j.reserved_at, \
    octet_length(j.payload) from {jobs} as j where j.queue = ?1 and j.reserved_at is null and j.available_at > ?2 \
    and not exists (select 1 from {markers} as m where m.marker = ?3 || j.id || ':' || j.attempts) \
    order by j.available_at, j.id limit ?4";

/// Those of ?1, a list of [id, attempts], whatever their queue, which is told as well.
const ASIDE_MARKED: &str = "select j.id, cast(j.attempts as integer), j.available_at, j.reserved_at, \
    octet_length(j.payload), j.queue from json_each(?1) as h cross join {jobs} as j \
    where j.id = h.value ->> 0 and j.attempts = h.value ->> 1 order by j.available_at, j.id";

/// Payloads of ?1, ids.
const ASIDE_READ: &str =
    "select j.id, j.payload from json_each(?1) as h cross join {jobs} as j where j.id = h.value";

/// Rows that stand as they were set aside, or are held anew: ?1 list of [id, attempts, `available_at`,
/// `reserved_at`].
const ASIDE_STANDS: &str = "from json_each(?1) as h cross join {jobs} as j where j.id = h.value ->> 0 \
    and j.attempts = h.value ->> 1 and j.available_at = h.value ->> 2 \
    and (j.reserved_at is (h.value ->> 3) or j.reserved_at >= h.value ->> 3)";

const ASIDE_ENDED: &str = "select json_group_array(json_array(j.id, 0)) {held}";

const ASIDE_FREE: &str = "update {jobs} set reserved_at = null where id in (select j.id {held})";

/// ?1 queue, ?2 `retry_after`.
const DEPTH: &str = "with j as (select available_at, reserved_at, unixepoch() as now from {jobs} where queue = ?1) \
    select \
        count(*) filter (where (reserved_at is null and available_at <= now) or reserved_at <= now - ?2), \
        count(*) filter (where reserved_at is null and available_at > now), \
        count(*) filter (where reserved_at > now - ?2), \
        max(now - available_at) filter \
            (where (reserved_at is null and available_at <= now) or reserved_at <= now - ?2) \
    from j";

/// Steps from one queue to the next in the index, without reading the rows between.
const QUEUES: &str = "with recursive q(name) as (\
        select min(queue) from {jobs} \
        union all select (select min(queue) from {jobs} where queue > q.name) from q where q.name is not null) \
    select name from q where name is not null";

const CLEAR: &str = "delete from {jobs} where id in (select id from {jobs} where queue = ?1 limit ?2)";

/// An insert of `rows` jobs; payloads are given as bytes and become text, as PHP's driver writes them.
fn push(rows: usize) -> String {
    let row = "(?, cast(? as text), ?, null, unixepoch() + ?, unixepoch())";
    let rows = vec![row; rows].join(", ");
    format!(
        "insert into {{jobs}} (queue, payload, attempts, reserved_at, available_at, created_at) values {rows}"
    )
}
