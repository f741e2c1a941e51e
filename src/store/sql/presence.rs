//! Worker processes in a table of our own, `worker_processes`.

use std::time::Duration;

use super::database::Database;
use super::queue::whole_seconds;
use crate::store::port::{Presence, Process};
use crate::store::{Error, Kind};

/// The worker processes that share one database.
#[derive(Debug, Clone)]
pub struct SqlPresence {
    db: Database,
}

impl SqlPresence {
    /// The processes in `db`. `worker migrate` makes the table; without it every verb is refused.
    #[must_use]
    pub fn new(db: &Database) -> Self {
        Self { db: db.clone() }
    }
}

#[async_trait::async_trait]
impl Presence for SqlPresence {
    async fn beat(&self, process: &Process, ttl: Duration) -> Result<(), Error> {
        let beat = serde_json::to_string(process)
            .map_err(|e| Error::new(Kind::Corrupt, "describe this process", e))?;
        self.db
            .dialect
            .beat(&process.id, &beat, whole_seconds(ttl).max(1))
            .await
    }

    async fn leave(&self, id: &str) -> Result<(), Error> {
        self.db.dialect.leave(id).await
    }

    async fn list(&self) -> Result<Vec<Process>, Error> {
        let beats = self.db.dialect.beats().await?;
        // A newer version may describe itself in a way that this one cannot read: it is left out.
        Ok(beats
            .iter()
            .filter_map(|beat| serde_json::from_str(beat).ok())
            .collect())
    }
}
