//! The tables are Laravel's own, those of an application are left alone, and what is missing is named.

use harness::MariadbDatabase;
use sqlx::Row;
use worker::config::Secret;
use worker::store::Kind;
use worker::store::port::{FailedFilter, FailedJobs, Queue, QueueName};
use worker::store::sql::{
    Announce, Database, Made, MysqlOptions, SqlFailed, SqlOptions, SqlQueue, TableName, Tables, announce,
    index, migrate,
};

use super::fixture;
use crate::store::engine::mysql_options;
use crate::store_sql::{LEASE, MAIL, new_job, push, recording, take};

fn tables(database: &MariadbDatabase) -> Vec<String> {
    let mut names = database.texts("show tables");
    names.sort();
    names
}

/// What the server says of a table, without how far it has counted.
fn definition(database: &MariadbDatabase, table: &str) -> String {
    let shown = database.rows(&format!("show create table `{table}`"), |row| {
        row.get::<String, _>(1)
    });
    let (before, after) = shown[0]
        .split_once(" AUTO_INCREMENT=")
        .unwrap_or((&shown[0], " "));
    let rest = after.split_once(' ').map_or("", |(_, rest)| rest);
    if rest.is_empty() {
        before.to_owned()
    } else {
        format!("{before} {rest}")
    }
}

fn open(options: &MysqlOptions) -> Database {
    Database::mysql(options, SqlOptions::default())
}

/// An empty database gets what Laravel 12's migrations make on MariaDB, and our two tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_laravels() {
    let database = MariadbDatabase::empty();
    let db = open(&mysql_options(&database));
    let steps = migrate(&db).await.expect("migrate");
    assert!(steps.iter().all(|step| step.made == Made::Created));
    assert_eq!((steps.len(), steps[0].name), (8, "0001_jobs"));
    let recorded = recording("12.67.0/database/ddl-mariadb.json");
    let recorded = recorded["tables"].as_object().expect("tables");
    assert_eq!(recorded.len(), 6);
    // A MySQL says the same in other words.
    let is_mariadb = database.texts("select version()")[0].contains("MariaDB");
    for (table, facts) in recorded {
        let expected = facts["show_create"].as_str().expect("SQL");
        let columns = facts["columns"].as_array().expect("columns").len();
        let made = definition(&database, table);
        assert_eq!(made.matches("\n  `").count(), columns, "{table}");
        assert!(!is_mariadb || made == expected, "{table}: {made}");
    }
    let again = migrate(&db).await.expect("migrate");
    assert!(again.iter().all(|step| step.made == Made::Exists));
    assert_eq!(index(&db).await.expect("index").made, Made::Created);
    assert_eq!(index(&db).await.expect("index").made, Made::Exists);
    let indexes = definition(&database, "jobs");
    assert!(indexes.contains("KEY `jobs_queue_available_at_id_index` (`queue`,`available_at`,`id`)"));
    let error = announce(&db, Announce::Yes).await.expect_err("no such thing");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("only PostgreSQL"), "{error}");
}

/// An application of Laravel 8 keeps its tables, its rows and nothing else but ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_is_left_alone() {
    let database = MariadbDatabase::temp();
    database.execute(
        "insert into jobs (queue, payload, attempts, available_at, created_at) values ('q', '{}', 0, 0, 0)",
    );
    let before: Vec<String> = tables(&database)
        .iter()
        .map(|name| definition(&database, name))
        .collect();
    let steps = migrate(&open(&mysql_options(&database))).await.expect("migrate");
    let created: Vec<&str> = (steps.iter().filter(|step| step.made == Made::Created))
        .map(|step| step.name)
        .collect();
    assert_eq!(created, ["0007_worker_markers", "0008_worker_processes"]);
    let mut after = tables(&database);
    after.retain(|name| !name.starts_with("worker_"));
    let after: Vec<String> = after.iter().map(|name| definition(&database, name)).collect();
    assert_eq!((after, database.jobs().len()), (before, 1));
}

/// Two who migrate at the same time do not disturb each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_may_migrate_at_once() {
    let database = MariadbDatabase::empty();
    let options = mysql_options(&database);
    let (one, two) = (open(&options), open(&options));
    let (first, second) = tokio::join!(migrate(&one), migrate(&two));
    let steps = [first.expect("migrate"), second.expect("migrate")].concat();
    let created = steps.iter().filter(|step| step.made == Made::Created).count();
    assert_eq!((created, tables(&database).len()), (8, 8));
}

/// Odd names are quoted, and a table may lie in another database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_are_served() {
    let (database, elsewhere) = (MariadbDatabase::empty(), MariadbDatabase::empty());
    let options = SqlOptions {
        tables: Tables {
            jobs: TableName::new(&format!("{}.odd-jobs", elsewhere.name())).expect("a name"),
            ..Tables::default()
        },
        ..SqlOptions::default()
    };
    let db = Database::mysql(&mysql_options(&database), options);
    migrate(&db).await.expect("migrate");
    index(&db).await.expect("index");
    assert_eq!(tables(&elsewhere), ["odd-jobs"]);
    let queue = SqlQueue::with_failures(&db);
    push(&queue, &["a"]).await;
    assert_eq!(take(&queue, 1).await[0].payload, "a");
    let again = migrate(&db).await.expect("migrate");
    assert!(again.iter().all(|step| step.made == Made::Exists));
}

/// What is missing or refused is named with what to do; waiting does not help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_named() {
    let (database, _db, _queue) = fixture().await;
    let good = mysql_options(&database);
    let with = |change: &dyn Fn(&mut MysqlOptions)| {
        let mut options = good.clone();
        change(&mut options);
        SqlQueue::new(&open(&options))
    };
    database.execute(&format!(
        "create user if not exists 'nobody'@'%' identified by 'x'; grant insert on `{}`.cache to 'nobody'@'%'",
        database.name()
    ));
    let empty = MariadbDatabase::empty();
    for (queue, said) in [
        (
            with(&|options| options.password = Some(Secret::new("wrong-secret"))),
            "check DB_USERNAME and DB_PASSWORD",
        ),
        (
            with(&|options| options.password = None),
            "check DB_USERNAME and DB_PASSWORD",
        ),
        (
            with(&|options| options.database = "nowhere".to_owned()),
            "check DB_DATABASE",
        ),
        (
            with(&|options| options.database = empty.name().to_owned()),
            "run `worker migrate`",
        ),
        (
            with(&|options| {
                options.username = "nobody".to_owned();
                options.password = Some(Secret::new("x"));
            }),
            "grant the right",
        ),
    ] {
        let error = queue.ping().await.expect_err(said);
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(!error.to_string().contains("wrong-secret"), "{error}");
    }
    let closed = with(&|options| options.port = 1);
    let error = closed.ping().await.expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    database.execute("drop user 'nobody'@'%'");
}

/// Every verb on a missing table says what to do, and works once it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_may_come_later() {
    let database = MariadbDatabase::empty();
    let db = open(&mysql_options(&database));
    let queue = SqlQueue::with_failures(&db);
    let names = [QueueName::new(MAIL)];
    for error in [
        queue.push(&[new_job("a")]).await.expect_err("no table"),
        queue.reserve(&names, 1, LEASE).await.expect_err("no table"),
        queue.wait(&names, LEASE).await.expect_err("no table"),
        SqlFailed::new(&db)
            .list(&FailedFilter::All, 1)
            .await
            .expect_err("no table"),
    ] {
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains("worker migrate"), "{error}");
    }
    migrate(&db).await.expect("migrate");
    push(&queue, &["a"]).await;
    assert_eq!(take(&queue, 1).await.len(), 1);
}
