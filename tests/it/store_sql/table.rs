//! The engines with tables, for cases that each must pass.

use harness::{PostgresDatabase, SqliteDatabase, TestDatabase};
use worker::store::sql::{Database, SqlOptions, SqlQueue, SqliteOptions};

use crate::store::engine::postgres_options;

/// Makes one test of each case for every engine. A new engine is one more `table_tests!` line here and one
/// function that opens it.
macro_rules! on_every_table {
    ($($(#[$doc:meta])* async fn $name:ident($table:ident: &Table) $body:block)*) => {
        $($(#[$doc])* async fn $name($table: &crate::store_sql::table::Table) $body)*

        crate::store_sql::table::table_tests!(sqlite { $($name)* });
        crate::store_sql::table::table_tests!(postgres { $($name)* });
    };
}

macro_rules! table_tests {
    ($engine:ident { $($name:ident)* }) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&crate::store_sql::table::Table::$engine().await).await;
                }
            )*
        }
    };
}

pub(crate) use {on_every_table, table_tests};

/// How an engine's database is opened again, with other options.
type Open = Box<dyn Fn(SqlOptions) -> futures_util::future::BoxFuture<'static, Database> + Send + Sync>;

/// A database with Laravel's tables and ours, and a driver on it.
pub(crate) struct Table {
    /// The database from outside.
    pub(crate) database: Box<dyn TestDatabase>,
    /// The same from inside.
    pub(crate) db: Database,
    /// Its queues; failures are kept in the same database.
    pub(crate) queue: SqlQueue,
    /// A database of the same kind without any table.
    pub(crate) bare: Database,
    open: Open,
    _keep: Box<dyn TestDatabase>,
}

impl Table {
    /// An SQLite file.
    pub(crate) async fn sqlite() -> Self {
        let (full, empty) = (SqliteDatabase::temp(), SqliteDatabase::empty());
        let at = |path: std::path::PathBuf| -> Open {
            Box::new(move |options| {
                let sqlite = SqliteOptions::new(&path);
                Box::pin(async move { Database::sqlite(sqlite, options).await.expect("open") })
            })
        };
        let (open, open_empty) = (at(full.path()), at(empty.path()));
        Self::new(Box::new(full), open, Box::new(empty), open_empty).await
    }

    /// A PostgreSQL database.
    pub(crate) async fn postgres() -> Self {
        let (full, empty) = (PostgresDatabase::temp(), PostgresDatabase::empty());
        let at = |database: &PostgresDatabase| -> Open {
            let place = postgres_options(database);
            Box::new(move |options| {
                let opened = Database::postgres(&place, options);
                Box::pin(async move { opened })
            })
        };
        let (open, open_empty) = (at(&full), at(&empty));
        Self::new(Box::new(full), open, Box::new(empty), open_empty).await
    }

    async fn new(
        database: Box<dyn TestDatabase>,
        open: Open,
        empty: Box<dyn TestDatabase>,
        open_empty: Open,
    ) -> Self {
        let db = open(SqlOptions::default()).await;
        worker::store::sql::migrate(&db).await.expect("migrate");
        Self {
            database,
            queue: SqlQueue::with_failures(&db),
            db,
            bare: open_empty(SqlOptions::default()).await,
            open,
            _keep: empty,
        }
    }

    /// The database opened with other options, as another process would.
    pub(crate) async fn open(&self, options: SqlOptions) -> Database {
        (self.open)(options).await
    }
}
