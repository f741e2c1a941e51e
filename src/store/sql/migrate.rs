//! Making the tables: Laravel's as Laravel's own migrations make them, and two of ours.

use super::database::Database;
use crate::store::Error;

/// One numbered file of `migrations/`, which makes one table.
#[derive(Debug)]
pub(super) struct Migration {
    /// The file's name without its ending.
    pub(super) name: &'static str,
    /// The table's default name, as it stands in the file.
    pub(super) table: &'static str,
    /// The file's text.
    pub(super) sql: &'static str,
}

impl Migration {
    /// The file's text with another name for the table and, as Laravel does, for its indexes.
    pub(super) fn sql_for(&self, table: &str) -> String {
        if table == self.table {
            return self.sql.to_owned();
        }
        let default = self.table;
        self.sql
            .replace(&format!("\"{default}\""), &format!("\"{table}\""))
            .replace(&format!("\"{default}_"), &format!("\"{table}_"))
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The table was made.
    Created,
    /// A table of that name was there; nothing was touched.
    Exists,
}

/// One step of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The step's name, such as `0001_jobs`.
    pub name: &'static str,
    /// What it did.
    pub made: Made,
}

/// Makes the tables that are missing, each in a transaction of its own. Repeating it changes nothing, and
/// no record of it is kept in the database.
///
/// # Errors
/// When the database cannot be asked or refuses; steps before the failed one stay done.
pub async fn migrate(db: &Database) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for migration in db.dialect.migrations() {
        let made = match db.dialect.migrate(migration).await? {
            true => Made::Created,
            false => Made::Exists,
        };
        steps.push(Step {
            name: migration.name,
            made,
        });
    }
    Ok(steps)
}
