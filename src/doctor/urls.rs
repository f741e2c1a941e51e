//! URLs: what in them different readers take differently.

use super::catalogue::{
    URL_DATABASE, URL_DISAGREE, URL_PERCENT, URL_PORT, URL_QUERY, URL_QUOTED, URL_SCHEME, URL_UNESCAPED,
};
use super::{Facts, Finding};
use crate::config::{UrlClue, UrlTrap};

const ESCAPES: &str =
    "write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25 in user and password";

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let urls = &facts.clues.urls;
    let mut findings: Vec<_> = urls
        .iter()
        .flat_map(|url| url.traps.iter().map(|trap| one(url, trap)))
        .collect();
    for (place, url) in urls.iter().enumerate() {
        let others = urls.iter().skip(place + 1);
        findings.extend(others.filter_map(|other| disagree(url, other)));
    }
    findings
}

fn one(url: &UrlClue, trap: &UrlTrap) -> Finding {
    let (name, subject) = (url.name, format!("{} ({})", url.name, url.place));
    match trap {
        UrlTrap::Unescaped(mark) => {
            URL_UNESCAPED.found(subject, format!("has an unescaped {mark} in its user or password"), ESCAPES)
        }
        UrlTrap::Percent => {
            URL_PERCENT.found(subject, "has a % in its user or password that begins no escape", ESCAPES)
        }
        UrlTrap::Quoted => URL_QUOTED.found(
            subject,
            "has quotes around its value",
            format!("set {name} without quotes: only shells and .env files take them off"),
        ),
        UrlTrap::Scheme(likely) => {
            let fix = match likely {
                Some(likely) => format!("begin {name} with {likely}://"),
                None => format!("begin {name} with redis://, mysql://, pgsql:// or sqlite://, or do not set it here"),
            };
            URL_SCHEME.found(subject, "has a scheme that nothing here knows", fix)
        }
        UrlTrap::NoPort(usual) => URL_PORT.found(
            subject,
            format!("names no port, so {usual} is meant"),
            format!("write :{usual} behind the host in {name}"),
        ),
        UrlTrap::NoDatabase => URL_DATABASE.found(
            subject,
            "names no database, so DB_DATABASE is meant",
            format!("write /NAME behind the host in {name}"),
        ),
        UrlTrap::Query(names) => URL_QUERY.found(
            subject,
            format!("has the parameters {}", names.join(", ")),
            "nothing, when no script of yours cuts the URL up; else use variables of their own, such as DB_SSLMODE",
        ),
    }
}

/// Two URLs of one kind of server that name different ones. MariaDB and MySQL are one kind; what another kind of
/// database is for cannot be known.
fn disagree(url: &UrlClue, other: &UrlClue) -> Option<Finding> {
    let (one, two) = (url.server.as_ref()?, other.server.as_ref()?);
    let same = one.host == two.host && one.port == two.port && one.database == two.database;
    (one.family == two.family && !same).then(|| {
        URL_DISAGREE.found(
            format!("{} and {}", url.name, other.name),
            format!("name different databases: {} and {}", url.masked, other.masked),
            format!(
                "make both say the same, or do not set {}; {} wins here",
                other.name, url.name
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::Case;

    #[test]
    fn traps_are_found_and_passwords_are_not_shown() {
        for (name, url, code) in [
            ("DB_URL", "mysql://u:hunter2@x@db:3306/app", "url.unescaped"),
            ("REDIS_URL", "redis://u:hunter2/x@cache:6379", "url.unescaped"),
            ("DB_URL", "mysql://u:hunter2%@db:3306/app", "url.percent"),
            ("REDIS_URL", "'redis://u:hunter2@cache:6379'", "url.quoted"),
            ("DATABASE_URL", "postgress://u:hunter2@db:5432/app", "url.scheme"),
            ("DB_URL", "mysql://u:hunter2@db:3306", "url.database"),
            ("DB_URL", "mysql://u:hunter2@db/app", "url.port"),
            (
                "DB_URL",
                "pgsql://u:hunter2@db:5432/app?sslmode=require",
                "url.query",
            ),
        ] {
            let case = Case::new(&[(name, url)]);
            assert_eq!(case.subjects(code), [format!("{name} (environment)")], "{url}");
            assert!(!format!("{:?}", case.findings).contains("hunter2"), "{url}");
        }
        let scheme = Case::new(&[("DATABASE_URL", "postgress://u@db:5432/app")]);
        assert!(scheme.first("url.scheme").fix.contains("postgres://"));
    }

    #[test]
    fn several_urls_must_agree() {
        let urls = |second: &str| {
            Case::new(&[("MYSQL_URL", "mysql://u:p@db:3306/app"), ("DATABASE_URL", second)])
                .worst("url.disagree")
        };
        assert_eq!(urls("mysql://u:p@db:3306/other"), Some(Severity::Warning));
        assert_eq!(
            urls("mysql://u:p@proxy.example:12345/app"),
            Some(Severity::Warning)
        );
        assert_eq!(urls("mariadb://x:y@DB/app"), None);
        assert_eq!(urls("postgres://u:p@pg:5432/app"), None);
    }
}
