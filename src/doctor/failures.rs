//! Failed jobs: whether PHP can write them, and whether they can be told apart.

use super::catalogue::{FAILED_DRIVER, FAILED_DUPLICATE, FAILED_EMPTY};
use super::{Facts, Finding};

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(store) = facts.stores.iter().find(|store| store.uses.failures) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let table = store.table("failed_jobs");
    let name = table.map_or("failed_jobs", |table| table.name.as_str());
    let wants_uuid = table
        .and_then(|table| table.column("uuid"))
        .is_some_and(|column| !column.nullable);
    if wants_uuid && facts.shown("QUEUE_FAILED_DRIVER") == "database" {
        let what = format!("is database, which writes no uuid, and {name}.uuid may not be null");
        let fix = "set QUEUE_FAILED_DRIVER=database-uuids for the application and here";
        findings.push(FAILED_DRIVER.found("QUEUE_FAILED_DRIVER", what, fix));
    }
    let failures = store.sql.as_ref().and_then(|sql| sql.failures.get());
    let Some(failures) = failures else {
        return findings;
    };
    let subject = format!("table {name}");
    if failures.without_uuid > 0 {
        let what = format!(
            "has {} rows without a uuid, of {}",
            failures.without_uuid, failures.rows
        );
        let fix = "worker failed, then worker retry ID or worker forget ID with the number of each; and \
                   QUEUE_FAILED_DRIVER=database-uuids";
        findings.push(FAILED_EMPTY.found(&subject, what, fix));
    }
    if failures.duplicates > 0 {
        let what = format!("has {} uuids that several rows share", failures.duplicates);
        let fix = format!(
            "select uuid, min(id), max(id), count(*) from {name} group by uuid having count(*) > 1; then worker forget \
             with the number of those that are too many"
        );
        findings.push(FAILED_DUPLICATE.found(subject, what, fix));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, sql_store, table};
    use super::super::{Seen, Severity, Sql};
    use crate::store::port::survey::Failures;

    fn case(driver: &str, nullable: bool, failures: Failures) -> Case {
        let mut failed = table("failed_jobs");
        for column in failed.columns.iter_mut().flatten() {
            column.nullable = nullable;
        }
        let mut store = sql_store();
        store.sql = Some(Sql {
            is_file: false,
            tables: Seen::Here(vec![failed]),
            failures: Seen::Here(failures),
        });
        Case::database(&[("QUEUE_FAILED_DRIVER", driver)]).stores(vec![store])
    }

    #[test]
    fn php_loses_failures_without_a_uuid() {
        let none = Failures {
            rows: 0,
            without_uuid: 0,
            duplicates: 0,
        };
        assert_eq!(
            case("database", false, none).worst("failed.driver"),
            Some(Severity::Error)
        );
        assert_eq!(case("database", true, none).worst("failed.driver"), None);
        assert_eq!(case("database-uuids", false, none).worst("failed.driver"), None);
    }

    #[test]
    fn rows_that_cannot_be_told_apart() {
        let some = Failures {
            rows: 9,
            without_uuid: 2,
            duplicates: 1,
        };
        let case = case("database-uuids", false, some);
        assert!(
            case.first("failed.empty-uuid")
                .what
                .contains("2 rows without a uuid, of 9")
        );
        assert_eq!(case.worst("failed.duplicate-uuid"), Some(Severity::Warning));
    }
}
