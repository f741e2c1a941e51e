//! The tables are Laravel's own, in any schema, and the index serves the order of service.

use std::collections::BTreeSet;

use harness::PostgresDatabase;
use sqlx::Row;
use worker::store::port::{FailedFilter, FailedId, FailedJob, FailedJobs, Queue, QueueName};
use worker::store::sql::{
    Database, Made, SqlFailed, SqlOptions, SqlQueue, TableName, Tables, index, migrate,
};

use super::super::{LEASE, MAIL, new_job, recording};
use super::{fixture, open};
use crate::store::engine::postgres_options;

/// Columns with types and defaults, constraints and indexes of a schema's tables, in words.
fn definitions(database: &PostgresDatabase, schema: &str) -> BTreeSet<String> {
    let columns = format!(
        "select table_name || '.' || column_name || ' ' || data_type || ' ' || \
            coalesce(character_maximum_length::text, '-') || ' ' || is_nullable || ' ' || coalesce(column_default, '-') \
         from information_schema.columns where table_schema = '{schema}'"
    );
    let indexes = format!("select indexdef from pg_indexes where schemaname = '{schema}'");
    let constraints = format!(
        "select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) \
         from pg_constraint where connamespace = '{schema}'::regnamespace"
    );
    let all = [columns, indexes, constraints].map(|sql| database.texts(&sql));
    all.into_iter().flatten().collect()
}

/// An empty database gets what Laravel 12's migrations make, word for word, and our two tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_laravels() {
    let (ours, laravels) = (PostgresDatabase::empty(), PostgresDatabase::empty());
    let db = open(&postgres_options(&ours));
    let steps = migrate(&db).await.expect("migrate");
    assert_eq!(steps.len(), 8);
    assert!(steps.iter().all(|step| step.made == Made::Created));
    let recorded = recording("12.67.0/database/ddl-pgsql.json");
    for sql in recorded["migration_statements"].as_array().expect("statements") {
        laravels.execute(sql.as_str().expect("text"));
    }
    let mut made = definitions(&ours, "public");
    // Sessions are not in the recording of statements, but read back from the server.
    made.retain(|line| !line.contains("sessions") && !line.contains("worker_"));
    assert_eq!(made, definitions(&laravels, "public"));
    for column in recorded["tables"]["sessions"]["columns"]
        .as_array()
        .expect("columns")
    {
        let text = |name: &str| column[name].as_str().unwrap_or_default().to_owned();
        let found = ours.number(&format!(
            "select count(*) from information_schema.columns where table_name = 'sessions' and column_name = '{}' \
             and data_type = '{}' and is_nullable = '{}' and coalesce(character_maximum_length, 0) = {}",
            text("column_name"),
            text("data_type"),
            text("is_nullable"),
            column["character_maximum_length"].as_i64().unwrap_or(0)
        ));
        assert_eq!(found, 1, "{column}");
    }
    let dump = recorded["tables"]["sessions"]["pg_dump"].as_str().expect("text");
    for name in [
        "sessions_pkey",
        "sessions_last_activity_index",
        "sessions_user_id_index",
    ] {
        assert!(dump.contains(name));
        assert_eq!(
            ours.number(&format!(
                "select count(*) from pg_indexes where indexname = '{name}'"
            )),
            1
        );
    }
    let again = migrate(&db).await.expect("migrate");
    assert!(again.iter().all(|step| step.made == Made::Exists));
}

/// Two that migrate at once get along, and each table is made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_may_migrate_at_once() {
    let database = PostgresDatabase::empty();
    let (one, other) = (
        open(&postgres_options(&database)),
        open(&postgres_options(&database)),
    );
    let (first, second) = tokio::join!(migrate(&one), migrate(&other));
    let steps = [first.expect("migrate"), second.expect("migrate")].concat();
    let created = steps.iter().filter(|step| step.made == Made::Created);
    assert_eq!(created.count(), 8);
}

/// Names with a schema are made and used there, and the search path finds tables in any of its schemas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_are_respected() {
    let database = PostgresDatabase::empty();
    database.execute("create schema app; create schema \"Odd\"");
    let tables = Tables {
        jobs: TableName::new("app.My-jobs").expect("a name"),
        ..Tables::default()
    };
    let options = SqlOptions {
        tables,
        ..SqlOptions::default()
    };
    let mut place = postgres_options(&database);
    place.search_path = "'Odd', public".to_owned();
    let db = Database::postgres(&place, options);
    assert_eq!(migrate(&db).await.expect("migrate").len(), 8);
    let where_is = |name: &str| {
        let sql = format!("select schemaname::text from pg_tables where tablename = '{name}'");
        database.texts(&sql)
    };
    assert_eq!(
        (where_is("My-jobs"), where_is("failed_jobs")),
        (vec!["app".to_owned()], vec!["Odd".to_owned()])
    );
    // As Laravel names it for such a table.
    assert_eq!(
        database.number("select count(*) from pg_indexes where indexname = 'app_my_jobs_queue_index'"),
        1
    );
    index(&db).await.expect("index");
    let queue = SqlQueue::with_failures(&db);
    queue.push(&[new_job("a")]).await.expect("push");
    assert_eq!(queue.queues().await.expect("queues"), [QueueName::new(MAIL)]);
    assert_eq!(
        queue
            .reserve(&[QueueName::new(MAIL)], 1, LEASE)
            .await
            .expect("reserve")
            .len(),
        1
    );
}

fn failure(uuid: &str) -> FailedJob {
    FailedJob {
        uuid: uuid.to_owned(),
        connection: "database".to_owned(),
        queue: QueueName::new(MAIL),
        payload: format!("{{\"uuid\":\"{uuid}\"}}").into(),
        exception: "E".to_owned(),
    }
}

/// A table whose uuids are of PostgreSQL's own type, or lack the column, or change while we look, takes
/// failures once each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_uuid_columns_are_served() {
    let (database, _) = fixture().await;
    let failed = SqlFailed::new(&open(&postgres_options(&database)));
    let uuids = [
        "6f2d8a52-2b43-4b52-b54f-6b6f0a7d0001",
        "6f2d8a52-2b43-4b52-b54f-6b6f0a7d0002",
    ];
    failed.record(&[failure(uuids[0])]).await.expect("record");
    for change in [
        "alter table failed_jobs alter column uuid type uuid using uuid::uuid",
        "alter table failed_jobs drop column uuid",
    ] {
        database.execute(change);
        // The first call may find that what it knew is over.
        let failed = SqlFailed::new(&open(&postgres_options(&database)));
        for _ in 0..2 {
            let records = uuids.map(failure);
            failed.record(&records).await.expect("record");
        }
        let rows = failed.list(&FailedFilter::All, 9).await.expect("list");
        assert_eq!(rows.len(), 2, "{change}");
        let has_uuid = usize::from(change.contains("type uuid"));
        let one = FailedFilter::Id(FailedId::Uuid(uuids[1].to_owned()));
        assert_eq!(failed.list(&one, 9).await.expect("list").len(), has_uuid);
        assert_eq!(rows[0].uuid.is_some(), has_uuid == 1);
    }
    // The driver from before the changes looks again after it met them.
    let met = failed.record(&[failure(uuids[1])]).await;
    if met.is_err() {
        failed.record(&[failure(uuids[1])]).await.expect("record");
    }
    assert_eq!(database.number("select count(*) from failed_jobs"), 2);
}

/// The plan of the statement that claims, as the server remembers it.
fn plan_of_a_claim(database: &PostgresDatabase) -> String {
    let explain = "explain select id from jobs where queue = 'mail' \
        and available_at <= floor(extract(epoch from statement_timestamp()))::bigint \
        and (reserved_at is null or reserved_at <= floor(extract(epoch from statement_timestamp()))::bigint - 90) \
        order by available_at, id limit 100 for update skip locked";
    database.rows(explain, |row| row.get::<String, _>(0)).join("\n")
}

fn fill(database: &PostgresDatabase, rows: u32, available: &str) {
    database.execute(&format!(
        "insert into jobs (queue, payload, attempts, available_at, created_at) \
         select '{MAIL}', repeat('x', 200), 0, floor(extract(epoch from now()))::int + {available}, 0 \
         from generate_series(1, {rows}) as i; analyze jobs"
    ));
}

/// Blocks of the table and its indexes that the server touched so far.
fn touched(database: &PostgresDatabase) -> i64 {
    // The counts of a session are there when it has ended.
    database.number(
        "select (heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint \
         from pg_statio_user_tables where relname = 'jobs'",
    )
}

/// With the index a claim reads its own rows, however many wait before and behind; it is made once, mended
/// when an interrupted run left it broken, and another one on the same columns is as good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_serves_the_order() {
    let (database, queue) = fixture().await;
    let db = open(&postgres_options(&database));
    let mut made = Vec::new();
    for _ in 0..2 {
        made.push(index(&db).await.expect("index").made);
    }
    assert_eq!(made, [Made::Created, Made::Exists]);
    let name = "jobs_queue_available_at_id_index";
    let mut costs = Vec::new();
    for rows in [1000, 100_000] {
        fill(&database, rows, "3600 + i % 600");
        fill(&database, rows, "-100 + i % 50");
        let plan = plan_of_a_claim(&database);
        assert!(plan.contains(&format!("Index Scan using {name}")), "{plan}");
        let before = touched(&database);
        {
            let own = SqlQueue::new(&open(&postgres_options(&database)));
            let jobs = own
                .reserve(&[QueueName::new(MAIL)], 100, LEASE)
                .await
                .expect("reserve");
            assert_eq!(jobs.len(), 100);
        }
        let cost = crate::store::engine::until("the counts are there", async || {
            let cost = touched(&database) - before;
            (cost > 0).then_some(cost)
        })
        .await;
        costs.push(cost);
    }
    assert!(
        costs[1] < costs[0] * 3,
        "blocks touched by a claim of 100: {costs:?}"
    );
    database.execute(&format!(
        "update pg_index set indisvalid = false where indexrelid = '{name}'::regclass"
    ));
    assert_eq!(index(&db).await.expect("index").made, Made::Created);
    let valid = format!("select count(*) from pg_index where indexrelid = '{name}'::regclass and indisvalid");
    assert_eq!(database.number(&valid), 1);
    database.execute(&format!("alter index {name} rename to our_own"));
    assert_eq!(index(&db).await.expect("index").made, Made::Exists);
    drop(queue);
}
