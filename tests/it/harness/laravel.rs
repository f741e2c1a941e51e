//! The Laravel application is real: what it pushes, its own worker runs.

use harness::{DEADLINE, Laravel, RedisOptions, RedisServer, SqliteDatabase, wait_until};
use serde_json::json;

fn redis_round_trip(client: &str) {
    let server = RedisServer::start(RedisOptions::default());
    let redis = server.redis();
    let laravel = Laravel::new().envs(redis.env()).env("REDIS_CLIENT", client);

    let ids = laravel.push("RecordJob", &json!({"tag": "фактура"}), &[]);
    assert_eq!(
        redis.keys(),
        ["facturino_queues:default", "facturino_queues:default:notify"]
    );
    let queue = redis.queue("default");
    assert_eq!(queue.ready[0].json()["id"], json!(ids[0]));
    assert_eq!(queue.ready[0].attempts(), 0);

    let mut worker = laravel.work(&["--stop-when-empty", "--sleep=0.1"]);
    assert_eq!(worker.wait_exit(DEADLINE), 0);
    let ran = laravel.journal().wait_for(1);
    assert_eq!((ran[0].tag.as_str(), ran[0].attempts), ("фактура", Some(1)));
    assert_eq!(ran[0].uuid.as_deref(), Some(queue.ready[0].uuid().as_str()));
    assert!(redis.keys().is_empty());
}

#[test]
fn a_job_goes_round_through_phpredis() {
    redis_round_trip("phpredis");
}

#[test]
fn a_job_goes_round_through_predis() {
    redis_round_trip("predis");
}

#[test]
fn a_job_goes_round_through_sqlite() {
    let database = SqliteDatabase::temp();
    let laravel = Laravel::new().envs(database.env()).env("CACHE_STORE", "database");
    laravel.push(
        "SubmitEInvoiceJob",
        &json!({"eInvoiceId": 4711, "userId": 9}),
        &["--queue=einvoice"],
    );
    let jobs = database.jobs();
    assert_eq!((jobs[0].queue.as_str(), jobs[0].attempts), ("einvoice", 0));
    assert_eq!(jobs[0].json()["backoff"], json!("60,300,900"));

    let mut worker = laravel.work(&["--queue=einvoice", "--stop-when-empty", "--sleep=0.1"]);
    assert_eq!(worker.wait_exit(DEADLINE), 0);
    let ran = laravel.journal().wait_for(1);
    assert_eq!(
        ran[0].data,
        json!({"eInvoiceId": 4711, "userId": 9, "options": []})
    );
    assert!(database.jobs().is_empty());
}

#[test]
fn the_tables_are_those_of_laravels_migrations() {
    let schema = |database: &SqliteDatabase| {
        let sql = "select name, sql from sqlite_master where sql is not null
            and name not in ('migrations', 'sqlite_sequence') order by name";
        database.rows(sql, |row| sqlx::Row::get::<String, _>(row, "sql"))
    };
    let migrated = SqliteDatabase::empty();
    Laravel::new().envs(migrated.env()).php(&["migrate", "--force"]);
    assert_eq!(schema(&SqliteDatabase::temp()), schema(&migrated));
}

#[test]
fn every_form_of_job_runs() {
    let redis = harness::shared_redis();
    let laravel = Laravel::new().envs(redis.env());
    laravel.push("RecordJob", &json!({"tag": "delayed"}), &["--delay=1"]);
    laravel.push("RecordJob", &json!({"tag": "bulk"}), &["--bulk", "--count=2"]);
    laravel.push("SecretJob", &json!({"secret": "s"}), &[]);
    laravel.push("UniqueJob", &json!({"companyId": 3}), &[]);
    laravel.push("UniqueJob", &json!({"companyId": 3}), &[]);
    laravel.push("ReleasingJob", &json!({"tag": "released"}), &[]);
    laravel.php(&["push:string", "--data={\"a\": 1}"]);
    laravel.php(&["push:chain", "chain", "--count=2"]);
    laravel.php(&["push:closure", "closure"]);
    let queue = redis.queue("default");
    assert_eq!(
        (queue.ready.len(), queue.delayed.len()),
        (8, 1),
        "the second unique job is dropped"
    );
    let secret = &queue.ready[2].json()["data"]["command"];
    assert!(secret.as_str().is_some_and(|command| !command.starts_with("O:")));

    let _worker = laravel.work(&["--sleep=0.1", "--tries=2"]);
    let ran = laravel.journal().wait_for(11);
    let runs = |tag: &str| ran.iter().filter(|record| record.tag == tag).count();
    assert_eq!(
        [runs("delayed"), runs("bulk"), runs("chain"), runs("closure")],
        [1, 2, 2, 1]
    );
    assert_eq!(runs("released"), 2);
    wait_until(DEADLINE, || redis.queue("default").is_empty());
}

#[test]
fn a_failed_job_is_recorded_and_retried() {
    let redis = harness::shared_redis();
    let database = SqliteDatabase::temp();
    let laravel = Laravel::new().envs(database.env()).envs(redis.env());
    laravel.push("FailingJob", &json!({"tag": "x"}), &[]);
    laravel.work(&["--once"]).wait_exit(DEADLINE);
    let failed = database.failed_jobs();
    assert_eq!(
        (failed[0].connection.as_str(), failed[0].queue.as_str()),
        ("redis", "default")
    );
    assert!(
        failed[0]
            .reason()
            .starts_with("RuntimeException: The job fails as it was told: x")
    );
    assert_eq!(
        laravel.journal().records().last().map(|last| last.event.clone()),
        Some("failed".to_owned())
    );

    laravel.php(&["queue:retry", &failed[0].uuid]);
    assert!(database.failed_jobs().is_empty());
    assert_eq!(redis.queue("default").ready[0].uuid(), failed[0].uuid);
}

#[test]
fn a_worker_hears_the_restart_signal() {
    let redis = harness::shared_redis();
    let laravel = Laravel::new().envs(redis.env());
    laravel.push("RecordJob", &json!({}), &[]);
    let mut worker = laravel.work(&["--sleep=0.1"]);
    laravel.journal().wait_for(1);
    laravel.php(&["queue:restart"]);
    assert_eq!(worker.wait_exit(DEADLINE), 0);
    worker.wait_for_line("Processed:", DEADLINE);
}
