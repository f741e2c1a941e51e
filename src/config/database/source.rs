//! A URL that names an SQL database, and which connection its scheme means.

use super::super::reader::Reader;
use super::super::url::{self, Url};
use super::super::vars::{self, Variable};

/// A URL of an SQL database with the variable that holds it and the connection its scheme means.
pub(super) struct Source {
    pub(super) var: &'static Variable,
    pub(super) url: Url,
    /// Name of the connection in Laravel's words.
    pub(super) driver: &'static str,
}

/// Whether a URL of `driver` can serve the connection `name`: MySQL and MariaDB share their URLs.
pub(super) fn fits(driver: &str, name: &str) -> bool {
    driver == name || (matches!(driver, "mysql" | "mariadb") && matches!(name, "mysql" | "mariadb"))
}

/// The first of the parameters `names` that the URL has and that is not empty.
pub(super) fn query<'a>(source: Option<&'a Source>, names: &[&str]) -> Option<&'a str> {
    names
        .iter()
        .find_map(|name| source?.url.query(name))
        .filter(|value| !value.is_empty())
}

/// The URL in `var`, if it is one that can be used.
pub(super) fn source(reader: &mut Reader<'_>, var: &'static Variable) -> Option<Source> {
    let text = reader.text(var)?;
    let url = match url::parse(&text) {
        Ok(url) => url,
        Err(what) => {
            reader.problem(var, what);
            return None;
        }
    };
    let driver = match url.scheme.as_str() {
        "mysql" | "mysql2" => "mysql",
        "mariadb" => "mariadb",
        "postgres" | "postgresql" | "pgsql" => "pgsql",
        "sqlite" | "sqlite3" => "sqlite",
        _ if var == &vars::DATABASE_URL => {
            reader.warn(
                var,
                "is not used: its scheme is of no database that the worker can use",
            );
            return None;
        }
        _ => "",
    };
    let no_host = url.host.is_none() && url.query("host").is_none();
    let what = match driver {
        "" => "has a scheme of no database that the worker can use",
        "pgsql" | "sqlite" if var == &vars::MYSQL_URL => "has a scheme that is not MySQL's",
        "sqlite" if url.host.is_some() => "needs three slashes: sqlite:///path, or four for an absolute path",
        "sqlite" if url.path.is_none() => "names no file",
        "mysql" | "mariadb" | "pgsql" if no_host => "names no host",
        _ => return Some(Source { var, url, driver }),
    };
    reader.problem(var, what);
    None
}
