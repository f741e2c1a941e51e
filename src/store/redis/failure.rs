//! What Redis answers when something goes wrong, by what the caller can do about it.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::{Error, Kind};

/// What went wrong with one command, before it is said in which verb.
#[derive(Debug, Clone)]
pub(in crate::store) struct Failure {
    pub(super) kind: Kind,
    text: String,
    /// Whether the connection is of no further use.
    pub(in crate::store) reconnect: bool,
    /// Whether the server does not take the user or the password.
    pub(super) login_refused: bool,
}

impl Failure {
    /// A reply that is not of the form it should have.
    pub(in crate::store) fn odd_reply() -> Self {
        Self {
            kind: Kind::Corrupt,
            text: "the reply has an unexpected form".to_owned(),
            reconnect: false,
            login_refused: false,
        }
    }

    /// A receipt that another store gave.
    pub(in crate::store) fn odd_receipt() -> Self {
        Self {
            kind: Kind::Refused,
            text: "the receipt was given by another store".to_owned(),
            reconnect: false,
            login_refused: false,
        }
    }

    /// A verb that this store does not have.
    pub(in crate::store) fn unsupported() -> Self {
        Self {
            kind: Kind::Refused,
            text: "a Redis queue does not keep failures".to_owned(),
            reconnect: false,
            login_refused: false,
        }
    }

    /// A server that did not answer in time.
    pub(in crate::store) fn silent() -> Self {
        Self::of(&RedisError::from(std::io::Error::from(
            std::io::ErrorKind::TimedOut,
        )))
    }

    /// A connection that could not be made: nothing was sent.
    pub(in crate::store) fn not_connected(error: &RedisError, address: impl fmt::Display) -> Self {
        let failure = Self::of(error);
        Self {
            kind: match failure.kind {
                Kind::Refused => Kind::Refused,
                _ => Kind::Transient,
            },
            text: format!("connect to {address}: {}", failure.text),
            reconnect: true,
            login_refused: failure.login_refused,
        }
    }

    /// What a command's error means.
    pub(in crate::store) fn of(error: &RedisError) -> Self {
        let said = error.to_string();
        let (kind, reconnect, hint) = match error.kind() {
            ErrorKind::Io => (Kind::Lost, true, ""),
            ErrorKind::AuthenticationFailed => (Kind::Refused, true, CREDENTIALS),
            ErrorKind::Parse => (Kind::Corrupt, true, ""),
            ErrorKind::UnexpectedReturnType => (Kind::Corrupt, false, ""),
            ErrorKind::Server(kind) => of_server(kind, &said),
            _ => of_code(error.code().unwrap_or_default(), &said),
        };
        let text = if hint.is_empty() {
            said
        } else {
            format!("{said} ({hint})")
        };
        Self {
            kind,
            text,
            reconnect,
            login_refused: hint == CREDENTIALS,
        }
    }

    /// The same, when earlier parts of the verb were carried out: it can no longer be said that nothing
    /// was changed.
    pub(in crate::store) fn half_done(self) -> Self {
        let kind = match self.kind {
            Kind::Transient => Kind::Lost,
            other => other,
        };
        Self { kind, ..self }
    }

    /// The same, with more that a person should know.
    pub(super) fn advised(self, advice: &str) -> Self {
        let text = match advice {
            "" => self.text,
            advice => format!("{}; {advice}", self.text),
        };
        Self { text, ..self }
    }

    /// The error of the verb, such as `reserve from queue "mail"`.
    pub(in crate::store) fn during(self, action: impl Into<String>) -> Error {
        Error::new(self.kind, action, self.text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const CREDENTIALS: &str = "check the user name and the password of this Redis connection";
const RIGHTS: &str = "let this user run it on the keys of the application, with ACL SETUSER";
const MEMORY: &str = "the server is out of memory: nothing new is taken until it has some";

type Meaning = (Kind, bool, &'static str);

fn of_server(kind: ServerErrorKind, said: &str) -> Meaning {
    match kind {
        ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain | ServerErrorKind::ClusterDown => {
            (Kind::Transient, false, "")
        }
        // After a failover the address may lead to another server.
        ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown => {
            (Kind::Transient, true, "this server is a replica now")
        }
        ServerErrorKind::NoPerm => (Kind::Refused, false, RIGHTS),
        ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot => (
            Kind::Refused,
            false,
            "the server belongs to a cluster, which is not supported",
        ),
        ServerErrorKind::ResponseError => of_code("", said),
        _ => (Kind::Refused, false, ""),
    }
}

/// Servers before 7 wrap what a script met into an `ERR` of its own, so the text is looked at too.
fn of_code(code: &str, said: &str) -> Meaning {
    let is = |name: &str| code == name || said.contains(&format!("-{name} "));
    if is("OOM") {
        (Kind::Transient, false, MEMORY)
    } else if is("READONLY") || is("MASTERDOWN") {
        (Kind::Transient, true, "this server is a replica now")
    } else if ["BUSY", "LOADING", "MISCONF", "NOREPLICAS", "UNBLOCKED"]
        .into_iter()
        .any(is)
        || said.contains("max number of clients")
    {
        (Kind::Transient, false, "")
    } else if is("NOPERM") || said.contains("ACL failure") || said.contains("can't run this command") {
        (Kind::Refused, false, RIGHTS)
    } else if is("NOAUTH") || is("WRONGPASS") || said.contains("Authentication required") {
        (Kind::Refused, true, CREDENTIALS)
    } else if is("WRONGTYPE") {
        (Kind::Refused, false, "a key of the queue holds something else")
    } else {
        (Kind::Refused, false, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(line: &[u8]) -> Failure {
        let error = redis::parse_redis_value(line)
            .expect("the reply can be read")
            .extract_error()
            .expect_err("the reply is an error");
        Failure::of(&error)
    }

    #[test]
    fn each_answer_has_its_kind() {
        let table: [(&[u8], Kind, bool); 12] = [
            (
                b"-BUSY Redis is busy running a script.\r\n",
                Kind::Transient,
                false,
            ),
            (b"-LOADING Redis is loading\r\n", Kind::Transient, false),
            (b"-OOM command not allowed\r\n", Kind::Transient, false),
            (
                b"-MISCONF Redis is configured to save\r\n",
                Kind::Transient,
                false,
            ),
            (
                b"-ERR Error running script (call to f_a): @user_script:1: -OOM command not\r\n",
                Kind::Transient,
                false,
            ),
            (
                b"-READONLY You can't write against a read only replica.\r\n",
                Kind::Transient,
                true,
            ),
            (b"-NOAUTH Authentication required.\r\n", Kind::Refused, true),
            (
                b"-WRONGPASS invalid username-password pair\r\n",
                Kind::Refused,
                true,
            ),
            (
                b"-NOPERM User a has no permissions to run the 'evalsha' command\r\n",
                Kind::Refused,
                false,
            ),
            (b"-WRONGTYPE Operation against a key\r\n", Kind::Refused, false),
            (b"-NOSCRIPT No matching script.\r\n", Kind::Refused, false),
            (b"-ERR unknown command\r\n", Kind::Refused, false),
        ];
        for (line, kind, reconnect) in table {
            let failure = server(line);
            let said = String::from_utf8_lossy(line);
            assert_eq!((failure.kind, failure.reconnect), (kind, reconnect), "{said}");
        }
    }

    #[test]
    fn a_lost_connection_is_ambiguous_and_a_missing_one_is_not() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(Failure::of(&broken).kind, Kind::Lost);
        assert_eq!(Failure::not_connected(&broken, "a:1").kind, Kind::Transient);
        assert_eq!(server(b"-BUSY wait\r\n").half_done().kind, Kind::Lost);
    }

    #[test]
    fn the_missing_right_is_named() {
        let failure = server(b"-NOPERM User a has no permissions to run the 'evalsha' command\r\n");
        assert!(failure.text.contains("'evalsha'") && failure.text.contains("ACL SETUSER"));
    }
}
