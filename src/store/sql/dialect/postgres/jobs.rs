//! Reserving, renewing, settling and pushing.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sqlx::Row;

use super::super::{Claim, Claimed, FailedRecord, Fate, Hold, JobRecord, MARKER_DAYS, OnceRecord};
use super::Shared;
use super::error::Failure;
use super::failures;
use super::pool::Use;
use super::statements::PgQuery;
use crate::store::port::QueueName;

/// How often a statement is tried again at once when another transaction was in its way.
const COLLISIONS: usize = 5;

/// Rows that were claimed, in order, and how long the server needed for it.
pub(super) struct Taken {
    pub(super) rows: Vec<Claimed>,
    pub(super) took: Duration,
}

/// Takes jobs.
pub(super) async fn claim(db: &Shared, claim: &Claim) -> Result<Taken, Failure> {
    let names: Vec<&str> = claim.queues.iter().map(QueueName::as_str).collect();
    let query = (db.sql.claim.query())
        .bind(names)
        .bind(db.sql.retry_after_s)
        .bind(i64::try_from(claim.max).unwrap_or(i64::MAX))
        .bind(i64::try_from(claim.max_bytes).unwrap_or(i64::MAX))
        .bind(claim.lease_s - db.sql.retry_after_s);
    let mut session = db.pool.open(Use::Take).await?;
    let began = Instant::now();
    let rows = session.fetch_all(query).await?;
    let took = began.elapsed();
    session.close().await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        let place: i64 = row.try_get(0)?;
        let index = usize::try_from(place - 1).unwrap_or_default();
        let Some(queue) = claim.queues.get(index) else {
            continue;
        };
        let hold = Hold {
            id: row.try_get(2)?,
            attempts: row.try_get(3)?,
            reserved_at: row.try_get(4)?,
        };
        let payload: &[u8] = row.try_get_unchecked(5)?;
        let order: (i64, i64, i64) = (place, row.try_get(1)?, hold.id);
        let row = Claimed {
            queue: queue.clone(),
            payload: Bytes::copy_from_slice(payload),
            hold,
        };
        claimed.push((order, row));
    }
    claimed.sort_unstable_by_key(|(order, _)| *order);
    let rows = claimed.into_iter().map(|(_, row)| row).collect();
    Ok(Taken { rows, took })
}

/// Moves the ends of reservations.
pub(super) async fn renew(db: &Shared, holds: &[Hold], lease_s: i64) -> Result<Vec<Option<i64>>, Failure> {
    let query = held(db.sql.renew.query(), holds).bind(lease_s - db.sql.retry_after_s);
    let rows = db.pool.fetch_all(Use::Keep, query).await?;
    let mut stands = HashMap::with_capacity(rows.len());
    for row in &rows {
        stands.insert(row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?);
    }
    Ok(holds.iter().map(|hold| stands.get(&hold.id).copied()).collect())
}

/// Writes what becomes of held rows.
pub(super) async fn settle(db: &Shared, batch: &mut [(Hold, Fate)]) -> Result<HashSet<i64>, Failure> {
    // Everyone who locks several rows does it in one order.
    batch.sort_unstable_by_key(|(hold, _)| hold.id);
    let mut collisions = 0;
    loop {
        match settle_once(db, batch).await {
            Err(failure) if failure.is_collision() && collisions < COLLISIONS => collisions += 1,
            outcome => return outcome,
        }
    }
}

async fn settle_once(db: &Shared, batch: &[(Hold, Fate)]) -> Result<HashSet<i64>, Failure> {
    let fails = batch.iter().any(|(_, fate)| matches!(fate, Fate::Fail(_)));
    let query = settlement(db, batch);
    if !fails {
        return ids(&db.pool.fetch_all(Use::Keep, query).await?);
    }
    let mut session = db.pool.open(Use::Keep).await?;
    session.begin().await?;
    let held = ids(&session.fetch_all(query).await?)?;
    let records: Vec<&FailedRecord> = (batch.iter())
        .filter(|(hold, _)| held.contains(&hold.id))
        .filter_map(|(_, fate)| match fate {
            Fate::Fail(record) => Some(&**record),
            Fate::Delete | Fate::Free { .. } => None,
        })
        .collect();
    if !records.is_empty() {
        failures::write(db, &mut session, &records).await?;
    }
    session.close().await?;
    Ok(held)
}

fn settlement(db: &Shared, batch: &[(Hold, Fate)]) -> PgQuery {
    let holds: Vec<Hold> = batch.iter().map(|(hold, _)| *hold).collect();
    if !(batch.iter()).any(|(_, fate)| matches!(fate, Fate::Free { .. })) {
        return held(db.sql.delete.query(), &holds);
    }
    let mut free = Vec::with_capacity(batch.len());
    let mut uncount = Vec::with_capacity(batch.len());
    let mut delays = Vec::with_capacity(batch.len());
    for (_, fate) in batch {
        let (is_free, taken_back, delay) = match fate {
            Fate::Delete | Fate::Fail(_) => (false, false, None),
            Fate::Free { uncount, delay_s } => (true, *uncount, *delay_s),
        };
        free.push(is_free);
        uncount.push(i64::from(taken_back));
        delays.push(delay);
    }
    held(db.sql.settle.query(), &holds)
        .bind(free)
        .bind(uncount)
        .bind(delays)
}

/// Binds ids, attempts and `reserved_at`.
fn held(query: PgQuery, holds: &[Hold]) -> PgQuery {
    let column = |of: fn(&Hold) -> i64| holds.iter().map(of).collect::<Vec<i64>>();
    query
        .bind(column(|hold| hold.id))
        .bind(column(|hold| hold.attempts))
        .bind(column(|hold| hold.reserved_at))
}

fn ids(rows: &[sqlx::postgres::PgRow]) -> Result<HashSet<i64>, Failure> {
    let ids = rows.iter().map(|row| row.try_get(0));
    Ok(ids.collect::<Result<_, sqlx::Error>>()?)
}

/// Inserts jobs.
pub(super) async fn push(db: &Shared, jobs: &[JobRecord]) -> Result<(), Failure> {
    let queues: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let payloads = jobs.iter().map(text).collect::<Result<Vec<&str>, Failure>>()?;
    let delays: Vec<i64> = jobs.iter().map(|job| job.delay_s).collect();
    let query = db.sql.push.query().bind(queues).bind(payloads).bind(delays);
    db.pool.execute(Use::Keep, query).await.map(drop)
}

/// Inserts jobs unless their markers are there; the markers that were not.
pub(super) async fn push_once(db: &Shared, jobs: &[OnceRecord]) -> Result<HashSet<String>, Failure> {
    let markers: Vec<&str> = jobs.iter().map(|once| once.marker.as_str()).collect();
    let queues: Vec<&str> = jobs.iter().map(|once| once.job.queue.as_str()).collect();
    let payloads = (jobs.iter())
        .map(|once| text(&once.job))
        .collect::<Result<Vec<&str>, Failure>>()?;
    let delays: Vec<i64> = jobs.iter().map(|once| once.job.delay_s).collect();
    let attempts: Vec<i64> = jobs.iter().map(|once| i64::from(once.job.attempts)).collect();
    let query = (db.sql.push_once.query())
        .bind(markers)
        .bind(queues)
        .bind(payloads)
        .bind(delays)
        .bind(attempts)
        .bind(MARKER_DAYS);
    let rows = db.pool.fetch_all(Use::Keep, query).await?;
    let new = rows.iter().map(|row| row.try_get(0));
    Ok(new.collect::<Result<_, sqlx::Error>>()?)
}

/// Removes markers.
pub(super) async fn drop_markers(db: &Shared, markers: Vec<String>) -> Result<(), Failure> {
    let query = db.sql.unmark.query().bind(markers);
    db.pool.execute(Use::Keep, query).await.map(drop)
}

/// A job's payload as text.
pub(super) fn text(job: &JobRecord) -> Result<&str, Failure> {
    match std::str::from_utf8(&job.payload) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(Failure::Unfit(
            "its payload is no text that PostgreSQL can hold: not UTF-8, or with a NUL character",
        )),
    }
}
