//! PostgreSQL's SQLSTATE codes by what a caller can do about them.

use sqlx::postgres::PgDatabaseError;

use crate::store::{Error, Kind};

/// A verb that failed, and how far it came.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// There was no connection: nothing was asked of the database.
    Connect {
        /// What was to be reached, such as `127.0.0.1:5432`.
        place: String,
        /// Why not.
        error: sqlx::Error,
        /// What a person should know about a login that was refused; empty otherwise.
        advice: String,
    },
    /// All our connections were in use for too long.
    Busy,
    /// A statement failed.
    Run(sqlx::Error),
    /// What the caller gave cannot be stored.
    Unfit(&'static str),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Run(error)
    }
}

impl Failure {
    /// The failure as an [`Error`] met while doing `action`.
    pub(in crate::store) fn during(&self, action: impl Into<String>) -> Error {
        match self {
            Self::Busy => {
                let said = "all connections to the database have been busy for 10 s";
                Error::new(Kind::Transient, action, said)
            }
            Self::Unfit(why) => Error::new(Kind::Refused, action, *why),
            Self::Connect { place, error, advice } => {
                let kind = match kind(error) {
                    // Nothing was executed.
                    Kind::Lost => Kind::Transient,
                    kind => kind,
                };
                let mut said = format!("cannot connect to PostgreSQL at {place}: {}", explain(error));
                if !advice.is_empty() {
                    said = format!("{said}; {advice}");
                }
                Error::new(kind, action, said)
            }
            Self::Run(error) => Error::new(kind(error), action, explain(error)),
        }
    }

    /// Whether others were in the way, so that the same statement may be tried again at once. It was
    /// rolled back.
    pub(in crate::store) fn is_collision(&self) -> bool {
        match self {
            Self::Run(error) => matches!(code(error), Some("40001" | "40P01")),
            Self::Connect { .. } | Self::Busy | Self::Unfit(_) => false,
        }
    }

    /// Whether this is the answer of a pooler that hands each transaction to another session.
    pub(in crate::store) fn is_of_a_pooler(&self) -> bool {
        match self {
            Self::Run(error) => is_of_a_pooler(error),
            Self::Connect { .. } | Self::Busy | Self::Unfit(_) => false,
        }
    }

    /// Whether a column that a statement names is not there.
    pub(in crate::store) fn lacks_column(&self) -> bool {
        matches!(self, Self::Run(error) if code(error) == Some("42703"))
    }
}

/// The SQLSTATE of a database error.
fn code(error: &sqlx::Error) -> Option<&str> {
    let database = error.as_database_error()?;
    Some(database.try_downcast_ref::<PgDatabaseError>()?.code())
}

/// Whether the server does not know the statements that we prepared, or does not take a setting at the start
/// of a session: both are what poolers say.
pub(in crate::store) fn is_of_a_pooler(error: &sqlx::Error) -> bool {
    match code(error) {
        Some("26000" | "42P05") => true,
        Some("08P01") => explain(error).contains("startup parameter"),
        _ => false,
    }
}

/// Whether the server does not take the user or the password.
pub(in crate::store) fn is_of_login(error: &sqlx::Error) -> bool {
    matches!(code(error), Some("28P01" | "28000"))
}

/// Whether the server refuses connections without encryption.
pub(in crate::store) fn wants_encryption(error: &sqlx::Error) -> bool {
    code(error) == Some("28000")
}

/// Whether the two ends cannot agree on encryption, or the certificate is not believed.
fn is_of_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

fn kind(error: &sqlx::Error) -> Kind {
    let Some(code) = code(error) else {
        return match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                Kind::Corrupt
            }
            error if is_of_tls(error) => Kind::Refused,
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Kind::Lost,
            _ => Kind::Refused,
        };
    };
    match code {
        // Unknown whether it was committed; sessions that were ended.
        "40003" | "57P01" | "57P02" | "57P05" | "25P03" => Kind::Lost,
        // Locks, time limits, a server that starts, a standby that is no primary yet, statements prepared
        // before a table was changed or behind a pooler.
        "55P03" | "55006" | "57014" | "57P03" | "25006" | "58030" | "0A000" | "26000" | "42P05" => {
            Kind::Transient
        }
        "XX001" | "XX002" => Kind::Corrupt,
        _ => match code.get(..2) {
            Some("08") => Kind::Lost,
            // Collisions; disk, memory or connections used up.
            Some("40" | "53") => Kind::Transient,
            _ => Kind::Refused,
        },
    }
}

/// What a person needs to know: the server's first line, which holds no values of rows, and what to do
/// where that is known. The details that may follow it are not shown.
fn explain(error: &sqlx::Error) -> String {
    let said = match error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    let advice = match (code(error), error) {
        (Some("42P01"), _) => "run `worker migrate`",
        (Some("42703"), _) => "the table is none of Laravel's, or an older one",
        (Some("42501"), _) => "grant the user the right, or name another one in DB_USERNAME",
        (Some("28P01" | "28000"), _) => "see DB_USERNAME, DB_PASSWORD and DB_SSLMODE",
        (Some("3D000"), _) => "see DB_DATABASE",
        (Some("3F000"), _) => "see the search path",
        (Some("25006"), _) => "the server takes no writes: a standby, or a setting",
        (Some("53100"), _) => "there is no space left on the server's disk",
        (Some("53300"), _) => "the server's max_connections are used up",
        (Some("55P03"), _) => "another transaction holds a lock",
        (None, error) if is_of_tls(error) => "see DB_SSLMODE and PGSSLROOTCERT",
        _ => return said,
    };
    format!("{said} ({advice})")
}
