//! Beginning a transaction without hurting PHP workers on the same file.
//!
//! Laravel's transactions begin deferred: a read, then a write. SQLite refuses such a write at once, whatever
//! its busy timeout, when someone else has begun to write since that read: the PHP worker reports "database
//! is locked", and a job whose delete was refused stays reserved and runs again. So the lock is taken whole,
//! and given back at once while somebody reads; readers that come later wait until we are done. In a file
//! whose journal is a WAL nobody waits for readers, and this is the same as `BEGIN IMMEDIATE`.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::error::is_busy;
use super::work::Context;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// Tries that give way to readers. After that the lock is waited for, which keeps new readers out.
const TRIES: u32 = 200;

/// How transactions begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock {
    /// The file is the worker's own.
    Own,
    /// Others work on the file; they are waited for as long as this.
    Shared(Duration),
}

impl Lock {
    /// Begins a transaction that writes, and looks: the rows are for [`super::heads::Heads::looked`].
    pub(super) async fn begin(self, cx: &mut Context<'_>) -> Result<Vec<SqliteRow>, sqlx::Error> {
        match self {
            Self::Own => cx.sql.begin.query().fetch_all(&mut *cx.connection).await,
            Self::Shared(patience) => {
                give_way(cx.connection, patience).await?;
                let looked = cx.sql.look.query().fetch_all(&mut *cx.connection).await;
                if looked.is_err() {
                    drop(run(cx.connection, "ROLLBACK").await);
                }
                looked
            }
        }
    }
}

/// Takes the lock whole once nobody reads, or after the tries are used up.
async fn give_way(connection: &mut SqliteConnection, patience: Duration) -> Result<(), sqlx::Error> {
    for _ in 0..TRIES {
        match try_begin(connection, patience).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    run(connection, "BEGIN EXCLUSIVE").await
}

/// Begins a transaction unless somebody reads or writes.
async fn try_begin(connection: &mut SqliteConnection, patience: Duration) -> Result<(), sqlx::Error> {
    run(connection, "PRAGMA busy_timeout = 0").await?;
    let begun = run(connection, "BEGIN EXCLUSIVE").await;
    let patient = format!("PRAGMA busy_timeout = {}", patience.as_millis());
    sqlx::query(AssertSqlSafe(patient)).execute(connection).await?;
    begun
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}
