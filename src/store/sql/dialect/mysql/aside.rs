//! Setting rows aside, and ending that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use super::super::{AsideAsk, AsideHold, AsideLine, aside_marker};
use super::claim::bytes;
use super::markers::{mark, texts, unmark};
use super::names::{NOW, Names};
use super::session::Session;
use super::text::{exactly, numbers, text};
use super::verb::{LONG, Verb};
use crate::store::port::{AsideEnd, Waiting};

/// How often rows are looked for again when others have taken all that were found.
const ROUNDS: usize = 10;

/// Sets rows aside.
pub(super) struct SetAside {
    pub(super) names: Arc<Names>,
    pub(super) ask: AsideAsk,
}

#[async_trait::async_trait]
impl Verb for SetAside {
    type Out = Vec<AsideLine>;

    fn action(&self) -> String {
        format!("set aside jobs of queue {:?}", self.ask.queue)
    }

    fn patience(&self) -> Duration {
        LONG
    }

    /// The rows are found without a lock, then locked by their ids and looked at again.
    async fn run(&self, session: &mut Session) -> Result<Vec<AsideLine>, sqlx::Error> {
        let mut lines = Vec::new();
        for _ in 0..ROUNDS {
            let ids = match self.ask.which {
                Waiting::Ready | Waiting::Delayed => self.find(session).await?,
                Waiting::Left => self.left(session).await?,
            };
            if ids.is_empty() {
                break;
            }
            lines = self.take(session, ids).await?;
            if !lines.is_empty() || self.ask.which == Waiting::Left {
                break;
            }
        }
        Ok(lines)
    }
}

impl SetAside {
    fn marker(&self) -> String {
        aside_marker(self.names.tables.jobs.as_str())
    }

    /// The condition that a row is wanted.
    fn wanted(&self) -> String {
        match self.ask.which {
            Waiting::Ready => self.names.due(),
            Waiting::Delayed => format!("reserved_at is null and available_at > {NOW}"),
            Waiting::Left => format!("(reserved_at is not null or available_at > {NOW})"),
        }
    }

    /// The first rows, as many as are light enough together.
    async fn find(&self, session: &mut Session) -> Result<Vec<i64>, sqlx::Error> {
        let Names { jobs, markers, .. } = &*self.names;
        let unmarked = match self.ask.which {
            Waiting::Delayed => format!(
                "and not exists (select 1 from {markers} as m where m.marker = concat({}, j.id, ':', j.attempts))",
                text(self.marker())
            ),
            Waiting::Ready | Waiting::Left => String::new(),
        };
        let rows = session
            .rows(format!(
                "select cast(id as signed), octet_length(payload) from {jobs} as j \
                 where {} and {} {unmarked} order by available_at, id limit {}",
                exactly("queue", self.ask.queue.as_str()),
                self.wanted(),
                self.ask.max
            ))
            .await?;
        let mut ids = Vec::with_capacity(rows.len());
        let mut size = 0_u64;
        for row in &rows {
            size = size.saturating_add(row.try_get_unchecked::<i64, _>(1)?.unsigned_abs());
            if size > self.ask.max_bytes && !ids.is_empty() {
                break;
            }
            ids.push(row.try_get_unchecked(0)?);
        }
        Ok(ids)
    }

    /// The rows that have a marker and still are as it says. Other markers go.
    async fn left(&self, session: &mut Session) -> Result<Vec<i64>, sqlx::Error> {
        let Names { jobs, markers, .. } = &*self.names;
        let marker = self.marker();
        let rows = session
            .rows(format!(
                "select cast(marker as binary) from {markers} where left(marker, {}) = {}",
                marker.chars().count(),
                text(&marker)
            ))
            .await?;
        let mut marked: HashMap<i64, (i64, String)> = HashMap::with_capacity(rows.len());
        for mark in texts(&rows)? {
            let pair = mark.strip_prefix(&marker).and_then(|rest| rest.split_once(':'));
            let parsed = pair.and_then(|(id, attempts)| Some((id.parse().ok()?, attempts.parse().ok()?)));
            if let Some((id, attempts)) = parsed {
                marked.insert(id, (attempts, mark));
            }
        }
        let all = numbers(marked.keys().copied());
        let rows = session
            .rows(format!(
                "select cast(id as signed), cast(attempts as signed) from {jobs} where id in ({all})"
            ))
            .await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: i64 = row.try_get_unchecked(0)?;
            if marked
                .get(&id)
                .is_some_and(|(attempts, _)| row.try_get_unchecked(1).ok() == Some(*attempts))
            {
                ids.push(id);
                marked.remove(&id);
            }
        }
        if !marked.is_empty() {
            let stale = marked.values().map(|(_, mark)| mark.as_str());
            session.execute(unmark(markers, stale)).await?;
        }
        Ok(ids)
    }

    /// Locks rows, holds those that may come due meanwhile, and marks all.
    async fn take(&self, session: &mut Session, ids: Vec<i64>) -> Result<Vec<AsideLine>, sqlx::Error> {
        let Names { jobs, markers, .. } = &*self.names;
        let rows = session
            .rows(format!(
                "start transaction; \
                 select cast(id as signed), cast(attempts as signed), cast(available_at as signed), {NOW}, payload \
                 from {jobs} where id in ({}) and {} and {} {}",
                numbers(ids),
                exactly("queue", self.ask.queue.as_str()),
                self.wanted(),
                session.lock()
            ))
            .await?;
        let mut lines = rows
            .iter()
            .map(|row| self.line(row))
            .collect::<Result<Vec<_>, _>>()?;
        lines.sort_unstable_by_key(|line| (line.hold.available_at, line.hold.id));
        let Some(first) = lines.first() else {
            session.execute("rollback".to_owned()).await?;
            return Ok(lines);
        };
        let now = first.hold.available_at - first.delay_s;
        let marks: Vec<String> = lines
            .iter()
            .map(|line| marker_of(&self.marker(), &line.hold))
            .collect();
        let held = numbers(
            lines
                .iter()
                .filter(|line| self.is_held(line))
                .map(|line| line.hold.id),
        );
        session
            .execute(format!(
                "update {jobs} set reserved_at = {} where id in ({held}); {}; commit",
                self.reserved_at(now),
                mark(markers, marks.iter().map(String::as_str), "ignore")
            ))
            .await?;
        Ok(lines)
    }

    fn line(&self, row: &MySqlRow) -> Result<AsideLine, sqlx::Error> {
        let available_at: i64 = row.try_get_unchecked(2)?;
        let now: i64 = row.try_get_unchecked(3)?;
        let payload: Bytes = bytes(row, 4)?;
        let mut line = AsideLine {
            hold: AsideHold {
                id: row.try_get_unchecked(0)?,
                attempts: row.try_get_unchecked(1)?,
                available_at,
                reserved_at: None,
            },
            payload,
            delay_s: available_at - now,
        };
        line.hold.reserved_at = self.is_held(&line).then(|| self.reserved_at(now));
        Ok(line)
    }

    /// Whether a row may come due before the hold is over.
    fn is_held(&self, line: &AsideLine) -> bool {
        line.delay_s <= self.ask.hold_s
    }

    fn reserved_at(&self, now: i64) -> i64 {
        (now + self.ask.hold_s - self.names.retry_after_s).max(0)
    }
}

fn marker_of(marker: &str, hold: &AsideHold) -> String {
    format!("{marker}{}:{}", hold.id, hold.attempts)
}

/// Ends it.
pub(super) struct EndAside {
    pub(super) names: Arc<Names>,
    pub(super) rows: Vec<AsideHold>,
    pub(super) end: AsideEnd,
}

#[async_trait::async_trait]
impl Verb for EndAside {
    type Out = Vec<bool>;

    fn action(&self) -> String {
        match self.end {
            AsideEnd::Remove => format!("remove {} jobs that were moved", self.rows.len()),
            AsideEnd::PutBack => format!("put {} jobs back", self.rows.len()),
        }
    }

    async fn run(&self, session: &mut Session) -> Result<Vec<bool>, sqlx::Error> {
        let Names { jobs, markers, .. } = &*self.names;
        let stands = self.stands(session.most_attempts());
        let end = match self.end {
            AsideEnd::Remove => format!("delete from {jobs}"),
            AsideEnd::PutBack => format!("update {jobs} set reserved_at = null"),
        };
        let marker = aside_marker(self.names.tables.jobs.as_str());
        let marks: Vec<String> = self.rows.iter().map(|hold| marker_of(&marker, hold)).collect();
        let rows = session
            .rows(format!(
                "start transaction; select cast(id as signed) from {jobs} where {stands} for update; \
                 {end} where {stands}; {}; commit",
                unmark(markers, marks.iter().map(String::as_str))
            ))
            .await?;
        let ended: HashSet<i64> = rows
            .iter()
            .map(|row| row.try_get_unchecked(0))
            .collect::<Result<_, _>>()?;
        Ok(self.rows.iter().map(|hold| ended.contains(&hold.id)).collect())
    }
}

impl EndAside {
    /// The condition that a row stands as it was left, or is held anew. One whose attempts can grow no more looks
    /// the same in a worker's hands but for `reserved_at`, which then must be the very same.
    fn stands(&self, most_attempts: i64) -> String {
        let mut alike: BTreeMap<(i64, i64, Option<i64>), Vec<i64>> = BTreeMap::new();
        for hold in &self.rows {
            let key = (hold.attempts, hold.available_at, hold.reserved_at);
            alike.entry(key).or_default().push(hold.id);
        }
        let ids = numbers(self.rows.iter().map(|hold| hold.id));
        let mut conditions = vec!["false".to_owned()];
        for ((attempts, available_at, reserved_at), ids) in alike {
            let reserved_at = match reserved_at {
                None => "reserved_at is null".to_owned(),
                Some(at) if attempts < most_attempts => format!("reserved_at >= {at}"),
                Some(at) => format!("reserved_at = {at}"),
            };
            conditions.push(format!(
                "(id in ({}) and attempts = {attempts} and available_at = {available_at} \
                 and {reserved_at})",
                numbers(ids)
            ));
        }
        // By the primary key first, so that no other row is locked.
        format!("id in ({ids}) and ({})", conditions.join(" or "))
    }
}
