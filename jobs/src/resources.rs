//! What jobs may reach of the outside world, handed to them by the worker.

mod database;

pub use database::{Database, Dialect, Pool};

/// A resource that a job needs and the worker does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it needs {what}; {hint}")]
pub struct Missing {
    /// The resource.
    pub what: &'static str,
    /// What to do.
    pub hint: &'static str,
}

/// Everything the worker can offer. Each field is `None` when it is not configured.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// An HTTP client with connection pooling. It follows no redirects, which would turn a POST into a GET;
    /// time limits are the job's own.
    pub http: Option<reqwest::Client>,
    /// The application's database (`DB_CONNECTION`).
    pub database: Option<Database>,
}

/// A set of resources that a job declares.
pub trait FromResources: Clone + Send + Sync + Sized + 'static {
    /// Takes what it needs.
    ///
    /// # Errors
    /// When a resource is not there.
    fn from_resources(resources: &Resources) -> Result<Self, Missing>;
}

impl FromResources for () {
    fn from_resources(_: &Resources) -> Result<Self, Missing> {
        Ok(())
    }
}

impl FromResources for reqwest::Client {
    fn from_resources(resources: &Resources) -> Result<Self, Missing> {
        resources.http.clone().ok_or(Missing {
            what: "an HTTP client",
            hint: "this is a defect of the worker",
        })
    }
}

impl FromResources for Database {
    fn from_resources(resources: &Resources) -> Result<Self, Missing> {
        resources.database.clone().ok_or(Missing {
            what: "the application's database",
            hint: "set DB_CONNECTION",
        })
    }
}

impl<T: FromResources> FromResources for Option<T> {
    /// A resource that a job can do without until it is used.
    fn from_resources(resources: &Resources) -> Result<Self, Missing> {
        Ok(T::from_resources(resources).ok())
    }
}

impl<A: FromResources, B: FromResources> FromResources for (A, B) {
    fn from_resources(resources: &Resources) -> Result<Self, Missing> {
        Ok((A::from_resources(resources)?, B::from_resources(resources)?))
    }
}
