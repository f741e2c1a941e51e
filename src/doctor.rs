//! What is wrong before it hurts: from facts to findings.
//!
//! Pure: the settings as they were read, and what stores and PHP answered (`app::doctor` asks them), go in; findings
//! come out, each with what is wrong, why it hurts, and what to type. One file per concern. This room asks no store,
//! reads no file and no clock.

mod cached;
mod catalogue;
mod connections;
mod facts;
mod failures;
mod finding;
mod payloads;
mod php;
mod queues;
mod redis;
mod settings;
mod signals;
mod tables;
#[cfg(test)]
mod testing;
mod timeouts;
mod urls;

pub use catalogue::CHECKS;
pub use facts::{Facts, Redis, Seen, Sql, Store, Uses};
pub use finding::{Check, Finding, Severity};
pub use php::{Booted, Engine, JobClass, Loads, Php};

/// Everything that is wrong, the worst first, then in the order of [`CHECKS`].
#[must_use]
pub fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let concerns: [fn(&Facts<'_>) -> Vec<Finding>; 12] = [
        settings::judge,
        cached::judge,
        urls::judge,
        connections::judge,
        redis::judge,
        payloads::judge,
        tables::judge,
        failures::judge,
        timeouts::judge,
        queues::judge,
        signals::judge,
        php::judge,
    ];
    let mut findings: Vec<_> = concerns.iter().flat_map(|concern| concern(facts)).collect();
    let place = |finding: &Finding| CHECKS.iter().position(|check| check.code == finding.code);
    findings.sort_by_key(|finding| (finding.severity, place(finding)));
    findings
}
