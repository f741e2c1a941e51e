//! Where failed jobs are recorded.

use super::reader::Reader;
use super::{Database, Databases, Problem, vars};

/// Laravel's failed-job store (`QUEUE_FAILED_DRIVER`, default `database-uuids`).
#[derive(Debug, Clone, PartialEq)]
pub enum FailedStore {
    /// A table; the payload's uuid is always written, also for the driver `database`.
    Database {
        /// The database: that of `DB_CONNECTION`.
        database: Database,
        /// Name of the table: `failed_jobs`.
        table: String,
    },
    /// `null`: failures are logged, not recorded.
    Null,
    /// The store cannot be used (`file`, `dynamodb`, an SQL server we do not speak to, or none configured). Legal for
    /// commands that record nothing; the others must refuse to start with this problem.
    Unavailable(Problem),
}

/// What a value of `QUEUE_FAILED_DRIVER` means.
#[derive(Clone, Copy)]
enum Driver {
    Database,
    Null,
    Foreign,
}

const DRIVERS: &[(&str, Driver)] = &[
    ("database", Driver::Database),
    ("database-uuids", Driver::Database),
    ("null", Driver::Null),
    ("file", Driver::Foreign),
    ("dynamodb", Driver::Foreign),
];

impl FailedStore {
    pub(super) fn read(reader: &mut Reader<'_>, databases: &Databases) -> Self {
        if reader.is_null(&vars::QUEUE_FAILED_DRIVER) {
            let origin = reader.origin(&vars::QUEUE_FAILED_DRIVER);
            reader.show(&vars::QUEUE_FAILED_DRIVER, "null", origin);
            return Self::Null;
        }
        let problem = match reader
            .choice(&vars::QUEUE_FAILED_DRIVER, DRIVERS)
            .unwrap_or(Driver::Database)
        {
            Driver::Null => return Self::Null,
            Driver::Database => match databases.default() {
                Ok(database) => {
                    return Self::Database {
                        database: database.clone(),
                        table: "failed_jobs".to_owned(),
                    };
                }
                Err(problem) => problem,
            },
            Driver::Foreign => Problem::new(
                vars::QUEUE_FAILED_DRIVER.name,
                "names a store that the worker cannot write",
                vars::QUEUE_FAILED_DRIVER.form,
            ),
        };
        reader.warn(
            &vars::QUEUE_FAILED_DRIVER,
            format!("has no store for failed jobs: {problem}"),
        );
        Self::Unavailable(problem)
    }

    /// Refuses a store that cannot be used, for commands that record failures.
    ///
    /// # Errors
    /// The problem of [`FailedStore::Unavailable`].
    pub fn usable(&self) -> Result<(), Problem> {
        match self {
            Self::Unavailable(problem) => Err(problem.clone()),
            Self::Database { .. } | Self::Null => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load_app, problems, warned};
    use super::*;

    #[test]
    fn stores() {
        for driver in ["", "database", "database-uuids"] {
            let failed = load_app(&[("QUEUE_FAILED_DRIVER", driver)]).config.failed;
            assert!(
                matches!(failed, FailedStore::Database { table, .. } if table == "failed_jobs"),
                "{driver}"
            );
        }
        assert_eq!(
            load_app(&[("QUEUE_FAILED_DRIVER", "null")]).config.failed,
            FailedStore::Null
        );
        let loaded = load_app(&[("QUEUE_FAILED_DRIVER", "dynamodb")]);
        assert_eq!(warned(&loaded), ["QUEUE_FAILED_DRIVER"]);
        let problem = loaded.config.failed.usable().unwrap_err().to_string();
        assert!(problem.starts_with(
            "QUEUE_FAILED_DRIVER names a store that the worker cannot write; allowed: database"
        ));
        let typo = problems(&[("QUEUE_CONNECTION", "sync"), ("QUEUE_FAILED_DRIVER", "databse")]);
        assert!(typo[0].starts_with("QUEUE_FAILED_DRIVER (environment) is not one of the allowed words"));
    }
}
