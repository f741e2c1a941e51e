//! Where each queue begins: the ids of the next jobs in order, so that a reservation finds its rows by
//! id and no statement on the way of a job scans the table.
//!
//! Laravel's table has an index on `queue` alone. Asking it for the first rows by (`available_at`, `id`)
//! reads every row of the queue, held and delayed ones too. So we ask once for the first few thousand, keep
//! their ids in order, and follow what changes: our own changes all pass through the writer, new rows of
//! others have higher ids, and other changes of others show in `data_version` and lead to a new scan,
//! which takes a tenth of our time at most. What stands here is only ever a hint: the claim itself checks
//! each row. With an index that serves the order (`queue, reserved_at, available_at`) scans cost nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::claim::{from_json, json};
use super::head::{Head, KEPT};
use super::statements::{Sql, Statements};
use crate::store::port::QueueName;

/// New rows looked at one by one; when there are more the queues are scanned again.
const NEWER: i64 = 4096;

/// What is read of a row: id, queue, `available_at`, `reserved_at`, bytes of payload.
type Line = (i64, String, i64, Option<i64>, Option<u64>);

/// A row that someone holds.
#[derive(Debug)]
struct HeldRow {
    queue: QueueName,
    lapses_at: i64,
    available_at: i64,
    size: u64,
}

/// A row to be claimed.
#[derive(Debug)]
pub(super) struct Pick {
    pub(super) id: i64,
    pub(super) queue: QueueName,
    available_at: i64,
    size: u64,
}

/// How much faster than ticks a clock of whole seconds may seem to go, in seconds.
const TICK_S: i64 = 2;
/// How long after a jump of the clock no lease ends.
const AFTER_JUMP: Duration = Duration::from_secs(2);

/// What is remembered of all queues that were asked for.
#[derive(Debug)]
pub(super) struct Heads {
    retry_after_s: i64,
    queues: HashMap<QueueName, Head>,
    held: HashMap<i64, HeldRow>,
    lapses: BTreeSet<(i64, i64)>,
    /// Rows up to this id were looked at.
    seen: i64,
    /// `data_version` at the last look, and when what is remembered was brought up to it.
    version: Option<i64>,
    known: Option<i64>,
    /// The store's clock at the last look, when that was, and when it was last found set ahead.
    now: i64,
    looked: Option<Instant>,
    jumped: Option<Instant>,
    /// Rows were added by us since the last look.
    pushed: bool,
    grown: bool,
    touched: bool,
    /// Whether the table of failures has a `uuid` column, once that is known.
    pub(super) failures_have_uuid: Option<bool>,
}

impl Heads {
    pub(super) fn new(retry_after_s: i64) -> Self {
        Self {
            retry_after_s,
            queues: HashMap::new(),
            held: HashMap::new(),
            lapses: BTreeSet::new(),
            seen: 0,
            version: None,
            known: None,
            now: 0,
            looked: None,
            jumped: None,
            pushed: false,
            grown: false,
            touched: false,
            failures_have_uuid: None,
        }
    }

    /// Forgets everything: the next look scans again.
    pub(super) fn forget_all(&mut self) {
        *self = Self {
            version: self.version,
            now: self.now,
            looked: self.looked,
            jumped: self.jumped,
            grown: self.grown,
            touched: self.touched,
            ..Self::new(self.retry_after_s)
        };
    }

    /// Says that a transaction begins, after which [`Heads::is_touched`] tells whether it changed anything.
    pub(super) fn begin(&mut self) {
        self.touched = false;
    }

    /// Whether something was changed for rows of the current transaction.
    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Whether jobs may have become available by our own doing since this was last asked.
    pub(super) fn take_grown(&mut self) -> bool {
        std::mem::take(&mut self.grown)
    }

    /// Whether one of `queues` seems to have a job now.
    pub(super) fn is_due(&self, queues: &[QueueName]) -> bool {
        queues
            .iter()
            .any(|queue| self.queues.get(queue).is_some_and(|head| head.is_due(self.now)))
    }

    /// Takes note of rows pushed by us.
    pub(super) fn pushed(&mut self) {
        self.touched = true;
        self.pushed = true;
        self.grown = true;
    }

    /// Takes note of a row that is free from `available_at` on.
    pub(super) fn freed(&mut self, id: i64, available_at: i64) {
        self.touched = true;
        self.grown = true;
        if let Some(row) = self.drop_held(id)
            && let Some(head) = self.queues.get_mut(&row.queue)
        {
            head.insert((available_at, id), row.size);
            return;
        }
        self.queues.values_mut().for_each(|head| head.stale = true);
    }

    /// Takes note of a row that is gone, or in the hands of others.
    pub(super) fn gone(&mut self, id: i64) {
        self.touched = true;
        self.drop_held(id);
    }

    /// Takes note of a row that we hold, whether it is new in our hands or renewed.
    pub(super) fn renewed(&mut self, id: i64, reserved_at: i64) {
        self.touched = true;
        if let Some(row) = self.drop_held(id) {
            self.hold(id, reserved_at, row);
        }
    }

    /// Takes note of a row that was picked and claimed.
    pub(super) fn claimed(&mut self, pick: Pick, reserved_at: i64) {
        let row = HeldRow {
            queue: pick.queue,
            lapses_at: 0,
            available_at: pick.available_at,
            size: pick.size,
        };
        self.hold(pick.id, reserved_at, row);
    }

    /// Puts back a row that was picked and not needed.
    pub(super) fn unpick(&mut self, pick: &Pick) {
        if let Some(head) = self.queues.get_mut(&pick.queue) {
            head.insert((pick.available_at, pick.id), pick.size);
        }
    }

    /// Takes the next due rows of the first of `queues`, then of the next: `max` at most, and no more
    /// than `bytes` of payload together unless `alone` allows the first to be larger.
    pub(super) fn pick(&mut self, queues: &[QueueName], max: usize, bytes: u64, alone: bool) -> Vec<Pick> {
        self.touched = true;
        let mut picks = Vec::new();
        let mut sum = 0_u64;
        for queue in queues {
            let Some(head) = self.queues.get_mut(queue) else {
                continue;
            };
            while picks.len() < max
                && let Some(entry) = head.free.first_entry()
            {
                let ((available_at, id), size) = (*entry.key(), *entry.get());
                if available_at > self.now {
                    break;
                }
                sum = sum.saturating_add(size);
                if sum > bytes && !(alone && picks.is_empty()) {
                    return picks;
                }
                entry.remove();
                let queue = queue.clone();
                picks.push(Pick {
                    id,
                    queue,
                    available_at,
                    size,
                });
            }
        }
        picks
    }

    /// The store's clock, whole seconds, at the last look.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// Takes note of the answer to a look: `data_version`, which others' commits change, and the clock.
    pub(super) fn looked(&mut self, rows: &[SqliteRow]) -> Result<(), sqlx::Error> {
        if let [version, now] = rows {
            self.version = Some(version.try_get_unchecked(0)?);
            self.is_now(now.try_get_unchecked(0)?);
        }
        Ok(())
    }

    /// Takes note of the clock. A file's is that of this machine, which may be set while jobs run.
    fn is_now(&mut self, now: i64) {
        let passed = self.looked.map(|last| last.elapsed().as_secs());
        let passed = passed.and_then(|seconds| i64::try_from(seconds).ok());
        if passed.is_some_and(|passed| now.saturating_sub(self.now) > passed.saturating_add(TICK_S)) {
            self.jumped = Some(Instant::now());
        }
        self.now = now;
        self.looked = Some(Instant::now());
    }

    /// Whether leases may end now. Just after the clock was set ahead all of them seem to have ended, and those
    /// who still hold jobs are about to renew theirs.
    fn may_lapse(&self) -> bool {
        self.jumped.is_none_or(|jumped| jumped.elapsed() >= AFTER_JUMP)
    }

    /// Looks into the tables after [`Heads::looked`]: what others added and what has come due; scans
    /// `queues` where that is needed.
    ///
    /// # Errors
    /// Those of the database; then nothing is known any more.
    pub(super) async fn refresh(
        &mut self,
        connection: &mut SqliteConnection,
        sql: &Statements,
        queues: &[QueueName],
    ) -> Result<(), sqlx::Error> {
        let refreshed = self.try_refresh(connection, sql, queues).await;
        if refreshed.is_err() {
            self.forget_all();
        }
        refreshed
    }

    async fn try_refresh(
        &mut self,
        connection: &mut SqliteConnection,
        sql: &Statements,
        queues: &[QueueName],
    ) -> Result<(), sqlx::Error> {
        let foreign = self.version != self.known;
        if foreign {
            self.queues.values_mut().for_each(|head| head.stale = true);
        }
        if foreign || self.pushed {
            self.look_at_newer(connection, sql).await?;
        }
        self.known = self.version;
        self.pushed = false;
        for queue in queues {
            let wanted = self
                .queues
                .get(queue)
                .is_none_or(|head| head.wants_scan(self.now));
            if wanted {
                self.scan(connection, sql, queue).await?;
            }
        }
        self.lapse();
        Ok(())
    }

    async fn look_at_newer(
        &mut self,
        connection: &mut SqliteConnection,
        sql: &Statements,
    ) -> Result<(), sqlx::Error> {
        let known: Vec<&str> = self.queues.keys().map(QueueName::as_str).collect();
        let newer = (sql.newer.query()).bind(self.seen).bind(NEWER).bind(json(&known));
        let row = newer.fetch_one(connection).await?;
        self.seen = row.try_get_unchecked::<Option<i64>, _>(0)?.unwrap_or(0);
        let lines: Vec<Line> = from_json(row.try_get_unchecked(1)?)?;
        if i64::try_from(lines.len()).is_ok_and(|found| found >= NEWER) {
            self.queues.clear();
            self.held.clear();
            self.lapses.clear();
            return Ok(());
        }
        for line in lines {
            let queue = QueueName::new(&line.1);
            self.enter(&queue, &line);
        }
        Ok(())
    }

    async fn scan(
        &mut self,
        connection: &mut SqliteConnection,
        sql: &Statements,
        queue: &QueueName,
    ) -> Result<(), sqlx::Error> {
        let began = Instant::now();
        let mut lines_of = async |sql: &Sql| {
            let scan = sql.query().bind(queue.as_str().to_owned()).bind(KEPT);
            let row = scan.fetch_one(&mut *connection).await?;
            from_json::<Vec<Line>>(row.try_get_unchecked(0)?)
        };
        let lines = lines_of(&sql.free).await?;
        let held_known = self.queues.get(queue).and_then(Head::held_known);
        let held = match held_known {
            Some(_) => Vec::new(),
            None => lines_of(&sql.held).await?,
        };
        if held_known.is_none() {
            let of_queue = self.held.iter().filter(|(_, row)| row.queue == *queue);
            let ids: Vec<i64> = of_queue.map(|(id, _)| *id).collect();
            ids.into_iter().for_each(|id| drop(self.drop_held(id)));
        }
        let mut free = BTreeMap::new();
        for (id, _, available_at, _, size) in lines {
            self.drop_held(id);
            free.insert((available_at, id), size.unwrap_or(0));
        }
        self.queues
            .insert(queue.clone(), Head::scanned(began, free, held_known));
        for line in held {
            self.enter(queue, &line);
        }
        Ok(())
    }

    fn enter(&mut self, queue: &QueueName, line: &Line) {
        let Some(head) = self.queues.get_mut(queue) else {
            return;
        };
        let &(id, _, available_at, reserved_at, size) = line;
        let size = size.unwrap_or(0);
        match reserved_at {
            None => {
                head.insert((available_at, id), size);
                self.drop_held(id);
            }
            Some(reserved_at) => {
                let row = HeldRow {
                    queue: queue.clone(),
                    lapses_at: 0,
                    available_at,
                    size,
                };
                self.drop_held(id);
                self.hold(id, reserved_at, row);
            }
        }
    }

    /// Frees what has lapsed, at the place it had.
    fn lapse(&mut self) {
        while let Some(&(lapses_at, id)) = self.lapses.first()
            && lapses_at <= self.now
            && self.may_lapse()
        {
            if let Some(row) = self.drop_held(id)
                && let Some(head) = self.queues.get_mut(&row.queue)
            {
                head.insert((row.available_at.min(self.now), id), row.size);
            }
        }
    }

    fn hold(&mut self, id: i64, reserved_at: i64, row: HeldRow) {
        let lapses_at = reserved_at.saturating_add(self.retry_after_s);
        self.lapses.insert((lapses_at, id));
        self.held.insert(id, HeldRow { lapses_at, ..row });
    }

    fn drop_held(&mut self, id: i64) -> Option<HeldRow> {
        let row = self.held.remove(&id)?;
        self.lapses.remove(&(row.lapses_at, id));
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_ahead_ends_no_lease_at_once() {
        let mut heads = Heads::new(90);
        heads.is_now(1000);
        heads.is_now(1001);
        assert!(heads.may_lapse());
        heads.is_now(4600);
        assert!(!heads.may_lapse(), "set ahead");
        heads.is_now(4601);
        assert!(!heads.may_lapse(), "just now");
        heads.jumped = Instant::now().checked_sub(AFTER_JUMP);
        assert!(heads.may_lapse(), "and from then on as ever");
        heads.is_now(1000);
        assert!(heads.may_lapse(), "set back, nothing ends early");
    }
}
