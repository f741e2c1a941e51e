//! Class name to job.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::context::{Attempt, JobContext};
use crate::contract::{Job, JobError, Outcome};
use crate::resources::{FromResources, Missing, Resources};

/// Why the registry cannot be built. Stops the worker's start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Two jobs answer to one class or name.
    #[error("two jobs answer to the class {0}")]
    Duplicate(&'static str),
    /// A job needs a resource that is not configured.
    #[error("job {class} cannot run: {missing}")]
    Missing {
        /// The job's class.
        class: &'static str,
        /// What it lacks.
        missing: Missing,
    },
}

/// A job with its data read, ready to run.
pub trait Prepared: Send + Sync {
    /// Runs it.
    fn handle(&self) -> BoxFuture<'_, Result<Outcome, JobError>>;

    /// Tells it that it failed for good.
    fn failed<'a>(&'a self, error: &'a str) -> BoxFuture<'a, ()>;
}

struct Ready<J: Job> {
    job: J,
    context: JobContext<J::Resources>,
}

impl<J: Job> Prepared for Ready<J> {
    fn handle(&self) -> BoxFuture<'_, Result<Outcome, JobError>> {
        Box::pin(self.job.handle(&self.context))
    }

    fn failed<'a>(&'a self, error: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(self.job.failed(&self.context, error))
    }
}

trait Entry: Send + Sync {
    fn prepare(
        &self,
        data: &mut dyn erased_serde::Deserializer<'_>,
        attempt: Attempt,
    ) -> Result<Box<dyn Prepared>, erased_serde::Error>;
}

struct Typed<J: Job> {
    resources: J::Resources,
    job: PhantomData<fn() -> J>,
}

impl<J: Job> Entry for Typed<J> {
    fn prepare(
        &self,
        data: &mut dyn erased_serde::Deserializer<'_>,
        attempt: Attempt,
    ) -> Result<Box<dyn Prepared>, erased_serde::Error> {
        let job: J = erased_serde::deserialize(data)?;
        Ok(Box::new(Ready {
            job,
            context: JobContext::new(attempt, self.resources.clone()),
        }))
    }
}

/// The jobs this worker runs natively, by PHP class. PHP compares class names without case; so does this.
#[derive(Default)]
pub struct Registry {
    entries: HashMap<String, Arc<dyn Entry>>,
    classes: Vec<&'static str>,
    resources: Resources,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty registry whose jobs will draw on `resources`.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        Self {
            resources,
            ..Self::default()
        }
    }

    /// Adds a job.
    ///
    /// # Errors
    /// When its class is taken, or a resource that it needs is not there.
    pub fn register<J: Job>(&mut self) -> Result<(), RegistryError> {
        let resources =
            J::Resources::from_resources(&self.resources).map_err(|missing| RegistryError::Missing {
                class: J::CLASS,
                missing,
            })?;
        let entry: Arc<dyn Entry> = Arc::new(Typed::<J> {
            resources,
            job: PhantomData,
        });
        for name in std::iter::once(&J::CLASS).chain(J::NAMES) {
            if self.entries.insert(fold(name), Arc::clone(&entry)).is_some() {
                return Err(RegistryError::Duplicate(name));
            }
        }
        self.classes.push(J::CLASS);
        Ok(())
    }

    /// Whether a class is served.
    #[must_use]
    pub fn contains(&self, class: &str) -> bool {
        self.find(class).is_some()
    }

    /// The classes served, in the order of registration.
    #[must_use]
    pub fn classes(&self) -> &[&'static str] {
        &self.classes
    }

    /// Reads a job's data and makes it ready to run; `None` when no job answers to `class`.
    ///
    /// # Errors
    /// When the data does not fit the job's struct.
    pub fn prepare(
        &self,
        class: &str,
        data: &mut dyn erased_serde::Deserializer<'_>,
        attempt: Attempt,
    ) -> Option<Result<Box<dyn Prepared>, erased_serde::Error>> {
        Some(self.find(class)?.prepare(data, attempt))
    }

    fn find(&self, class: &str) -> Option<&dyn Entry> {
        self.entries.get(&fold(class)).map(Arc::as_ref)
    }
}

fn fold(class: &str) -> String {
    class.trim_start_matches('\\').to_ascii_lowercase()
}
