//! The pool of PHP processes, `WORKER_PHP_*`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::{Env, vars};

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
pub struct ChildEnv(pub Vec<(OsString, OsString)>);

impl fmt::Debug for ChildEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildEnv({} variables)", self.0.len())
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
            env: child_env(env, &allowed, reader.flag(vars::APP_ENV.flag)),
        }
    }
}

fn child_env(env: &dyn Env, allowed: &[String], app_env: Option<&str>) -> ChildEnv {
    let is_own = |name: &String| OWN.iter().any(|own| name.starts_with(own));
    let is_allowed = |name: &String| {
        let fits = |pattern: &String| match pattern.split_once('*') {
            Some((start, end)) => {
                name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
            }
            None => pattern == name,
        };
        allowed.iter().any(fits)
    };
    let names = env.names().into_iter();
    let names = names.filter(|name| is_allowed(name) && !is_own(name));
    let mut variables: Vec<_> = names
        .filter_map(|name| {
            let value = env.get(&name)?;
            Some((OsString::from(name), value))
        })
        .collect();
    if let Some(app_env) = app_env {
        variables.retain(|(name, _)| name != "APP_ENV");
        variables.push(("APP_ENV".into(), app_env.into()));
    }
    ChildEnv(variables)
}

#[cfg(test)]
mod tests {
    use super::super::Files;
    use super::super::testing::{load, load_all, problems};

    fn names(env: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
        let php = load_all(env, flags, Files::default()).unwrap().config.php;
        let pairs = php.env.0.into_iter();
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
