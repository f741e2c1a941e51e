//! New jobs are heard of at once where the table announces them, after every kind of interruption.

use std::time::{Duration, Instant};

use harness::{PostgresDatabase, PostgresServer, Proxy};
use tokio::task::JoinSet;
use worker::store::port::{Held, Queue, Settle};
use worker::store::sql::{Announce, Database, Made, SqlOptions, SqlQueue, TableName, Tables, announce};

use super::super::settle;
use super::{insert, next, open};
use crate::store::engine::{postgres_options, until};

/// How soon a job is heard of that is announced; looking by itself takes the worker of these tests much
/// longer.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Connections that listen, as the server sees them by the last thing they said.
fn listeners(database: &PostgresDatabase) -> i64 {
    database.number(&format!(
        "select count(*) from pg_stat_activity where datname = '{}' and application_name = 'worker' \
         and query ilike '%listen%'",
        database.name()
    ))
}

/// A worker that waits for its next job, and has for long enough to listen.
async fn waiting(database: &PostgresDatabase, queue: &SqlQueue) -> JoinSet<Duration> {
    let mut lane = JoinSet::new();
    let queue = queue.clone();
    lane.spawn(async move {
        let (job, _) = next(&queue).await;
        let came = Instant::now();
        assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes);
        came.elapsed()
    });
    until("it listens", async || (listeners(database) == 1).then_some(())).await;
    lane
}

/// Inserts a job and sees that it is taken at once.
async fn is_heard(database: &PostgresDatabase, mut lane: JoinSet<Duration>) {
    insert(database, "heard");
    let taken = tokio::time::timeout(AT_ONCE, lane.join_next()).await;
    taken
        .expect("it is taken at once")
        .expect("a lane")
        .expect("it ends well");
}

/// Jobs of others wake us, in one statement or many, and rows that others free; several times over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_heard_of() {
    let database = PostgresDatabase::temp();
    let (db, other) = (
        open(&postgres_options(&database)),
        open(&postgres_options(&database)),
    );
    let (queue, other) = (SqlQueue::new(&db), SqlQueue::new(&other));
    announce(&db, Announce::Yes).await.expect("announce");
    for _ in 0..3 {
        is_heard(&database, waiting(&database, &queue).await).await;
    }
    // One process gives a job back, another one hears of it.
    insert(&database, "held");
    let (job, _) = next(&other).await;
    let mut lane = waiting(&database, &queue).await;
    let back = Settle::Refund { delay: None };
    assert_eq!(settle(&other, &job, back).await, Held::Yes);
    let taken = tokio::time::timeout(AT_ONCE, lane.join_next()).await;
    taken.expect("at once").expect("a lane").expect("it ends well");
}

/// A delayed job that another process pushes is taken when it comes due, though nothing is announced then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_times_are_heard_of() {
    let database = PostgresDatabase::temp();
    let db = open(&postgres_options(&database));
    announce(&db, Announce::Yes).await.expect("announce");
    let mut lane = waiting(&database, &SqlQueue::new(&db)).await;
    database.execute(
        "insert into jobs (queue, payload, attempts, available_at, created_at) \
         select 'mail', 'late', 0, t + 2, t from (select floor(extract(epoch from now()))::int as t) as n",
    );
    let taken = tokio::time::timeout(AT_ONCE + Duration::from_secs(2), lane.join_next()).await;
    taken.expect("when due").expect("a lane").expect("it ends well");
}

/// An operator ends all connections: the next job is heard of at once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_connections_are_made_anew() {
    let database = PostgresDatabase::temp();
    let db = open(&postgres_options(&database));
    announce(&db, Announce::Yes).await.expect("announce");
    for _ in 0..3 {
        let lane = waiting(&database, &SqlQueue::new(&db)).await;
        database.execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = '{}' and application_name = 'worker'",
            database.name()
        ));
        until("it listens again", async || {
            (listeners(&database) == 1).then_some(())
        })
        .await;
        is_heard(&database, lane).await;
    }
}

/// The server is started again: the worker listens again by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_survived() {
    let mut server = PostgresServer::start(&[]);
    let database = server.database();
    let db = open(&postgres_options(&database));
    announce(&db, Announce::Yes).await.expect("announce");
    let queue = SqlQueue::new(&db);
    let lane = waiting(&database, &queue).await;
    for crash in [false, true] {
        if crash {
            server.kill();
        } else {
            server.stop();
        }
        assert!(queue.ping().await.is_err());
        server.restart();
        until("it listens again", async || {
            (listeners(&database) == 1).then_some(())
        })
        .await;
    }
    is_heard(&database, lane).await;
}

/// The network swallows everything without a word: the listener is found dead and made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_is_noticed() {
    let database = PostgresDatabase::temp();
    let proxy = Proxy::before(database.port());
    let mut options = postgres_options(&database);
    options.port = proxy.port();
    let db = open(&options);
    announce(&db, Announce::Yes).await.expect("announce");
    let lane = waiting(&database, &SqlQueue::new(&db)).await;
    proxy.abandon();
    let began = Instant::now();
    // The old one is still there for the server, which knows nothing yet.
    until("another one listens", async || {
        (listeners(&database) == 2).then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    is_heard(&database, lane).await;
}

/// Announcing is switched on and off again and again, for tables of other names and schemas too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcing_is_switched() {
    let database = PostgresDatabase::temp();
    database.execute("create schema app; create table app.\"my-jobs\" (like jobs including all)");
    let named = |jobs: &str| {
        let tables = Tables {
            jobs: TableName::new(jobs).expect("a name"),
            ..Tables::default()
        };
        let options = SqlOptions {
            tables,
            ..SqlOptions::default()
        };
        Database::postgres(&postgres_options(&database), options)
    };
    for db in [named("jobs"), named("app.my-jobs")] {
        let mut made = Vec::new();
        for change in [
            Announce::No,
            Announce::Yes,
            Announce::Yes,
            Announce::No,
            Announce::No,
            Announce::Yes,
        ] {
            made.push(announce(&db, change).await.expect("announce").made);
        }
        use Made::{Absent, Created, Exists, Removed};
        assert_eq!(made, [Absent, Created, Exists, Removed, Absent, Created]);
    }
    let triggers = "select count(*) from pg_trigger where tgname like 'worker_notify_%'";
    assert_eq!(database.number(triggers), 4);
    // What is broken is mended.
    database.execute("drop trigger worker_notify_freed on jobs");
    let mended = announce(&named("jobs"), Announce::Yes).await.expect("announce");
    assert_eq!((mended.made, database.number(triggers)), (Made::Created, 4));
    for db in [named("jobs"), named("app.my-jobs")] {
        announce(&db, Announce::No).await.expect("announce");
    }
    assert_eq!(
        database.number("select count(*) from pg_proc where proname = 'worker_notify'"),
        0
    );
}

/// Lanes that wait ask little of the server, whether it announces jobs or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_is_quiet() {
    for announced in [Announce::Yes, Announce::No] {
        let database = PostgresDatabase::temp();
        let db = Database::postgres(&postgres_options(&database), SqlOptions::default());
        announce(&db, announced).await.expect("announce");
        let mut lanes = JoinSet::new();
        for name in ["a", "b", "c", "d", "e"] {
            let queue = SqlQueue::new(&db);
            lanes.spawn(async move {
                let names = [worker::store::port::QueueName::new(name)];
                queue.wait(&names, Duration::from_secs(600)).await
            });
        }
        let transactions = || {
            database.number(&format!(
                "select xact_commit + xact_rollback from pg_stat_database where datname = '{}'",
                database.name()
            ))
        };
        // Long enough for the pauses to have grown, and for sessions that rest to have reported what they did at the
        // start, which PostgreSQL has them do after ten seconds; nobody is woken meanwhile.
        let nothing = tokio::time::timeout(Duration::from_secs(12), lanes.join_next()).await;
        let before = transactions();
        let since = Instant::now();
        let still = tokio::time::timeout(Duration::from_secs(6), lanes.join_next()).await;
        assert!(nothing.is_err() && still.is_err());
        let sent = transactions() - before;
        // Each of our own questions is a connection, with a transaction or two.
        let seconds = since.elapsed().as_secs_f64();
        let rate = f64::from(u32::try_from(sent).expect("a count")) / seconds;
        assert!(rate < 2.0, "{announced:?}: {sent} transactions in {seconds:.1} s");
    }
}
