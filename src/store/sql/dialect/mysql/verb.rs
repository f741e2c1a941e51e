//! What is asked of a server in one go.

use std::time::Duration;

use super::session::Session;

/// How long a server may take for what a job's way needs. A connection that leads nowhere any more is
/// given up after that.
pub(super) const QUICK: Duration = Duration::from_secs(10);

/// How long it may take for what looks at many rows.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// Something to be carried out on a connection, whole or not at all.
#[async_trait::async_trait]
pub(super) trait Verb: Send + Sync {
    /// What the caller gets.
    type Out: Send;

    /// What is being done, for errors.
    fn action(&self) -> String;

    /// Whether it may be carried out again without harm, also after it failed half-way.
    fn is_repeatable(&self) -> bool {
        false
    }

    /// Whether it claims jobs.
    fn is_claim(&self) -> bool {
        false
    }

    /// How long the server may take.
    fn patience(&self) -> Duration {
        QUICK
    }

    /// Does it. When it fails, what it has begun is rolled back.
    async fn run(&self, session: &mut Session) -> Result<Self::Out, sqlx::Error>;
}
