//! The jobs that this worker runs natively: one module and one `register` line each.

mod deliver_webhook;
mod demo;
mod process_inbound_bill_email;
mod prune_expired_records;

use crate::registry::{Registry, RegistryError};

pub use deliver_webhook::DeliverWebhook;
pub use process_inbound_bill_email::ProcessInboundBillEmail;
pub use prune_expired_records::PruneExpiredRecords;

/// Adds every job of the catalog.
///
/// # Errors
/// When two answer to one class, or a resource is missing.
pub fn register(registry: &mut Registry) -> Result<(), RegistryError> {
    registry.register::<DeliverWebhook>()?;
    registry.register::<ProcessInboundBillEmail>()?;
    registry.register::<PruneExpiredRecords>()?;
    Ok(())
}

pub use demo::{Broken, Flaky, Noop, Sample, Slow};

/// Adds the sample jobs of `worker demo`, `worker bench` and the tests, which do nothing of use.
///
/// # Errors
/// When their classes are taken.
pub fn register_samples(registry: &mut Registry) -> Result<(), RegistryError> {
    registry.register::<Sample>()?;
    registry.register::<Flaky>()?;
    registry.register::<Broken>()?;
    registry.register::<Slow>()?;
    registry.register::<Noop>()?;
    Ok(())
}
