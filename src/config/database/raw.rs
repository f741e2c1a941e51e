//! What the variables of SQL databases say, and which connection is the default.
//!
//! Order for a server: `DB_URL`, `MYSQL_URL`, `DATABASE_URL` (the first whose scheme fits the connection), then
//! `MYSQLHOST` and its companions, then `DB_HOST` and its companions. What a URL leaves out is taken from `DB_*`, as
//! Laravel does.

use std::path::{Path, PathBuf};

use super::super::explain::Origin;
use super::super::reader::Reader;
use super::super::redis::is_host;
use super::super::vars::{self, Variable};
use super::super::{Problem, Secret};
use super::SslMode;
use super::read::{NAMES, sslmode};
use super::source::{Source, fits, source};

/// What the variables say, parsed, before a connection is chosen.
pub(super) struct Raw {
    pub(super) urls: Vec<Source>,
    /// `MYSQLHOST` and its companions.
    pub(super) railway: Option<Server>,
    /// `DB_HOST` and its companions.
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) database: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) socket: Option<PathBuf>,
    pub(super) sslmode: SslMode,
    pub(super) ssl_ca: Option<PathBuf>,
    /// Where relative paths begin.
    pub(super) base: PathBuf,
    /// Laravel's own default file, if there is an application.
    pub(super) default_file: Option<PathBuf>,
}

/// The parts that all servers have in common.
#[derive(Clone, Default)]
pub(super) struct Server {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) database: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) within: Option<&'static Variable>,
    /// What holds the password, if not `DB_PASSWORD`.
    pub(super) holder: Option<&'static Variable>,
}

impl Raw {
    pub(super) fn read(reader: &mut Reader<'_>, laravel_root: Option<&Path>, working_dir: &Path) -> Self {
        let base = laravel_root.unwrap_or(working_dir).to_path_buf();
        let sources = [&vars::DB_URL, &vars::MYSQL_URL, &vars::DATABASE_URL];
        let sslmode = reader.parsed(&vars::DB_SSLMODE, "is not a mode", sslmode);
        Self {
            urls: sources
                .into_iter()
                .filter_map(|var| source(reader, var))
                .collect(),
            railway: railway(reader),
            host: host(reader, &vars::DB_HOST),
            port: reader.number(&vars::DB_PORT, 1..=u16::MAX),
            database: reader.text(&vars::DB_DATABASE),
            username: reader.text(&vars::DB_USERNAME),
            password: reader.password(&vars::DB_PASSWORD, &vars::DB_PASSWORD_FILE),
            socket: reader.path(&vars::DB_SOCKET, &base),
            sslmode: sslmode.unwrap_or(SslMode::Prefer),
            ssl_ca: reader.path(&vars::MYSQL_ATTR_SSL_CA, &base),
            default_file: laravel_root.map(|root| root.join("database/database.sqlite")),
            base,
        }
    }

    /// The default connection when `DB_CONNECTION` is not set.
    pub(super) fn default_name(&self) -> &'static str {
        match (self.urls.first(), &self.railway) {
            (Some(source), _) => source.driver,
            (None, Some(_)) => "mysql",
            // Laravel's own default.
            (None, None) => "sqlite",
        }
    }

    /// Whether the default connection may be guessed at all.
    pub(super) fn guess(&self) -> Result<(), Problem> {
        if !self.urls.is_empty() || self.railway.is_some() {
            return Ok(());
        }
        if self.host.is_some() || self.username.is_some() || self.socket.is_some() || self.port.is_some() {
            return Err(Problem::new(
                "DB_CONNECTION",
                "is not set, though a database server is",
                NAMES,
            ));
        }
        if self.database.is_some() || self.default_file.is_some() {
            return Ok(());
        }
        Err(Problem::new(
            "DB_CONNECTION",
            "is not set, nor a URL of a database",
            NAMES,
        ))
    }

    /// Says which URLs do not fit the connection that was asked for by name.
    pub(super) fn check_urls(&self, reader: &mut Reader<'_>, name: &str) {
        for source in self.urls.iter().filter(|source| !fits(source.driver, name)) {
            if source.var == &vars::DB_URL {
                reader.problem(
                    source.var,
                    format!("has a scheme that does not fit DB_CONNECTION {name}"),
                );
            } else {
                reader.warn(
                    source.var,
                    format!("is not used: its scheme does not fit DB_CONNECTION {name}"),
                );
            }
        }
    }

    pub(super) fn server(&self, source: Option<&Source>, name: &str) -> Server {
        let mut server = match (source, &self.railway) {
            (Some(Source { var, url, .. }), _) => Server {
                host: url.host.clone().or_else(|| url.query("host").map(str::to_owned)),
                port: url.port,
                database: url.path.clone(),
                username: url.user.clone(),
                password: url.password.clone(),
                within: Some(var),
                holder: url.password.is_some().then_some(*var),
            },
            (None, Some(railway)) if name != "pgsql" => railway.clone(),
            (None, _) => Server::default(),
        };
        if server.within.is_none() {
            server.host.clone_from(&self.host);
        }
        if server.within.is_none_or(|var| var != &vars::MYSQLHOST) {
            server.port = server.port.or(self.port);
            server.username = server.username.or_else(|| self.username.clone());
            server.password = server.password.or_else(|| self.password.clone());
        }
        server.database = server.database.or_else(|| self.database.clone());
        server
    }

    /// Prints what a URL or `MYSQLHOST` sets in the place of `DB_*`, and warns where the two disagree.
    pub(super) fn show(&self, reader: &mut Reader<'_>, server: &Server) {
        let Some(var) = server.within else { return };
        let differs = |mine: &Option<String>, theirs: &Option<String>| mine.is_some() && mine != theirs;
        if differs(&self.host, &server.host) || differs(&self.database, &server.database) {
            reader.warn(
                var,
                "wins over DB_HOST and DB_DATABASE, which name another database",
            );
        }
        let origin = || Origin::Within(var.name);
        for (var, value) in [
            (&vars::DB_HOST, server.host.clone()),
            (&vars::DB_PORT, server.port.map(|port| port.to_string())),
            (&vars::DB_DATABASE, server.database.clone()),
            (&vars::DB_USERNAME, server.username.clone()),
        ] {
            if let Some(value) = value {
                reader.show(var, value, origin());
            }
        }
        let Some(holder) = server.holder else { return };
        if reader.is_set(&vars::DB_PASSWORD_FILE) {
            let what = format!(
                "is set, and the password is in {}: keep one of the two",
                holder.name
            );
            reader.problem(&vars::DB_PASSWORD_FILE, what);
        }
        if let Some(password) = &server.password {
            reader.show(
                &vars::DB_PASSWORD,
                password.to_string(),
                Origin::Within(holder.name),
            );
        }
    }
}

fn railway(reader: &mut Reader<'_>) -> Option<Server> {
    let host = host(reader, &vars::MYSQLHOST);
    let server = Server {
        port: reader.number(&vars::MYSQLPORT, 1..=u16::MAX),
        database: reader.text(&vars::MYSQLDATABASE),
        username: reader.text(&vars::MYSQLUSER),
        password: reader.secret(&vars::MYSQLPASSWORD),
        within: Some(&vars::MYSQLHOST),
        holder: Some(&vars::MYSQLPASSWORD),
        host,
    };
    server.host.is_some().then_some(server)
}

fn host(reader: &mut Reader<'_>, var: &'static Variable) -> Option<String> {
    reader.parsed(
        var,
        "is not a host name or address; the port has a variable of its own",
        |text| (is_host(text) || text.starts_with('/')).then(|| text.to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{database, load, mysql, problems, warned};

    #[test]
    fn which_source_wins() {
        let railway = [
            ("MYSQLHOST", "rail"),
            ("MYSQLDATABASE", "db"),
            ("MYSQLPASSWORD", "p"),
        ];
        assert_eq!(database(&railway), mysql("rail", 3306, "db", "root", Some("p")));
        let own = [
            ("DB_HOST", "mine"),
            ("DB_USERNAME", "me"),
            ("DB_PASSWORD", "q"),
            ("DB_DATABASE", "db"),
        ];
        assert_eq!(
            database(&[&railway[..], &own].concat()),
            mysql("rail", 3306, "db", "root", Some("p"))
        );
        let url = [("DATABASE_URL", "mysql://data")];
        assert_eq!(
            database(&[&railway[..], &own, &url].concat()),
            mysql("data", 3306, "db", "me", Some("q"))
        );
        let all = [
            ("DATABASE_URL", "mysql://data"),
            ("MYSQL_URL", "mysql://my"),
            ("DB_URL", "mysql://db/d"),
        ];
        assert_eq!(database(&all), mysql("db", 3306, "d", "root", None));
        let loaded = load(&[("DB_HOST", "mine"), ("MYSQL_URL", "mysql://other/db")]);
        assert_eq!(warned(&loaded), ["MYSQL_URL"]);
        assert_eq!(loaded.sources.get("DB_HOST").unwrap().value, "other");
        assert_eq!(loaded.sources.get("DB_CONNECTION").unwrap().value, "mysql");
    }

    #[test]
    fn urls_that_do_not_fit() {
        let loaded = load(&[
            ("DB_CONNECTION", "mysql"),
            ("DB_DATABASE", "a"),
            ("DATABASE_URL", "postgres://h/d"),
        ]);
        assert_eq!(
            loaded.config.databases.default(),
            Ok(&mysql("127.0.0.1", 3306, "a", "root", None))
        );
        assert_eq!(warned(&loaded), ["DATABASE_URL"]);
        assert!(loaded.config.databases.get("pgsql").is_ok());
        let wrong = problems(&[
            ("DB_CONNECTION", "mysql"),
            ("DB_DATABASE", "a"),
            ("DB_URL", "pgsql://h/d"),
        ]);
        assert!(
            wrong[0].starts_with("DB_URL (environment) has a scheme that does not fit DB_CONNECTION mysql")
        );
    }
}
