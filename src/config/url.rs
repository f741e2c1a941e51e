//! URLs of servers, cut up as PHP's `parse_url` and Laravel's `ConfigurationUrlParser` do. Pure.

use percent_encoding::percent_decode_str;

use super::Secret;
use super::secret::MASK;

/// The parts of a URL, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// In lower case.
    pub(super) scheme: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// Without brackets.
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    /// What follows the slash after the host; `None` if that is nothing.
    pub(super) path: Option<String>,
    query: Vec<(String, String)>,
}

impl Url {
    /// The parameter `name` of the query, the last one if there are several.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The names of the parameters, in their order.
    pub(super) fn query_names(&self) -> Vec<String> {
        self.query.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Cuts `text` up.
///
/// # Errors
/// What is wrong, in words that go on after the name of the variable and never hold a part of the URL.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    let (scheme, rest) = text
        .split_once(':')
        .ok_or("is not a URL: it has no scheme such as mysql://")?;
    let first = |c: char| c.is_ascii_alphabetic();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(first) || !scheme.chars().all(legal) {
        return Err("is not a URL: it has no scheme such as mysql://");
    }
    if text.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err("is not a URL: spaces and control characters must be percent-encoded");
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A slash after the `@` or after the port begins the path; one in a password would be taken for it as well.
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest
            .split_once('/')
            .map_or((rest, None), |(authority, path)| (authority, Some(path))),
        None => ("", Some(rest.strip_prefix('/').unwrap_or(rest))),
    };
    if path.is_some_and(|path| path.contains('@')) || query.contains('@') || fragment.contains('@') {
        return Err(
            "is not a URL: `/`, `?` and `#` in a user or password must be percent-encoded (%2F, %3F, %23)",
        );
    }
    let (credentials, server) = match authority.rsplit_once('@') {
        Some((credentials, server)) => (Some(credentials), server),
        None => (None, authority),
    };
    let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
        Some((user, password)) => (decode(user)?, decode(password)?),
        None => (None, None),
    };
    let (host, port) = host_and_port(server)?;
    Ok(Url {
        scheme: scheme.to_ascii_lowercase(),
        user,
        // Laravel decodes JSON words in URLs, and so takes the password `null` for none.
        password: password.filter(|password| password != "null").map(Secret::new),
        host: decode(host)?,
        port,
        path: path.map_or(Ok(None), decode)?,
        query: pairs(query)?,
    })
}

/// Cuts `host`, `host:port`, `[::1]` or `[::1]:port` apart.
pub(super) fn host_and_port(server: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match server.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => (
            host,
            Some(
                rest.strip_prefix(':')
                    .ok_or("has text between `]` and the port")?,
            ),
        ),
        Some(None) => return Err("has a `[` without `]` in its host"),
        None => server
            .split_once(':')
            .map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let Some(port) = port.filter(|port| !port.is_empty()) else {
        return Ok((host, None));
    };
    match port.parse() {
        Ok(0) | Err(_) => Err(
            "has a port that is not a number from 1 to 65535, or `:`, `/`, `?` or `#` in a password that are not \
             percent-encoded",
        ),
        Ok(port) => Ok((host, Some(port))),
    }
}

/// The text without the password, for the terminal.
pub(super) fn masked(text: &str) -> String {
    let Ok(url) = parse(text) else {
        return MASK.to_owned();
    };
    let slashes = if text.contains("://") { "//" } else { "" };
    let password = if url.password.is_some() {
        format!(":{MASK}")
    } else {
        String::new()
    };
    let user = url.user.unwrap_or_default();
    let at = if user.is_empty() && password.is_empty() {
        ""
    } else {
        "@"
    };
    let host = url.host.unwrap_or_default();
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path.map(|path| format!("/{path}")).unwrap_or_default();
    // Any parameter could be a password: their names are enough.
    let names: Vec<_> = url
        .query
        .iter()
        .map(|(name, _)| format!("{name}={MASK}"))
        .collect();
    let query = if names.is_empty() {
        String::new()
    } else {
        format!("?{}", names.join("&"))
    };
    format!(
        "{}:{slashes}{user}{password}{at}{host}{port}{path}{query}",
        url.scheme
    )
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, &'static str> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let text = |text: &str| decode(&text.replace('+', " ")).map(Option::unwrap_or_default);
        Ok((text(name)?, text(value)?))
    };
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(pair)
        .collect()
}

/// Percent-decodes `text`; nothing is `None`.
fn decode(text: &str) -> Result<Option<String>, &'static str> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "is not a URL: its percent-encoded bytes are not UTF-8")?;
    Ok((!decoded.is_empty()).then(|| decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::new(text))
    }

    #[test]
    fn full_url() {
        let url = parse("MySQL://us%40er:p%40s%3As%2F%25@db.internal:3307/my%20db?sslmode=require&a=1+2&a=3")
            .unwrap();
        assert_eq!((url.scheme.as_str(), url.port), ("mysql", Some(3307)));
        assert_eq!(
            (url.user.as_deref(), &url.password),
            (Some("us@er"), &secret("p@s:s/%"))
        );
        assert_eq!(
            (url.host.as_deref(), url.path.as_deref()),
            (Some("db.internal"), Some("my db"))
        );
        assert_eq!(
            (url.query("sslmode"), url.query("a"), url.query("b")),
            (Some("require"), Some("3"), None)
        );
    }

    #[test]
    fn unescaped_at_and_colon_in_a_password_are_read_as_php_reads_them() {
        let url = parse("mysql://u:p@s:s@host/db").unwrap();
        assert_eq!(
            (url.user.as_deref(), url.password, url.host.as_deref()),
            (Some("u"), secret("p@s:s"), Some("host"))
        );
    }

    #[test]
    fn parts_may_be_absent() {
        let url = parse("redis://:secret@host").unwrap();
        assert_eq!(
            (url.user, url.password, url.port, url.path),
            (None, secret("secret"), None, None)
        );
        let url = parse("redis://[::1]:6380/2").unwrap();
        assert_eq!(
            (url.host.as_deref(), url.port, url.path.as_deref()),
            (Some("::1"), Some(6380), Some("2"))
        );
        let url = parse("redis://user:null@host:/").unwrap();
        assert_eq!((url.password, url.port, url.path), (None, None, None));
        assert_eq!(
            parse("unix:/run/redis.sock?database=3").unwrap().path.as_deref(),
            Some("run/redis.sock")
        );
        assert_eq!(
            parse("sqlite:////data/a.db").unwrap().path.as_deref(),
            Some("/data/a.db")
        );
    }

    #[test]
    fn malformed_urls_say_what_to_do_and_show_nothing() {
        let port = "has a port that is not a number from 1 to 65535, or `:`, `/`, `?` or `#` in a password that are \
                    not percent-encoded";
        let slash =
            "is not a URL: `/`, `?` and `#` in a user or password must be percent-encoded (%2F, %3F, %23)";
        assert_eq!(
            parse("localhost"),
            Err("is not a URL: it has no scheme such as mysql://")
        );
        assert_eq!(
            parse("127.0.0.1:3306"),
            Err("is not a URL: it has no scheme such as mysql://")
        );
        assert_eq!(parse("mysql://u:p/ss@host/db"), Err(slash));
        assert_eq!(parse("mysql://u:p#ss@host/db"), Err(slash));
        assert_eq!(parse("mysql://u:p?ss@host/db"), Err(slash));
        assert_eq!(parse("mysql://host:port/db"), Err(port));
        assert_eq!(parse("mysql://host:99999/db"), Err(port));
        assert_eq!(parse("mysql://[::1/db"), Err("has a `[` without `]` in its host"));
        assert_eq!(
            parse("mysql://u:%ff@h/db"),
            Err("is not a URL: its percent-encoded bytes are not UTF-8")
        );
        assert_eq!(
            parse("mysql://u: @h"),
            Err("is not a URL: spaces and control characters must be percent-encoded")
        );
    }

    #[test]
    fn a_masked_url_keeps_all_but_the_secrets() {
        assert_eq!(
            masked("mysql://u:hunter2@h:1/db?password=hunter2"),
            "mysql://u:********@h:1/db?password=********"
        );
        assert_eq!(masked("redis://h"), "redis://h");
        assert_eq!(masked("unix:/run/r.sock"), "unix:/run/r.sock");
        assert_eq!(masked("hunter2"), MASK);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_password_shows(text in "(?s).{0,60}", password in "[0-9a-f]{12}") {
            drop(parse(&text));
            drop(masked(&text));
            for user in ["user", &text] {
                let shown = masked(&format!("redis://{user}:{password}@host/0"));
                prop_assert!(!shown.contains(&password));
            }
        }
    }
}
