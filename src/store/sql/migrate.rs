//! Making the tables: Laravel's as Laravel's own migrations make them, and two of ours.

use super::database::Database;
use super::names::TableName;
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
    /// The file's text, whose names stand between `quote` marks, with another name for the table and, as
    /// Laravel does, for its indexes.
    pub(super) fn sql_for(&self, table: &TableName, quote: char) -> String {
        if table.as_str() == self.table {
            return self.sql.to_owned();
        }
        let default = self.table;
        self.sql
            .replace(&format!("{quote}{default}{quote}"), &table.quoted(quote))
            .replace(
                &format!("{quote}{default}_"),
                &format!("{quote}{}_", table.index_prefix()),
            )
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    Created,
    /// It was there; nothing was touched.
    Exists,
    /// It was removed.
    Removed,
    /// There was none to be removed.
    Absent,
}

/// Whether the database tells waiting workers of new jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// It does, by a trigger.
    Yes,
    /// It does not: workers look by themselves.
    No,
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
    make(db, |_| true).await
}

/// As [`migrate`], but for the table of jobs: where jobs are apalis' tasks, an SQLite file has that name for
/// the table of those.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_without_jobs(db: &Database) -> Result<Vec<Step>, Error> {
    make(db, |migration| migration.table != "jobs").await
}

async fn make(db: &Database, wanted: fn(&Migration) -> bool) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for migration in db
        .dialect
        .migrations()
        .iter()
        .filter(|migration| wanted(migration))
    {
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

/// Makes the index on (queue, `available_at`, id) of the table of jobs, by which the worker reserves: with it
/// a reservation costs the same however many jobs wait or are delayed.
///
/// # Errors
/// When the database cannot be asked or refuses.
pub async fn index(db: &Database) -> Result<Step, Error> {
    let made = match db.dialect.index_jobs().await? {
        true => Made::Created,
        false => Made::Exists,
    };
    let name = "indexes";
    Ok(Step { name, made })
}

/// Has the database tell waiting workers of new jobs, or no longer.
///
/// # Errors
/// [`Kind::Refused`](crate::store::Kind::Refused) unless it is PostgreSQL; when the database cannot be asked
/// or refuses.
pub async fn announce(db: &Database, announce: Announce) -> Result<Step, Error> {
    let changed = db.dialect.announce(announce).await?;
    let made = match (announce, changed) {
        (Announce::Yes, true) => Made::Created,
        (Announce::Yes, false) => Made::Exists,
        (Announce::No, true) => Made::Removed,
        (Announce::No, false) => Made::Absent,
    };
    let name = "notify";
    Ok(Step { name, made })
}
