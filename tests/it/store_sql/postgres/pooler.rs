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

/// What the pooler's sessions say to a question, several times over.
async fn ask(pooler: &PgBouncer, database: &PostgresDatabase, question: &'static str) -> i64 {
    let mut options = postgres_options(database);
    options.port = pooler.port();
    let mut connection = options.connect_options().connect().await.expect("connect");
    let mut sum = 0;
    for _ in 0..3 {
        let rows = sqlx::raw_sql(question).fetch_all(&mut connection).await;
        sum += rows
            .expect("rows")
            .iter()
            .map(|row| row.get::<i64, _>(0))
            .sum::<i64>();
    }
    sum
}

/// Statements that the pooler's sessions have prepared.
async fn prepared(pooler: &PgBouncer, database: &PostgresDatabase) -> i64 {
    ask(pooler, database, "select count(*) from pg_prepared_statements").await
}

/// Channels that the pooler's sessions listen on.
async fn listening(pooler: &PgBouncer, database: &PostgresDatabase) -> i64 {
    ask(pooler, database, "select count(*) from pg_listening_channels()").await
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

/// Announcements are not listened for through a pooler, of whichever kind: the order would stay with a session
/// that others use next. The worker looks instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_announcements_it_looks() {
    for mode in [TRANSACTIONS, "pool_mode = session"] {
        let database = PostgresDatabase::temp();
        let pooler = PgBouncer::start(&database, &[mode]);
        let db = behind(&pooler, &database);
        announce(&db, Announce::Yes).await.expect("announce");
        let queue = SqlQueue::new(&db);
        for _ in 0..5 {
            let mut lane = JoinSet::new();
            let waiting = queue.clone();
            lane.spawn(async move { next(&waiting).await.0 });
            tokio::task::yield_now().await;
            insert(&database, "a");
            let taken = tokio::time::timeout(Duration::from_secs(15), lane.join_next()).await;
            let job = taken.expect("soon").expect("a lane").expect("it ends well");
            assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes);
        }
        let listening = listening(&pooler, &database).await;
        assert_eq!(listening, 0, "{mode}: no session of the pooler listens");
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
