//! Tables that are not there, or not as they should be; failed jobs without a uuid; the cache.

use harness::SqliteDatabase;

use super::{Report, doctor, examine};
use crate::site::Site;

/// The report of an SQLite application after these statements.
fn after(statements: &str, env: &[(&str, &str)]) -> Report {
    let site = Site::sqlite();
    site.database().execute(statements);
    doctor(&site, &[], env)
}

#[test]
fn tables_that_are_not_there() {
    let database = SqliteDatabase::empty();
    let worker = harness::Daemon::new(crate::site::WORKER)
        .args(["doctor", "--json"])
        .envs(database.env());
    let report = examine(&worker);
    let tables: Vec<_> = report
        .of("table.missing")
        .iter()
        .map(|finding| format!("{} {}", finding["severity"], finding["subject"]).replace('"', ""))
        .collect();
    let expected = [
        "error table jobs",
        "error table failed_jobs",
        "warning table cache",
        "warning table cache_locks",
        "note table job_batches",
    ];
    assert_eq!(tables, expected);
    assert!(
        report
            .of("table.missing")
            .iter()
            .all(|finding| finding["fix"].to_string().contains("migrate"))
    );
    assert_eq!(report.of("table.own").len(), 2);
}

#[test]
fn migrate_makes_what_is_missing() {
    let site = Site::sqlite();
    site.command(&["migrate"]).success();
    let report = doctor(&site, &[], &[]);
    assert_eq!(
        report.of("table.missing").len() + report.of("table.own").len(),
        0,
        "{:#}",
        report.json
    );
}

#[test]
fn columns_of_the_wrong_kind() {
    let jobs = "drop table jobs; create table jobs (id integer primary key, queue varchar not null, payload text not null, \
                attempts integer not null, reserved_at datetime, available_at integer not null, created_at integer not null)";
    let report = after(jobs, &[]);
    report
        .one("table.column")
        .is("error", "column jobs.reserved_at", "is datetime in SQLite");
    let report = after("alter table failed_jobs drop column exception", &[]);
    report
        .one("table.column")
        .is("error", "column failed_jobs.exception", "is not in SQLite");
}

#[test]
fn php_loses_failures_without_a_uuid() {
    let report = after("select 1", &[("QUEUE_FAILED_DRIVER", "database")]);
    let found = report.one("failed.driver");
    found
        .is("error", "QUEUE_FAILED_DRIVER", "failed_jobs.uuid may not be null")
        .fixed_by("database-uuids");
    let report = after("select 1", &[("QUEUE_FAILED_DRIVER", "database-uuids")]);
    assert_eq!(report.of("failed.driver").len(), 0);
}

#[test]
fn failures_that_cannot_be_told_apart() {
    let row = |uuid: &str| {
        format!(
            "insert into failed_jobs (uuid, connection, queue, payload, exception) values ('{uuid}', 'c', 'q', '{{}}', 'e')"
        )
    };
    let uuids = ["", "", "a", "a", "b"].map(row).join(";");
    let report = after(&format!("drop index failed_jobs_uuid_unique; {uuids}"), &[]);
    report
        .one("failed.empty-uuid")
        .is("warning", "table failed_jobs", "2 rows without a uuid, of 5")
        .fixed_by("worker forget");
    report
        .one("failed.duplicate-uuid")
        .is("warning", "table failed_jobs", "1 uuids");
    report
        .one("failed.no-unique")
        .is("note", "table failed_jobs", "no unique key");
}

#[test]
fn a_cache_that_carries_no_signals() {
    for store in ["file", "array"] {
        let report = after("select 1", &[("CACHE_STORE", store)]);
        report
            .one("signals.unreadable")
            .is("warning", "CACHE_STORE", store)
            .fixed_by("CACHE_STORE=database");
        assert_eq!(report.of("config.warning").len(), 0, "it is said once");
    }
}

#[test]
fn failures_that_are_kept_nowhere() {
    let report = after("select 1", &[("QUEUE_FAILED_DRIVER", "null")]);
    report
        .one("config.failures")
        .is("warning", "QUEUE_FAILED_DRIVER", "logged and not kept");
}
