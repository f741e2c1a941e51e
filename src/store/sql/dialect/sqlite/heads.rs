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

use super::statements::{Sql, Statements};
use crate::store::port::QueueName;

/// Rows remembered of one queue.
const KEPT: i64 = 16_384;

/// New rows looked at one by one; when there are more the queues are scanned again.
const NEWER: i64 = 4096;

/// A scan that took less is repeated whenever others changed something.
const CHEAP: Duration = Duration::from_millis(1);

/// The longest time without a scan after others changed something.
const LONGEST: Duration = Duration::from_secs(1);

/// `available_at` and id: the order of a queue.
type Place = (i64, i64);

/// What is remembered of one queue.
#[derive(Debug)]
struct Head {
    /// Free rows in order, with the sizes of their payloads in bytes.
    free: BTreeMap<Place, u64>,
    /// Free rows beyond this place are not all remembered; `None` when all are.
    horizon: Option<Place>,
    /// When the queue was scanned, and how long that took.
    scanned: Instant,
    cost: Duration,
    /// Whether others may have changed rows since.
    stale: bool,
}

impl Head {
    fn insert(&mut self, place: Place, size: u64) {
        if self.horizon.is_none_or(|horizon| place <= horizon) {
            self.free.insert(place, size);
        }
    }

    fn is_due(&self, now: i64) -> bool {
        self.free
            .first_key_value()
            .is_some_and(|((available_at, _), _)| *available_at <= now)
    }

    fn wants_scan(&self, now: i64) -> bool {
        if self.free.is_empty() && self.horizon.is_some() {
            return true;
        }
        let rest = match self.is_due(now) {
            true => LONGEST,
            false if self.cost < CHEAP => Duration::ZERO,
            false => (self.cost * 10).min(LONGEST),
        };
        self.stale && self.scanned.elapsed() >= rest
    }
}

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

/// What is remembered of all queues that were asked for.
#[derive(Debug)]
pub(super) struct Heads {
    retry_after_s: i64,
    queues: HashMap<QueueName, Head>,
    held: HashMap<i64, HeldRow>,
    lapses: BTreeSet<(i64, i64)>,
    /// Rows up to this id were looked at.
    seen: i64,
    version: Option<i64>,
    /// The store's clock at the last look.
    now: i64,
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
            now: 0,
            pushed: false,
            grown: false,
            touched: false,
            failures_have_uuid: None,
        }
    }

    /// Forgets everything: the next look scans again.
    pub(super) fn forget_all(&mut self) {
        *self = Self {
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

    /// Looks what others changed and what has come due, and scans `queues` where that is needed.
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
        let row = sql.look.query().fetch_one(&mut *connection).await?;
        let version = Some(row.try_get_unchecked(0)?);
        self.now = row.try_get_unchecked(1)?;
        let foreign = self.version != version;
        if foreign {
            self.queues.values_mut().for_each(|head| head.stale = true);
        }
        if foreign || self.pushed {
            self.look_at_newer(connection, sql).await?;
        }
        self.version = version;
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
        if self.queues.is_empty() {
            let row = sql.last_id.query().fetch_one(connection).await?;
            self.seen = row.try_get_unchecked::<Option<i64>, _>(0)?.unwrap_or(0);
            return Ok(());
        }
        let rows = sql
            .newer
            .query()
            .bind(self.seen)
            .bind(NEWER)
            .fetch_all(&mut *connection)
            .await?;
        if i64::try_from(rows.len()).is_ok_and(|found| found >= NEWER) {
            self.queues.clear();
            self.held.clear();
            self.lapses.clear();
            let row = sql.last_id.query().fetch_one(connection).await?;
            self.seen = row.try_get_unchecked::<Option<i64>, _>(0)?.unwrap_or(0);
            return Ok(());
        }
        for row in &rows {
            self.seen = self.seen.max(row.try_get_unchecked(0)?);
            let name: &[u8] = row.try_get_unchecked(1)?;
            if let Ok(name) = std::str::from_utf8(name) {
                self.enter(&QueueName::new(name), row)?;
            }
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
        let mut rows_of = async |sql: &Sql| {
            sql.query()
                .bind(queue.as_str().to_owned())
                .bind(KEPT)
                .fetch_all(&mut *connection)
                .await
        };
        let free = rows_of(&sql.free).await?;
        let held = rows_of(&sql.held).await?;
        let gone: Vec<i64> = self
            .held
            .iter()
            .filter(|(_, row)| row.queue == *queue)
            .map(|(id, _)| *id)
            .collect();
        gone.into_iter().for_each(|id| drop(self.drop_held(id)));
        let head = Head {
            free: BTreeMap::new(),
            horizon: None,
            scanned: began,
            cost: Duration::ZERO,
            stale: false,
        };
        self.queues.insert(queue.clone(), head);
        for row in free.iter().chain(&held) {
            self.enter(queue, row)?;
        }
        if let Some(head) = self.queues.get_mut(queue) {
            if i64::try_from(free.len()).is_ok_and(|found| found >= KEPT) {
                head.horizon = head.free.last_key_value().map(|(place, _)| *place);
            }
            head.scanned = Instant::now();
            head.cost = began.elapsed();
        }
        Ok(())
    }

    /// Enters a row of (id, …, `available_at`, `reserved_at`, size).
    fn enter(&mut self, queue: &QueueName, row: &SqliteRow) -> Result<(), sqlx::Error> {
        if !self.queues.contains_key(queue) {
            return Ok(());
        }
        let id: i64 = row.try_get_unchecked(0)?;
        let available_at: i64 = row.try_get_unchecked(2)?;
        let size: i64 = row.try_get_unchecked(4)?;
        let size = u64::try_from(size).unwrap_or(0);
        self.drop_held(id);
        match row.try_get_unchecked::<Option<i64>, _>(3)? {
            Some(reserved_at) => {
                let queue = queue.clone();
                let row = HeldRow {
                    queue,
                    lapses_at: 0,
                    available_at,
                    size,
                };
                self.hold(id, reserved_at, row);
            }
            None => {
                if let Some(head) = self.queues.get_mut(queue) {
                    head.insert((available_at, id), size);
                }
            }
        }
        Ok(())
    }

    /// Frees what has lapsed, at the place it had.
    fn lapse(&mut self) {
        while let Some(&(lapses_at, id)) = self.lapses.first()
            && lapses_at <= self.now
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
