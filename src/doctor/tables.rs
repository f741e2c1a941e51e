//! Tables: whether they are there, and whether what goes into them fits.

use super::catalogue::{
    FAILED_UNIQUE, TABLE_ATTEMPTS, TABLE_CHARSET, TABLE_COLUMN, TABLE_INDEX, TABLE_MISSING, TABLE_OWN,
    TABLE_WIDTH,
};
use super::{Facts, Finding, Severity, Store};
use crate::config::CacheStore;
use crate::store::port::survey::{Column, Holds, Index, Product, TableState};

/// What must fit into a column.
#[derive(Clone, Copy)]
enum Needs {
    /// A count of attempts: one byte is too little for some.
    Attempts,
    /// Whole numbers up to this one.
    Number(u64),
    /// A short text.
    Text,
    /// A text of any length.
    Long,
    /// Whatever Laravel made it.
    Any,
}

/// Unix times until 2038 fit into this.
const TIMES: u64 = 2_147_483_647;

/// The columns of a table by its role.
fn needs(role: &str) -> &'static [(&'static str, Needs)] {
    use Needs::{Any, Attempts, Long, Number, Text};
    match role {
        "jobs" => &[
            ("id", Number(TIMES)),
            ("queue", Text),
            ("payload", Long),
            ("attempts", Attempts),
            ("reserved_at", Number(TIMES)),
            ("available_at", Number(TIMES)),
            ("created_at", Number(TIMES)),
        ],
        "failed_jobs" => &[
            ("id", Number(TIMES)),
            ("uuid", Text),
            ("connection", Text),
            ("queue", Text),
            ("payload", Long),
            ("exception", Long),
            ("failed_at", Any),
        ],
        "cache" => &[("key", Text), ("value", Text), ("expiration", Number(TIMES))],
        "job_batches" => &[
            ("id", Text),
            ("pending_jobs", Any),
            ("failed_jobs", Any),
            ("failed_job_ids", Text),
        ],
        "worker_processes" => &[("id", Text), ("beat", Text), ("expires_at", Any)],
        "worker_markers" => &[("marker", Text), ("created_at", Any)],
        _ => &[],
    }
}

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for store in &facts.stores {
        let tables = store.sql.as_ref().and_then(|sql| sql.tables.get());
        for table in tables.into_iter().flatten() {
            match &table.columns {
                Some(columns) => findings.extend(shape(store, table, columns)),
                None => findings.extend(missing(facts, store, table)),
            }
        }
    }
    findings
}

/// A table that is not there, if anyone would use it in this store.
fn missing(facts: &Facts<'_>, store: &Store, table: &TableState) -> Option<Finding> {
    let signals = store.uses.signals && matches!(facts.loaded.config.cache, CacheStore::Database { .. });
    let own = TABLE_OWN.severities.first().copied();
    let severity = match table.role {
        "jobs" | "tasks" if store.uses.jobs => Severity::Error,
        "failed_jobs" if store.uses.failures => Severity::Error,
        "cache" | "cache_locks" if signals => Severity::Warning,
        "job_batches" if store.uses.jobs || store.uses.failures => Severity::Note,
        "worker_processes" | "worker_markers" if store.uses.jobs => own?,
        _ => return None,
    };
    let check = if table.role.starts_with("worker_") {
        &TABLE_OWN
    } else {
        &TABLE_MISSING
    };
    let what = format!("is not in {}", store.name);
    let fix = match table.role {
        "tasks" => {
            "start the producer, which makes it: PostgresStorage::setup, or SqliteStorage::setup in a file \
                    without Laravel's jobs"
                .to_owned()
        }
        "job_batches" => "worker migrate, if the application dispatches batches".to_owned(),
        _ if store.uses.failures || store.uses.jobs => "worker migrate".to_owned(),
        _ => "php artisan migrate".to_owned(),
    };
    Some(
        check
            .found(format!("table {}", table.name), what, fix)
            .at(severity),
    )
}

fn shape(store: &Store, table: &TableState, columns: &[Column]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, needs) in needs(table.role) {
        findings.extend(match table.column(name) {
            Some(column) => fits(store, table, column, *needs),
            None => Some(TABLE_COLUMN.found(
                format!("column {}.{name}", table.name),
                format!("is not in {}", store.name),
                "php artisan migrate; or compare the table with migrations/ of the worker",
            )),
        });
    }
    findings.extend(charset(store, table, columns));
    let covered = |wanted: &[&str]| {
        table.indexes.iter().any(|index| {
            let mut columns = index.columns.iter().map(String::as_str);
            wanted.iter().all(|name| columns.next() == Some(name))
        })
    };
    // SQLite's writer remembers where each queue begins, and needs no index for that.
    let product = store.server.get().map(|server| server.product);
    let remembers = product == Some(Product::Sqlite);
    if table.role == "jobs" && !remembers && !covered(&["queue", "available_at", "id"]) {
        let what = "has no index on (queue, available_at, id)";
        findings.push(TABLE_INDEX.found(format!("table {}", table.name), what, "worker migrate --indexes"));
    }
    if table.role == "failed_jobs" && table.column("uuid").is_some() {
        let unique = |index: &Index| index.unique && index.columns == ["uuid"];
        if !table.indexes.iter().any(unique) {
            let fix = format!("create unique index {0}_uuid_unique on {0} (uuid)", table.name);
            findings.push(FAILED_UNIQUE.found(
                format!("table {}", table.name),
                "has no unique key on uuid",
                fix,
            ));
        }
    }
    findings
}

/// What a column should become.
#[derive(Clone, Copy)]
pub(super) enum Wide {
    /// Whole numbers to 32,767 at least.
    Small,
    /// Whole numbers of 64 bits.
    Big,
    /// Text of any length.
    Long,
}

/// What to type in the database's own shell to make a column wider.
pub(super) fn alter(store: &Store, table: &str, column: &str, to: Wide) -> String {
    match store.server.get().map(|server| server.product) {
        Some(Product::Postgres) => {
            let to = match to {
                Wide::Small => "smallint",
                Wide::Big => "bigint",
                Wide::Long => "text",
            };
            format!("psql: alter table {table} alter column {column} type {to}")
        }
        Some(Product::Mysql | Product::Mariadb) => {
            let to = match to {
                Wide::Small => "smallint unsigned not null",
                Wide::Big => "bigint",
                Wide::Long => "longtext not null",
            };
            format!("mysql: alter table {table} modify {column} {to}")
        }
        _ => format!(
            "php artisan make:migration, and make {column} of {table} what Laravel's own migration makes it"
        ),
    }
}

fn fits(store: &Store, table: &TableState, column: &Column, needs: Needs) -> Option<Finding> {
    let subject = format!("column {}.{}", table.name, column.name);
    let what = format!("is {} in {}", column.declared, store.name);
    let change = |to| alter(store, &table.name, &column.name, to);
    match (needs, column.holds) {
        (Needs::Attempts, Holds::Integer(most)) if most < 256 => {
            Some(TABLE_ATTEMPTS.found(subject, what, change(Wide::Small)))
        }
        (Needs::Number(most), Holds::Integer(holds)) if holds < most => {
            Some(TABLE_COLUMN.found(subject, what, change(Wide::Big)))
        }
        (Needs::Long, Holds::Text(Some(most))) if most < 1 << 20 => {
            Some(TABLE_WIDTH.found(subject, what, change(Wide::Long)))
        }
        (Needs::Attempts | Needs::Number(_), Holds::Text(_) | Holds::Time) => {
            Some(TABLE_COLUMN.found(subject, what, change(Wide::Big)))
        }
        (Needs::Text | Needs::Long, Holds::Integer(_) | Holds::Time) => {
            Some(TABLE_COLUMN.found(subject, what, change(Wide::Long)))
        }
        _ => None,
    }
}

/// Text columns of three bytes a character, in one finding per table.
fn charset(store: &Store, table: &TableState, columns: &[Column]) -> Option<Finding> {
    let narrow = |charset: &str| {
        matches!(
            charset,
            "utf8" | "utf8mb3" | "latin1" | "ascii" | "SQL_ASCII" | "LATIN1"
        )
    };
    let wanted = needs(table.role).iter().map(|(name, _)| *name);
    let wanted: Vec<_> = wanted.collect();
    let narrow: Vec<_> = columns
        .iter()
        .filter(|column| wanted.contains(&column.name.as_str()))
        .filter_map(|column| {
            Some((
                column,
                column.charset.as_deref().filter(|charset| narrow(charset))?,
            ))
        })
        .collect();
    let (_, charset) = narrow.first()?;
    let names: Vec<_> = narrow.iter().map(|(column, _)| column.name.as_str()).collect();
    let what = format!("stores {} as {charset} in {}", names.join(", "), store.name);
    let fix = match store.server.get().map(|server| server.product) {
        Some(Product::Postgres) => {
            "createdb --encoding UTF8 --template template0, then pg_dump and psql: an encoding is for ever"
                .to_owned()
        }
        _ => format!(
            "mysql: alter table {} convert to character set utf8mb4; and 'charset' => 'utf8mb4' in config/database.php",
            table.name
        ),
    };
    Some(TABLE_CHARSET.found(format!("table {}", table.name), what, fix))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, column, sql_store, table};
    use super::super::{Seen, Sql};
    use super::*;

    fn with_tables(tables: &[TableState]) -> Case {
        let mut store = sql_store();
        store.sql = store.sql.map(|sql| Sql {
            tables: Seen::Here(tables.to_vec()),
            ..sql
        });
        Case::database(&[]).stores(vec![store])
    }

    /// The table `jobs` with one column changed.
    fn jobs(name: &str, declared: &str, holds: Holds) -> Case {
        let mut jobs = table("jobs");
        for column in jobs
            .columns
            .iter_mut()
            .flatten()
            .filter(|column| column.name == name)
        {
            (column.declared, column.holds) = (declared.to_owned(), holds);
        }
        with_tables(&[jobs])
    }

    #[test]
    fn laravels_own_tables_are_good() {
        let case = with_tables(&["jobs", "failed_jobs", "cache"].map(table));
        let codes: Vec<_> = case
            .findings
            .iter()
            .map(|finding| finding.code)
            .filter(|code| code.starts_with("table."))
            .collect();
        assert_eq!(codes, ["table.index"]);
    }

    #[test]
    fn columns_that_are_too_narrow() {
        assert_eq!(
            jobs("attempts", "tinyint unsigned", Holds::Integer(255)).worst("table.attempts"),
            Some(Severity::Warning)
        );
        assert_eq!(
            jobs("attempts", "smallint", Holds::Integer(32_767)).count("table.attempts"),
            0
        );
        assert_eq!(
            jobs("payload", "text", Holds::Text(Some(65_535))).worst("table.width"),
            Some(Severity::Error)
        );
        assert_eq!(
            jobs("available_at", "smallint", Holds::Integer(32_767)).worst("table.column"),
            Some(Severity::Error)
        );
        assert_eq!(
            jobs("reserved_at", "timestamp", Holds::Time).worst("table.column"),
            Some(Severity::Error)
        );
        assert_eq!(
            jobs("queue", "int", Holds::Integer(1 << 31)).worst("table.column"),
            Some(Severity::Error)
        );
    }

    #[test]
    fn columns_and_tables_that_are_not_there() {
        let mut without = table("failed_jobs");
        without.columns = without.columns.map(|columns| {
            columns
                .into_iter()
                .filter(|column| column.name != "uuid")
                .collect()
        });
        let case = with_tables(&[without]);
        assert_eq!(case.subjects("table.column"), ["column failed_jobs.uuid"]);
        let gone = |role| TableState {
            columns: None,
            ..table(role)
        };
        let case = with_tables(
            &[
                "jobs",
                "failed_jobs",
                "cache",
                "job_batches",
                "worker_processes",
                "sessions",
            ]
            .map(gone),
        );
        assert_eq!(
            case.subjects("table.missing"),
            [
                "table jobs",
                "table failed_jobs",
                "table cache",
                "table job_batches"
            ]
        );
        assert_eq!(case.subjects("table.own"), ["table worker_processes"]);
        let severity = |subject: &str| {
            case.findings
                .iter()
                .find(|finding| finding.subject == subject)
                .map(|finding| finding.severity)
        };
        assert_eq!(severity("table jobs"), Some(Severity::Error));
        assert_eq!(severity("table cache"), Some(Severity::Warning));
        assert_eq!(severity("table job_batches"), Some(Severity::Note));
    }

    #[test]
    fn three_bytes_a_character_are_too_few() {
        let mut jobs = table("jobs");
        for column in jobs.columns.iter_mut().flatten() {
            column.charset = Some("utf8mb3".to_owned()).filter(|_| column.name == "payload");
        }
        let case = with_tables(&[jobs]);
        assert!(
            case.first("table.charset")
                .what
                .starts_with("stores payload as utf8mb3")
        );
        assert_eq!(column("a", "text", Holds::Text(None)).charset, None);
    }

    #[test]
    fn indexes() {
        let mut jobs = table("jobs");
        let columns = ["queue", "available_at", "id"].map(str::to_owned).to_vec();
        jobs.indexes.push(Index {
            columns,
            unique: false,
        });
        assert_eq!(with_tables(&[jobs]).count("table.index"), 0);
        let mut failed = table("failed_jobs");
        failed.indexes.clear();
        assert_eq!(
            with_tables(&[failed]).worst("failed.no-unique"),
            Some(Severity::Note)
        );
    }
}
