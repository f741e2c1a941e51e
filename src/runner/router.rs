//! Which runner takes a job: code in this process first, PHP for the rest.

use std::sync::Arc;

use tracing::warn;

use super::native::NativeRunner;
use super::php::PhpRunner;
use super::seats::Seats;
use super::{Refusal, Request, Runner, Work};

/// Hands each job to who runs it.
#[derive(Debug)]
pub struct Router {
    /// Runs jobs in this process.
    pub native: Option<NativeRunner>,
    /// Runs all others.
    pub php: Option<PhpRunner>,
}

impl Runner for Router {
    fn prepare(&self, request: Request<'_>) -> Result<Box<dyn Work>, Refusal> {
        let Some(native) = &self.native else {
            return match &self.php {
                Some(php) => php.prepare(request),
                None => Err(Refusal::Unknown {
                    class: request.payload.name().to_owned(),
                }),
            };
        };
        let Some(php) = &self.php else {
            return native.prepare(request);
        };
        let in_php = Request {
            attempt: request.attempt.clone(),
            ..request
        };
        match native.prepare(request) {
            Err(Refusal::Unreadable { reason }) => {
                warn!(
                    job.uuid = in_php.attempt.uuid,
                    "A native job goes to PHP instead: {reason}"
                );
                php.prepare(in_php)
            }
            Err(_) => php.prepare(in_php),
            taken => taken,
        }
    }

    fn seats(&self) -> Option<&Arc<Seats>> {
        self.php.as_ref().map(PhpRunner::seats)
    }
}
