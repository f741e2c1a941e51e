//! Proof of a reservation in a table.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::dialect::Hold;
use crate::store::port::Receipt;

/// What an SQL receipt holds.
///
/// `reserved_at` only ever moves up while a reservation is held, so a row is still ours when its
/// `attempts` are the same and its `reserved_at` is not below the last one we know we wrote.
#[derive(Debug)]
pub(super) struct SqlReceipt {
    id: i64,
    attempts: i64,
    reserved_at: AtomicI64,
    spent: AtomicBool,
}

impl SqlReceipt {
    /// The receipt of a row just claimed.
    pub(super) fn new(hold: Hold) -> Self {
        Self {
            id: hold.id,
            attempts: hold.attempts,
            reserved_at: AtomicI64::new(hold.reserved_at),
            spent: AtomicBool::new(false),
        }
    }

    /// What to compare a row with, unless the receipt was used up by a settlement: after a refund the
    /// next reservation of the row could look just like this one.
    pub(super) fn hold(receipt: &Receipt) -> Option<Hold> {
        let this = receipt.read::<Self>()?;
        (!this.spent.load(Ordering::Acquire)).then(|| Hold {
            id: this.id,
            attempts: this.attempts,
            reserved_at: this.reserved_at.load(Ordering::Acquire),
        })
    }

    /// Remembers a renewal that was carried out.
    pub(super) fn renewed(receipt: &Receipt, reserved_at: i64) {
        if let Some(this) = receipt.read::<Self>() {
            this.reserved_at.fetch_max(reserved_at, Ordering::AcqRel);
        }
    }

    /// Remembers that the reservation is over.
    pub(super) fn spend(receipt: &Receipt) {
        if let Some(this) = receipt.read::<Self>() {
            this.spent.store(true, Ordering::Release);
        }
    }
}
