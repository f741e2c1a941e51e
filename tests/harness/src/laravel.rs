//! A real Laravel application: the sources below `tests/laravel`, run by PHP.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::command::{Output, run_to_end};
use crate::process::Running;
use crate::{Journal, Scratch};

/// The application key of all tests: the bytes 0 to 31.
pub const APP_KEY: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// One instance of the application: its settings, its storage directory and its journal.
///
/// It is configured by environment variables alone. The queue comes from [`Redis::env`](crate::Redis::env)
/// or [`SqliteDatabase::env`](crate::SqliteDatabase::env); what is set later wins.
///
/// ```no_run
/// use harness::{Laravel, SqliteDatabase};
///
/// let database = SqliteDatabase::temp();
/// let laravel = Laravel::new().envs(database.env());
/// laravel.push("RecordJob", &serde_json::json!({"tag": "a"}), &["--queue=einvoice"]);
/// let worker = laravel.work(&["--queue=einvoice"]);
/// assert_eq!(laravel.journal().wait_for(1)[0].tag, "a");
/// ```
#[derive(Debug)]
pub struct Laravel {
    env: Vec<(String, String)>,
    home: Arc<Scratch>,
}

impl Laravel {
    /// An instance with a storage directory of its own, phpredis, and no server yet.
    pub fn new() -> Self {
        let home = Scratch::new();
        let place = |name: &str| home.join(name).display().to_string();
        let env = [
            ("APP_NAME", "Facturino".to_owned()),
            ("APP_ENV", "local".to_owned()),
            ("APP_KEY", APP_KEY.to_owned()),
            ("APP_SERVICES_CACHE", place("services.php")),
            ("APP_PACKAGES_CACHE", place("packages.php")),
            ("CACHE_PREFIX", "facturino_cache_".to_owned()),
            ("CACHE_STORE", "redis".to_owned()),
            ("REDIS_CLIENT", "phpredis".to_owned()),
            ("QUEUE_FAILED_DRIVER", "database-uuids".to_owned()),
            ("LARAVEL_STORAGE", place("storage")),
            ("JOURNAL", place("journal")),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self {
            env,
            home: Arc::new(home),
        }
    }

    /// Sets an environment variable, in place of an earlier value.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Sets environment variables, in place of earlier values.
    #[must_use]
    pub fn envs<V: Into<String>>(self, variables: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        variables
            .into_iter()
            .fold(self, |laravel, (name, value)| laravel.env(name, value))
    }

    /// All variables, for a worker that should see the same configuration.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.env.clone()
    }

    /// The directory that holds `artisan`.
    pub fn root(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("laravel")
    }

    /// The application's `storage` directory; it appears with the first command.
    pub fn storage(&self) -> PathBuf {
        self.home.join("storage")
    }

    /// What the application logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.storage().join("logs/laravel.log")).unwrap_or_default()
    }

    /// What the application's jobs wrote down.
    pub fn journal(&self) -> Journal {
        Journal::at(self.home.join("journal"))
    }

    /// Runs an artisan command that must succeed, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it exits with another code than 0.
    #[track_caller]
    pub fn php(&self, args: &[&str]) -> String {
        self.try_php(args, b"").success().to_owned()
    }

    /// Runs an artisan command with `input` on its standard input.
    #[track_caller]
    pub fn try_php(&self, args: &[&str], input: &[u8]) -> Output {
        run_to_end(&format!("artisan {}", args.join(" ")), self.artisan(args), input)
    }

    /// Dispatches jobs of the class `App\Jobs\{job}` with constructor arguments by name, and returns one
    /// id per job; `options` are those of `artisan push`. Unique and bulk jobs have no id to return.
    #[track_caller]
    pub fn push(&self, job: &str, data: &Value, options: &[&str]) -> Vec<String> {
        let data = format!("--data={data}");
        let printed = self.php(&[&["push", job, &data], options].concat());
        printed.lines().map(str::to_owned).collect()
    }

    /// Starts `artisan queue:work`, the framework's own worker.
    pub fn work(&self, args: &[&str]) -> Running {
        let args = [&["queue:work"], args].concat();
        let name = format!("artisan {}", args.join(" "));
        Running::spawn(&name, self.artisan(&args)).keeping(Arc::clone(&self.home))
    }

    fn artisan(&self, args: &[&str]) -> Command {
        let mut command = Command::new("php");
        command
            .arg(self.root().join("artisan"))
            .args(args)
            .env_clear()
            .env("PATH", crate::env_var("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path());
        command
    }
}

impl Default for Laravel {
    fn default() -> Self {
        Self::new()
    }
}
