//! A private SQLite database with Laravel's tables.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::{FailedRow, JobRow, Scratch};

/// What Laravel 8.83's own migrations send to SQLite.
const TABLES: &str = include_str!("sqlite.sql");

/// A database file that belongs to one test.
#[derive(Debug)]
pub struct SqliteDatabase {
    dir: Scratch,
}

impl SqliteDatabase {
    /// An empty database file in a directory of its own.
    pub fn empty() -> Self {
        let dir = Scratch::new();
        dir.write("database.sqlite", b"");
        Self { dir }
    }

    /// A database with Laravel's tables: `jobs`, `failed_jobs`, `job_batches`, `cache`, `cache_locks` and
    /// `sessions`.
    pub fn temp() -> Self {
        let database = Self::empty();
        database.execute(TABLES);
        database
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.dir.join("database.sqlite")
    }

    /// The variables by which a Laravel application and the worker find this database: the queue
    /// connection `database`, and the table of failed jobs.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("QUEUE_CONNECTION", "database".to_owned())];
        variables.extend(self.database_env());
        variables
    }

    /// The variables of the database alone, for use beside a queue elsewhere.
    pub fn database_env(&self) -> Vec<(&'static str, String)> {
        let path = self
            .path()
            .to_str()
            .expect("a temporary directory has a plain name")
            .to_owned();
        vec![("DB_CONNECTION", "sqlite".to_owned()), ("DB_DATABASE", path)]
    }

    /// Runs statements separated by `;` without looking at a result.
    ///
    /// # Panics
    ///
    /// When the database refuses one.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        let done = self.with(async |connection: &mut SqliteConnection| {
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                .execute(connection)
                .await
        });
        done.unwrap_or_else(|error| panic!("failed to run {sql:?}: {error}"));
    }

    /// The rows of a query, each turned into a value by `read`.
    ///
    /// # Panics
    ///
    /// When the database refuses it.
    #[track_caller]
    pub fn rows<T>(&self, sql: &str, read: impl Fn(&SqliteRow) -> T) -> Vec<T> {
        let rows = self.with(async |connection: &mut SqliteConnection| {
            sqlx::query(AssertSqlSafe(sql.to_owned()))
                .fetch_all(connection)
                .await
        });
        rows.unwrap_or_else(|error| panic!("failed to run {sql:?}: {error}"))
            .iter()
            .map(read)
            .collect()
    }

    /// The one number that a query returns.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql, |row| row.get::<i64, _>(0));
        *rows.first().unwrap_or_else(|| panic!("{sql:?} returned no row"))
    }

    /// All rows of `jobs`, by id.
    pub fn jobs(&self) -> Vec<JobRow> {
        self.rows("select * from jobs order by id", |row| JobRow {
            id: row.get("id"),
            queue: row.get("queue"),
            payload: row.get("payload"),
            attempts: row.get("attempts"),
            reserved_at: row.get("reserved_at"),
            available_at: row.get("available_at"),
            created_at: row.get("created_at"),
        })
    }

    /// All rows of `failed_jobs`, by id.
    pub fn failed_jobs(&self) -> Vec<FailedRow> {
        self.rows("select * from failed_jobs order by id", |row| FailedRow {
            id: row.get("id"),
            uuid: row.get("uuid"),
            connection: row.get("connection"),
            queue: row.get("queue"),
            payload: row.get("payload"),
            exception: row.get("exception"),
            failed_at: row.get("failed_at"),
        })
    }

    /// Runs `work` on a connection opened for it alone, so that no lock outlives the call.
    fn with<T: Send>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T> + Send,
    ) -> sqlx::Result<T> {
        let path = self.path();
        block_on(move || async move {
            let mut connection = open(&path).await?;
            let result = work(&mut connection).await;
            connection.close().await?;
            result
        })
    }
}

async fn open(path: &Path) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(30));
    SqliteConnection::connect_with(&options).await
}

/// Runs a future to its end on a thread of its own, so that a test may itself be asynchronous.
fn block_on<T: Send, F: Future<Output = T>>(work: impl FnOnce() -> F + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(work())
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
