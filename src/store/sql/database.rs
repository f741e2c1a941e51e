//! One database, opened once and shared by the drivers that live in it.

use std::sync::Arc;

use super::dialect::{Dialect, Postgres, Sqlite};
use super::options::{PostgresOptions, SqlOptions, SqliteOptions};
use crate::store::Error;

/// An open database. Cheap to clone; the clones share connections, the writer and the watcher.
#[derive(Debug, Clone)]
pub struct Database {
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) options: Arc<SqlOptions>,
}

impl Database {
    /// Opens an SQLite file.
    ///
    /// # Errors
    /// When the file is missing and may not be made, cannot be opened, or is no UTF-8 SQLite database.
    pub async fn sqlite(sqlite: SqliteOptions, options: SqlOptions) -> Result<Self, Error> {
        let options = Arc::new(options);
        Ok(Self {
            dialect: Arc::new(Sqlite::open(sqlite, &options).await?),
            options,
        })
    }

    /// A PostgreSQL database. Connections are made when they are first needed, and made anew when they break;
    /// whether the server can be reached is seen with the first verb.
    #[must_use]
    pub fn postgres(postgres: &PostgresOptions, options: SqlOptions) -> Self {
        let options = Arc::new(options);
        Self {
            dialect: Arc::new(Postgres::new(postgres, &options)),
            options,
        }
    }
}
