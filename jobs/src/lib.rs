//! What a job is, and the jobs that run natively inside the worker.
//!
//! A job is a serde struct that names the PHP class it answers to. Whatever a Laravel application pushes
//! under that class runs here instead of in PHP: the properties of the PHP object become the fields of the
//! struct (visibility marks stripped, absent ones defaulted), and `handle` does the work.
//!
//! ```
//! use worker_jobs::{Job, JobContext, JobError, Outcome};
//!
//! #[derive(Debug, serde::Deserialize)]
//! #[serde(rename_all = "camelCase", default)]
//! struct CloseDay {
//!     company_id: i64,
//!     dry_run: bool,
//! }
//! # impl Default for CloseDay { fn default() -> Self { Self { company_id: 0, dry_run: false } } }
//!
//! impl Job for CloseDay {
//!     const CLASS: &'static str = r"App\Jobs\CloseDay";
//!     type Resources = ();
//!
//!     async fn handle(&self, job: &JobContext<()>) -> Result<Outcome, JobError> {
//!         job.progress(50, "half way");
//!         Ok(Outcome::Done)
//!     }
//! }
//! ```
//!
//! Put the file into `catalog/`, add its two lines to `catalog.rs`, and it is served. A job reaches the
//! outside world only through its [`Job::Resources`]; it knows nothing of queues, stores or retries.

pub mod catalog;
mod context;
mod contract;
mod dispatch;
mod registry;
pub mod resources;

pub use context::{Attempt, JobContext, Progress};
pub use contract::{Job, JobError, Outcome};
pub use dispatch::{Dispatch, DispatchError, Dispatcher};
pub use registry::{Prepared, Registry, RegistryError};
pub use resources::{FromResources, Missing, Resources};
