//! The pool of PHP processes, `WORKER_PHP_*`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::{Config, Env, Found, LoginSource, vars};

/// How PHP jobs are run. Used only where there is an application.
#[derive(Debug, Clone, PartialEq)]
pub struct Php {
    /// The PHP binary (`WORKER_PHP_BINARY`), looked for in `PATH` when it is a bare name; default `php`.
    pub binary: PathBuf,
    /// Arguments of PHP itself (`WORKER_PHP_ARGS`), such as `-d memory_limit=512M`; none by default.
    pub args: Vec<String>,
    /// How many processes (`WORKER_PHP_PROCESSES`), 1 to 1,000; `None` is as many as there are cores.
    pub processes: Option<usize>,
    /// Jobs after which a process is replaced (`WORKER_PHP_MAX_JOBS`), default 10,000; 0 is no limit.
    pub max_jobs: u64,
    /// Age at which a process is replaced (`WORKER_PHP_MAX_AGE`), default 1 h; zero is no limit.
    pub max_age: Duration,
    /// Resident memory in MB at which a process is replaced after its job (`WORKER_PHP_MEMORY_MB`, `--memory`),
    /// default 256; 0 is no limit.
    pub memory_mb: u64,
    /// Classes after which a process is replaced (`WORKER_PHP_ISOLATE`), `*` standing for anything.
    pub isolate: Vec<String>,
    /// The environment of a process: what `WORKER_PHP_ENV` allows, without the worker's own variables.
    pub env: ChildEnv,
}

/// Variables for PHP. They may be secret, so they are not shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ChildEnv {
    variables: Vec<(OsString, OsString)>,
    /// The names that may be passed on, each with one `*` at most.
    allowed: Vec<String>,
}

impl ChildEnv {
    fn allows(&self, name: &str) -> bool {
        let fits = |pattern: &String| match pattern.split_once('*') {
            Some((start, end)) => {
                name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
            }
            None => pattern == name,
        };
        self.allowed.iter().any(fits)
    }
}

impl fmt::Debug for ChildEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildEnv({} variables)", self.variables.len())
    }
}

/// Variables that are for this process alone: its own settings, and what systemd tells it.
const OWN: &[&str] = &[
    "WORKER_",
    "RUST_LOG",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "LISTEN_",
    "CREDENTIALS_DIRECTORY",
];

impl Php {
    pub(super) fn read(reader: &mut Reader<'_>, env: &dyn Env) -> Self {
        let hour = Duration::from_secs(3600);
        let list = |text: Option<String>| -> Vec<String> {
            let text = text.unwrap_or_default();
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        let args = reader.text(&vars::WORKER_PHP_ARGS).unwrap_or_default();
        let allowed = list(Some(reader.text_or(&vars::WORKER_PHP_ENV, "*")));
        Self {
            binary: reader.text_or(&vars::WORKER_PHP_BINARY, "php").into(),
            args: args.split_whitespace().map(str::to_owned).collect(),
            processes: reader.number(&vars::WORKER_PHP_PROCESSES, 1..=1000),
            max_jobs: reader
                .number(&vars::WORKER_PHP_MAX_JOBS, 0..=u64::MAX)
                .unwrap_or(10_000),
            max_age: reader.duration(&vars::WORKER_PHP_MAX_AGE, hour, Duration::ZERO..=hour * 24 * 365),
            memory_mb: reader
                .number(&vars::WORKER_PHP_MEMORY_MB, 0..=1_000_000)
                .unwrap_or(256),
            isolate: list(reader.text(&vars::WORKER_PHP_ISOLATE)),
            env: child_env(env, allowed, reader.flag(vars::APP_ENV.flag)),
        }
    }
}

fn child_env(env: &dyn Env, allowed: Vec<String>, app_env: Option<&str>) -> ChildEnv {
    let is_own = |name: &String| OWN.iter().any(|own| name.starts_with(own));
    let mut child = ChildEnv {
        variables: Vec::new(),
        allowed,
    };
    let names = env.names().into_iter();
    let names = names.filter(|name| child.allows(name) && !is_own(name));
    let variables = names.filter_map(|name| {
        let value = env.get(&name)?;
        Some((OsString::from(name), value))
    });
    child.variables = variables.collect();
    if let Some(app_env) = app_env {
        set(&mut child.variables, "APP_ENV", app_env);
    }
    child
}

fn set(variables: &mut Vec<(OsString, OsString)>, name: &str, value: &str) {
    variables.retain(|(known, _)| known != name);
    variables.push((name.into(), value.into()));
}

impl Config {
    /// The environment of a PHP process that starts now. A password that a file holds is in it by the name that
    /// Laravel knows, as far as `WORKER_PHP_ENV` allows that.
    #[must_use]
    pub fn php_env(&self) -> Vec<(OsString, OsString)> {
        let mut variables = self.php.env.variables.clone();
        let redis = Some(self.logins.of_redis(&self.redis));
        let database = self.databases.default().ok();
        let sql = database.and_then(|database| self.logins.of_database(database));
        for (var, source) in [(&vars::REDIS_PASSWORD, redis), (&vars::DB_PASSWORD, sql)] {
            let found = source.as_ref().map(LoginSource::found);
            if let Some(Found { login, place }) = found
                && let Some(password) = login.password
                && place.file.is_some()
                && self.php.env.allows(var.name)
            {
                set(&mut variables, var.name, password.expose());
            }
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, load_all, problems};
    use super::super::{Files, Secret, SecretFile};

    fn names(env: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
        let config = load_all(env, flags, Files::default()).unwrap().config;
        let pairs = config.php_env().into_iter();
        pairs
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect()
    }

    #[test]
    fn defaults_and_forms() {
        let php = load(&[]).config.php;
        assert_eq!(
            (php.binary, php.args.len(), php.processes),
            ("php".into(), 0, None)
        );
        assert_eq!(
            (
                php.max_jobs,
                php.max_age.as_secs(),
                php.memory_mb,
                php.isolate.len()
            ),
            (10_000, 3600, 256, 0)
        );
        let php = load(&[
            ("WORKER_PHP_ARGS", "-d memory_limit=512M"),
            ("WORKER_PHP_PROCESSES", "3"),
            ("WORKER_PHP_MAX_AGE", "30m"),
            ("WORKER_PHP_ISOLATE", r"App\Jobs\CreateBackupJob, *Pdf*"),
        ])
        .config
        .php;
        assert_eq!(php.args, ["-d", "memory_limit=512M"]);
        assert_eq!((php.processes, php.max_age.as_secs()), (Some(3), 1800));
        assert_eq!(php.isolate, [r"App\Jobs\CreateBackupJob", "*Pdf*"]);
        for (name, value) in [
            ("WORKER_PHP_PROCESSES", "0"),
            ("WORKER_PHP_MAX_JOBS", "-1"),
            ("WORKER_PHP_MAX_AGE", "old"),
            ("WORKER_PHP_MEMORY_MB", "256M"),
        ] {
            assert_eq!(problems(&[(name, value)]).len(), 1, "{name}");
        }
    }

    #[test]
    fn php_gets_a_password_of_a_file_by_laravels_name() {
        let secret = SecretFile {
            path: "/run/redis".into(),
            secret: Secret::new("hunter2"),
        };
        let files = Files {
            secrets: [("REDIS_PASSWORD_FILE", secret)].into(),
            ..Files::default()
        };
        let passed = |allowed| {
            let env = [
                ("QUEUE_CONNECTION", "sync"),
                ("REDIS_PASSWORD", "null"),
                ("REDIS_PASSWORD_FILE", "/run/redis"),
                ("WORKER_PHP_ENV", allowed),
            ];
            let env = load_all(&env, &[], files.clone()).unwrap().config.php_env();
            let mut passed = env.into_iter().filter(|(name, _)| name == "REDIS_PASSWORD");
            (passed.next().map(|(_, value)| value), passed.count())
        };
        assert_eq!(passed("*"), (Some("hunter2".into()), 0));
        assert_eq!(passed("APP_*"), (None, 0));
    }

    #[test]
    fn php_sees_the_environment_but_not_what_is_ours() {
        let env = [
            ("MAIL_PASSWORD", "hunter2"),
            ("WORKER_LEASE", "60"),
            ("NOTIFY_SOCKET", "/run/x"),
            ("PATH", "/bin"),
        ];
        assert_eq!(names(&env, &[]), ["MAIL_PASSWORD=hunter2", "PATH=/bin"]);
        assert_eq!(
            names(&env, &[("env", "testing")]),
            ["MAIL_PASSWORD=hunter2", "PATH=/bin", "APP_ENV=testing"]
        );
        let few = [&env[..], &[("WORKER_PHP_ENV", "PA*,HOME")]].concat();
        assert_eq!(names(&few, &[]), ["PATH=/bin"]);
        let shown = format!("{:?}", load(&env).config.php);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
