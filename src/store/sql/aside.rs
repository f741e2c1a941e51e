//! Setting rows of a `jobs` table aside: a reservation that counts no attempt, and a marker that says so.
//!
//! A row is held as a worker holds it, by `reserved_at`, so its place in the order and its due time stay; what
//! is due after the hold is left as it is, since nobody takes it before. The marker tells such rows from those
//! that workers hold, when the process that set them aside is gone.

use std::time::Duration;

use uuid::Uuid;

use super::database::Database;
use super::dialect::{AsideAsk, AsideHold, AsideLine};
use super::queue::{CHUNK, lease_seconds};
use crate::store::port::{Aside, AsideEnd, Held, QueueName, Receipt, Waiting};
use crate::store::{Error, Kind};

/// Payloads of one batch together, in bytes; one payload alone may be larger.
const BATCH_BYTES: u64 = 4 << 20;

/// Sets rows of a queue aside.
pub(super) async fn set_aside(
    db: &Database,
    queue: &QueueName,
    which: Waiting,
    (max, hold): (usize, Duration),
) -> Result<Vec<Aside>, Error> {
    let ask = AsideAsk {
        queue: queue.clone(),
        which,
        max: max.min(CHUNK),
        max_bytes: BATCH_BYTES,
        hold_s: lease_seconds(hold),
    };
    let lines = db.dialect.set_aside(ask).await?;
    Ok(lines.into_iter().map(aside_of).collect())
}

fn aside_of(line: AsideLine) -> Aside {
    let delay_s = u64::try_from(line.delay_s).ok().filter(|delay_s| *delay_s > 0);
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, &line.payload);
    Aside {
        // An id is given once, and the digest is for a table that was emptied and began anew.
        identity: format!("{}:{}", line.hold.id, digest.simple()),
        payload: line.payload,
        attempts: Some(u32::try_from(line.hold.attempts.max(0)).unwrap_or(u32::MAX)),
        delay: delay_s.map(Duration::from_secs),
        receipt: Receipt::new(line.hold),
    }
}

/// Ends it for each row that still stands as it was left.
pub(super) async fn end_aside(
    db: &Database,
    receipts: &[Receipt],
    end: AsideEnd,
) -> Result<Vec<Held>, Error> {
    let refuse = || {
        Error::new(
            Kind::Refused,
            "end setting jobs aside",
            "the receipt was given by another store",
        )
    };
    let rows = receipts
        .iter()
        .map(|receipt| receipt.read::<AsideHold>().copied().ok_or_else(refuse))
        .collect::<Result<Vec<_>, _>>()?;
    let mut answers = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(CHUNK) {
        let ended = db.dialect.end_aside(chunk.to_vec(), end).await?;
        answers.extend(
            ended
                .into_iter()
                .map(|ended| if ended { Held::Yes } else { Held::Lost }),
        );
    }
    Ok(answers)
}
