//! URLs as they are written: what in them is read differently by different readers.

use super::super::explain::Origin;
use super::super::reader::Reader;
use super::super::secret::MASK;
use super::super::url::{self, Url};
use super::super::vars::{self, Variable};
use crate::config::dotenv::Value;

/// One variable that holds a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlClue {
    /// The variable.
    pub name: &'static str,
    /// Where its value stands, such as `environment`.
    pub place: String,
    /// The URL without its password.
    pub masked: String,
    /// What in it is read differently by different readers.
    pub traps: Vec<UrlTrap>,
    /// The server it names; `None` for files, sockets, and what is no URL.
    pub server: Option<Server>,
}

/// A server and a database on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `redis`, `mysql` or `pgsql`; MariaDB counts as `mysql`.
    pub family: &'static str,
    /// The host, in lower case.
    pub host: String,
    /// The port, or the usual one.
    pub port: u16,
    /// The database; `None` when the URL names none.
    pub database: Option<String>,
}

/// Something in a URL that not every reader takes in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlTrap {
    /// This character stands unescaped in the user or the password.
    Unescaped(char),
    /// A `%` in the user or the password that no two hexadecimal digits follow.
    Percent,
    /// No port, so that this one is meant.
    NoPort(u16),
    /// No database.
    NoDatabase,
    /// Parameters of these names.
    Query(Vec<String>),
    /// Quotes around the value, in the environment.
    Quoted,
    /// A scheme of nothing that is known; perhaps this one was meant.
    Scheme(Option<&'static str>),
}

/// The variables that hold URLs, in the order in which they win, each with its schemes.
const URLS: [&Variable; 4] = [
    &vars::REDIS_URL,
    &vars::DB_URL,
    &vars::MYSQL_URL,
    &vars::DATABASE_URL,
];

/// Schemes, what they mean, and the usual port; 0 where there is none.
const SCHEMES: &[(&str, &str, u16)] = &[
    ("redis", "redis", 6379),
    ("rediss", "redis", 6379),
    ("tls", "redis", 6379),
    ("tcp", "redis", 6379),
    ("unix", "redis", 0),
    ("redis+unix", "redis", 0),
    ("mysql", "mysql", 3306),
    ("mysql2", "mysql", 3306),
    ("mariadb", "mysql", 3306),
    ("postgres", "pgsql", 5432),
    ("postgresql", "pgsql", 5432),
    ("pgsql", "pgsql", 5432),
    ("sqlite", "sqlite", 0),
    ("sqlite3", "sqlite", 0),
];

/// Looks at every URL that is set.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<UrlClue> {
    URLS.into_iter().filter_map(|var| clue(reader, var)).collect()
}

fn clue(reader: &mut Reader<'_>, var: &'static Variable) -> Option<UrlClue> {
    let (raw, origin) = reader.raw(var)?;
    let Value::Text(text) = Value::from_env(&raw) else {
        return None;
    };
    if text.is_empty() {
        return None;
    }
    let mut traps = Vec::new();
    if text != raw && origin == Origin::Environment {
        traps.push(UrlTrap::Quoted);
    }
    let mut server = None;
    match url::parse(&text) {
        Ok(url) => {
            match SCHEMES.iter().find(|(scheme, ..)| *scheme == url.scheme) {
                Some((_, family, port)) => server = parts(&url, family, *port, &mut traps),
                None => traps.push(UrlTrap::Scheme(likely(&url.scheme))),
            }
            traps.extend(written(&text));
        }
        // The reason is a problem of the settings; here only what may be meant.
        Err(_) => traps.extend(written(&text)),
    }
    Some(UrlClue {
        name: var.name,
        place: origin.to_string(),
        masked: if text.contains(':') {
            url::masked(&text)
        } else {
            MASK.to_owned()
        },
        traps,
        server,
    })
}

/// What is absent from a URL or needless in it, and the server it names.
fn parts(url: &Url, family: &'static str, usual: u16, traps: &mut Vec<UrlTrap>) -> Option<Server> {
    let names = url.query_names();
    if !names.is_empty() {
        traps.push(UrlTrap::Query(names));
    }
    let host = url.host.as_deref()?;
    if usual == 0 {
        return None;
    }
    if url.port.is_none() {
        traps.push(UrlTrap::NoPort(usual));
    }
    if url.path.is_none() && family != "redis" {
        traps.push(UrlTrap::NoDatabase);
    }
    Some(Server {
        family,
        host: host.to_ascii_lowercase(),
        port: url.port.unwrap_or(usual),
        database: url.path.clone(),
    })
}

/// What stands unescaped in the credentials of a URL.
fn written(text: &str) -> Vec<UrlTrap> {
    let Some((_, rest)) = text.split_once("://") else {
        return Vec::new();
    };
    // The last `@` ends the credentials, wherever a reader would end them.
    let Some((credentials, _)) = rest.rsplit_once('@') else {
        return Vec::new();
    };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut traps: Vec<_> = ['@', ':', '/', '?', '#']
        .into_iter()
        .filter(|mark| user.contains(*mark) || password.contains(*mark))
        .map(UrlTrap::Unescaped)
        .collect();
    let stray = |part: &str| {
        part.split('%').skip(1).any(|after| {
            let digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit);
            digits.count() < 2
        })
    };
    if stray(user) || stray(password) {
        traps.push(UrlTrap::Percent);
    }
    traps
}

/// The known scheme that differs from `scheme` by two letters at most.
fn likely(scheme: &str) -> Option<&'static str> {
    let far = |known: &str| distance(scheme.as_bytes(), known.as_bytes());
    let (best, _) = SCHEMES
        .iter()
        .map(|(known, ..)| (*known, far(known)))
        .filter(|(_, far)| *far <= 2)
        .min_by_key(|(_, far)| *far)?;
    Some(best)
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::clues;
    use super::*;

    fn traps(name: &str, value: &str) -> Vec<UrlTrap> {
        let found = clues(&[(name, value)], super::super::super::Files::default());
        found.urls.into_iter().flat_map(|url| url.traps).collect()
    }

    #[test]
    fn a_plain_url_has_none() {
        assert_eq!(traps("REDIS_URL", "redis://user:secret@cache.internal:6379"), []);
        assert_eq!(traps("DB_URL", "mysql://u:p%40ss@db:3306/app"), []);
        assert_eq!(traps("DB_URL", "sqlite:////data/app.sqlite"), []);
        assert_eq!(traps("REDIS_URL", "unix:/run/redis.sock"), []);
        assert_eq!(traps("REDIS_URL", ""), []);
    }

    #[test]
    fn each_trap() {
        let at = |mark| UrlTrap::Unescaped(mark);
        let url = "mysql://u:p@s:s@db:3306/app";
        assert_eq!(traps("DATABASE_URL", url), [at('@'), at(':')]);
        for (url, mark) in [
            ("mysql://u:p/s@db:1/a", '/'),
            ("mysql://u:p?s@db:1/a", '?'),
            ("mysql://u:p#s@db:1/a", '#'),
        ] {
            assert_eq!(traps("DB_URL", url), [at(mark)], "{url}");
        }
        assert_eq!(traps("DB_URL", "mysql://u:100%@db:3306/app"), [UrlTrap::Percent]);
        assert_eq!(traps("DB_URL", "mysql://u:p@db/app"), [UrlTrap::NoPort(3306)]);
        assert_eq!(traps("DB_URL", "pgsql://u:p@db:5432"), [UrlTrap::NoDatabase]);
        let query = UrlTrap::Query(vec!["sslmode".to_owned()]);
        assert_eq!(
            traps("DB_URL", "pgsql://u:p@db:5432/app?sslmode=require"),
            [query]
        );
        assert_eq!(traps("REDIS_URL", "\"redis://cache:6379\""), [UrlTrap::Quoted]);
        assert_eq!(
            traps("DATABASE_URL", "postgress://db:5432/app"),
            [UrlTrap::Scheme(Some("postgres"))]
        );
        assert_eq!(
            traps("DATABASE_URL", "mongodb://db:27017/app"),
            [UrlTrap::Scheme(None)]
        );
    }

    #[test]
    fn the_server_is_told_and_the_password_is_not() {
        let found = clues(
            &[("MYSQL_URL", "mysql://u:hunter2@DB.internal/app")],
            super::super::super::Files::default(),
        );
        let server = found.urls[0].server.clone().unwrap();
        assert_eq!(
            (server.family, server.host.as_str(), server.port),
            ("mysql", "db.internal", 3306)
        );
        assert_eq!(server.database.as_deref(), Some("app"));
        let shown = format!("{found:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
