//! Setting rows aside, and ending that.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::{AsideAsk, AsideHold, AsideLine, aside_marker};
use super::claim::json;
use super::jobs::{mark, touched};
use super::work::{Context, Write};
use crate::store::port::{AsideEnd, QueueName, Waiting};

/// Rows tried at once, when those of a queue's head turn out to be taken by others.
const MOST_TRIED: usize = 1000;

/// Sets rows aside.
pub(super) struct SetAside(pub(super) AsideAsk);

/// A row to be set aside, as it stands.
struct Candidate {
    hold: AsideHold,
    size: u64,
}

impl Candidate {
    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            hold: AsideHold {
                id: row.try_get_unchecked(0)?,
                attempts: row.try_get_unchecked(1)?,
                available_at: row.try_get_unchecked(2)?,
                reserved_at: row.try_get_unchecked(3)?,
            },
            size: u64::try_from(row.try_get_unchecked::<i64, _>(4)?).unwrap_or(0),
        })
    }
}

#[async_trait::async_trait]
impl Write for SetAside {
    type Out = Vec<AsideLine>;

    fn action(&self) -> String {
        format!("set aside jobs of queue {:?}", self.0.queue)
    }

    /// What is available is found as for a reservation.
    fn claims(&self) -> &[QueueName] {
        match self.0.which {
            Waiting::Ready => std::slice::from_ref(&self.0.queue),
            Waiting::Delayed | Waiting::Left => &[],
        }
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<Vec<AsideLine>, sqlx::Error> {
        let rows = match self.0.which {
            Waiting::Ready => self.ready(cx).await?,
            Waiting::Delayed => self.delayed(cx).await?,
            Waiting::Left => self.left(cx).await?,
        };
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.hold(cx, rows).await
    }
}

impl SetAside {
    async fn ready(&self, cx: &mut Context<'_>) -> Result<Vec<AsideHold>, sqlx::Error> {
        let ask = &self.0;
        let mut tried = ask.max;
        loop {
            let picks = cx.heads.pick(self.claims(), tried, ask.max_bytes, true);
            if picks.is_empty() {
                return Ok(Vec::new());
            }
            let ids: Vec<i64> = picks.iter().map(|pick| pick.id).collect();
            let rows = (cx.sql.aside_due.query())
                .bind(json(&ids))
                .bind(ask.queue.as_str().to_owned())
                .bind(cx.heads.now())
                .bind(cx.sql.retry_after_s)
                .fetch_all(&mut *cx.connection)
                .await?;
            let found = rows.iter().map(Candidate::read).collect::<Result<Vec<_>, _>>()?;
            let known: HashSet<i64> = found.iter().map(|row| row.hold.id).collect();
            let mut taken = self.within_limits(found);
            taken.truncate(ask.max);
            let ours: HashSet<i64> = taken.iter().map(|row| row.id).collect();
            for pick in picks {
                match (ours.contains(&pick.id), known.contains(&pick.id)) {
                    (true, _) => cx.heads.claimed(pick, self.reserved_at(cx)),
                    (false, true) => cx.heads.unpick(&pick),
                    // Taken by others.
                    (false, false) => {}
                }
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
            tried = (tried * 2).min(MOST_TRIED);
        }
    }

    fn reserved_at(&self, cx: &Context<'_>) -> i64 {
        cx.heads.now() + self.0.hold_s - cx.sql.retry_after_s
    }

    async fn delayed(&self, cx: &mut Context<'_>) -> Result<Vec<AsideHold>, sqlx::Error> {
        let ask = &self.0;
        let rows = (cx.sql.aside_later.query())
            .bind(ask.queue.as_str().to_owned())
            .bind(cx.heads.now())
            .bind(aside_marker(cx.sql.tables.jobs.as_str()))
            .bind(i64::try_from(ask.max).unwrap_or(i64::MAX))
            .fetch_all(&mut *cx.connection)
            .await?;
        let candidates = rows.iter().map(Candidate::read).collect::<Result<Vec<_>, _>>()?;
        Ok(self.within_limits(candidates))
    }

    /// As many from the first on as are light enough together; one alone may be heavier.
    fn within_limits(&self, candidates: Vec<Candidate>) -> Vec<AsideHold> {
        let mut sum = 0_u64;
        let light = candidates.into_iter().enumerate().take_while(|(place, row)| {
            sum = sum.saturating_add(row.size);
            *place == 0 || sum <= self.0.max_bytes
        });
        light.map(|(_, row)| row.hold).collect()
    }

    async fn left(&self, cx: &mut Context<'_>) -> Result<Vec<AsideHold>, sqlx::Error> {
        let marker = aside_marker(cx.sql.tables.jobs.as_str());
        // A semicolon comes right after a colon.
        let beyond = format!("{};", marker.trim_end_matches(':'));
        let marks = cx.sql.aside_marks.query().bind(marker.clone()).bind(beyond);
        let rows = marks.fetch_all(&mut *cx.connection).await?;
        let mut marked = HashSet::with_capacity(rows.len());
        for row in &rows {
            let text: String = row.try_get_unchecked(0)?;
            let pair = text.strip_prefix(&marker).and_then(|rest| rest.split_once(':'));
            marked.extend(pair.and_then(|(id, attempts)| Some((id.parse().ok()?, attempts.parse().ok()?))));
        }
        let pairs: Vec<(i64, i64)> = marked.iter().copied().collect();
        let found = cx.sql.aside_marked.query().bind(json(&pairs));
        let mut rows = Vec::new();
        for row in found.fetch_all(&mut *cx.connection).await? {
            let hold = Candidate::read(&row)?.hold;
            marked.remove(&(hold.id, hold.attempts));
            let queue: Vec<u8> = row.try_get_unchecked(5)?;
            let waits = hold.reserved_at.is_some() || hold.available_at > cx.heads.now();
            if queue == self.0.queue.as_str().as_bytes() && waits {
                rows.push(hold);
            }
        }
        let stale: Vec<String> = marked
            .iter()
            .map(|(id, attempts)| format!("{marker}{id}:{attempts}"))
            .collect();
        unmark(cx, &stale).await?;
        Ok(rows)
    }

    /// Holds those that may come due meanwhile, marks all, and reads their payloads.
    async fn hold(
        &self,
        cx: &mut Context<'_>,
        mut rows: Vec<AsideHold>,
    ) -> Result<Vec<AsideLine>, sqlx::Error> {
        let now = cx.heads.now();
        let reserved_at = self.reserved_at(cx);
        let mut held = Vec::new();
        for row in &mut rows {
            if row.available_at <= now + self.0.hold_s {
                row.reserved_at = Some(reserved_at);
                held.push(row.id);
            }
        }
        let hold = cx.sql.aside_hold.query().bind(json(&held)).bind(reserved_at);
        hold.execute(&mut *cx.connection).await?;
        let markers = markers_of(cx, &rows);
        let markers: Vec<&str> = markers.iter().map(String::as_str).collect();
        mark(cx, &markers).await?;
        if self.0.which != Waiting::Ready {
            cx.heads.forget_all();
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let read = cx.sql.aside_read.query().bind(json(&ids));
        let mut payloads = HashMap::with_capacity(rows.len());
        for row in read.fetch_all(&mut *cx.connection).await? {
            let payload: Vec<u8> = row.try_get_unchecked(1)?;
            payloads.insert(row.try_get_unchecked::<i64, _>(0)?, Bytes::from(payload));
        }
        let line = |hold: AsideHold| {
            Some(AsideLine {
                payload: payloads.remove(&hold.id)?,
                delay_s: hold.available_at - now,
                hold,
            })
        };
        Ok(rows.into_iter().filter_map(line).collect())
    }
}

/// Ends it.
pub(super) struct EndAside {
    pub(super) rows: Vec<AsideHold>,
    pub(super) end: AsideEnd,
}

#[async_trait::async_trait]
impl Write for EndAside {
    type Out = Vec<bool>;

    fn action(&self) -> String {
        match self.end {
            AsideEnd::Remove => format!("remove {} jobs that were moved", self.rows.len()),
            AsideEnd::PutBack => format!("put {} jobs back", self.rows.len()),
        }
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<Vec<bool>, sqlx::Error> {
        let sql = match self.end {
            AsideEnd::Remove => &cx.sql.aside_delete,
            AsideEnd::PutBack => &cx.sql.aside_free,
        };
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| (row.id, row.attempts, row.available_at, row.reserved_at))
            .collect();
        let ended = touched(sql.query().bind(json(&rows)), cx).await?;
        let ended: HashSet<i64> = ended.into_iter().map(|(id, _)| id).collect();
        let markers = markers_of(cx, &self.rows);
        unmark(cx, &markers).await?;
        for row in &self.rows {
            match self.end {
                AsideEnd::PutBack if ended.contains(&row.id) => cx.heads.freed(row.id, row.available_at),
                AsideEnd::PutBack | AsideEnd::Remove => cx.heads.gone(row.id),
            }
        }
        Ok(self.rows.iter().map(|row| ended.contains(&row.id)).collect())
    }
}

fn markers_of(cx: &Context<'_>, rows: &[AsideHold]) -> Vec<String> {
    let marker = aside_marker(cx.sql.tables.jobs.as_str());
    rows.iter()
        .map(|row| format!("{marker}{}:{}", row.id, row.attempts))
        .collect()
}

async fn unmark(cx: &mut Context<'_>, markers: &[String]) -> Result<(), sqlx::Error> {
    if markers.is_empty() {
        return Ok(());
    }
    let unmark = cx.sql.unmark.query().bind(json(markers));
    unmark.execute(&mut *cx.connection).await.map(drop)
}
