//! PgBouncer between the worker and the server.

use std::time::Duration;

use harness::{PgBouncer, PostgresDatabase};
use sqlx::{ConnectOptions, Row};
use tokio::task::JoinSet;
use worker::store::port::{Held, Queue, QueueName, Settle, Settlement};
use worker::store::sql::{Announce, Database, SqlOptions, SqlQueue, announce, index, migrate};

use super::super::{LEASE, MAIL, new_job, settle};
use super::{insert, next};
use crate::store::engine::postgres_options;

const TRANSACTIONS: &str = "pool_mode = transaction";

/// A worker behind a pooler that shares two sessions among all.
fn behind(pooler: &PgBouncer, database: &PostgresDatabase) -> Database {
    let mut options = postgres_options(database);
    options.port = pooler.port();
    let often = SqlOptions {
        sleep: Duration::from_millis(500),
        ..SqlOptions::default()
    };
    Database::postgres(&options, often)
}

/// Takes, renews, gives back, deletes and pushes until the queue is empty; how many were deleted.
async fn hand(queue: SqlQueue) -> usize {
    let names = [QueueName::new(MAIL)];
    let mut done = 0;
    for round in 0.. {
        let jobs = queue.reserve(&names, 7, LEASE).await.expect("reserve");
        if jobs.is_empty() {
            break;
        }
        let receipts: Vec<_> = jobs
            .iter()
            .map(|job| (job.queue.clone(), job.receipt.clone()))
            .collect();
        let renewed = queue.renew(&receipts, LEASE).await.expect("renew");
        assert!(renewed.iter().all(|held| *held == Held::Yes));
        let verb = match round % 4 {
            3 => Settle::Refund { delay: None },
            _ => Settle::Delete,
        };
        let settlements = receipts.into_iter().map(|(queue, receipt)| Settlement {
            queue,
            receipt,
            settle: verb.clone(),
        });
        let batch: Vec<Settlement> = settlements.collect();
        let held = queue.settle(&batch).await.expect("settle");
        assert!(held.iter().all(|held| *held == Held::Yes));
        if matches!(verb, Settle::Delete) {
            done += batch.len();
        }
    }
    done
}

/// Statements that the pooler's sessions have prepared, seen through the pooler.
async fn prepared(pooler: &PgBouncer, database: &PostgresDatabase) -> i64 {
    let mut options = postgres_options(database);
    options.port = pooler.port();
    let mut connection = options.connect_options().connect().await.expect("connect");
    let rows = sqlx::raw_sql(
        "select count(*) from pg_prepared_statements; select count(*) from pg_prepared_statements",
    )
    .fetch_all(&mut connection)
    .await;
    rows.expect("rows").iter().map(|row| row.get::<i64, _>(0)).sum()
}

/// Sessions that change under our hands are recognised, whether the pooler refuses our settings or drops
/// them: many workers share two sessions, other clients use them too, and no statement fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_may_be_pooled() {
    for ignored in ["", "ignore_startup_parameters = options"] {
        let database = PostgresDatabase::temp();
        let pooler = PgBouncer::start(&database, &[TRANSACTIONS, "default_pool_size = 2", ignored]);
        let db = behind(&pooler, &database);
        migrate(&db).await.expect("migrate");
        index(&db).await.expect("index");
        let queue = SqlQueue::with_failures(&db);
        let jobs: Vec<_> = (0..400).map(|n| new_job(format!("j{n}"))).collect();
        queue.push(&jobs).await.expect("push");
        let mut done = 0;
        while done < 400 {
            let mut hands = JoinSet::new();
            for _ in 0..3 {
                hands.spawn(hand(SqlQueue::new(&behind(&pooler, &database))));
                hands.spawn(hand(queue.clone()));
            }
            done += hands.join_all().await.into_iter().sum::<usize>();
        }
        assert_eq!((done, database.jobs().len()), (400, 0), "{ignored:?}");
        assert_eq!(
            prepared(&pooler, &database).await,
            0,
            "no session keeps a statement"
        );
    }
}

/// Announcements do not come through a pooler of transactions: the worker looks instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_announcements_it_looks() {
    let database = PostgresDatabase::temp();
    let pooler = PgBouncer::start(&database, &[TRANSACTIONS]);
    let db = behind(&pooler, &database);
    announce(&db, Announce::Yes).await.expect("announce");
    let queue = SqlQueue::new(&db);
    for _ in 0..3 {
        let (taken, ()) = tokio::join!(next(&queue), async {
            // The lane has begun to wait by then, or finds the job at once.
            tokio::task::yield_now().await;
            insert(&database, "a");
        });
        assert!(taken.1 < Duration::from_secs(15), "{:?}", taken.1);
        assert_eq!(settle(&queue, &taken.0, Settle::Delete).await, Held::Yes);
    }
}

/// Several schemas are searched behind a pooler too, whatever others set in its sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_search_path_is_ours() {
    let database = PostgresDatabase::temp();
    database.execute("create schema app; alter table jobs set schema app");
    let pooler = PgBouncer::start(&database, &[TRANSACTIONS, "default_pool_size = 1"]);
    let mut options = postgres_options(&database);
    options.port = pooler.port();
    options.search_path = "app, public".to_owned();
    let queue = SqlQueue::new(&Database::postgres(&options, SqlOptions::default()));
    options.search_path = "public".to_owned();
    let astray = SqlQueue::new(&Database::postgres(&options, SqlOptions::default()));
    for _ in 0..3 {
        queue.push(&[new_job("a")]).await.expect("push");
        astray.ping().await.expect_err("there is no such table");
    }
    assert_eq!(database.number("select count(*) from app.jobs"), 3);
}

/// A pooler of sessions passes announcements on, and is used as a pooler all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_may_be_pooled() {
    let database = PostgresDatabase::temp();
    let pooler = PgBouncer::start(&database, &["pool_mode = session", "default_pool_size = 20"]);
    let mut options = postgres_options(&database);
    options.port = pooler.port();
    let db = super::open(&options);
    announce(&db, Announce::Yes).await.expect("announce");
    let queue = SqlQueue::new(&db);
    let mut lane = JoinSet::new();
    let waiting = queue.clone();
    lane.spawn(async move { next(&waiting).await });
    crate::store::engine::until("it listens", async || {
        let sql = "select count(*) from pg_stat_activity where query ilike 'listen%'";
        (database.number(&format!("{sql} and datname = '{}'", database.name())) > 0).then_some(())
    })
    .await;
    insert(&database, "a");
    let taken = tokio::time::timeout(Duration::from_secs(5), lane.join_next()).await;
    taken.expect("at once").expect("a lane").expect("it ends well");
}
