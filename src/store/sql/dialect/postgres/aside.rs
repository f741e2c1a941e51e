//! Setting rows aside, and ending that.

use std::collections::HashSet;

use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::{AsideAsk, AsideHold, AsideLine, aside_marker};
use super::Shared;
use super::error::Failure;
use super::pool::Use;
use super::statements::PgQuery;
use crate::store::port::{AsideEnd, Waiting};

/// How often a statement is tried again at once when another transaction was in its way.
const COLLISIONS: usize = 5;

/// Sets rows aside.
pub(super) async fn set_aside(db: &Shared, ask: &AsideAsk) -> Result<Vec<AsideLine>, Failure> {
    let sql = match ask.which {
        Waiting::Ready => &db.sql.aside_ready,
        Waiting::Delayed => &db.sql.aside_delayed,
        Waiting::Left => &db.sql.aside_left,
    };
    let query = || {
        let query = (sql.query())
            .bind(ask.queue.as_str().to_owned())
            .bind(db.sql.retry_after_s)
            .bind(ask.hold_s)
            .bind(aside_marker(db.sql.tables.jobs.as_str()));
        match ask.which {
            Waiting::Left => query,
            Waiting::Ready | Waiting::Delayed => query
                .bind(i64::try_from(ask.max).unwrap_or(i64::MAX))
                .bind(i64::try_from(ask.max_bytes).unwrap_or(i64::MAX)),
        }
    };
    let rows = retried(db, query).await?;
    let mut lines = rows.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    lines.sort_unstable_by_key(|line| (line.hold.available_at, line.hold.id));
    Ok(lines)
}

fn line(row: &PgRow) -> Result<AsideLine, sqlx::Error> {
    let payload: &[u8] = row.try_get_unchecked(5)?;
    Ok(AsideLine {
        hold: AsideHold {
            id: row.try_get(0)?,
            attempts: row.try_get(1)?,
            available_at: row.try_get(2)?,
            reserved_at: row.try_get(3)?,
        },
        delay_s: row.try_get(4)?,
        payload: Bytes::copy_from_slice(payload),
    })
}

/// Ends it; the ids of those that stood as they were left.
pub(super) async fn end_aside(
    db: &Shared,
    rows: &[AsideHold],
    end: AsideEnd,
) -> Result<HashSet<i64>, Failure> {
    let sql = match end {
        AsideEnd::Remove => &db.sql.aside_delete,
        AsideEnd::PutBack => &db.sql.aside_free,
    };
    let marker = aside_marker(db.sql.tables.jobs.as_str());
    let markers: Vec<String> = rows
        .iter()
        .map(|row| format!("{marker}{}:{}", row.id, row.attempts))
        .collect();
    let column = |of: fn(&AsideHold) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
    let reserved: Vec<Option<i64>> = rows.iter().map(|row| row.reserved_at).collect();
    let query = || {
        (sql.query())
            .bind(column(|row| row.id))
            .bind(column(|row| row.attempts))
            .bind(column(|row| row.available_at))
            .bind(reserved.clone())
            .bind(markers.clone())
    };
    let ended = retried(db, query).await?;
    let ids = ended.iter().map(|row| row.try_get(0));
    Ok(ids.collect::<Result<_, sqlx::Error>>()?)
}

/// Runs a statement, again when another transaction was in its way.
async fn retried(db: &Shared, query: impl Fn() -> PgQuery) -> Result<Vec<PgRow>, Failure> {
    let mut collisions = 0;
    loop {
        match db.pool.fetch_all(Use::Keep, query()).await {
            Err(failure) if failure.is_collision() && collisions < COLLISIONS => collisions += 1,
            outcome => return outcome,
        }
    }
}
