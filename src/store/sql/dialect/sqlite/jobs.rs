//! Renewing, settling and pushing.

use std::collections::{HashMap, HashSet};

use sqlx::Row;

use super::super::{Fate, Hold, JobRecord, MARKER_DAYS, OnceRecord};
use super::claim::{from_json, json};
use super::failures::upsert;
use super::statements::{PUSH_ROWS, Sql, SqliteQuery};
use super::work::{Context, Write};

/// Moves the ends of reservations.
pub(super) struct Renew {
    pub(super) holds: Vec<Hold>,
    pub(super) lease_s: i64,
}

#[async_trait::async_trait]
impl Write for Renew {
    type Out = Vec<Option<i64>>;

    fn action(&self) -> String {
        format!("renew {} reservations", self.holds.len())
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<Self::Out, sqlx::Error> {
        let reserved_at = cx.heads.now() + self.lease_s - cx.sql.retry_after_s;
        let renew = (cx.sql.renew.query())
            .bind(triples(&self.holds))
            .bind(reserved_at);
        let renewed: HashMap<i64, i64> = touched(renew, cx).await?.into_iter().collect();
        for (id, reserved_at) in &renewed {
            cx.heads.renewed(*id, *reserved_at);
        }
        Ok(self
            .holds
            .iter()
            .map(|hold| renewed.get(&hold.id).copied())
            .collect())
    }
}

/// Writes what becomes of held rows.
pub(super) struct Settle(pub(super) Vec<(Hold, Fate)>);

#[async_trait::async_trait]
impl Write for Settle {
    type Out = Vec<bool>;

    fn action(&self) -> String {
        format!("settle {} jobs", self.0.len())
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<Vec<bool>, sqlx::Error> {
        let mut leaving = Vec::new();
        let mut freed: HashMap<(bool, Option<i64>), Vec<&Hold>> = HashMap::new();
        for (hold, fate) in &self.0 {
            match fate {
                Fate::Delete | Fate::Fail(_) => leaving.push(hold),
                Fate::Free { uncount, delay_s } => freed.entry((*uncount, *delay_s)).or_default().push(hold),
            }
        }
        let mut held = HashSet::with_capacity(self.0.len());
        if !leaving.is_empty() {
            let delete = cx.sql.delete.query().bind(triples(leaving));
            held.extend(touched(delete, cx).await?.into_iter().map(|(id, _)| id));
        }
        for (hold, fate) in &self.0 {
            match fate {
                Fate::Fail(record) if held.contains(&hold.id) => upsert(cx, record).await?,
                _ => {}
            }
        }
        for ((uncount, delay_s), holds) in freed {
            let release = (cx.sql.release.query())
                .bind(triples(holds))
                .bind(i64::from(uncount))
                .bind(delay_s.map(|delay_s| cx.heads.now() + delay_s));
            for (id, available_at) in touched(release, cx).await? {
                held.insert(id);
                cx.heads.freed(id, available_at);
            }
        }
        // Those let go are no longer followed as held; neither are those that others took.
        let answers = self.0.iter().map(|(hold, _)| {
            cx.heads.gone(hold.id);
            held.contains(&hold.id)
        });
        Ok(answers.collect())
    }
}

/// Inserts jobs.
pub(super) struct Push(pub(super) Vec<JobRecord>);

#[async_trait::async_trait]
impl Write for Push {
    type Out = ();

    fn action(&self) -> String {
        match self.0.as_slice() {
            [job] => format!("push to queue {:?}", job.queue),
            jobs => format!("push {} jobs", jobs.len()),
        }
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        let (many, rest) = self.0.as_chunks::<PUSH_ROWS>();
        for jobs in many {
            insert(cx, jobs).await?;
        }
        for job in rest {
            insert(cx, std::slice::from_ref(job)).await?;
        }
        Ok(())
    }
}

/// Inserts jobs unless their markers are there.
pub(super) struct PushOnce(pub(super) Vec<OnceRecord>);

#[async_trait::async_trait]
impl Write for PushOnce {
    type Out = Vec<bool>;

    fn action(&self) -> String {
        match self.0.as_slice() {
            [once] => format!("push once to queue {:?}", once.job.queue),
            jobs => format!("push {} jobs once", jobs.len()),
        }
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<Vec<bool>, sqlx::Error> {
        let sweep = cx.sql.sweep_marks.query().bind(MARKER_DAYS);
        sweep.execute(&mut *cx.connection).await?;
        let markers: Vec<&str> = self.0.iter().map(|once| once.marker.as_str()).collect();
        let mut new = mark(cx, &markers).await?;
        let mut pushed = Vec::with_capacity(self.0.len());
        for once in &self.0 {
            let is_new = new.remove(&once.marker);
            if is_new {
                insert(cx, std::slice::from_ref(&once.job)).await?;
            }
            pushed.push(is_new);
        }
        Ok(pushed)
    }
}

/// Writes markers; those that were not there.
pub(super) async fn mark(cx: &mut Context<'_>, markers: &[&str]) -> Result<HashSet<String>, sqlx::Error> {
    let mark = cx.sql.mark.query().bind(json(markers));
    let rows = mark.fetch_all(&mut *cx.connection).await?;
    rows.iter().map(|row| row.try_get_unchecked(0)).collect()
}

/// Removes markers.
pub(super) struct DropMarkers(pub(super) Vec<String>);

#[async_trait::async_trait]
impl Write for DropMarkers {
    type Out = ();

    fn action(&self) -> String {
        "forget markers".to_owned()
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        let unmark = cx.sql.unmark.query().bind(json(&self.0));
        unmark.execute(&mut *cx.connection).await.map(drop)
    }
}

/// Inserts one job, or exactly [`PUSH_ROWS`].
pub(super) async fn insert(cx: &mut Context<'_>, jobs: &[JobRecord]) -> Result<(), sqlx::Error> {
    let sql: &Sql = if jobs.len() == 1 {
        &cx.sql.push
    } else {
        &cx.sql.push_many
    };
    let mut push = sql.query();
    for job in jobs {
        push = push
            .bind(job.queue.as_str().to_owned())
            .bind(job.payload.to_vec())
            .bind(job.attempts)
            .bind(job.delay_s);
    }
    push.execute(&mut *cx.connection).await?;
    cx.heads.pushed();
    Ok(())
}

/// Runs one of the two-fold statements; what it says of each row that it touched.
pub(super) async fn touched(
    query: SqliteQuery,
    cx: &mut Context<'_>,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let rows = query.fetch_all(&mut *cx.connection).await?;
    match rows.first() {
        Some(row) => from_json(row.try_get_unchecked(0)?),
        None => Ok(Vec::new()),
    }
}

/// `[[id, attempts, reserved_at], …]`
fn triples<'a>(holds: impl IntoIterator<Item = &'a Hold>) -> String {
    let triples: Vec<[i64; 3]> = holds
        .into_iter()
        .map(|hold| [hold.id, hold.attempts, hold.reserved_at])
        .collect();
    json(&triples)
}
