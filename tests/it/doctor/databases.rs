//! The application's tables on database servers.

use harness::{
    Daemon, MariadbDatabase, MariadbServer, PgBouncer, PostgresDatabase, PostgresServer, TestDatabase,
};

use super::{Report, examine};
use crate::site::{Job, WORKER};

/// Makes one test of each case for every kind of server.
macro_rules! on_every_server {
    ($($(#[$doc:meta])* fn $name:ident($database:ident: &dyn TestDatabase) $body:block)*) => {
        $($(#[$doc])* fn $name($database: &dyn TestDatabase) $body)*

        mod mariadb {
            $(#[test] fn $name() { super::$name(&harness::MariadbDatabase::temp()); })*
        }

        mod postgres {
            $(#[test] fn $name() { super::$name(&harness::PostgresDatabase::temp()); })*
        }
    };
}

/// The binary over a database, with the queue in it.
fn worker(database: &dyn TestDatabase, args: &[&str]) -> Daemon {
    Daemon::new(WORKER)
        .args(args.iter().copied())
        .envs(database.env())
        .env("CACHE_PREFIX", "facturino_cache_")
}

fn doctor(database: &dyn TestDatabase, env: &[(&str, &str)]) -> Report {
    examine(&worker(database, &["doctor", "--json"]).envs(env.iter().copied()))
}

/// Inserts a job that is due since so many seconds; with `held`, its reservation ended so many seconds ago.
fn insert(database: &dyn TestDatabase, queue: &str, (due, held): (i64, Option<i64>)) {
    let now = database.now();
    let payload = Job::new("A")
        .with("timeout", 600)
        .text(false)
        .replace('\\', r"\\");
    let payload = if database.kind() == "pgsql" {
        payload.replace(r"\\", r"\")
    } else {
        payload
    };
    let reserved = held.map_or("null".to_owned(), |ago| format!("{now} - 90 - {ago}"));
    database.execute(&format!(
        "insert into jobs (queue, payload, attempts, reserved_at, available_at, created_at) \
         values ('{queue}', '{payload}', 0, {reserved}, {now} - {due}, {now} - {due})"
    ));
}

on_every_server! {
    fn a_good_world_is_not_complained_of(database: &dyn TestDatabase) {
        worker(database, &["migrate"]).run_to_end().success();
        let report = doctor(database, &[]);
        // Laravel 8, whose tables these are, counts attempts in one byte where there are such.
        let usual = ["table.attempts", "connection.slow"];
        assert!(report.complaints().iter().all(|code| usual.contains(code)), "{:#}", report.json);
        assert_eq!(report.json["stores"].as_array().map(Vec::len), Some(1));
    }

    fn queues_are_counted_and_sampled(database: &dyn TestDatabase) {
        worker(database, &["migrate"]).run_to_end().success();
        insert(database, "banking", (90 * 86_400, None));
        insert(database, "banking", (8 * 86_400, None));
        insert(database, "banking", (10, None));
        insert(database, "einvoice", (9_000, Some(7_300)));
        insert(database, "einvoice", (9_000, Some(30)));
        let report = doctor(database, &[]);
        report.one("queue.unserved").is("warning", "queue banking", "has 3 jobs, the oldest for 90 days");
        report.one("queue.old").is("warning", "queue banking", "has 2 jobs that have waited for more than 7 days");
        let lapsed = report.one("queue.lapsed");
        lapsed.is("warning", "queue einvoice", "has 2 jobs whose reservation ended, the first 2 h ago");
        report.one("queue.no-worker").is("warning", "connection database", "einvoice (2)");
        report.one("timeout.retry-after").is("warning", "database", "A 600 s (banking), A 600 s (einvoice)");
        assert_eq!(report.json["stores"][0]["payloads_seen"], 5);
    }

    fn consumers_are_seen(database: &dyn TestDatabase) {
        worker(database, &["migrate"]).run_to_end().success();
        let _running = crate::site::started(worker(database, &["run", "--queue", "banking"]).spawn());
        let status = || worker(database, &["status", "--json"]).run_to_end().json();
        harness::wait_until(harness::DEADLINE, || status()["processes"][0].is_object());
        worker(database, &["dispatch", "A", "--queue", "banking", "--delay", "60"]).run_to_end().success();
        let report = doctor(database, &[]);
        assert_eq!(report.of("queue.unserved").len() + report.of("queue.no-worker").len(), 0, "{:#}", report.json);
    }

    fn tables_that_are_not_there(database: &dyn TestDatabase) {
        for table in ["jobs", "failed_jobs", "cache", "job_batches"] {
            database.execute(&format!("drop table {table}"));
        }
        let report = doctor(database, &[]);
        let subjects: Vec<_> = report.of("table.missing").iter().map(|finding| finding["subject"].clone()).collect();
        assert_eq!(subjects, ["table jobs", "table failed_jobs", "table cache", "table job_batches"]);
        assert_eq!(report.of("table.own").len(), 2);
    }

    fn columns_that_are_not_there_or_too_narrow(database: &dyn TestDatabase) {
        let change = |column: &str, to: &str| match database.kind() {
            "pgsql" => format!("alter table jobs alter column {column} type {to}"),
            _ => format!("alter table jobs modify {column} {to} not null"),
        };
        database.execute(&change("payload", "varchar(4000)"));
        database.execute("alter table failed_jobs drop column exception");
        let report = doctor(database, &[]);
        report.one("table.width").is("error", "column jobs.payload", "(4000)").fixed_by("alter table jobs");
        report.one("table.column").is("error", "column failed_jobs.exception", "is not in");
    }

    fn php_loses_failures_without_a_uuid(database: &dyn TestDatabase) {
        let report = doctor(database, &[("QUEUE_FAILED_DRIVER", "database")]);
        report.one("failed.driver").is("error", "QUEUE_FAILED_DRIVER", "may not be null");
    }

    fn failures_that_cannot_be_told_apart(database: &dyn TestDatabase) {
        database.execute(match database.kind() {
            "pgsql" => "alter table failed_jobs drop constraint failed_jobs_uuid_unique",
            _ => "alter table failed_jobs drop index failed_jobs_uuid_unique",
        });
        for uuid in ["", "", "a", "a", "b"] {
            let row = format!("('{uuid}', 'c', 'q', '{{}}', 'e')");
            let queue = database.quoted("queue");
            database.execute(&format!(
                "insert into failed_jobs (uuid, connection, {queue}, payload, exception) values {row}"
            ));
        }
        let report = doctor(database, &[]);
        report.one("failed.empty-uuid").is("warning", "table failed_jobs", "2 rows without a uuid, of 5");
        report.one("failed.duplicate-uuid").is("warning", "table failed_jobs", "1 uuids");
        report.one("failed.no-unique").is("note", "table failed_jobs", "no unique key");
    }

    fn an_index_that_reservations_need(database: &dyn TestDatabase) {
        doctor(database, &[]).one("table.index").is("note", "table jobs", "no index").fixed_by("worker migrate --indexes");
        worker(database, &["migrate", "--indexes"]).run_to_end().success();
        assert_eq!(doctor(database, &[]).of("table.index").len(), 0);
    }

    fn forever_ends_in_2028(database: &dyn TestDatabase) {
        let found = doctor(database, &[]);
        found.one("signals.2028").is("note", "column cache.expiration", "2038").fixed_by("expiration");
        database.execute(match database.kind() {
            "pgsql" => "alter table cache alter column expiration type bigint",
            _ => "alter table cache modify expiration bigint not null",
        });
        assert_eq!(doctor(database, &[]).of("signals.2028").len(), 0);
    }

    fn a_wrong_password_is_said_and_not_shown(database: &dyn TestDatabase) {
        let report = doctor(database, &[("DB_PASSWORD", "hunter2")]);
        report.one("connection.unreachable").is("error", "database", "it holds jobs, failed jobs, signals");
        assert!(!report.output.stdout.contains("hunter2"), "{}", report.output.stdout);
    }
}

#[test]
fn a_postgres_that_does_not_answer_or_takes_no_writes() {
    let server = PostgresServer::start(&[]);
    let database = server.database();
    database.execute(&format!(
        "alter database \"{}\" set default_transaction_read_only = on",
        database.name()
    ));
    doctor(&database, &[])
        .one("connection.read-only")
        .is("error", "PostgreSQL", "takes no writes");
    server.pause();
    let report = doctor(&database, &[]);
    server.resume();
    report
        .one("connection.unreachable")
        .is("error", "PostgreSQL", "within 4 s");
}

/// Sessions are shared there, so nothing of one may be counted on.
#[test]
fn a_postgres_behind_a_pooler_is_examined_all_the_same() {
    let database = PostgresDatabase::temp();
    worker(&database, &["migrate"]).run_to_end().success();
    insert(&database, "banking", (10, None));
    let pooler = PgBouncer::start(&database, &["pool_mode = transaction", "default_pool_size = 1"]);
    let report = doctor(&database, &[("DB_PORT", &pooler.port().to_string())]);
    report
        .one("queue.unserved")
        .is("warning", "queue banking", "has 1 jobs");
    assert_eq!(report.of("connection.incomplete").len(), 0, "{:#}", report.json);
    assert_eq!(report.json["stores"][0]["payloads_seen"], 1);
}

/// An encoding is a property of the whole database there.
#[test]
fn a_postgres_that_cannot_hold_every_character() {
    let database = PostgresDatabase::temp();
    let narrow = format!("{}_ascii", database.name());
    database.execute(&format!(
        "create database \"{narrow}\" encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0"
    ));
    let worker = |args: &[&str]| worker(&database, args).env("DB_DATABASE", &narrow);
    worker(&["migrate"]).run_to_end().success();
    let report = examine(&worker(&["doctor", "--json"]));
    database.execute(&format!("drop database \"{narrow}\" with (force)"));
    let found = report.of("table.charset");
    assert!(
        found.iter().any(|finding| finding["subject"] == "table jobs"),
        "{:#}",
        report.json
    );
    super::Finding(found[0])
        .is("warning", "table", "SQL_ASCII")
        .fixed_by("UTF8");
}

/// Its clock is moved for all but its administrators.
#[test]
fn a_mariadb_that_is_late_takes_no_writes_or_does_not_answer() {
    let server = MariadbServer::start(&[]);
    let database = server.database();
    database.execute(
        "create user app@'%' identified by 'secret'; grant select, insert, update, delete on *.* to app@'%'; \
         set global init_connect = 'set timestamp = unix_timestamp() + 100'; set global read_only = 1",
    );
    let report = doctor(&database, &[("DB_USERNAME", "app"), ("DB_PASSWORD", "secret")]);
    report
        .one("connection.clock")
        .is("error", "database", "s ahead of this host's")
        .fixed_by("timedatectl");
    report
        .one("connection.read-only")
        .is("error", "database", "takes no writes");
    server.pause();
    let report = doctor(&database, &[]);
    server.resume();
    report
        .one("connection.unreachable")
        .is("error", "database", "within 4 s");
}

#[test]
fn a_mariadb_whose_columns_are_those_of_old_skeletons() {
    let database = MariadbDatabase::temp();
    database.execute("alter table failed_jobs convert to character set utf8mb3");
    let report = doctor(&database, &[]);
    let narrow = report.one("table.charset");
    narrow
        .is(
            "warning",
            "table failed_jobs",
            "connection, queue, payload, exception as utf8mb3",
        )
        .fixed_by("utf8mb4");
    let attempts = report.one("table.attempts");
    attempts
        .is("warning", "column jobs.attempts", "is tinyint")
        .fixed_by("modify attempts smallint unsigned");
    database.execute(
        "alter table failed_jobs convert to character set utf8mb4; alter table jobs modify attempts smallint unsigned \
         not null; alter table jobs modify payload text not null",
    );
    let report = doctor(&database, &[]);
    assert_eq!(
        report.of("table.charset").len() + report.of("table.attempts").len(),
        0
    );
    report
        .one("table.width")
        .is("error", "column jobs.payload", "is text")
        .fixed_by("modify payload longtext");
}
