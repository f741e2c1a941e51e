//! Opening the file.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection, SqlitePool};

use super::error::store_error;
use crate::store::sql::options::SqliteOptions;
use crate::store::{Error, Kind};

/// Connections that read at the same time.
const READERS: u32 = 2;

/// How long a reader's connection is kept without use.
const READER_IDLE: Duration = Duration::from_secs(60);

/// Rows that may be on their way from SQLite's thread to the task that asked.
const ROW_BUFFER: usize = 1024;

/// What every connection to the file is opened with; makes the file's directory when that is wanted.
pub(super) async fn prepare(options: &SqliteOptions) -> Result<SqliteConnectOptions, Error> {
    let mut connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(options.create_if_missing)
        .busy_timeout(options.busy_timeout)
        .foreign_keys(false)
        .row_buffer_size(ROW_BUFFER)
        .thread_name(|_| "worker-sqlite".to_owned())
        .disable_statement_logging();
    if options.own_file {
        connect = connect
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
    }
    if options.create_if_missing
        && let Some(directory) = options.path.parent()
    {
        let made = tokio::fs::create_dir_all(directory).await;
        made.map_err(|e| {
            Error::new(
                Kind::Refused,
                format!("make the directory {}", directory.display()),
                e,
            )
        })?;
    }
    Ok(connect)
}

/// Opens a connection and makes sure that the file is a database of UTF-8 texts.
pub(super) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    let action = || format!("open the database {}", options.get_filename().display());
    let refused = |e: sqlx::Error| store_error(action(), &e);
    let mut connection = connect_again(options).await.map_err(refused)?;
    let row = sqlx::query("PRAGMA encoding")
        .fetch_one(&mut connection)
        .await
        .map_err(refused)?;
    let encoding: String = row.try_get(0).map_err(refused)?;
    if encoding != "UTF-8" {
        return Err(Error::new(
            Kind::Refused,
            action(),
            format!("its texts are {encoding}, not UTF-8"),
        ));
    }
    Ok(connection)
}

/// Opens a connection to a file that was opened before.
pub(super) async fn connect_again(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    options.connect().await
}

/// Connections for reading, opened when they are needed.
pub(super) fn readers(options: &SqliteConnectOptions, busy_timeout: Duration) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(busy_timeout.saturating_add(Duration::from_secs(5)))
        .idle_timeout(READER_IDLE)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options.clone())
}
