//! Makes the SQL connections out of what the variables say.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use super::super::Problem;
use super::super::explain::Origin;
use super::super::reader::Reader;
use super::super::url::Url;
use super::super::vars;
use super::raw::Raw;
use super::source::{Source, fits, query};
use super::{Database, Databases, Flavour, MysqlTls, SslMode};

pub(super) const NAMES: &str = "sqlite, mysql, mariadb, pgsql";

impl Databases {
    /// Reads the connections of the application at `laravel_root`, else of the working directory.
    pub(in crate::config) fn read(
        reader: &mut Reader<'_>,
        laravel_root: Option<&Path>,
        working_dir: &Path,
    ) -> Self {
        let raw = Raw::read(reader, laravel_root, working_dir);
        let named = reader.text(&vars::DB_CONNECTION);
        let default = match &named {
            Some(name) => name.clone(),
            None => raw.default_name().to_owned(),
        };
        if let Some(name) = &named {
            raw.check_urls(reader, name);
        }
        let mut by_name = BTreeMap::new();
        for name in ["sqlite", "mysql", "mariadb", "pgsql"] {
            by_name.insert(name.to_owned(), raw.connection(reader, name, name == default));
        }
        if let Some(name) = named {
            if let Entry::Vacant(entry) = by_name.entry(name) {
                if !matches!(entry.key().as_str(), "sqlsrv" | "mongodb") {
                    reader.problem(&vars::DB_CONNECTION, "is not a connection the worker knows");
                }
                let what = "names a database that the worker cannot use";
                entry.insert(Err(Problem::new("DB_CONNECTION", what, NAMES)));
            }
        } else if let Err(problem) = raw.guess() {
            by_name.insert(default.clone(), Err(problem));
        } else {
            reader.show(&vars::DB_CONNECTION, &*default, Origin::Default);
        }
        let databases = Self { default, by_name };
        databases.show(reader);
        databases
    }

    /// The worker's own SQLite file as the only connection.
    pub(in crate::config) fn embedded(reader: &mut Reader<'_>, path: PathBuf) -> Self {
        let sqlite = Database::Sqlite { path: Some(path) };
        let by_name = BTreeMap::from([("sqlite".to_owned(), Ok(sqlite))]);
        let databases = Self {
            default: "sqlite".to_owned(),
            by_name,
        };
        reader.show_default(&vars::DB_CONNECTION, "sqlite");
        databases.show(reader);
        databases
    }

    /// Prints what the default connection uses where nobody has set it.
    fn show(&self, reader: &mut Reader<'_>) {
        let [mut host, mut port, mut name, mut user, mut ssl] = [const { String::new() }; 5];
        match self.by_name.get(&self.default) {
            Some(Ok(Database::Sqlite { path })) => {
                name = path
                    .as_ref()
                    .map_or_else(|| ":memory:".to_owned(), |path| path.display().to_string());
            }
            Some(Ok(Database::Mysql {
                host: h,
                port: p,
                database,
                username,
                ..
            })) => {
                (host, port, name, user) = (h.clone(), p.to_string(), database.clone(), username.clone());
            }
            Some(Ok(Database::Postgres {
                host: h,
                port: p,
                database,
                username,
                ..
            })) => {
                (host, port, name, user) = (h.clone(), p.to_string(), database.clone(), username.clone());
                vars::DB_SSLMODE.default.clone_into(&mut ssl);
            }
            Some(Err(_)) | None => {}
        }
        for (var, value) in [
            (&vars::DB_HOST, host),
            (&vars::DB_PORT, port),
            (&vars::DB_DATABASE, name),
            (&vars::DB_USERNAME, user),
            (&vars::DB_SSLMODE, ssl),
        ] {
            reader.show_default(var, value);
        }
        if !reader.is_set(&vars::MYSQLHOST) {
            for var in [&vars::MYSQLPORT, &vars::MYSQLDATABASE, &vars::MYSQLUSER] {
                reader.show_default(var, "");
            }
        }
    }
}

impl Raw {
    fn connection(
        &self,
        reader: &mut Reader<'_>,
        name: &'static str,
        is_default: bool,
    ) -> Result<Database, Problem> {
        let source = self.urls.iter().find(|source| fits(source.driver, name));
        if name == "sqlite" {
            return self.sqlite(source.map(|source| &source.url));
        }
        let server = self.server(source, name);
        if is_default {
            self.show(reader, &server);
        }
        let missing = || Problem::new("DB_DATABASE", "is not set, nor in a URL", "name of the database");
        let database = server.database.ok_or_else(missing)?;
        let host = server.host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let username = server.username.unwrap_or_else(|| "root".to_owned());
        let password = server.password;
        if name == "pgsql" {
            return Ok(Database::Postgres {
                host,
                port: server.port.unwrap_or(5432),
                database,
                username,
                password,
                sslmode: self.sslmode(reader, source),
                search_path: query(source, &["search_path"]).unwrap_or("public").to_owned(),
            });
        }
        let socket = query(source, &["unix_socket", "socket"]).map(PathBuf::from);
        Ok(Database::Mysql {
            flavour: if name == "mysql" {
                Flavour::Mysql
            } else {
                Flavour::Mariadb
            },
            host,
            port: server.port.unwrap_or(3306),
            // A URL or MYSQLHOST says where the server is; DB_SOCKET then belongs to another one.
            socket: if server.within.is_some() {
                socket
            } else {
                self.socket.clone()
            },
            database,
            username,
            password,
            tls: self.mysql_tls(reader, source),
        })
    }

    fn sqlite(&self, url: Option<&Url>) -> Result<Database, Problem> {
        let file = match url {
            // Laravel takes off one slash: sqlite:///a.db is relative, sqlite:////a.db is not.
            Some(url) => url.path.clone(),
            None => self.database.clone(),
        };
        let path = match (file, &self.default_file) {
            (Some(file), _) if file == ":memory:" => None,
            (Some(file), _) => Some(self.base.join(file)),
            (None, Some(default)) => Some(default.clone()),
            (None, None) => {
                return Err(Problem::new(
                    "DB_DATABASE",
                    "is not set",
                    "the path of an SQLite file, or :memory:",
                ));
            }
        };
        Ok(Database::Sqlite { path })
    }

    fn sslmode(&self, reader: &mut Reader<'_>, source: Option<&Source>) -> SslMode {
        let Some((word, source)) = query(source, &["sslmode"]).zip(source) else {
            return self.sslmode;
        };
        sslmode(word).unwrap_or_else(|| {
            reader.problem(
                source.var,
                format!("has an sslmode other than {}", vars::DB_SSLMODE.form),
            );
            self.sslmode
        })
    }

    fn mysql_tls(&self, reader: &mut Reader<'_>, source: Option<&Source>) -> MysqlTls {
        let ca = query(source, &["ssl-ca", "sslca", "ssl_ca"])
            .map(PathBuf::from)
            .or_else(|| self.ssl_ca.clone());
        let Some((word, source)) = query(source, &["ssl-mode", "sslmode", "ssl_mode"]).zip(source) else {
            return ca.map_or(MysqlTls::Preferred, |ca| MysqlTls::VerifyIdentity(Some(ca)));
        };
        match word.to_ascii_lowercase().replace('_', "-").as_str() {
            "disabled" | "disable" => MysqlTls::Disabled,
            "preferred" | "prefer" => MysqlTls::Preferred,
            "required" | "require" => MysqlTls::Required,
            "verify-ca" => MysqlTls::VerifyCa(ca),
            "verify-identity" | "verify-full" => MysqlTls::VerifyIdentity(ca),
            _ => {
                let allowed = "disabled, preferred, required, verify_ca and verify_identity";
                reader.problem(source.var, format!("has an ssl-mode other than {allowed}"));
                MysqlTls::Preferred
            }
        }
    }
}

/// The mode that libpq calls `word`.
pub(super) fn sslmode(word: &str) -> Option<SslMode> {
    Some(match word {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{database, load, load_app, mysql, problems};
    use super::*;

    #[test]
    fn separate_variables() {
        let env = [("DB_CONNECTION", "mysql"), ("DB_DATABASE", "app")];
        assert_eq!(database(&env), mysql("127.0.0.1", 3306, "app", "root", None));
        let more = [
            ("DB_HOST", "db"),
            ("DB_PORT", "3307"),
            ("DB_USERNAME", "u"),
            ("DB_PASSWORD", "p@ss:w/rd"),
        ];
        assert_eq!(
            database(&[&env[..], &more].concat()),
            mysql("db", 3307, "app", "u", Some("p@ss:w/rd"))
        );
        let socket = database(
            &[
                &env[..],
                &[("DB_SOCKET", "/run/my.sock"), ("DB_PASSWORD", "null")],
            ]
            .concat(),
        );
        assert!(matches!(
            socket,
            Database::Mysql {
                socket: Some(_),
                password: None,
                ..
            }
        ));
        let mariadb = database(&[
            ("DB_CONNECTION", "mariadb"),
            ("DB_DATABASE", "app"),
            ("MYSQL_ATTR_SSL_CA", "/ca.pem"),
        ]);
        let Database::Mysql { flavour, tls, .. } = mariadb else {
            panic!()
        };
        assert_eq!(
            (flavour, tls),
            (Flavour::Mariadb, MysqlTls::VerifyIdentity(Some("/ca.pem".into())))
        );
        let pgsql = database(&[
            ("DB_CONNECTION", "pgsql"),
            ("DB_DATABASE", "app"),
            ("DB_SSLMODE", "require"),
        ]);
        let Database::Postgres {
            port,
            sslmode,
            search_path,
            ..
        } = pgsql
        else {
            panic!()
        };
        assert_eq!(
            (port, sslmode, search_path.as_str()),
            (5432, SslMode::Require, "public")
        );
    }

    #[test]
    fn mysql_urls_are_decoded_and_their_port_is_optional() {
        for name in ["DB_URL", "MYSQL_URL", "DATABASE_URL"] {
            let expected = mysql("db.internal", 3306, "railway", "ro@ot", Some("p@s:s/w?d"));
            assert_eq!(
                database(&[(name, "mysql://ro%40ot:p%40s%3As%2Fw%3Fd@db.internal/railway")]),
                expected,
                "{name}"
            );
            let plain = mysql("h", 3307, "db", "u", Some("p@:q"));
            assert_eq!(
                database(&[(name, "mysql://u:p@:q@h:3307/db?charset=utf8")]),
                plain,
                "{name}"
            );
        }
        let tls = |query: &str| match database(&[("DB_URL", &format!("mysql://u@h/d?{query}"))]) {
            Database::Mysql { tls, .. } => tls,
            other => panic!("{other:?}"),
        };
        assert_eq!(tls("ssl-mode=REQUIRED"), MysqlTls::Required);
        assert_eq!(tls("sslmode=disable"), MysqlTls::Disabled);
        assert_eq!(
            tls("ssl-mode=VERIFY_CA&ssl-ca=/ca.pem"),
            MysqlTls::VerifyCa(Some("/ca.pem".into()))
        );
        assert_eq!(tls("ssl-mode=VERIFY_IDENTITY"), MysqlTls::VerifyIdentity(None));
    }

    #[test]
    fn postgres_and_sqlite_urls() {
        for scheme in ["postgres", "postgresql", "pgsql"] {
            let url = format!("{scheme}://u:p@h/app?sslmode=verify-full&search_path=queue,public");
            let Database::Postgres {
                host,
                port,
                sslmode,
                search_path,
                ..
            } = database(&[("DATABASE_URL", &url)])
            else {
                panic!()
            };
            assert_eq!(
                (host.as_str(), port, sslmode, search_path.as_str()),
                ("h", 5432, SslMode::VerifyFull, "queue,public")
            );
        }
        let sqlite = |url| match database(&[("DB_URL", url)]) {
            Database::Sqlite { path } => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(sqlite("sqlite:////data/a.db"), Some("/data/a.db".into()));
        assert_eq!(sqlite("sqlite:///a.db"), Some("/home/user/a.db".into()));
        assert_eq!(sqlite("sqlite:///:memory:"), None);
    }

    #[test]
    fn sqlite_files_are_relative_to_the_application() {
        let path = |loaded: super::super::super::Loaded| match loaded.config.databases.default().cloned() {
            Ok(Database::Sqlite { path }) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            path(load_app(&[("DB_CONNECTION", "sqlite")])),
            Some("/app/database/database.sqlite".into())
        );
        assert_eq!(
            path(load_app(&[("DB_DATABASE", "x.db")])),
            Some("/app/x.db".into())
        );
        assert_eq!(path(load_app(&[("DB_DATABASE", "/x.db")])), Some("/x.db".into()));
        assert_eq!(
            path(load(&[("DB_DATABASE", "x.db")])),
            Some("/home/user/x.db".into())
        );
        assert_eq!(path(load(&[("DB_DATABASE", ":memory:")])), None);
    }

    #[test]
    fn mistakes() {
        let mistake = |env: &[(&str, &str)]| {
            let problems = problems(&[&[("QUEUE_CONNECTION", "database")], env].concat()).join("\n");
            problems.split("; allowed").next().unwrap_or_default().to_owned()
        };
        let needed = ", but needed by the queue connection database";
        let name = "DB_DATABASE is not set";
        assert_eq!(
            mistake(&[("DB_CONNECTION", "mysql")]),
            format!("{name}, nor in a URL{needed}")
        );
        assert_eq!(
            mistake(&[("MYSQL_URL", "mysql://u@h")]),
            format!("{name}, nor in a URL{needed}")
        );
        assert_eq!(mistake(&[("DB_CONNECTION", "sqlite")]), format!("{name}{needed}"));
        let unset = "DB_CONNECTION is not set";
        assert_eq!(
            mistake(&[("DB_HOST", "h")]),
            format!("{unset}, though a database server is{needed}")
        );
        assert_eq!(mistake(&[]), format!("{unset}, nor a URL of a database{needed}"));
        let unusable = "DB_CONNECTION names a database that the worker cannot use";
        assert_eq!(
            mistake(&[("DB_CONNECTION", "sqlsrv")]),
            format!("{unusable}{needed}")
        );
        let word = "DB_CONNECTION (environment) is not a connection the worker knows";
        assert_eq!(mistake(&[("DB_CONNECTION", "orcale")]), word);
        assert!(
            mistake(&[("DB_URL", "mysql://u:p/w@h/d")])
                .starts_with("DB_URL (environment) is not a URL: `/`,")
        );
        assert!(mistake(&[("DB_URL", "mysql:///d")]).starts_with("DB_URL (environment) names no host"));
        assert!(mistake(&[("DB_URL", "mssql://h/d")]).contains("has a scheme of no database"));
        assert!(mistake(&[("MYSQL_URL", "postgres://h/d")]).contains("has a scheme that is not MySQL's"));
        assert!(mistake(&[("DB_URL", "sqlite://a.db")]).contains("needs three slashes"));
        assert!(
            mistake(&[("DB_URL", "pgsql://h/d?sslmode=yes")]).contains("has an sslmode other than disable")
        );
        assert!(
            mistake(&[("DB_URL", "mysql://h/d?ssl-mode=yes")])
                .contains("has an ssl-mode other than disabled")
        );
        assert!(
            mistake(&[("MYSQLHOST", "h:3306"), ("MYSQLDATABASE", "d")])
                .starts_with("MYSQLHOST (environment) is not")
        );
    }
}
