//! `worker doctor`: a world is broken on purpose, and the finding is seen.

mod databases;
mod distort;
mod documents;
mod output;
mod payloads;
mod php;
mod queues;
mod redis;
mod servers;
mod settings;
mod tables;
mod tasks;

use harness::{Daemon, Output, RedisOptions, RedisServer, SqliteDatabase};
use serde_json::Value;

use crate::site::{Site, WORKER};

/// What `worker doctor --json` said.
struct Report {
    output: Output,
    json: Value,
}

/// Examines with these arguments.
fn examine(worker: &Daemon) -> Report {
    let output = worker.run_to_end();
    let json: Result<Value, _> = serde_json::from_str(&output.stdout);
    assert!(json.is_ok(), "no JSON: {}\n{}", output.stdout, output.stderr);
    let json = json.unwrap_or_default();
    let errors = json["errors"].as_u64().expect("a number of errors");
    assert_eq!(output.code, i32::from(errors > 0), "{json:#}");
    assert_eq!(output.stderr, "");
    Report { output, json }
}

/// The doctor over a site, with more variables.
fn doctor(site: &Site, args: &[&str], env: &[(&str, &str)]) -> Report {
    let args = [&["doctor", "--json"], args].concat();
    examine(&site.worker(&args).envs(env.iter().copied()))
}

impl Report {
    /// The findings of this kind.
    fn of(&self, code: &str) -> Vec<&Value> {
        let findings = self.json["findings"].as_array().expect("a list of findings");
        findings
            .iter()
            .filter(|finding| finding["code"] == code)
            .collect()
    }

    /// The only finding of this kind.
    #[track_caller]
    fn one(&self, code: &str) -> Finding<'_> {
        let found = self.of(code);
        assert_eq!(found.len(), 1, "{code} in {:#}", self.json);
        Finding(found[0])
    }

    /// Codes of errors and warnings, each once.
    fn complaints(&self) -> Vec<&str> {
        let findings = self.json["findings"].as_array().expect("a list of findings");
        let bad = findings.iter().filter(|finding| finding["severity"] != "note");
        let mut codes: Vec<_> = bad
            .map(|finding| finding["code"].as_str().expect("a code"))
            .collect();
        codes.dedup();
        codes
    }

    /// The store of this product.
    fn store(&self, product: &str) -> &Value {
        let stores = self.json["stores"].as_array().expect("a list of stores");
        stores
            .iter()
            .find(|store| store["product"] == product)
            .unwrap_or(&Value::Null)
    }
}

struct Finding<'a>(&'a Value);

impl Finding<'_> {
    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().expect("a text")
    }

    /// Checks how bad it is, what it is about, and a part of what it says.
    #[track_caller]
    fn is(&self, severity: &str, subject: &str, what: &str) -> &Self {
        assert_eq!(self.text("severity"), severity, "{:#}", self.0);
        assert!(self.text("subject").contains(subject), "{subject}: {:#}", self.0);
        assert!(self.text("what").contains(what), "{what}: {:#}", self.0);
        assert!(!self.text("why").is_empty(), "{:#}", self.0);
        self
    }

    /// Checks a part of what to type.
    #[track_caller]
    fn fixed_by(&self, fix: &str) {
        assert!(self.text("fix").contains(fix), "{fix}: {:#}", self.0);
    }
}

/// An application whose queues are on a Redis server of its own.
struct Shop {
    server: RedisServer,
    database: SqliteDatabase,
}

impl Shop {
    /// A server that keeps what it is told, with these settings besides.
    fn new(settings: &[(&str, &str)]) -> Self {
        let options = settings
            .iter()
            .fold(RedisOptions::default().append_only(), |options, (name, value)| {
                options.arg(name, value)
            });
        Self::with(options)
    }

    fn with(options: RedisOptions) -> Self {
        Self {
            server: RedisServer::start(options),
            database: SqliteDatabase::temp(),
        }
    }

    fn worker(&self, args: &[&str], env: &[(&str, &str)]) -> Daemon {
        Daemon::new(WORKER)
            .args(args.iter().copied())
            .envs(self.server.redis().env())
            .envs(self.database.database_env())
            .env("CACHE_STORE", "redis")
            .env("CACHE_PREFIX", "facturino_cache_")
            .envs(env.iter().copied())
    }

    fn doctor(&self, env: &[(&str, &str)]) -> Report {
        examine(&self.worker(&["doctor", "--json"], env))
    }
}
