//! What goes wrong with a server, by what a caller can do about it.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use crate::store::{Error, Kind};

/// Why a verb was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no connection to be had: nothing was sent.
    Unreached(sqlx::Error),
    /// The server does not take the user or the password, with what a person should know about it.
    Denied(sqlx::Error, String),
    /// The server did not take a connection in time: nothing was sent.
    Slow(Duration),
    /// All connections were in use for this long: nothing was sent.
    Busy(Duration),
    /// The server refused, or the connection broke.
    Said(sqlx::Error),
    /// The server did not answer in time.
    Silent(Duration),
}

/// The server's number of an error.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let database = error.as_database_error()?;
    Some(database.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

impl Failure {
    fn number(&self) -> Option<u16> {
        match self {
            Self::Unreached(error) | Self::Denied(error, _) | Self::Said(error) => number(error),
            Self::Slow(_) | Self::Busy(_) | Self::Silent(_) => None,
        }
    }

    /// What a caller can do.
    pub(super) fn kind(&self) -> Kind {
        if let Some(number) = self.number() {
            return kind(number);
        }
        match self {
            Self::Slow(_) | Self::Busy(_) => Kind::Transient,
            Self::Silent(_) => Kind::Lost,
            Self::Unreached(error) | Self::Denied(error, _) => match error {
                sqlx::Error::Io(_) if !is_tls(error) => Kind::Transient,
                _ => Kind::Refused,
            },
            Self::Said(error) => match error {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => Kind::Lost,
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Kind::Corrupt,
                _ => Kind::Refused,
            },
        }
    }

    /// Whether another transaction was in the way, which the server undid or gave up for this one.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self.number(), Some(DEADLOCK | LOCK_WAIT | RECORD_CHANGED))
    }

    /// Whether it waited for another's lock in vain, which took seconds.
    pub(super) fn is_lock_wait(&self) -> bool {
        self.number() == Some(LOCK_WAIT)
    }

    /// Whether the connection broke while the verb was carried out.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Said(_)) && self.kind() == Kind::Lost
    }

    /// Whether the connection is of no more use.
    pub(super) fn is_end_of_connection(&self) -> bool {
        match self.number() {
            Some(number) => kind(number) == Kind::Lost || ENDS.contains(&number),
            None => !matches!(
                self,
                Self::Said(
                    sqlx::Error::InvalidArgument(_)
                        | sqlx::Error::Decode(_)
                        | sqlx::Error::ColumnDecode { .. }
                )
            ),
        }
    }

    /// The failure as an [`Error`] met while doing `action`.
    pub(super) fn into_error(self, action: String) -> Error {
        let kind = self.kind();
        let said = match self {
            Self::Unreached(error) | Self::Said(error) => explain(&error),
            Self::Denied(error, advice) if advice.is_empty() => explain(&error),
            Self::Denied(error, advice) => format!("{}; {advice}", explain(&error)),
            Self::Slow(time) => format!("the server took no connection within {} s", time.as_secs()),
            Self::Busy(time) => format!("all connections were in use for {} s", time.as_secs()),
            Self::Silent(time) => format!("the server did not answer within {} s", time.as_secs()),
        };
        Error::new(kind, action, said)
    }
}

const RECORD_CHANGED: u16 = 1020;
const DUPLICATE: u16 = 1062;
const LOCK_WAIT: u16 = 1205;
const DEADLOCK: u16 = 1213;
const TABLE_EXISTS: u16 = 1050;
const KEY_EXISTS: u16 = 1061;
const NO_COLUMN: u16 = 1054;

/// Errors after which a server closes the connection, or after which another server may be the right one:
/// shutting down, or read only since a failover.
const ENDS: [u16; 6] = [1053, 1153, 1290, 1792, 1836, 3100];

/// Whether it is encryption that failed: a certificate that is not to be trusted, or no common version.
pub(super) fn is_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(io) => io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    }
}

/// Whether the server does not take the user or the password.
pub(super) fn is_of_login(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1045 | 1698))
}

/// Whether the row is there already.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    number(error) == Some(DUPLICATE)
}

/// Whether the table or the index is there already.
pub(super) fn exists(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(TABLE_EXISTS | KEY_EXISTS))
}

/// Whether a column is missing.
pub(super) fn lacks_column(error: &sqlx::Error) -> bool {
    number(error) == Some(NO_COLUMN)
}

fn kind(number: u16) -> Kind {
    match number {
        // The server's files or memory (1 to 50), too busy, out of memory, disk or allowance, interrupted, in the way of others, shutting down, not
        // the primary (any more): it may be better later, and the transaction was undone.
        1..=50
        | 1020
        | 1021
        | 1026
        | 1037
        | 1038
        | 1040
        | 1041
        | 1047
        | 1053
        | 1114
        | 1135
        | 1180
        | 1203
        | 1205
        | 1206
        | 1213
        | 1226
        | 1290
        | 1317
        | 1412
        | 1615
        | 1637
        | 1792
        | 1836
        | 1969
        | 3024
        | 3100
        | 3101
        | 3572 => Kind::Transient,
        // The connection was closed, by a person, by age, or by the network.
        1152 | 1158..=1161 | 1184 | 1927 | 3169 | 4031 => Kind::Lost,
        // Damaged tables and indexes.
        126 | 127 | 144 | 145 | 1034 | 1194 | 1195 | 1712 => Kind::Corrupt,
        _ => Kind::Refused,
    }
}

/// What a person needs to know: the server's words without values, and what to do where that is known.
fn explain(error: &sqlx::Error) -> String {
    let Some(number) = number(error) else {
        return error.to_string();
    };
    let said = error.as_database_error().map_or("", |error| error.message());
    let said = if NAMES_ONLY.contains(&number) {
        said.to_owned()
    } else {
        masked(said)
    };
    match advice(number) {
        "" => format!("{said} (error {number})"),
        advice => format!("{said} (error {number}): {advice}"),
    }
}

/// Errors whose quotations are names of things: users, databases, tables, columns, settings.
const NAMES_ONLY: [u16; 26] = [
    1021, 1040, 1044, 1045, 1046, 1049, 1050, 1053, 1054, 1061, 1114, 1130, 1142, 1143, 1146, 1153, 1205,
    1213, 1226, 1227, 1290, 1364, 1406, 1698, 1792, 1836,
];

/// What to do about an error; empty when the server's words say it all.
fn advice(number: u16) -> &'static str {
    match number {
        3 | 20 | 28 | 1021 | 1026 => "there is no space left on the server's disk",
        1040 => "raise max_connections, or run fewer processes",
        1044 | 1142 | 1143 => "grant the right to the user of DB_USERNAME",
        1045 | 1698 => "check DB_USERNAME and DB_PASSWORD, and from which hosts the user may come",
        1046 | 1049 => "check DB_DATABASE",
        1114 => "the table or the disk is full",
        1130 => "the server takes no connections from this host",
        1146 => "run `worker migrate`",
        1153 => "raise max_allowed_packet",
        1264 => "a number does not fit its column",
        1290 | 1792 | 1836 => "the server is read only, perhaps a replica since a failover",
        1665 => "set binlog_format to ROW or MIXED, since the worker uses READ COMMITTED",
        1300 | 1366 | 3854 | 3988 => {
            "the table does not hold such characters, make its character set utf8mb4"
        }
        1406 => "make the column longer, as Laravel's migrations have it",
        _ => "",
    }
}

/// A message with all between its first and its last quotation mark hidden: it may be part of a payload, and
/// hold such marks itself.
fn masked(message: &str) -> String {
    let hidden = message.split_once('\'').and_then(|(before, rest)| {
        let (_, after) = rest.rsplit_once('\'')?;
        Some(format!("{before}'…'{after}"))
    });
    hidden.unwrap_or_else(|| message.replace('\'', "…"))
}

#[cfg(test)]
mod tests {
    use super::{kind, masked};
    use crate::store::Kind;

    #[test]
    fn values_are_hidden() {
        for (said, shown) in [
            ("Duplicate entry 'secret' for key 'uuid'", "Duplicate entry '…'"),
            ("near ''secret'' at line 1", "near '…' at line 1"),
            ("plain", "plain"),
        ] {
            assert_eq!(masked(said), shown);
        }
    }

    #[test]
    fn numbers_have_kinds() {
        for (number, expected) in [
            (1213, Kind::Transient),
            (1040, Kind::Transient),
            (1114, Kind::Transient),
            (1927, Kind::Lost),
            (1146, Kind::Refused),
            (1045, Kind::Refused),
            (1034, Kind::Corrupt),
        ] {
            assert_eq!(kind(number), expected, "{number}");
        }
    }
}
