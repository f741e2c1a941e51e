//! The database servers and databases of the harness.

use harness::{
    MariadbDatabase, MariadbServer, PostgresDatabase, PostgresServer, SqliteDatabase, TestDatabase,
};

use super::listens;

fn has_laravels_tables(database: &dyn TestDatabase) {
    let now = database.now();
    database.execute(&format!(
        "insert into jobs (queue, payload, attempts, available_at, created_at) values ('mail', '{{}}', 1, {now}, 3)"
    ));
    let jobs = database.jobs();
    assert_eq!((jobs[0].queue.as_str(), jobs[0].payload.as_str()), ("mail", "{}"));
    assert_eq!(
        (jobs[0].attempts, jobs[0].reserved_at, jobs[0].created_at),
        (1, None, 3)
    );
    assert!(jobs[0].available_at > 1_700_000_000);
    database.execute(
        "insert into failed_jobs (uuid, connection, queue, payload, exception) values ('u', 'c', 'q', 'п', 'e')",
    );
    let failed = database.failed_jobs();
    assert_eq!((failed[0].payload.as_str(), failed[0].failed_at.len()), ("п", 19));
    assert_eq!(database.number("select count(*) from job_batches"), 0);
    assert_eq!(database.texts("select 'word'"), ["word"]);
    let names: Vec<_> = database.env().into_iter().map(|(name, _)| name).collect();
    assert!(
        names.contains(&"DB_DATABASE") && names.contains(&"QUEUE_CONNECTION"),
        "{names:?}"
    );
}

#[test]
fn databases_have_laravels_tables() {
    has_laravels_tables(&SqliteDatabase::temp());
    has_laravels_tables(&MariadbDatabase::temp());
    has_laravels_tables(&PostgresDatabase::temp());
}

#[test]
fn databases_are_apart_and_gone_with_their_test() {
    let (one, other) = (PostgresDatabase::temp(), PostgresDatabase::empty());
    let named = |name: &str| format!("select count(*) from pg_database where datname = '{name}'");
    let name = one.name().to_owned();
    assert_eq!(other.number(&named(&name)), 1);
    drop(one);
    assert_eq!(other.number(&named(&name)), 0);

    let (one, other) = (MariadbDatabase::temp(), MariadbDatabase::empty());
    let named =
        |name: &str| format!("select count(*) from information_schema.schemata where schema_name = '{name}'");
    let name = one.name().to_owned();
    assert_eq!(other.number(&named(&name)), 1);
    drop(one);
    assert_eq!(other.number(&named(&name)), 0);
}

#[test]
fn a_mariadb_server_can_be_killed_and_started_again() {
    let mut server = MariadbServer::start(&["--innodb-flush-log-at-trx-commit=1"]);
    let database = server.database();
    database.execute("insert into cache values ('k', 'v', 1)");
    server.kill();
    assert!(!listens(server.port()));
    server.restart();
    assert_eq!(database.texts("select value from cache"), ["v"]);
    server.stop();
    let port = server.port();
    drop((database, server));
    assert!(!listens(port));
}

#[test]
fn a_postgres_server_can_be_killed_and_started_again() {
    let mut server = PostgresServer::start(&["fsync=on", "synchronous_commit=on", "full_page_writes=on"]);
    let database = server.database();
    database.execute("insert into cache values ('k', 'v', 1)");
    server.kill();
    assert!(!listens(server.port()));
    server.restart();
    assert_eq!(database.texts("select value from cache"), ["v"]);
    assert_eq!(database.texts("show fsync"), ["on"]);
    server.stop();
    let port = server.port();
    drop((database, server));
    assert!(!listens(port));
}
