//! What is particular to MySQL and MariaDB.

mod claim;
mod faults;
mod idle;
mod tables;
mod texts;
mod tls;

use harness::MariadbDatabase;
use worker::store::sql::{Database, SqlOptions, SqlQueue};

use crate::store::engine::mysql_options;

/// A database with Laravel's tables and ours, and a driver on it.
async fn fixture() -> (MariadbDatabase, Database, SqlQueue) {
    let database = MariadbDatabase::temp();
    let (db, queue) = open(&database).await;
    (database, db, queue)
}

/// A driver on a test's database, with our tables in it.
async fn open(database: &MariadbDatabase) -> (Database, SqlQueue) {
    let db = Database::mysql(&mysql_options(database), SqlOptions::default());
    worker::store::sql::migrate(&db).await.expect("migrate");
    let queue = SqlQueue::with_failures(&db);
    (db, queue)
}
