//! Queues of Rust producers: stock storages write, stock workers stand beside ours.

#![expect(
    clippy::expect_used,
    reason = "a test ends with a message when something is not as it should be"
)]

mod beside;
mod operate;
pub(crate) mod yard;

use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{PgPool, SqlitePool};

/// A pool as a producer has it.
pub(crate) async fn sqlite_pool(file: &harness::SqliteDatabase) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(file.path())
        .busy_timeout(std::time::Duration::from_secs(10));
    SqlitePool::connect_with(options).await.expect("the file opens")
}

/// The stock tables.
pub(crate) async fn set_up_sqlite(file: &harness::SqliteDatabase) -> SqlitePool {
    let pool = sqlite_pool(file).await;
    SqliteStorage::setup(&pool)
        .await
        .expect("the stock tables are made");
    pool
}

/// The stock tables.
pub(crate) async fn set_up_postgres(database: &harness::PostgresDatabase) -> PgPool {
    let url = database.url().replacen("pgsql:", "postgres:", 1);
    let pool = PgPool::connect(&url).await.expect("the server answers");
    PostgresStorage::setup(&pool)
        .await
        .expect("the stock tables are made");
    pool
}
