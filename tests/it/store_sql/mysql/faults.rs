//! What goes wrong on a server and on the way to it; no job is lost or failed over it.

use std::time::{Duration, Instant};

use harness::{MariadbDatabase, MariadbServer};
use sqlx::{Connection, Executor, MySqlConnection};
use tokio::task::JoinSet;
use worker::store::Kind;
use worker::store::port::{Held, Queue, QueueName, Settle, Settlement};
use worker::store::sql::SqlQueue;

use super::{fixture, open};
use crate::store::engine::until;
use crate::store_sql::{MAIL, new_job, push, settle, take};

/// A count that the server keeps of waits for locks on rows.
fn row_lock(database: &MariadbDatabase, what: &str) -> i64 {
    let sql = format!(
        "select cast(variable_value as signed) from information_schema.global_status \
         where variable_name = 'INNODB_ROW_LOCK_{what}'"
    );
    database.number(&sql)
}

/// Waits until somebody waits for the lock on a row.
async fn until_one_waits(database: &MariadbDatabase) {
    until("one waits for a lock", async || {
        (row_lock(database, "CURRENT_WAITS") > 0).then_some(())
    })
    .await;
}

/// Deletes two jobs as a task of its own.
fn settling(queue: &SqlQueue, jobs: &[worker::store::port::Reserved]) -> JoinSet<Vec<Held>> {
    let batch: Vec<Settlement> = (jobs.iter())
        .map(|job| Settlement {
            queue: job.queue.clone(),
            receipt: job.receipt.clone(),
            settle: Settle::Delete,
        })
        .collect();
    let queue = queue.clone();
    let mut task = JoinSet::new();
    task.spawn(async move { queue.settle(&batch).await.expect("settle") });
    task
}

/// Who loses a deadlock tries again and says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocks_are_tried_again() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    let (_db, queue) = open(&database).await;
    push(&queue, &["a", "b"]).await;
    let jobs = take(&queue, 2).await;
    let mut other = database.connect().await.expect("connect");
    let mut transaction = other.begin().await.expect("begin");
    // Who has written more wins.
    let heavy =
        "insert into cache (`key`, `value`, expiration) values ('a', '', 0), ('b', '', 0), ('c', '', 0)";
    transaction.execute(heavy).await.expect("insert");
    let lock = |id: u32| format!("select id from jobs where id = {id} for update");
    let lock = |id| sqlx::query(sqlx::AssertSqlSafe(lock(id)));
    lock(2).fetch_all(&mut *transaction).await.expect("lock");
    let mut task = settling(&queue, &jobs);
    until_one_waits(&database).await;
    // It holds the first one meanwhile: that this can be had means that it has lost.
    lock(1)
        .fetch_all(&mut *transaction)
        .await
        .expect("the other one loses");
    until_one_waits(&database).await;
    transaction.commit().await.expect("commit");
    let held = task.join_next().await.expect("a task").expect("it ends well");
    assert_eq!(held, [Held::Yes, Held::Yes]);
    assert_eq!(database.number("select count(*) from jobs"), 0);
}

/// Who waits for a lock in vain waits again, for a while, and then says that it may be better later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_waits_are_tried_again() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    let (_db, queue) = open(&database).await;
    push(&queue, &["a"]).await;
    let jobs = take(&queue, 1).await;
    let mut other = database.connect().await.expect("connect");
    let mut transaction = other.begin().await.expect("begin");
    let lock = "select id from jobs for update";
    transaction.execute(lock).await.expect("lock");
    let mut task = settling(&queue, &jobs);
    until_one_waits(&database).await;
    until("it waits again", async || {
        (row_lock(&database, "WAITS") > 1).then_some(())
    })
    .await;
    transaction.rollback().await.expect("rollback");
    let held = task.join_next().await.expect("a task").expect("it ends well");
    assert_eq!(held, [Held::Yes]);

    push(&queue, &["b"]).await;
    let jobs = take(&queue, 1).await;
    let mut transaction = other.begin().await.expect("begin");
    transaction.execute(lock).await.expect("lock");
    let receipts = [(jobs[0].queue.clone(), jobs[0].receipt.clone())];
    let error = queue.renew(&receipts, Duration::from_secs(60)).await;
    assert_eq!(error.expect_err("locked for too long").kind(), Kind::Transient);
    transaction.rollback().await.expect("rollback");
    assert_eq!(settle(&queue, &jobs[0], Settle::Delete).await, Held::Yes);
}

/// Errors that a server says are tried again as well, where it is the server that says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forced_errors_are_tried_again() {
    let (database, _db, queue) = fixture().await;
    for number in [1213, 1205] {
        // A count that no rollback takes back.
        database.execute(&format!(
            "create table tries (n int) engine = MyISAM; \
             create trigger trouble before update on jobs for each row begin \
                 insert into tries values (1); \
                 if (select count(*) from tries) < 3 then \
                     signal sqlstate '40001' set mysql_errno = {number}; end if; end",
        ));
        push(&queue, &["a"]).await;
        let jobs = take(&queue, 1).await;
        assert_eq!((jobs.len(), jobs[0].attempts), (1, 1));
        assert_eq!(database.number("select count(*) from tries"), 3);
        database.execute("drop trigger trouble; drop table tries");
        assert_eq!(settle(&queue, &jobs[0], Settle::Delete).await, Held::Yes);
    }
}

/// Ends all connections to a database but the one that asks; how many there were.
async fn kill_connections(database: &MariadbDatabase) -> usize {
    let others = format!(
        "select cast(id as char) from information_schema.processlist where db = '{}' and id <> connection_id()",
        database.name()
    );
    let mut killer = database.connect().await.expect("connect");
    let rows = sqlx::query(sqlx::AssertSqlSafe(others))
        .fetch_all(&mut killer)
        .await
        .expect("list connections");
    for row in &rows {
        let id: String = sqlx::Row::get_unchecked(row, 0);
        // One that has ended by itself meanwhile cannot be killed.
        let kill = sqlx::query(sqlx::AssertSqlSafe(format!("kill connection {id}")));
        drop(kill.execute(&mut killer).await);
    }
    rows.len()
}

/// Connections that are killed are made anew: what claims, renews and looks does not even notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_are_made_anew() {
    let (database, _db, queue) = fixture().await;
    for round in 0..5 {
        push(&queue, &["a"]).await;
        assert!(kill_connections(&database).await > 0);
        let job = take(&queue, 1).await.remove(0);
        assert_eq!(job.attempts, 1, "round {round}");
        kill_connections(&database).await;
        let receipts = [(job.queue.clone(), job.receipt.clone())];
        let renewed = queue.renew(&receipts, Duration::from_secs(60)).await;
        assert_eq!(renewed.expect("renew"), [Held::Yes]);
        kill_connections(&database).await;
        queue.ping().await.expect("ping");
        assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes);
    }
    // A kill while a lane waits: the next look is made on a new connection.
    let names = [QueueName::new(MAIL)];
    let (waited, ()) = tokio::join!(queue.wait(&names, Duration::from_secs(20)), async {
        kill_connections(&database).await;
        let insert = "insert into jobs (queue, payload, attempts, available_at, created_at) \
            values ('mail', 'late', 0, 0, 0)";
        database.execute(insert);
    });
    waited.expect("wait");
    assert_eq!(take(&queue, 1).await[0].payload, "late");
}

/// A server that closes connections after five seconds leaves ours alone, since they say how long they rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_wait_timeout_does_no_harm() {
    let server = MariadbServer::start(&["--wait-timeout=5"]);
    let database = server.database();
    let (_db, queue) = open(&database).await;
    push(&queue, &["a"]).await;
    let job = take(&queue, 1).await.remove(0);
    let rested = format!(
        "select coalesce(max(time), 0) from information_schema.processlist \
         where db = '{}' and command = 'Sleep'",
        database.name()
    );
    until("a connection has rested for longer", async || {
        (database.number(&rested) >= 7).then_some(())
    })
    .await;
    assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes);
    push(&queue, &["b"]).await;
    assert_eq!(take(&queue, 1).await.len(), 1);
}

/// A server that is restarted is used again as soon as it is there; the jobs are there too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_survived() {
    let mut server = MariadbServer::start(&["--innodb-flush-log-at-trx-commit=1"]);
    let database = server.database();
    let (_db, queue) = open(&database).await;
    push(&queue, &["a", "b"]).await;
    let held = take(&queue, 1).await.remove(0);
    server.kill();
    for error in [
        queue.push(&[new_job("c")]).await.expect_err("no server"),
        queue
            .wait(&[QueueName::new(MAIL)], Duration::from_secs(9))
            .await
            .expect_err("no server"),
    ] {
        assert!(matches!(error.kind(), Kind::Transient | Kind::Lost), "{error}");
    }
    server.restart();
    let next = until("the next job is taken", async || {
        let names = [QueueName::new(MAIL)];
        let jobs = queue.reserve(&names, 1, Duration::from_secs(60)).await;
        jobs.ok().and_then(|mut jobs| jobs.pop())
    })
    .await;
    assert_eq!((next.payload.as_ref(), next.attempts), (b"b".as_slice(), 1));
    for job in [&held, &next] {
        assert_eq!(settle(&queue, job, Settle::Delete).await, Held::Yes);
    }
}

/// A server that falls silent is noticed in time, and used again when it speaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_noticed() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    let (_db, queue) = open(&database).await;
    push(&queue, &["a"]).await;
    let job = take(&queue, 1).await.remove(0);
    server.pause();
    let start = Instant::now();
    let receipts = [(job.queue.clone(), job.receipt.clone())];
    let error = queue.renew(&receipts, Duration::from_secs(60)).await;
    let error = error.expect_err("silence");
    assert!(matches!(error.kind(), Kind::Lost | Kind::Transient), "{error}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    server.resume();
    assert_eq!(settle(&queue, &job, Settle::Delete).await, Held::Yes);
}

/// More connections than the server takes are waited for, and the reason is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_named() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    let (_db, queue) = open(&database).await;
    let keeper = database.connect().await.expect("connect");
    database.execute("create user 'few'@'%' identified by 'x' with max_user_connections 1");
    database.execute("grant all on *.* to 'few'@'%'");
    let options = worker::store::sql::MysqlOptions {
        username: "few".to_owned(),
        password: Some(worker::config::Secret::new("x")),
        ..crate::store::engine::mysql_options(&database)
    };
    let url = sqlx::mysql::MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(server.port())
        .username("few")
        .password("x")
        .ssl_mode(sqlx::mysql::MySqlSslMode::Disabled);
    let other = MySqlConnection::connect_with(&url).await.expect("the first one");
    let db = worker::store::sql::Database::mysql(&options, worker::store::sql::SqlOptions::default());
    let few = SqlQueue::new(&db);
    let error = few.ping().await.expect_err("one too many");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    other.close().await.expect("close");
    until("there is room", async || few.ping().await.ok()).await;
    keeper.close().await.expect("close");
    queue.ping().await.expect("ping");
}
