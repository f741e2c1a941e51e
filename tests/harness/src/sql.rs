//! What tests ask of a database, whatever its engine.

use std::fmt;
use std::future::Future;

use crate::{FailedRow, JobRow};

/// A database that belongs to one test and is gone with it.
pub trait TestDatabase: fmt::Debug + Send + Sync {
    /// The variables by which a Laravel application and the worker find this database, for use beside a
    /// queue elsewhere.
    fn database_env(&self) -> Vec<(&'static str, String)>;

    /// Runs statements separated by `;` without looking at a result.
    fn execute(&self, sql: &str);

    /// The one number that a query returns.
    fn number(&self, sql: &str) -> i64;

    /// The first column of each row, as text; null is empty.
    fn texts(&self, sql: &str) -> Vec<String>;

    /// All rows of `jobs`, by id.
    fn jobs(&self) -> Vec<JobRow>;

    /// All rows of `failed_jobs`, by id.
    fn failed_jobs(&self) -> Vec<FailedRow>;

    /// The engine's expression for the present time in whole seconds.
    fn now(&self) -> &'static str;

    /// What recordings of the engine are named after: `sqlite`, `mariadb` or `pgsql`.
    fn kind(&self) -> &'static str;

    /// A name between the engine's quotation marks.
    fn quoted(&self, name: &str) -> String;

    /// The same with the queue in this database too: connection `database`.
    fn env(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("QUEUE_CONNECTION", "database".to_owned())];
        variables.extend(self.database_env());
        variables
    }
}

/// Runs a future to its end on a thread of its own, so that a test may itself be asynchronous.
pub(crate) fn block_on<T: Send, F: Future<Output = T>>(work: impl FnOnce() -> F + Send) -> T {
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

/// Implements the looks into a database for a type with `connect`, whose engine is `$db`.
macro_rules! looks {
    ($db:ty, $row:ty, $connection:ty, $jobs:literal, $failed:literal) => {
        /// Runs statements separated by `;` without looking at a result.
        ///
        /// # Panics
        ///
        /// When the database refuses one.
        #[track_caller]
        pub fn execute(&self, sql: &str) {
            let done = self.with(async |connection: &mut $connection| {
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
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
        pub fn rows<T>(&self, sql: &str, read: impl Fn(&$row) -> T) -> Vec<T> {
            let rows = self.with(async |connection: &mut $connection| {
                sqlx::query::<$db>(sqlx::AssertSqlSafe(sql.to_owned()))
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
            let rows = self.rows(sql, |row| sqlx::Row::get_unchecked::<i64, _>(row, 0));
            *rows
                .first()
                .unwrap_or_else(|| panic!("{sql:?} returned no row"))
        }

        /// The first column of each row, as text; null is empty.
        #[track_caller]
        pub fn texts(&self, sql: &str) -> Vec<String> {
            self.rows(sql, |row| {
                sqlx::Row::get_unchecked::<Option<String>, _>(row, 0).unwrap_or_default()
            })
        }

        /// All rows of `jobs`, by id.
        pub fn jobs(&self) -> Vec<crate::JobRow> {
            use sqlx::Row as _;
            self.rows($jobs, |row| crate::JobRow {
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
        pub fn failed_jobs(&self) -> Vec<crate::FailedRow> {
            use sqlx::Row as _;
            self.rows($failed, |row| crate::FailedRow {
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
            work: impl AsyncFnOnce(&mut $connection) -> sqlx::Result<T> + Send,
        ) -> sqlx::Result<T> {
            $crate::sql::block_on(move || async move {
                let mut connection = self.connect().await?;
                let result = work(&mut connection).await;
                sqlx::Connection::close(connection).await?;
                result
            })
        }
    };
}

/// Implements [`TestDatabase`] by the inherent functions that `looks!` made.
macro_rules! test_database {
    ($name:ty, $kind:literal, $mark:literal, $now:literal) => {
        impl $crate::sql::TestDatabase for $name {
            fn database_env(&self) -> Vec<(&'static str, String)> {
                <$name>::database_env(self)
            }

            fn execute(&self, sql: &str) {
                <$name>::execute(self, sql);
            }

            fn number(&self, sql: &str) -> i64 {
                <$name>::number(self, sql)
            }

            fn texts(&self, sql: &str) -> Vec<String> {
                <$name>::texts(self, sql)
            }

            fn jobs(&self) -> Vec<crate::JobRow> {
                <$name>::jobs(self)
            }

            fn failed_jobs(&self) -> Vec<crate::FailedRow> {
                <$name>::failed_jobs(self)
            }

            fn now(&self) -> &'static str {
                $now
            }

            fn kind(&self) -> &'static str {
                $kind
            }

            fn quoted(&self, name: &str) -> String {
                format!("{0}{name}{0}", $mark)
            }
        }
    };
}

pub(crate) use {looks, test_database};
