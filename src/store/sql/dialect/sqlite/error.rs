//! SQLite's result codes by what a caller can do about them.

use crate::store::{Error, Kind};

const ERROR: i32 = 1;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const NOTADB: i32 = 26;

/// The primary result code of a database error.
fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse().ok().map(|extended: i32| extended & 0xff)
}

/// `error` as an [`Error`] met while doing `action`.
pub(in crate::store) fn store_error(action: impl Into<String>, error: &sqlx::Error) -> Error {
    let kind = match code(error) {
        Some(BUSY | LOCKED | NOMEM | IOERR | FULL | PROTOCOL) => Kind::Transient,
        Some(CORRUPT | NOTADB) => Kind::Corrupt,
        Some(_) => Kind::Refused,
        None => match error {
            sqlx::Error::PoolTimedOut => Kind::Transient,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Kind::Corrupt,
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => Kind::Lost,
            _ => Kind::Refused,
        },
    };
    Error::new(kind, action, explain(error))
}

/// What a person needs to know: the engine's words, and what to do where that is known.
fn explain(error: &sqlx::Error) -> String {
    let said = match error.as_database_error() {
        Some(database) => database.message().to_owned(),
        None => error.to_string(),
    };
    match code(error) {
        Some(FULL) => format!("{said}: there is no space left for the database file"),
        Some(IOERR) => format!("{said}: look at the disk, and at `ulimit -f` (size of files)"),
        Some(BUSY) => format!("{said}: another process has been writing for longer than the busy timeout"),
        Some(CANTOPEN) => format!(
            "{said}: look at its rights and at those of its directory, and at `ulimit -n` (descriptors)"
        ),
        Some(ERROR) if said.starts_with("no such table") => format!("{said} (run `worker migrate`)"),
        _ => said,
    }
}

/// Whether someone else holds the lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    code(error) == Some(BUSY)
}

/// Whether the connection should be made anew before it is used again.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match code(error) {
        Some(code) => matches!(code, IOERR | CORRUPT | NOTADB | PROTOCOL),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

    use super::store_error;
    use crate::store::{Error, Kind};

    /// What SQLite says to the last of these statements.
    async fn error_of(sql: &[&str]) -> Error {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let mut last = None;
        for text in sql {
            assert!(last.is_none(), "{text}");
            let run = sqlx::query(AssertSqlSafe((*text).to_owned()));
            last = run.execute(&mut connection).await.err();
        }
        store_error("try", &last.unwrap())
    }

    #[tokio::test]
    async fn errors_say_what_to_do() {
        let full = [
            "create table t (a)",
            "pragma max_page_count = 2",
            "insert into t values (zeroblob(100000))",
        ];
        for (sql, kind, said) in [
            (&full[..], Kind::Transient, "no space left"),
            (&["select * from jobs"], Kind::Refused, "run `worker migrate`"),
            (
                &["create table t (a not null)", "insert into t values (null)"],
                Kind::Refused,
                "t.a",
            ),
        ] {
            let error = error_of(sql).await;
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
