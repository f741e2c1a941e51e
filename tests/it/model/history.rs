//! What may happen to a store, and how histories of it are made.

use proptest::prelude::*;

/// Whole leases and delays are so many seconds long.
pub(super) const TICK: i64 = 1000;

/// Time moves by so many seconds at once. A little more than a tick, so that what is due by the model is long due
/// by the store's own clock, which goes on while a history is played.
pub(super) const LEAP: i64 = 1100;

/// The queues, by number.
pub(super) const QUEUES: [&str; 2] = ["high", "mail"];

/// One thing that happens. Numbers of receipts count from the newest of the process, around its end.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Jobs are pushed in one call.
    Push(Vec<Fresh>),
    /// A job is pushed with a marker.
    PushOnce(u8, Fresh),
    /// Up to `max` jobs are taken from the queues in this order, for `lease` ticks.
    Reserve {
        queues: &'static [usize],
        max: usize,
        lease: u8,
    },
    /// These receipts are renewed for so many ticks.
    Renew(Vec<u8>, u8),
    /// These receipts are settled in one call. Unless it is `heard`, the answer is lost on its way.
    Settle { batch: Vec<(u8, Verdict)>, heard: bool },
    /// A queue is cleared.
    Clear(usize),
    /// The process dies with all its receipts, and another takes its place.
    Crash,
    /// The other process goes on.
    Other,
    /// So many leaps of time go by; below zero the clock of the server is set back.
    Time(i8),
}

/// A job to be pushed. Jobs of the same name have the same text.
#[derive(Debug, Clone)]
pub(super) struct Fresh {
    pub(super) queue: usize,
    pub(super) name: u8,
    /// Ticks.
    pub(super) delay: Option<u8>,
}

/// What becomes of a job, with ticks of delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Delete,
    Release(u8),
    Refund(Option<u8>),
    /// Recorded where failures are kept beside the queue, else the same as a delete.
    Fail,
}

/// Histories of up to sixty steps.
pub(super) fn histories() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..60)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec(fresh(), 1..5).prop_map(Step::Push),
        1 => (0..3_u8, fresh()).prop_map(|(marker, job)| Step::PushOnce(marker, job)),
        8 => (queues(), 0..5_usize, 1..4_u8)
            .prop_map(|(queues, max, lease)| Step::Reserve { queues, max, lease }),
        3 => (prop::collection::vec(receipt(), 1..4), 1..4_u8)
            .prop_map(|(receipts, lease)| Step::Renew(receipts, lease)),
        8 => (prop::collection::vec((receipt(), verdict()), 1..4), prop::bool::weighted(0.9))
            .prop_map(|(batch, heard)| Step::Settle { batch, heard }),
        1 => (0..QUEUES.len()).prop_map(Step::Clear),
        1 => Just(Step::Crash),
        2 => Just(Step::Other),
        4 => prop_oneof![3 => Just(1_i8), 2 => Just(2), 1 => Just(-1)].prop_map(Step::Time),
    ]
}

fn fresh() -> impl Strategy<Value = Fresh> {
    let delay = prop_oneof![4 => Just(None), 2 => (0..3_u8).prop_map(Some)];
    // Few names for twins, many for the others.
    let name = prop_oneof![3 => 0..40_u8, 1 => 0..3_u8];
    (0..QUEUES.len(), name, delay).prop_map(|(queue, name, delay)| Fresh { queue, name, delay })
}

fn queues() -> impl Strategy<Value = &'static [usize]> {
    prop_oneof![
        2 => Just(&[0, 1][..]),
        1 => Just(&[1, 0][..]),
        1 => Just(&[0][..]),
        2 => Just(&[1][..]),
    ]
}

fn receipt() -> impl Strategy<Value = u8> {
    prop_oneof![4 => 0..4_u8, 1 => 0..30_u8]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Delete),
        3 => (0..3_u8).prop_map(Verdict::Release),
        3 => Just(Verdict::Refund(None)),
        1 => (0..3_u8).prop_map(|delay| Verdict::Refund(Some(delay))),
        1 => Just(Verdict::Fail),
    ]
}
