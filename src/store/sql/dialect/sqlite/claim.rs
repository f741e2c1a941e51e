//! Reserving.

use std::collections::HashMap;

use bytes::Bytes;
use sqlx::Row;

use super::super::{Claim, Claimed, Fate, Hold};
use super::heads::Pick;
use super::jobs::Settle;
use super::work::{Context, Task, Work, Write};
use crate::store::port::QueueName;

/// Rows tried at once, when those of a queue's head turn out to be taken by others.
const MOST_TRIED: usize = 1000;

/// Takes jobs.
pub(super) struct Reserve(pub(super) Claim);

#[async_trait::async_trait]
impl Write for Reserve {
    type Out = Vec<Claimed>;

    fn action(&self) -> String {
        let names: Vec<&str> = self.0.queues.iter().map(QueueName::as_str).collect();
        format!("reserve from queue {:?}", names.join(","))
    }

    fn claims(&self) -> &[QueueName] {
        &self.0.queues
    }

    async fn run(&self, cx: &mut Context<'_>) -> Result<Vec<Claimed>, sqlx::Error> {
        let claim = &self.0;
        let mut taken: Vec<Claimed> = Vec::new();
        let mut bytes = claim.max_bytes;
        let mut tried = claim.max;
        while taken.len() < claim.max {
            let wanted = claim.max - taken.len();
            let picks = cx
                .heads
                .pick(&claim.queues, tried.max(wanted), bytes, taken.is_empty());
            if picks.is_empty() {
                break;
            }
            let before = taken.len();
            self.take(cx, picks, wanted, &mut taken).await?;
            let size: usize = taken.iter().skip(before).map(|row| row.payload.len()).sum();
            bytes = bytes.saturating_sub(u64::try_from(size).unwrap_or(u64::MAX));
            tried = (tried * 2).min(MOST_TRIED);
        }
        Ok(taken)
    }

    /// A reservation that nobody waits for any more goes back as it was.
    fn undo(&self, out: Vec<Claimed>) -> Option<Box<dyn Work>> {
        let back = Fate::Free {
            uncount: true,
            delay_s: None,
        };
        let batch: Vec<(Hold, Fate)> = out.into_iter().map(|row| (row.hold, back.clone())).collect();
        (!batch.is_empty()).then(|| Task::unattended(Settle(batch)))
    }
}

impl Reserve {
    /// Claims the first `wanted` of `picks` that are still there to be taken, in their order.
    async fn take(
        &self,
        cx: &mut Context<'_>,
        picks: Vec<Pick>,
        wanted: usize,
        taken: &mut Vec<Claimed>,
    ) -> Result<(), sqlx::Error> {
        let ids: Vec<i64> = picks.iter().map(|pick| pick.id).collect();
        let names: Vec<&str> = self.0.queues.iter().map(QueueName::as_str).collect();
        let now = cx.heads.now();
        let reserved_at = now + self.0.lease_s - cx.sql.retry_after_s;
        let rows = (cx.sql.claim.query())
            .bind(json(&ids))
            .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
            .bind(now)
            .bind(cx.sql.retry_after_s)
            .bind(json(&names))
            .bind(reserved_at)
            .fetch_all(&mut *cx.connection)
            .await?;
        let mut claimed = HashMap::with_capacity(wanted);
        for row in &rows {
            let known: Vec<(i64, i64, usize)> = from_json(row.try_get_unchecked(0)?)?;
            let mut rest: &[u8] = row.try_get_unchecked(1)?;
            for (id, attempts, size) in known {
                let (payload, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
                rest = after;
                let attempts = attempts + 1;
                let hold = Hold {
                    id,
                    attempts,
                    reserved_at,
                };
                claimed.insert(id, (hold, Bytes::copy_from_slice(payload)));
            }
        }
        let full = claimed.len() >= wanted;
        for pick in picks {
            if let Some((hold, payload)) = claimed.remove(&pick.id) {
                let queue = pick.queue.clone();
                taken.push(Claimed { queue, payload, hold });
                cx.heads.claimed(pick, reserved_at);
            } else if full && claimed.is_empty() {
                // Behind the last that was taken: not looked at.
                cx.heads.unpick(&pick);
            }
        }
        Ok(())
    }
}

/// `values` as JSON text, for `json_each`.
pub(super) fn json<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

/// JSON text from `json_group_array`.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, sqlx::Error> {
    serde_json::from_slice(text).map_err(|e| sqlx::Error::Decode(e.into()))
}
