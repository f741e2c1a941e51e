//! Finds out which Redis server the variables mean.

use super::super::explain::Origin;
use super::super::reader::Reader;
use super::super::slug;
use super::super::url::{self, Url};
use super::super::vars::{self, Variable};
use super::{Address, PrefixSource, Redis};

/// A Redis connection of the application's `config/database.php`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Connection {
    Default,
    Cache,
    Session,
    Queue,
}

const CONNECTIONS: &[(&str, Connection)] = &[
    ("default", Connection::Default),
    ("cache", Connection::Cache),
    ("session", Connection::Session),
    ("queue", Connection::Queue),
];

/// Which Redis connection the first of `vars` that is set names.
pub(in crate::config) fn connection(
    reader: &mut Reader<'_>,
    vars: [&'static Variable; 2],
    default: Connection,
) -> Connection {
    let [wins, other] = vars;
    let [first, second] = vars.map(|var| reader.choice(var, CONNECTIONS));
    if first.is_some() && second.is_some() && first != second {
        let what = format!(
            "and {} name different connections: {} wins",
            other.name, wins.name
        );
        reader.warn(wins, what);
    }
    let chosen = first.or(second).unwrap_or(default);
    let word = CONNECTIONS
        .iter()
        .find(|(_, connection)| *connection == chosen)
        .map_or("", |(word, _)| word);
    match (first, second) {
        (None, Some(_)) => reader.show(wins, word, Origin::Within(other.name)),
        (Some(_), _) => reader.show(other, word, Origin::Within(wins.name)),
        (None, None) => {}
    }
    chosen
}

impl Redis {
    pub(in crate::config) fn read(reader: &mut Reader<'_>, app_name: &str) -> Self {
        let url = reader
            .text(&vars::REDIS_URL)
            .and_then(|text| match url::parse(&text).and_then(check) {
                Ok(url) => Some(url),
                Err(what) => {
                    reader.problem(&vars::REDIS_URL, what);
                    None
                }
            });
        clients(reader);
        let address = address(reader, url.as_ref());
        let (prefix, prefix_source, prefix_alternative) = prefix(reader, app_name);
        let username = reader.text(&vars::REDIS_USERNAME);
        let password = reader.password(&vars::REDIS_PASSWORD, &vars::REDIS_PASSWORD_FILE);
        if url.as_ref().is_some_and(|url| url.password.is_some()) && reader.is_set(&vars::REDIS_PASSWORD_FILE)
        {
            reader.problem(
                &vars::REDIS_PASSWORD_FILE,
                "is set, and so is a password in REDIS_URL: keep one of the two",
            );
        }
        let mut redis = Self {
            address,
            // As in Laravel, a URL with a password alone leaves no user.
            username: match &url {
                Some(url) if url.user.is_some() || url.password.is_some() => url.user.clone(),
                Some(_) | None => username,
            },
            password: url.as_ref().and_then(|url| url.password.clone()).or(password),
            prefix,
            prefix_source,
            prefix_alternative,
            default_db: reader.number(&vars::REDIS_DB, 0..=MAX_DB).unwrap_or(0),
            cache_db: reader.number(&vars::REDIS_CACHE_DB, 0..=MAX_DB).unwrap_or(1),
            session_db: reader.number(&vars::REDIS_SESSION_DB, 0..=MAX_DB).unwrap_or(2),
            queue_db: reader.number(&vars::REDIS_QUEUE_DB, 0..=MAX_DB).unwrap_or(3),
        };
        if let Some(url) = url {
            redis.override_numbers(reader, &url);
            show_within(reader, &url, &redis);
        }
        redis
    }

    /// The number of the database that `connection` uses.
    pub(in crate::config) fn db(&self, connection: Connection) -> u32 {
        match connection {
            Connection::Default => self.default_db,
            Connection::Cache => self.cache_db,
            Connection::Session => self.session_db,
            Connection::Queue => self.queue_db,
        }
    }

    /// Laravel lets a database in the URL win over the number of each connection that uses the URL.
    fn override_numbers(&mut self, reader: &mut Reader<'_>, url: &Url) {
        let Some(number) = db_of(url) else { return };
        let Some(number) = number.parse().ok().filter(|number| *number <= MAX_DB) else {
            return reader.problem(&vars::REDIS_URL, "has a database that is not a number");
        };
        let before = [self.default_db, self.cache_db, self.session_db, self.queue_db];
        if before.iter().any(|db| *db != number) {
            reader.warn(
                &vars::REDIS_URL,
                format!(
                    "names database {number}, which replaces the numbers of all connections, the queues' \
                     REDIS_QUEUE_DB {} too, as it does in Laravel",
                    self.queue_db
                ),
            );
        }
        for (db, var) in [
            (&mut self.default_db, &vars::REDIS_DB),
            (&mut self.cache_db, &vars::REDIS_CACHE_DB),
            (&mut self.session_db, &vars::REDIS_SESSION_DB),
            (&mut self.queue_db, &vars::REDIS_QUEUE_DB),
        ] {
            *db = number;
            reader.show(var, number.to_string(), Origin::Within("REDIS_URL"));
        }
    }
}

/// Numbers of databases; a server has 16 unless told otherwise.
const MAX_DB: u32 = 1_000_000;

fn is_unix(url: &Url) -> bool {
    matches!(url.scheme.as_str(), "unix" | "redis+unix")
}

/// The database that a URL names: its path, or for a socket its parameter.
fn db_of(url: &Url) -> Option<&str> {
    let path = url.path.as_deref().filter(|_| !is_unix(url));
    url.query("database")
        .or(path)
        .or_else(|| url.query("db").filter(|_| is_unix(url)))
}

fn check(url: Url) -> Result<Url, &'static str> {
    match url.scheme.as_str() {
        "unix" | "redis+unix" if url.path.is_some() && url.host.is_none() => Ok(url),
        "unix" | "redis+unix" => Err("names no absolute path of a socket"),
        "redis" | "rediss" | "tls" | "tcp" if url.host.is_some() => Ok(url),
        "redis" | "rediss" | "tls" | "tcp" => Err("names no host"),
        _ => Err("has a scheme that is not Redis's"),
    }
}

fn address(reader: &mut Reader<'_>, url: Option<&Url>) -> Address {
    let host = reader.text_or(&vars::REDIS_HOST, "127.0.0.1");
    let socket = host
        .strip_prefix("unix://")
        .or_else(|| host.strip_prefix("unix:"))
        .unwrap_or(&host);
    let is_socket = socket.starts_with('/');
    // Sockets are written with port 0 or -1.
    let port = if is_socket || url.is_some_and(is_unix) {
        None
    } else {
        reader.number(&vars::REDIS_PORT, 1..=u16::MAX)
    };
    if let Some(url) = url {
        return match (&url.host, &url.path) {
            (None, path) => Address::Unix(format!("/{}", path.as_deref().unwrap_or_default()).into()),
            (Some(host), _) => Address::Tcp {
                host: host.clone(),
                port: url.port.or(port).unwrap_or(6379),
                tls: matches!(url.scheme.as_str(), "rediss" | "tls"),
            },
        };
    }
    if is_socket {
        return Address::Unix(socket.into());
    }
    let (tls, name) = match host.split_once("://") {
        Some(("tls" | "rediss", name)) => (true, name),
        Some(("tcp" | "redis", name)) => (false, name),
        Some(_) => (false, ""),
        None => (false, host.as_str()),
    };
    if !is_host(name) {
        reader.problem(
            &vars::REDIS_HOST,
            "is not a host name or address; the port belongs into REDIS_PORT",
        );
    }
    Address::Tcp {
        host: bare(name).to_owned(),
        port: port.unwrap_or(6379),
        tls,
    }
}

/// Whether `text` can name a host: no port, no path, no credentials.
pub(in crate::config) fn is_host(text: &str) -> bool {
    let text = bare(text);
    text.parse::<std::net::Ipv6Addr>().is_ok()
        || (!text.is_empty()
            && !text.contains(|c: char| c.is_whitespace() || matches!(c, ':' | '/' | '@' | '?' | '#')))
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

fn prefix(reader: &mut Reader<'_>, app_name: &str) -> (String, PrefixSource, Option<String>) {
    if let Some(prefix) = reader.explicit(&vars::REDIS_PREFIX) {
        return (prefix, PrefixSource::Explicit, None);
    }
    let prefix = format!("{}_database_", slug::slug(app_name, '_'));
    reader.show(&vars::REDIS_PREFIX, &*prefix, Origin::Within("APP_NAME"));
    (
        prefix,
        PrefixSource::AppName,
        Some(format!("{}-database-", slug::slug(app_name, '-'))),
    )
}

fn clients(reader: &mut Reader<'_>) {
    let client = reader.explicit(&vars::REDIS_CLIENT);
    if client.is_some_and(|client| client != "phpredis" && client != "predis") {
        reader.warn(
            &vars::REDIS_CLIENT,
            "names no client that Laravel has; PHP cannot use Redis with it",
        );
    }
    // Read so that it shows; PHP's way to find the nodes of a cluster is not ours.
    let _cluster = reader.text(&vars::REDIS_CLUSTER);
}

fn show_within(reader: &mut Reader<'_>, url: &Url, redis: &Redis) {
    let origin = || Origin::Within("REDIS_URL");
    match &redis.address {
        Address::Tcp { host, port, tls } => {
            let scheme = if *tls { "tls://" } else { "" };
            reader.show(&vars::REDIS_HOST, format!("{scheme}{host}"), origin());
            if url.port.is_some() {
                reader.show(&vars::REDIS_PORT, port.to_string(), origin());
            }
        }
        Address::Unix(path) => {
            reader.show(&vars::REDIS_HOST, path.display().to_string(), origin());
            reader.show(&vars::REDIS_PORT, "", origin());
        }
    }
    if let Some(user) = &url.user {
        reader.show(&vars::REDIS_USERNAME, user, origin());
    }
    if let Some(password) = &url.password {
        reader.show(&vars::REDIS_PASSWORD, password.to_string(), origin());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Secret;
    use super::super::super::testing::{load, problems, warned};
    use super::*;

    fn redis(env: &[(&str, &str)]) -> Redis {
        let mut all = vec![
            ("QUEUE_CONNECTION", "redis"),
            ("QUEUE_FAILED_DRIVER", "null"),
            ("CACHE_STORE", "redis"),
        ];
        all.extend_from_slice(env);
        load(&all).config.redis
    }

    fn tcp(host: &str, port: u16, tls: bool) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port,
            tls,
        }
    }

    #[test]
    fn defaults() {
        let redis = redis(&[
            ("APP_NAME", "My App"),
            ("REDIS_PASSWORD", "null"),
            ("REDIS_USERNAME", ""),
        ]);
        assert_eq!(redis.address, tcp("127.0.0.1", 6379, false));
        assert_eq!((&redis.username, &redis.password), (&None, &None));
        assert_eq!(
            (redis.default_db, redis.cache_db, redis.session_db, redis.queue_db),
            (0, 1, 2, 3)
        );
        assert_eq!(
            (redis.prefix.as_str(), redis.prefix_source),
            ("my_app_database_", PrefixSource::AppName)
        );
        assert_eq!(redis.prefix_alternative.as_deref(), Some("my-app-database-"));
    }

    #[test]
    fn forms_of_the_host() {
        let address = |host| redis(&[("REDIS_HOST", host), ("REDIS_PORT", "6380")]).address;
        assert_eq!(address("redis.internal"), tcp("redis.internal", 6380, false));
        assert_eq!(address("tls://redis.internal"), tcp("redis.internal", 6380, true));
        assert_eq!(address("[::1]"), tcp("::1", 6380, false));
        for socket in [
            "/run/redis.sock",
            "unix:/run/redis.sock",
            "unix:///run/redis.sock",
        ] {
            assert_eq!(
                redis(&[("REDIS_HOST", socket), ("REDIS_PORT", "0")]).address,
                Address::Unix("/run/redis.sock".into())
            );
        }
    }

    #[test]
    fn forms_of_the_url() {
        let url = |url| {
            redis(&[
                ("REDIS_URL", url),
                ("REDIS_HOST", "other"),
                ("REDIS_PORT", "1"),
                ("REDIS_PASSWORD", "p"),
            ])
        };
        let full = url("rediss://user:p%40ss@h:6380");
        assert_eq!(
            (full.address, full.username.as_deref()),
            (tcp("h", 6380, true), Some("user"))
        );
        assert_eq!(full.password, Some(Secret::new("p@ss")));
        let short = url("redis://h");
        assert_eq!(
            (short.address, short.password),
            (tcp("h", 1, false), Some(Secret::new("p")))
        );
        assert_eq!(url("tls://h:2").address, tcp("h", 2, true));
        for socket in [
            "unix:/run/r.sock",
            "unix:///run/r.sock",
            "redis+unix:///run/r.sock?db=3",
        ] {
            assert_eq!(url(socket).address, Address::Unix("/run/r.sock".into()));
        }
    }

    #[test]
    fn a_database_in_the_url_wins_over_all_four_and_is_said() {
        let env = [
            ("QUEUE_CONNECTION", "redis"),
            ("QUEUE_FAILED_DRIVER", "null"),
            ("CACHE_STORE", "redis"),
        ];
        let with = |url| load(&[env.as_slice(), &[("REDIS_URL", url)]].concat());
        let loaded = with("redis://h/0");
        let redis = &loaded.config.redis;
        assert_eq!(
            (redis.default_db, redis.cache_db, redis.session_db, redis.queue_db),
            (0, 0, 0, 0)
        );
        assert_eq!(warned(&loaded), ["REDIS_URL"]);
        assert_eq!(
            loaded.sources.get("REDIS_QUEUE_DB").unwrap().origin,
            Origin::Within("REDIS_URL")
        );
        assert_eq!(with("unix:/run/r.sock?database=5").config.redis.queue_db, 5);
        assert_eq!(warned(&with("redis://h/")), [""; 0]);
    }

    #[test]
    fn prefixes_may_be_set_to_nothing() {
        for (value, prefix) in [
            ("facturino_", "facturino_"),
            ("", ""),
            ("null", ""),
            ("(empty)", ""),
        ] {
            let redis = redis(&[("REDIS_PREFIX", value)]);
            assert_eq!(
                (redis.prefix.as_str(), redis.prefix_source),
                (prefix, PrefixSource::Explicit),
                "{value}"
            );
            assert_eq!(redis.prefix_alternative, None);
        }
    }

    #[test]
    fn mistakes() {
        let mistake = |name, value| {
            let env = [
                ("QUEUE_CONNECTION", "redis"),
                ("QUEUE_FAILED_DRIVER", "null"),
                (name, value),
            ];
            let mut problems = problems(&env);
            assert_eq!(problems.len(), 1, "{problems:?}");
            let problem = problems.remove(0);
            problem.split("; allowed").next().unwrap().to_owned()
        };
        assert_eq!(
            mistake("REDIS_URL", "h:6379"),
            "REDIS_URL (environment) has a scheme that is not Redis's"
        );
        assert_eq!(
            mistake("REDIS_URL", "http://h"),
            "REDIS_URL (environment) has a scheme that is not Redis's"
        );
        assert_eq!(
            mistake("REDIS_URL", "redis:///1"),
            "REDIS_URL (environment) names no host"
        );
        assert_eq!(
            mistake("REDIS_URL", "redis://h/x"),
            "REDIS_URL (environment) has a database that is not a number"
        );
        assert_eq!(
            mistake("REDIS_URL", "unix:"),
            "REDIS_URL (environment) names no absolute path of a socket"
        );
        let host = "REDIS_HOST (environment) is not a host name or address; the port belongs into REDIS_PORT";
        assert_eq!(
            mistake("REDIS_HOST", "h:6379").split(" (").next(),
            Some("REDIS_HOST")
        );
        assert_eq!(mistake("REDIS_HOST", "http://h"), host);
        assert_eq!(
            mistake("REDIS_PORT", "true"),
            "REDIS_PORT (environment) is not a number in the allowed range"
        );
        assert_eq!(
            mistake("REDIS_PORT", "0"),
            "REDIS_PORT (environment) is not a number in the allowed range"
        );
        assert_eq!(
            mistake("REDIS_QUEUE_DB", "-1"),
            "REDIS_QUEUE_DB (environment) is not a number in the allowed range"
        );
        let word = "QUEUE_REDIS_CONNECTION (environment) is not one of the allowed words";
        assert_eq!(mistake("QUEUE_REDIS_CONNECTION", "jobs"), word);
    }
}
