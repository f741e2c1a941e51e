//! The jobs that this worker runs natively: one module and one `register` line each.

mod deliver_webhook;
mod demo;
mod process_inbound_bill_email;
mod prune_expired_records;

use crate::registry::{Registry, RegistryError};

/// Adds every job of the catalog.
///
/// # Errors
/// When two answer to one class, or a resource is missing.
pub fn register(registry: &mut Registry) -> Result<(), RegistryError> {
    registry.register::<deliver_webhook::DeliverWebhook>()?;
    registry.register::<process_inbound_bill_email::ProcessInboundBillEmail>()?;
    registry.register::<prune_expired_records::PruneExpiredRecords>()?;
    Ok(())
}

/// Adds the sample jobs of `worker demo`, `worker bench` and the tests, which do nothing of use.
///
/// # Errors
/// When their classes are taken.
pub fn register_samples(registry: &mut Registry) -> Result<(), RegistryError> {
    registry.register::<demo::Sample>()?;
    registry.register::<demo::Flaky>()?;
    registry.register::<demo::Broken>()?;
    registry.register::<demo::Slow>()?;
    registry.register::<demo::Noop>()?;
    Ok(())
}
