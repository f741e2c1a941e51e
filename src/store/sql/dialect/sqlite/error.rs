//! SQLite's result codes by what a caller can do about them.

use crate::store::{Error, Kind};

const ERROR: i32 = 1;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const PROTOCOL: i32 = 15;
const NOTADB: i32 = 26;

/// The primary result code of a database error.
fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse().ok().map(|extended: i32| extended & 0xff)
}

/// `error` as an [`Error`] met while doing `action`.
pub(super) fn store_error(action: impl Into<String>, error: &sqlx::Error) -> Error {
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
        Some(BUSY) => format!("{said}: another process has been writing for longer than the busy timeout"),
        Some(ERROR) if said.starts_with("no such table") => format!("{said} (run `worker migrate`)"),
        _ => said,
    }
}

/// Whether the connection should be made anew before it is used again.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match code(error) {
        Some(code) => matches!(code, IOERR | CORRUPT | NOTADB | PROTOCOL),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed),
    }
}
