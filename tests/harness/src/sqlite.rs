//! A private SQLite database with Laravel's tables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteRow};
use sqlx::{Connection, SqliteConnection};

use crate::Scratch;
use crate::sql::{looks, test_database};

/// What Laravel 8.83's own migrations send to SQLite.
const TABLES: &str = include_str!("sqlite.sql");

/// A database file that belongs to one test.
#[derive(Debug)]
pub struct SqliteDatabase {
    dir: Place,
}

/// Where a database file lies.
#[derive(Debug)]
enum Place {
    Own(Scratch),
    Given(PathBuf),
}

impl SqliteDatabase {
    /// An empty database file in a directory of its own.
    pub fn empty() -> Self {
        let dir = Scratch::new();
        dir.write("database.sqlite", b"");
        Self { dir: Place::Own(dir) }
    }

    /// A database with Laravel's tables in a directory that must outlive it.
    pub fn below(dir: &Path) -> Self {
        let database = Self {
            dir: Place::Given(dir.to_path_buf()),
        };
        std::fs::write(database.path(), b"").expect("the directory is writable");
        database.execute(TABLES);
        database
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
        match &self.dir {
            Place::Own(dir) => dir.join("database.sqlite"),
            Place::Given(dir) => dir.join("database.sqlite"),
        }
    }

    /// The variables by which a Laravel application and the worker find this database: the queue
    /// connection `database`, and the table of failed jobs.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        crate::TestDatabase::env(self)
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

    async fn connect(&self) -> sqlx::Result<SqliteConnection> {
        let options = SqliteConnectOptions::new()
            .filename(self.path())
            .busy_timeout(Duration::from_secs(30));
        SqliteConnection::connect_with(&options).await
    }

    looks!(
        Sqlite,
        SqliteRow,
        SqliteConnection,
        "select * from jobs order by id",
        "select * from failed_jobs order by id"
    );
}

test_database!(SqliteDatabase, "sqlite", '"', "unixepoch()");
