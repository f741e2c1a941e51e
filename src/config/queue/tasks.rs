//! The connection to tasks that Rust producers keep in a database.

use super::{QueueConnection, QueueKind};
use crate::config::reader::Reader;
use crate::config::{Database, Databases, Problem, vars};

pub(super) fn connection(reader: &mut Reader<'_>, databases: &Databases) -> Result<QueueConnection, Problem> {
    let database = databases.named(reader, &vars::DB_QUEUE_CONNECTION)?;
    if matches!(database, Database::Mysql { .. }) {
        let var = match reader.text(&vars::DB_QUEUE_CONNECTION) {
            Some(_) => &vars::DB_QUEUE_CONNECTION,
            None => &vars::DB_CONNECTION,
        };
        return Err(no_apalis_mysql(var.name));
    }
    let queue = reader.text_or(&vars::DB_QUEUE, "default");
    Ok(QueueConnection {
        name: "apalis-database".to_owned(),
        kind: QueueKind::ApalisDatabase { database, queue },
    })
}

/// What is said of tasks of Rust producers in a database that `variable` names.
pub fn no_apalis_mysql(variable: &'static str) -> Problem {
    let what = "names a MySQL database, for which apalis-mysql has no release for apalis 1.0 yet";
    Problem::new(variable, what, "pgsql or sqlite")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::testing::{load, problems};

    fn with(env: &[(&str, &str)]) -> Config {
        let sqlite = [("DB_CONNECTION", "sqlite"), ("DB_DATABASE", "/a.db")];
        load(&[sqlite.as_slice(), env].concat()).config
    }

    #[test]
    fn connections_of_rust_producers() {
        let config = with(&[("QUEUE_CONNECTION", "apalis-redis"), ("REDIS_QUEUE", "mail")]);
        let mail = "mail".to_owned();
        assert_eq!(config.queue.kind, QueueKind::ApalisRedis { db: 3, queue: mail });
        let config = with(&[("QUEUE_CONNECTION", "apalis-database")]);
        assert_eq!(config.queue.name, "apalis-database");
        assert!(
            matches!(config.queue.kind, QueueKind::ApalisDatabase { database: Database::Sqlite { .. }, queue } if queue == "default")
        );
        let mysql = [
            ("DB_CONNECTION", "mysql"),
            ("DB_DATABASE", "d"),
            ("QUEUE_CONNECTION", "apalis-database"),
        ];
        let said = problems(&mysql).join("\n");
        assert!(
            said.contains("apalis-mysql has no release for apalis 1.0 yet"),
            "{said}"
        );
        assert!(
            said.starts_with("DB_CONNECTION")
                && said.contains("pgsql or sqlite")
                && said.contains("needed by the queue connection apalis-database")
        );
        let apart = [
            ("DB_CONNECTION", "mysql"),
            ("DB_DATABASE", "d"),
            ("DB_QUEUE_CONNECTION", "mysql"),
            ("QUEUE_CONNECTION", "apalis-database"),
        ];
        let said = problems(&apart).join("\n");
        assert!(said.starts_with("DB_QUEUE_CONNECTION"), "{said}");
    }
}
