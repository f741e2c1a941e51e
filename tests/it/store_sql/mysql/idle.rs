//! Waiting: what it costs the server, and how soon the jobs of others are seen.

use std::time::{Duration, Instant};

use harness::{MariadbDatabase, MariadbServer};
use tokio::task::JoinSet;
use worker::store::port::{Queue, QueueName};
use worker::store::sql::{Database, SqlOptions, SqlQueue};

use super::{fixture, open};
use crate::store::engine::{mysql_options, until};
use crate::store_sql::{MAIL, take};

fn push_as_php(database: &MariadbDatabase, queue: &str, delay: u32) {
    database.execute(&format!(
        "insert into jobs (queue, payload, attempts, available_at, created_at) \
         values ('{queue}', '{{}}', 0, unix_timestamp() + {delay}, unix_timestamp())"
    ));
}

/// Idle lanes share one look, and there are ever fewer, down to one per `--sleep`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_lanes_cost_next_to_nothing() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    let (_db, _queue) = open(&database).await;
    let options = SqlOptions {
        sleep: Duration::from_secs(1),
        ..SqlOptions::default()
    };
    let queue = SqlQueue::new(&Database::mysql(&mysql_options(&database), options));
    let idle = async |time: Duration| {
        let mut lanes = JoinSet::new();
        for name in ["a", "b", "c", "d", "e"] {
            let queue = queue.clone();
            lanes.spawn(async move { queue.wait(&[QueueName::new(name)], time).await.expect("wait") });
        }
        lanes.join_all().await;
    };
    idle(Duration::from_secs(4)).await;
    let selects =
        "select variable_value from information_schema.global_status where variable_name = 'COM_SELECT'";
    let count = || database.texts(selects)[0].parse::<u32>().expect("a number");
    let before = count();
    idle(Duration::from_secs(5)).await;
    // A look is one text of eleven queries; the lanes ask anew at its beginning.
    let looks = (count() - before) / 11;
    assert!((3..=9).contains(&looks), "{looks} looks in 5 s");
}

/// A job that PHP pushes is seen within `--sleep`, a delayed one when its time comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_jobs_are_seen() {
    let (database, _db, queue) = fixture().await;
    let names = ["other", MAIL].map(QueueName::new);
    for delay in [0, 2] {
        let start = Instant::now();
        let (waited, ()) = tokio::join!(queue.wait(&names, Duration::from_secs(20)), async {
            push_as_php(&database, MAIL, delay);
        });
        waited.expect("wait");
        let job = until("it is there", async || take(&queue, 1).await.pop()).await;
        let took = start.elapsed();
        assert_eq!(job.attempts, 1);
        assert!(took < Duration::from_secs(u64::from(delay) + 4), "{took:?}");
    }
}

/// A row that someone has under lock for long is asked for now and then, not all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_under_lock_does_not_make_us_spin() {
    let (database, _db, queue) = fixture().await;
    push_as_php(&database, MAIL, 0);
    let mut other = database.connect().await.expect("connect");
    let mut locked = sqlx::Connection::begin(&mut other).await.expect("begin");
    sqlx::query("select id from jobs for update")
        .fetch_all(&mut *locked)
        .await
        .expect("lock");
    let names = [QueueName::new(MAIL)];
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < Duration::from_secs(3) {
        assert!(take(&queue, 1).await.is_empty());
        queue.wait(&names, Duration::from_secs(1)).await.expect("wait");
        rounds += 1;
    }
    assert!(rounds < 15, "{rounds} rounds in 3 s");
    locked.rollback().await.expect("rollback");
    let job = until("the lock is gone", async || take(&queue, 1).await.pop()).await;
    assert_eq!(job.attempts, 1);
}
