//! Claiming: rows picked by their ids are locked and checked, then marked as held, in a short transaction of
//! two round trips.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use super::super::{Claim, Claimed, Hold};
use super::heads::Pick;
use super::names::{NOW, Names};
use super::session::Session;
use super::text::numbers;
use super::verb::Verb;
use crate::store::port::QueueName;

/// Locks rows and marks those as held that are still there to be claimed.
pub(super) struct Take {
    pub(super) names: Arc<Names>,
    /// The rows, the first one first.
    pub(super) picks: Vec<Pick>,
    /// How many of them are wanted.
    pub(super) wanted: usize,
    /// How many bytes of payload at most; the first row may be larger when `alone` says so.
    pub(super) max_bytes: u64,
    pub(super) alone: bool,
    pub(super) lease_s: i64,
    /// Whether rows may have been marked: until then nothing is lost with the connection.
    pub(super) is_marking: AtomicBool,
}

/// What became of the picks.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) claimed: Vec<Claimed>,
    /// Those that were there and would have been too large together.
    pub(super) left: Vec<Pick>,
}

/// A row under lock.
struct Locked {
    queue: Bytes,
    attempts: i64,
    size: u64,
    /// Unless it is large.
    payload: Option<Bytes>,
    reserved_at: i64,
}

/// What is said of a claim that failed.
pub(super) fn action(claim: &Claim) -> String {
    let names: Vec<&str> = claim.queues.iter().map(QueueName::as_str).collect();
    format!("reserve from queue {:?}", names.join(","))
}

#[async_trait::async_trait]
impl Verb for Take {
    type Out = Taken;

    fn action(&self) -> String {
        let mut names: Vec<&str> = self.picks.iter().map(|pick| pick.queue.as_str()).collect();
        names.dedup();
        format!("reserve from queue {:?}", names.join(","))
    }

    fn is_repeatable(&self) -> bool {
        !self.is_marking.load(Ordering::Relaxed)
    }

    fn is_claim(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<Taken, sqlx::Error> {
        let rows = session.rows(self.lock(session.lock())).await?;
        let mut locked = HashMap::with_capacity(rows.len());
        for row in &rows {
            locked.insert(row.try_get_unchecked::<i64, _>(0)?, read(row)?);
        }
        let (chosen, left) = self.choose(locked);
        let Some((_, first)) = chosen.first() else {
            session.execute("rollback".to_owned()).await?;
            return Ok(Taken::default());
        };
        let reserved_at = first.reserved_at;
        let large = chosen.iter().filter(|(_, row)| row.payload.is_none());
        let large = numbers(large.map(|(pick, _)| pick.id));
        let ids = numbers(chosen.iter().map(|(pick, _)| pick.id));
        let most = session.most_attempts();
        self.is_marking.store(true, Ordering::Relaxed);
        let rows = session.rows(self.mark(&ids, &large, reserved_at, most)).await?;
        let mut payloads = HashMap::with_capacity(rows.len());
        for row in &rows {
            payloads.insert(row.try_get_unchecked::<i64, _>(0)?, bytes(row, 1)?);
        }
        let claimed = chosen.into_iter().map(|(pick, row)| Claimed {
            hold: Hold {
                id: pick.id,
                attempts: row.attempts + i64::from(row.attempts < most),
                reserved_at,
            },
            payload: row
                .payload
                .or_else(|| payloads.remove(&pick.id))
                .unwrap_or_default(),
            queue: pick.queue,
        });
        Ok(Taken {
            claimed: claimed.collect(),
            left,
        })
    }
}

impl Take {
    /// Payloads come at once when even all of them together are not too large.
    fn lock(&self, lock: &str) -> String {
        let Names {
            jobs, retry_after_s, ..
        } = &*self.names;
        let ids = numbers(self.picks.iter().map(|pick| pick.id));
        let inline = self.max_bytes / u64::try_from(self.picks.len()).unwrap_or(u64::MAX).max(1);
        let reserved_at = format!("greatest({NOW} + {} - {retry_after_s}, 0)", self.lease_s);
        format!(
            "start transaction; \
             select cast(id as signed), cast(convert(queue using utf8mb4) as binary), cast(attempts as signed), \
                 octet_length(payload), if(octet_length(payload) <= {inline}, payload, null), {reserved_at} \
             from {jobs} where id in ({ids}) and {due} limit {wanted} {lock}",
            due = self.names.due(),
            wanted = self.wanted,
        )
    }

    /// A row whose attempts are as many as the column holds stays at that number.
    fn mark(&self, ids: &str, large: &str, reserved_at: i64, most: i64) -> String {
        let jobs = &self.names.jobs;
        let payloads = match large {
            "null" => String::new(),
            large => format!("select cast(id as signed), payload from {jobs} where id in ({large}); "),
        };
        format!(
            "update {jobs} set reserved_at = {reserved_at}, attempts = attempts + (attempts < {most}) \
             where id in ({ids}); {payloads}commit"
        )
    }

    /// The rows to be marked, in order, and those that are left because they would be too large together.
    fn choose(&self, mut locked: HashMap<i64, Locked>) -> (Vec<(Pick, Locked)>, Vec<Pick>) {
        let mut chosen = Vec::with_capacity(locked.len());
        let mut left = Vec::new();
        let mut size = 0_u64;
        for pick in &self.picks {
            let Some(row) = locked.remove(&pick.id) else {
                continue;
            };
            // A person has moved the row to another queue since it was seen.
            if row.queue != pick.queue.as_str() {
                continue;
            }
            size = size.saturating_add(row.size);
            if left.is_empty() && (size <= self.max_bytes || (self.alone && chosen.is_empty())) {
                chosen.push((pick.clone(), row));
            } else {
                left.push(pick.clone());
            }
        }
        (chosen, left)
    }
}

fn read(row: &MySqlRow) -> Result<Locked, sqlx::Error> {
    let payload: Option<&[u8]> = row.try_get_unchecked(4)?;
    Ok(Locked {
        queue: bytes(row, 1)?,
        attempts: row.try_get_unchecked(2)?,
        size: row.try_get_unchecked::<i64, _>(3)?.unsigned_abs(),
        payload: payload.map(Bytes::copy_from_slice),
        reserved_at: row.try_get_unchecked(5)?,
    })
}

/// A column's bytes, whatever its type says they are.
pub(super) fn bytes(row: &MySqlRow, place: usize) -> Result<Bytes, sqlx::Error> {
    let value: Option<&[u8]> = row.try_get_unchecked(place)?;
    Ok(value.map(Bytes::copy_from_slice).unwrap_or_default())
}
