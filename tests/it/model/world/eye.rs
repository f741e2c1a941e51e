//! A connection of the test's own into a database, kept open, since it looks after every step.

use harness::{JobRow, MariadbDatabase, PostgresDatabase, SqliteDatabase};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row};

/// An open connection.
pub(super) enum Eye {
    Sqlite(SqliteConnection),
    Mysql(MySqlConnection),
    Postgres(PgConnection),
}

/// Does the same on each kind of connection.
macro_rules! through {
    ($eye:expr, $connection:ident => $body:expr) => {
        match $eye {
            Eye::Sqlite($connection) => $body,
            Eye::Mysql($connection) => $body,
            Eye::Postgres($connection) => $body,
        }
    };
}

impl Eye {
    pub(super) async fn sqlite(database: &SqliteDatabase) -> Self {
        let options = SqliteConnectOptions::new().filename(database.path());
        let opened = SqliteConnection::connect_with(&options).await;
        Self::Sqlite(opened.expect("the file can be opened"))
    }

    pub(super) async fn mysql(database: &MariadbDatabase) -> Self {
        Self::Mysql(database.connect().await.expect("the server is there"))
    }

    pub(super) async fn postgres(database: &PostgresDatabase) -> Self {
        Self::Postgres(database.connect().await.expect("the server is there"))
    }

    /// Runs statements separated by `;`.
    pub(super) async fn execute(&mut self, sql: String) {
        through!(self, connection => {
            let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
            done.map(drop).expect("the statements can be run");
        });
    }

    /// All rows of `jobs`, by id.
    pub(super) async fn jobs(&mut self) -> Vec<JobRow> {
        let integer = match self {
            Self::Mysql(_) => "signed",
            Self::Sqlite(_) | Self::Postgres(_) => "bigint",
        };
        let number = |name: &str| format!("cast({name} as {integer})");
        let columns = ["id", "attempts", "reserved_at", "available_at", "created_at"].map(number);
        let sql = format!(
            "select {}, queue, payload from jobs order by id",
            columns.join(", ")
        );
        through!(self, connection => {
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await;
            let read = |row| JobRow {
                id: Row::get(row, 0),
                attempts: Row::get(row, 1),
                reserved_at: Row::get(row, 2),
                available_at: Row::get(row, 3),
                created_at: Row::get(row, 4),
                queue: Row::get(row, 5),
                payload: Row::get(row, 6),
            };
            rows.expect("the table can be read").iter().map(read).collect()
        })
    }

    /// The uuids of failed jobs, sorted.
    pub(super) async fn failures(&mut self) -> Vec<String> {
        through!(self, connection => {
            let rows = sqlx::query("select uuid from failed_jobs").fetch_all(connection).await;
            let rows = rows.expect("the table can be read");
            let mut uuids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            uuids.sort();
            uuids
        })
    }
}
