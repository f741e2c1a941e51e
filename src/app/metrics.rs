//! The figures of this process in the text form that Prometheus reads; docs/metrics.md lists them.

use std::time::Instant;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::watchdog;
use crate::runtime::engine::Engine;

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text. `ready`: whether the worker takes jobs.
///
/// # Errors
/// When a figure cannot be written down, which a string never refuses.
pub(super) fn text(engine: &Engine, ready: bool) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("worker");
    let late = engine.pulse.late(Instant::now(), watchdog::BOUND).len();
    let gauges = [
        (
            "ready",
            "1 when the worker takes jobs, as /readyz says",
            u64::from(ready),
        ),
        (
            "jobs_in_hand",
            "Jobs that are reserved here",
            number(engine.holds.len()),
        ),
        (
            "stuck_loops",
            "Loops, such as that of a lane, that have not turned for 24 s",
            number(late),
        ),
        (
            "lost_slots",
            "Slots taken by code that does not end when it is told to",
            number(engine.holds.lost_slots()),
        ),
    ];
    for (name, help, value) in gauges {
        registry.register(name, help, ConstGauge::new(value));
    }
    let lost = ConstCounter::new(engine.holds.lost_leases());
    registry.register(
        "leases_lost",
        "Jobs in our hands that others took or removed",
        lost,
    );
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
