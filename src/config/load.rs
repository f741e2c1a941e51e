//! From files, environment and flags to the whole of the settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::explain::{Origin, Sources};
use super::reader::Reader;
use super::toml::{self, QueueTable};
use super::{
    App, CacheStore, Config, Databases, Env, FailedStore, Files, Logins, Php, Problem, Problems, QUEUE_FLAGS,
    Redis, VARIABLES, Warning, Worker, lanes, queue, vars, worker,
};

/// Everything that settings are made from. Nothing else is read.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The environment.
    pub env: &'a dyn Env,
    /// Where relative paths begin when there is no application.
    pub working_dir: PathBuf,
    /// What was found on the disk.
    pub files: Files,
    /// Flags of the command line by name without dashes (`drain` to `90s`); only those that were given. Known are
    /// the flags of [`VARIABLES`] and [`QUEUE_FLAGS`].
    pub flags: BTreeMap<String, String>,
}

/// The settings with what there is to say about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What is legal but may surprise.
    pub warnings: Vec<Warning>,
    /// Every effective value and where it came from.
    pub sources: Sources,
}

impl Config {
    /// Reads and checks all settings. Precedence: flags, environment, `.env`, `worker.toml`, defaults.
    ///
    /// # Errors
    /// All mistakes at once; the process then exits with 78.
    pub fn load(inputs: &Inputs<'_>) -> Result<Loaded, Problems> {
        let (loaded, problems) = Self::examine(inputs);
        if problems.is_empty() {
            Ok(loaded)
        } else {
            Err(Problems(problems))
        }
    }

    /// The same for `worker doctor`, which looks at the rest when something is wrong: what is wrong, and the settings
    /// with defaults in the place of what cannot be read. Nothing may be served with them.
    pub fn examine(inputs: &Inputs<'_>) -> (Loaded, Vec<Problem>) {
        let mut reader = Reader::new(inputs.env, &inputs.flags);
        reader.problems.clone_from(&inputs.files.problems);
        reader.add_secrets(&inputs.files.secrets);
        if let Some(file) = &inputs.files.dotenv {
            reader.add_dotenv(file);
        }
        check_names(&mut reader, &inputs.flags);
        let mut tables = Vec::new();
        if let Some(file) = &inputs.files.toml {
            let (read, problems) = toml::parse(&file.text);
            reader.problems.extend(problems);
            tables = read;
        }
        let (config, shown) = read(&mut reader, inputs, &tables);
        let read = [&inputs.files.dotenv, &inputs.files.toml].into_iter().flatten();
        let mut settings = reader.effective();
        settings.extend(shown);
        let sources = Sources {
            files: read.map(|file| file.path.clone()).collect(),
            settings,
        };
        let loaded = Loaded {
            config,
            warnings: reader.warnings,
            sources,
        };
        (loaded, reader.problems)
    }
}

fn read(
    reader: &mut Reader<'_>,
    inputs: &Inputs<'_>,
    tables: &[QueueTable],
) -> (Config, Vec<super::Effective>) {
    let files = &inputs.files;
    let root = files.laravel_root.as_deref();
    show_paths(reader, inputs);
    let app = App::read(reader, root);
    let redis = Redis::read(reader, &app.name);
    let embedded = reader.path(&vars::WORKER_DATABASE, &inputs.working_dir);
    let embedded = embedded.unwrap_or_else(|| inputs.working_dir.join("worker.sqlite"));
    let bare = is_bare(reader, files);
    let databases = if bare {
        reader.show_default(&vars::WORKER_DATABASE, embedded.display());
        Databases::embedded(reader, embedded.clone())
    } else {
        reader.show_default(&vars::WORKER_DATABASE, "");
        Databases::read(reader, root, &inputs.working_dir)
    };
    let mut connections = queue::connections(reader, &redis, &databases);
    if bare {
        connections.insert("database".to_owned(), Ok(queue::embedded(embedded)));
    }
    let queue = queue::default(reader, &connections);
    let cache = CacheStore::read(reader, &redis, &databases, &app.name);
    let failed = FailedStore::read(reader, &databases);
    let worker = Worker::read(reader, files.toml.as_ref().map(|file| file.path.clone()));
    let php = Php::read(reader, inputs.env);
    let http = worker::http(reader);
    warn_of_name(reader, &app.name);
    let lanes::Queues {
        queues,
        unnamed,
        shown,
    } = lanes::read(reader, &worker, tables);
    let places = [&vars::REDIS_PASSWORD, &vars::DB_PASSWORD].map(|var| reader.password_place(var));
    let logins = Logins::new(inputs, places);
    let config = Config {
        app,
        redis,
        databases,
        queue,
        cache,
        failed,
        worker,
        php,
        queues,
        http,
        logins,
        connections,
        unnamed,
    };
    (config, shown)
}

/// Whether nothing of an application is configured, so that the worker's own SQLite file serves.
fn is_bare(reader: &Reader<'_>, files: &Files) -> bool {
    let of_an_application = |name: String| {
        ["QUEUE_", "DB_", "REDIS_", "DATABASE_URL", "MYSQL"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    files.laravel_root.is_none() && files.dotenv.is_none() && !reader.names().any(of_an_application)
}

/// Names that nobody reads: a flag that is unknown here is the caller's mistake, a variable perhaps a typing error.
fn check_names(reader: &mut Reader<'_>, flags: &BTreeMap<String, String>) {
    for flag in flags.keys() {
        if !QUEUE_FLAGS.contains(&flag.as_str()) && VARIABLES.iter().all(|variable| variable.flag != flag) {
            reader
                .problems
                .push(Problem::new(format!("--{flag}"), "is not a setting", ""));
        }
    }
    reader.warn_of_hidden();
    let unknown =
        |name: &String| name.starts_with("WORKER_") && VARIABLES.iter().all(|known| known.name != name);
    let unknown: Vec<_> = reader.names().filter(unknown).collect();
    for name in unknown {
        reader.warnings.push(Warning {
            name,
            what: "is not a variable the worker reads".to_owned(),
        });
    }
}

fn show_paths(reader: &mut Reader<'_>, inputs: &Inputs<'_>) {
    let files = &inputs.files;
    for (var, path) in [
        (&vars::WORKER_LARAVEL_PATH, files.laravel_root.as_ref()),
        (&vars::WORKER_CONFIG, files.toml.as_ref().map(|file| &file.path)),
    ] {
        if reader.text(var).is_none() {
            let path = path.map(|path| path.display().to_string()).unwrap_or_default();
            reader.show(var, path, Origin::Default);
        }
    }
}

fn warn_of_name(reader: &mut Reader<'_>, name: &str) {
    let prefixes_set = reader.is_set(&vars::REDIS_PREFIX) && reader.is_set(&vars::CACHE_PREFIX);
    if !name.is_ascii() && !prefixes_set {
        let what =
            "has letters outside of ASCII: set REDIS_PREFIX and CACHE_PREFIX to what the application uses";
        reader.warn(&vars::APP_NAME, what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{app_files, file, load, load_all, problems, warned};
    use super::super::{Database, QueueKind};
    use super::*;

    #[test]
    fn precedence_is_flag_environment_dotenv_toml_default() {
        let files = Files {
            toml: Some(file(
                "/home/user/worker.toml",
                "[queues.high]\ntimeout = 5\nconcurrency = 7\n",
            )),
            ..app_files("WORKER_DRAIN=10\nWORKER_LEASE=30\nWORKER_SLEEP=1\n")
        };
        let env = [("WORKER_DRAIN", "20"), ("WORKER_LEASE", "2m")];
        let loaded = load_all(&env, &[("drain", "1.5m")], files).unwrap();
        let worker = &loaded.config.worker;
        assert_eq!(
            [worker.drain, worker.lease, worker.sleep, worker.start_wait].map(|d| d.as_secs()),
            [90, 120, 1, 120]
        );
        let said = |name: &str| {
            let setting = loaded.sources.get(name).unwrap();
            format!("{} ({})", setting.value, setting.origin)
        };
        assert_eq!(said("WORKER_DRAIN"), "90 s (flag --drain)");
        assert_eq!(said("WORKER_LEASE"), "120 s (environment)");
        assert_eq!(said("WORKER_SLEEP"), "1 s (.env, line 3)");
        assert_eq!(said("WORKER_START_WAIT"), "120 s (default)");
        assert_eq!(said("queues.high.timeout"), "5 s (worker.toml, line 2)");
        assert_eq!(said("queues.high.concurrency"), "7 (worker.toml, line 3)");
        assert_eq!(said("queues.migration.timeout"), "600 s (default)");
        assert_eq!(loaded.sources.files.len(), 2);
    }

    #[test]
    fn nothing_configured_is_an_embedded_file() {
        let loaded = load(&[("HOME", "/root"), ("WORKER_DATABASE", "/data/w.sqlite")]);
        let file = Database::Sqlite {
            path: Some("/data/w.sqlite".into()),
        };
        assert!(
            matches!(&loaded.config.queue.kind, QueueKind::Embedded { path, .. } if path.ends_with("w.sqlite"))
        );
        assert_eq!(loaded.config.queue.name, "database");
        assert_eq!(loaded.config.databases.default(), Ok(&file));
        let failed = FailedStore::Database {
            database: file.clone(),
            table: "failed_jobs".to_owned(),
        };
        assert_eq!(loaded.config.failed, failed);
        assert!(matches!(&loaded.config.cache, CacheStore::Database { database, .. } if *database == file));
        assert_eq!(warned(&loaded), [""; 0]);
    }

    #[test]
    fn anything_of_an_application_makes_a_missing_setting_an_error() {
        for name in ["QUEUE_FAILED_DRIVER", "DB_QUEUE", "REDIS_URL", "DB_PASSWORD"] {
            assert_eq!(
                problems(&[(name, "")]),
                [
                    "DB_CONNECTION is not set, nor a URL of a database, but needed by the queue connection database, \
                  which is meant when QUEUE_CONNECTION is not set; allowed: sqlite, mysql, mariadb, pgsql"
                ],
                "{name}"
            );
        }
        let files = Files {
            dotenv: Some(file("/home/user/.env", "")),
            ..Files::default()
        };
        assert!(load_all(&[], &[], files).is_err());
    }

    #[test]
    fn all_mistakes_come_at_once_and_without_values() {
        let env = [
            ("QUEUE_CONNECTION", "hunter2"),
            ("REDIS_URL", "redis://u:hunter2/x@h"),
            ("WORKER_LEASE", "hunter2"),
            ("APP_KEY", "hunter2"),
            ("APP_TIMEZONE", "hunter2"),
            ("WORKER_HTTP", "hunter2"),
            ("REDIS_DB", "hunter2"),
        ];
        let files = Files {
            toml: Some(file("worker.toml", "hunter = 2")),
            ..app_files("A=hunter2 hunter2")
        };
        let problems = load_all(&env, &[("tries", "hunter2"), ("magic", "1")], files).unwrap_err();
        let names: Vec<_> = problems.0.iter().map(|problem| problem.name.as_str()).collect();
        let expected = [
            ".env",
            "--magic",
            "hunter",
            "APP_KEY",
            "APP_TIMEZONE",
            "REDIS_URL",
            "REDIS_DB",
            "QUEUE_CONNECTION",
            "WORKER_LEASE",
            "WORKER_HTTP",
            "--tries",
        ];
        assert_eq!(names, expected);
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }

    #[test]
    fn secrets_are_masked_everywhere() {
        let key = "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let loaded = load(&[
            ("QUEUE_CONNECTION", "redis"),
            ("REDIS_URL", "redis://u:hunter2@h?auth=hunter2"),
            ("MYSQL_URL", "mysql://u:hunter2@h/db"),
            ("DB_PASSWORD", "hunter2"),
            ("MYSQLPASSWORD", "hunter2"),
            ("REDIS_PASSWORD", "hunter2"),
            ("APP_KEY", key),
            ("APP_PREVIOUS_KEYS", key),
        ]);
        let all = format!("{} {loaded:?}", loaded.sources);
        assert!(!all.contains("hunter2") && !all.contains("AAAA"), "{all}");
        assert!(all.contains("redis://u:********@h?auth=********"), "{all}");
    }

    #[test]
    fn the_shipped_example_needs_no_server_and_all_its_values_are_legal() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
        let files = |text: &str| Files {
            dotenv: Some(file("/home/user/.env", text)),
            ..Files::default()
        };
        let loaded = load_all(&[], &[], files(&text)).unwrap();
        let sqlite = Database::Sqlite {
            path: Some("/home/user/worker.sqlite".into()),
        };
        assert!(
            matches!(&loaded.config.queue.kind, QueueKind::Database { database, .. } if *database == sqlite)
        );
        assert_eq!(warned(&loaded), [""; 0]);
        for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            if VARIABLES.iter().any(|variable| variable.name == name) {
                load(&[("QUEUE_CONNECTION", "sync"), (name, value)]);
            }
        }
    }

    #[test]
    fn surprises_are_said() {
        let loaded = load_all(&[("REDIS_HOST", "")], &[], app_files("REDIS_HOST=h\n")).unwrap();
        assert_eq!(warned(&loaded), ["REDIS_HOST"]);
        let loaded = load(&[
            ("WORKER_LEAES", "60"),
            ("QUEUE_CONNECTION", "redis"),
            ("DB_CONNECTION", "sqlsrv"),
            ("CACHE_STORE", "memcached"),
            ("APP_NAME", "Фактурино"),
        ]);
        assert_eq!(
            warned(&loaded),
            ["WORKER_LEAES", "CACHE_STORE", "QUEUE_FAILED_DRIVER", "APP_NAME"]
        );
        assert!(loaded.config.failed.usable().is_err());
        assert_eq!(
            loaded.config.cache,
            CacheStore::Unreadable {
                driver: "memcached".to_owned()
            }
        );
    }
}
