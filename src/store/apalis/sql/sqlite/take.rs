//! Taking tasks, to be run or to be set aside: the rows are picked, then written, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::SqliteTable;
use super::statements as sql;
use crate::store::apalis::sql::table::{AsideAsk, AsideRow, Claim, TaskRow};
use crate::store::port::Waiting;
use crate::wire::task::Task;

impl SqliteTable {
    pub(super) async fn try_claim(&self, claim: &Claim) -> Result<Vec<TaskRow>, sqlx::Error> {
        if !self.is_due(&claim.queue).await? {
            return Ok(Vec::new());
        }
        let mut transaction = self.write().await?;
        let picked = pick(&mut transaction, claim).await?;
        if picked.is_empty() {
            return Ok(Vec::new());
        }
        let take = sqlx::query(sql::TAKE)
            .bind(claim.worker.clone())
            .bind(claim.lease_s)
            .bind(serde_json::to_string(&picked).unwrap_or_default());
        let rows = take.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let mut taken = BTreeMap::new();
        for row in &rows {
            taken.insert(row.try_get::<i64, _>(0)?, task_of(row)?);
        }
        Ok(picked.iter().filter_map(|row| taken.remove(row)).collect())
    }

    pub(super) async fn try_set_aside(&self, ask: &AsideAsk) -> Result<Vec<AsideRow>, sqlx::Error> {
        let mut transaction = self.write().await?;
        let picked = pick_aside(&mut transaction, ask).await?;
        if picked.is_empty() {
            return Ok(Vec::new());
        }
        sqlx::query(sql::ASIDE_WORKER)
            .bind(ask.worker.clone())
            .bind(ask.queue.as_str().to_owned())
            .bind(ask.hold_s)
            .execute(&mut *transaction)
            .await?;
        let set = sqlx::query(sql::ASIDE)
            .bind(ask.worker.clone())
            .bind(ask.hold_s)
            .bind(serde_json::to_string(&picked).unwrap_or_default());
        let rows = set.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let mut aside = BTreeMap::new();
        for row in &rows {
            let (row, delay_s, place) = (task_of(row)?, row.try_get(8)?, row.try_get::<i64, _>(0)?);
            aside.insert(place, AsideRow { row, delay_s });
        }
        Ok(picked.iter().filter_map(|row| aside.remove(row)).collect())
    }
}

/// The rows to take, in order.
async fn pick(
    transaction: &mut Transaction<'static, Sqlite>,
    claim: &Claim,
) -> Result<Vec<i64>, sqlx::Error> {
    let queue = claim.queue.as_str();
    let levels = sqlx::query(sql::LEVELS).bind(queue.to_owned());
    let mut priorities = BTreeSet::new();
    for row in levels.fetch_all(&mut **transaction).await? {
        priorities.insert(row.try_get::<i64, _>(0)?);
    }
    let (mut picked, mut bytes) = (Vec::new(), 0_i64);
    for priority in priorities.into_iter().rev() {
        let left = claim.max - i64::try_from(picked.len()).unwrap_or(i64::MAX);
        if left <= 0 {
            break;
        }
        let rows = sqlx::query(sql::PICK)
            .bind(queue.to_owned())
            .bind(priority)
            .bind(left);
        for row in rows.fetch_all(&mut **transaction).await? {
            bytes = bytes.saturating_add(row.try_get(1)?);
            if bytes > claim.max_bytes && !picked.is_empty() {
                return Ok(picked);
            }
            picked.push(row.try_get(0)?);
        }
    }
    Ok(picked)
}

async fn pick_aside(
    transaction: &mut Transaction<'static, Sqlite>,
    ask: &AsideAsk,
) -> Result<Vec<i64>, sqlx::Error> {
    let queue = ask.queue.as_str().to_owned();
    let rows = match ask.which {
        Waiting::Ready => {
            let claim = Claim {
                queue: ask.queue.clone(),
                worker: ask.worker.clone(),
                max: ask.max,
                max_bytes: ask.max_bytes,
                lease_s: ask.hold_s,
            };
            return pick(transaction, &claim).await;
        }
        Waiting::Left => sqlx::query(sql::PICK_LEFT).bind(queue).bind(ask.worker.clone()),
        Waiting::Delayed => sqlx::query(sql::PICK_DELAYED).bind(queue).bind(ask.max),
    };
    let (mut picked, mut bytes) = (Vec::new(), 0_i64);
    for row in rows.fetch_all(&mut **transaction).await? {
        bytes = bytes.saturating_add(row.try_get(1)?);
        if bytes > ask.max_bytes && !picked.is_empty() {
            break;
        }
        picked.push(row.try_get(0)?);
    }
    Ok(picked)
}

fn task_of(row: &SqliteRow) -> Result<TaskRow, sqlx::Error> {
    let metadata: Option<String> = row.try_get(7)?;
    let max_attempts: i64 = row.try_get(4)?;
    let data: Vec<u8> = row.try_get(2)?;
    Ok(TaskRow {
        attempts: row.try_get(3)?,
        task: Task {
            id: row.try_get(1)?,
            data: Bytes::from(data),
            max_attempts: u32::try_from(max_attempts.max(0)).unwrap_or(u32::MAX),
            priority: row.try_get(5)?,
            idempotency_key: row.try_get(6)?,
            metadata: metadata
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
        },
    })
}
