//! Users and passwords of servers, which may be read anew while the process runs.
//!
//! A secret is rotated on the server and in the file that holds it, in any order and some time apart. So the one in
//! use stays until a server refuses it; then the settings are read anew, and what they say is in use from the moment
//! at which the server takes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::explain::Origin;
use super::{Address, Config, Database, Files, Inputs, Redis, Secret};

/// What a server is told of who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user, if the server knows users.
    pub username: Option<String>,
    /// The password, if one is set.
    pub password: Option<Secret>,
}

/// Where a password is written, without the password. Displays as `REDIS_PASSWORD (.env, line 3)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) variable: &'static str,
    pub(super) origin: Origin,
    /// The file that the variable names, when that holds the password.
    pub(super) file: Option<PathBuf>,
}

impl Place {
    /// Whether what stands there may change while the process runs.
    fn is_lasting(&self) -> bool {
        self.file.is_none() && matches!(self.origin, Origin::Environment | Origin::Flag(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => write!(f, "{} ({})", self.variable, path.display()),
            None => write!(f, "{} ({})", self.variable, self.origin),
        }
    }
}

/// The logins of one start. Clones share what is known by now.
#[derive(Clone)]
pub struct Logins(Arc<Inner>);

struct Inner {
    env: BTreeMap<String, OsString>,
    flags: BTreeMap<String, String>,
    working_dir: PathBuf,
    redis: Place,
    sql: Place,
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    /// What servers have taken since the start, where that is not what the start found.
    taken: Vec<(Server, Found)>,
    /// Why the settings could not be read anew, when that was said.
    said: Option<String>,
}

/// Whose login it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Server {
    Redis(Address),
    /// Without its login.
    Sql(Box<Database>),
}

/// A login that the settings hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The login.
    pub login: Login,
    /// Where its password is written.
    pub place: Place,
}

/// The login of one server: the one in use, and the one that the settings hold by now.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginSource {
    logins: Logins,
    server: Server,
    first: Login,
}

impl Logins {
    /// Logins of a start from `inputs`, whose passwords of Redis and of SQL are written in these places.
    pub(super) fn new(inputs: &Inputs<'_>, [redis, sql]: [Place; 2]) -> Self {
        let names = inputs.env.names().into_iter();
        let env = names.filter_map(|name| inputs.env.get(&name).map(|value| (name, value)));
        Self(Arc::new(Inner {
            env: env.collect(),
            flags: inputs.flags.clone(),
            working_dir: inputs.working_dir.clone(),
            redis,
            sql,
            known: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// The login of the Redis server.
    #[must_use]
    pub fn of_redis(&self, redis: &Redis) -> LoginSource {
        LoginSource {
            logins: self.clone(),
            server: Server::Redis(redis.address.clone()),
            first: redis.login(),
        }
    }

    /// The login of a database; `None` for SQLite, which knows none.
    #[must_use]
    pub fn of_database(&self, database: &Database) -> Option<LoginSource> {
        let (server, first) = database.split()?;
        Some(LoginSource {
            logins: self.clone(),
            server: Server::Sql(Box::new(server)),
            first,
        })
    }

    /// Counts logins that were taken in the place of those before.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All settings as they are by now.
    fn read(&self) -> Result<Config, String> {
        let inner = &*self.0;
        let inputs = Inputs {
            env: &inner.env,
            working_dir: inner.working_dir.clone(),
            files: Files::read(&inner.env, &inner.flags, &inner.working_dir),
            flags: inner.flags.clone(),
        };
        let loaded = Config::load(&inputs).map_err(|problems| problems.to_string())?;
        Ok(loaded.config)
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").finish_non_exhaustive()
    }
}

impl PartialEq for Logins {
    /// All are alike: what was set is in the settings beside them.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Logins {}

impl fmt::Debug for LoginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginSource({})", self.found().place)
    }
}

impl LoginSource {
    /// The login in use.
    #[must_use]
    pub fn login(&self) -> Login {
        self.found().login
    }

    /// The login in use, with its place.
    pub(super) fn found(&self) -> Found {
        let known = self.logins.lock();
        let taken = known.taken.iter().find(|(server, _)| *server == self.server);
        taken.map_or_else(
            || Found {
                login: self.first.clone(),
                place: self.place(&self.logins),
            },
            |(_, found)| found.clone(),
        )
    }

    fn place(&self, logins: &Logins) -> Place {
        match self.server {
            Server::Redis(_) => logins.0.redis.clone(),
            Server::Sql(_) => logins.0.sql.clone(),
        }
    }

    /// Reads the files anew and returns the login that the settings hold by now. It blocks, as long as the disk does.
    ///
    /// # Errors
    /// Why the settings cannot be used as they are now, in words; the login in use is to be kept.
    pub fn read(&self) -> Result<Found, String> {
        let config = self.logins.read()?;
        let login = match &self.server {
            Server::Redis(address) => (config.redis.address == *address).then(|| config.redis.login()),
            Server::Sql(server) => config.databases.usable().find_map(|database| {
                let (other, login) = database.split()?;
                (other == **server).then_some(login)
            }),
        };
        let place = self.place(&config.logins);
        login
            .map(|login| Found { login, place })
            .ok_or_else(|| "they name another server by now, which takes a restart".to_owned())
    }

    /// The server has taken `found`: it is in use from now on. Returns whether that is news.
    #[must_use]
    pub fn take(&self, found: Found) -> bool {
        let mut known = self.logins.lock();
        known.said = None;
        let taken = known.taken.iter_mut().find(|(server, _)| *server == self.server);
        match taken {
            Some((_, before)) if before.login == found.login => return false,
            Some((_, before)) => *before = found,
            None if self.first == found.login => return false,
            None => known.taken.push((self.server.clone(), found)),
        }
        drop(known);
        self.logins.0.changes.send_modify(|count| *count += 1);
        true
    }

    /// The settings could not be read anew. Returns whether that is news.
    #[must_use]
    pub fn note(&self, why: &str) -> bool {
        let mut known = self.logins.lock();
        let news = known.said.as_deref() != Some(why);
        known.said = Some(why.to_owned());
        news
    }

    /// Where the password comes from and how a new one is taken up, for a person whose login is refused.
    #[must_use]
    pub fn advice(&self) -> String {
        let Found { login, place } = self.found();
        match (&login.password, place.is_lasting()) {
            (None, _) => format!("no password is set in {}", place.variable),
            (_, true) => format!("the password comes from {place}, so a new one takes a restart"),
            (_, false) => {
                format!("the password comes from {place}; a new one there is taken up without a restart")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CacheStore, Loaded};
    use super::*;
    use std::path::Path;

    const REDIS: [(&str, &str); 3] = [
        ("QUEUE_CONNECTION", "redis"),
        ("CACHE_STORE", "redis"),
        ("QUEUE_FAILED_DRIVER", "null"),
    ];

    fn load(dir: &Path, env: &[(&str, &str)]) -> Result<Loaded, String> {
        let pairs = REDIS.iter().chain(env);
        let env: BTreeMap<String, String> = pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let flags = BTreeMap::new();
        let inputs = Inputs {
            files: Files::read(&env, &flags, dir),
            env: &env,
            working_dir: dir.to_path_buf(),
            flags,
        };
        Config::load(&inputs).map_err(|problems| problems.to_string())
    }

    fn source(dir: &Path, env: &[(&str, &str)]) -> LoginSource {
        let config = load(dir, env).unwrap().config;
        assert!(matches!(config.cache, CacheStore::Redis { .. }));
        config.logins.of_redis(&config.redis)
    }

    fn write(dir: &Path, name: &str, text: &str) {
        std::fs::write(dir.join(name), text).unwrap();
    }

    fn password(login: &Login) -> Option<&str> {
        login.password.as_ref().map(Secret::expose)
    }

    #[test]
    fn a_new_password_is_found_where_the_old_one_was_and_is_used_once_it_is_taken() {
        for (name, env, old, new, place) in [
            (
                ".env",
                None,
                "REDIS_PASSWORD=pw1",
                "\nREDIS_PASSWORD=pw2",
                "REDIS_PASSWORD (.env, line 2)",
            ),
            (
                ".env",
                None,
                "REDIS_URL=redis://u:pw1@h",
                "REDIS_URL=redis://u:pw2@h",
                "REDIS_URL (.env, line 1)",
            ),
            (
                "secret",
                Some(("REDIS_PASSWORD_FILE", "secret")),
                "pw1\n",
                "pw2\r\n",
                "",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), name, old);
            let env: Vec<_> = env.into_iter().collect();
            let source = source(dir.path(), &env);
            let changes = source.logins.changes();
            assert_eq!(password(&source.login()), Some("pw1"));
            assert_eq!(password(&source.read().unwrap().login), Some("pw1"));
            write(dir.path(), name, new);
            let found = source.read().unwrap();
            assert_eq!(password(&found.login), Some("pw2"));
            if place.is_empty() {
                let path = dir.path().join(name);
                assert_eq!(
                    found.place.to_string(),
                    format!("REDIS_PASSWORD_FILE ({})", path.display())
                );
            } else {
                assert_eq!(found.place.to_string(), place);
            }
            assert_eq!(password(&source.login()), Some("pw1"), "nobody took the new one");
            let other = source.clone();
            assert!(source.take(found.clone()) && !other.take(found), "news once");
            assert_eq!(password(&other.login()), Some("pw2"));
            assert!(changes.has_changed().unwrap());
            let shown = format!("{source:?} {} {:?}", source.advice(), source.login());
            assert!(!shown.contains("pw2") && !shown.contains("pw1"), "{shown}");
            assert!(source.advice().contains("taken up without a restart"), "{shown}");
        }
    }

    #[test]
    fn databases_have_logins_too() {
        let dir = tempfile::tempdir().unwrap();
        let text = |login: &str| format!("DB_URL=pgsql://{login}@h/d\nDB_QUEUE=a\n");
        write(dir.path(), ".env", &text("u:one"));
        let config = load(dir.path(), &[]).unwrap().config;
        let source = config
            .logins
            .of_database(config.databases.default().unwrap())
            .unwrap();
        write(dir.path(), ".env", &text("v:two"));
        let found = source.read().unwrap();
        assert_eq!(
            (found.login.username.as_deref(), password(&found.login)),
            (Some("v"), Some("two"))
        );
        assert!(source.take(found));
        write(dir.path(), ".env", "DB_URL=pgsql://u:one@elsewhere/d");
        assert!(source.read().unwrap_err().contains("another server"));
        let sqlite = Database::Sqlite { path: None };
        assert!(config.logins.of_database(&sqlite).is_none());
    }

    #[test]
    fn what_cannot_be_read_keeps_the_login() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "secret", "one");
        let source = source(dir.path(), &[("REDIS_PASSWORD_FILE", "secret")]);
        std::fs::remove_file(dir.path().join("secret")).unwrap();
        let why = source.read().unwrap_err();
        assert!(
            why.contains("REDIS_PASSWORD_FILE (environment) leads to no file"),
            "{why}"
        );
        assert!(source.note(&why) && !source.note(&why), "news once");
        for text in ["", "\n", "one\ntwo\n"] {
            write(dir.path(), "secret", text);
            let why = source.read().unwrap_err();
            assert!(why.contains("leads to a file that holds"), "{why}");
            assert!(!why.contains("one\n"), "{why}");
        }
        assert_eq!(password(&source.login()), Some("one"));
    }

    #[test]
    fn an_environment_takes_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), ".env", "REDIS_PASSWORD=two");
        let given = source(dir.path(), &[("REDIS_PASSWORD", "one")]);
        let advice = "the password comes from REDIS_PASSWORD (environment), so a new one takes a restart";
        assert_eq!(given.advice(), advice);
        assert_eq!(given.read().unwrap().login, given.login());
        let none = source(dir.path(), &[("REDIS_PASSWORD", "null")]);
        assert_eq!(none.advice(), "no password is set in REDIS_PASSWORD");
    }

    #[test]
    fn a_password_has_one_place() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "secret", "hunter2");
        for (name, value, file, other) in [
            (
                "REDIS_PASSWORD",
                "hunter2",
                "REDIS_PASSWORD_FILE",
                "REDIS_PASSWORD:",
            ),
            (
                "REDIS_URL",
                "redis://:hunter2@h",
                "REDIS_PASSWORD_FILE",
                "REDIS_URL:",
            ),
            ("DB_PASSWORD", "hunter2", "DB_PASSWORD_FILE", "DB_PASSWORD:"),
            ("DB_URL", "mysql://u:hunter2@h/d", "DB_PASSWORD_FILE", "DB_URL:"),
            ("MYSQLHOST", "h", "DB_PASSWORD_FILE", "MYSQLPASSWORD:"),
        ] {
            let problem = load(dir.path(), &[(name, value), (file, "secret")]).unwrap_err();
            let named =
                problem.contains(&format!("{file} (environment) is set, and")) && problem.contains(other);
            assert!(named && !problem.contains("hunter2"), "{problem}");
        }
        let apart = [("DB_URL", "mysql://u@h/d"), ("DB_PASSWORD_FILE", "secret")];
        let loaded = load(dir.path(), &apart).unwrap();
        let (_, login) = loaded.config.databases.default().unwrap().split().unwrap();
        assert_eq!(password(&login), Some("hunter2"));
        let shown = loaded.sources.get("DB_PASSWORD").unwrap();
        assert_eq!(
            (shown.value.as_str(), shown.origin.to_string().as_str()),
            ("********", "from DB_PASSWORD_FILE")
        );
        assert!(!format!("{loaded:?}").contains("hunter2"));
        let missing = load(dir.path(), &[("DB_PASSWORD_FILE", "nowhere")]).unwrap_err();
        assert!(
            missing.contains("DB_PASSWORD_FILE (environment) leads to no file"),
            "{missing}"
        );
    }
}
