//! The table of all variables the worker reads: the one list behind the code, `.env.example` and `worker config`.

/// How a variable's value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// As it is.
    Plain,
    /// Never.
    Secret,
    /// As a URL without its password.
    Url,
}

/// One variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name in the environment and in `.env`.
    pub name: &'static str,
    /// The flag of the command line that replaces it, without dashes; empty if there is none.
    pub flag: &'static str,
    /// What it is when nobody sets it, in words where it is computed; empty is nothing.
    pub default: &'static str,
    /// The form of its value, what is allowed, and the unit.
    pub form: &'static str,
    /// What it means.
    pub meaning: &'static str,
    pub(super) shown: Shown,
}

macro_rules! variables {
    ($($name:ident $(--$flag:literal)? $shown:ident, $default:literal, $form:literal, $meaning:literal;)*) => {
        $(
            pub(super) static $name: Variable = Variable {
                name: stringify!($name),
                flag: concat!($($flag)?),
                default: $default,
                form: $form,
                meaning: $meaning,
                shown: Shown::$shown,
            };
        )*

        /// Every variable the worker reads, grouped by concern.
        pub static VARIABLES: &[&Variable] = &[$(&$name),*];
    };
}

variables! {
    APP_NAME Plain, "Laravel", "text", "Name of the application; default prefixes of keys are made from it";
    APP_ENV --"env" Plain, "production", "text", "Environment; `.env.{APP_ENV}` replaces `.env` if it exists";
    APP_KEY Secret, "",
        "base64: and 16 or 32 bytes in base64, or 16 or 32 characters", "Key of encrypted jobs";
    APP_PREVIOUS_KEYS Secret, "",
        "keys in the form of APP_KEY, separated by commas", "Keys that were in use before";
    APP_TIMEZONE Plain, "UTC",
        "a name of the IANA time zone database, such as Europe/Skopje", "Zone of the times in SQL columns";
    LOG_LEVEL Plain, "info",
        "debug, info, notice, warning, error, critical, alert or emergency",
        "Least severe lines that are logged";
    RUST_LOG Plain, "",
        "directives such as info or worker=debug,sqlx=warn", "Finer than LOG_LEVEL, and wins over it";

    QUEUE_CONNECTION Plain, "redis if FEATURE_REDIS_QUEUES, else database",
        "redis, database, sync, apalis-redis, apalis-database, or a named Redis connection: high, migration, background, einvoice, banking",
        "Connection whose queues are served";
    FEATURE_REDIS_QUEUES Plain, "false",
        "true or false", "Whether QUEUE_CONNECTION is redis when it is not set";
    REDIS_QUEUE Plain, "default", "name of a queue", "Default queue of the connection redis";
    QUEUE_REDIS_CONNECTION Plain, "queue",
        "default, cache, session or queue", "Redis connection that holds the queues";
    REDIS_QUEUE_CONNECTION Plain, "queue",
        "default, cache, session or queue",
        "The same, as newer Laravel spells it; QUEUE_REDIS_CONNECTION wins";
    REDIS_QUEUE_RETRY_AFTER Plain, "90",
        "whole seconds from 1, such as 90, or with a unit, such as 2m",
        "When PHP workers take a job of the connection redis for abandoned";
    DB_QUEUE_CONNECTION Plain, "DB_CONNECTION",
        "sqlite, mysql, mariadb or pgsql", "SQL connection that holds the table of jobs";
    DB_QUEUE_TABLE Plain, "jobs", "name of a table: letters, digits, `_` and `.`", "Table of jobs";
    DB_QUEUE Plain, "default", "name of a queue", "Default queue of the connection database";
    DB_QUEUE_RETRY_AFTER Plain, "90",
        "whole seconds from 1, such as 90, or with a unit, such as 2m",
        "When a reserved row counts as abandoned; the same value as the application's, or jobs run twice";
    QUEUE_FAILED_DRIVER Plain, "database-uuids",
        "database, database-uuids or null",
        "Where failed jobs are recorded; the uuid is written in both table forms";

    REDIS_CLIENT Plain, "", "phpredis or predis", "PHP's Redis client; accepted, without effect here";
    REDIS_CLUSTER Plain, "", "redis or predis", "PHP's cluster mode; accepted, without effect here";
    REDIS_URL Url, "",
        "redis://[user:password@]host[:port][/db], rediss:// or tls:// for TLS, unix:/path[?database=n]",
        "Redis server; wins over REDIS_HOST and its companions";
    REDIS_HOST Plain, "127.0.0.1",
        "a host name or address, tls:// and a host, or the path of a socket", "Redis server";
    REDIS_PORT Plain, "6379", "a number from 1 to 65535", "Port of the Redis server";
    REDIS_USERNAME Plain, "", "text", "User of the Redis server";
    REDIS_PASSWORD Secret, "", "text; null or nothing is no password", "Password of the Redis server";
    REDIS_PASSWORD_FILE Plain, "",
        "the path of a file with the password and no other line",
        "In the place of REDIS_PASSWORD; read again when the server refuses the password";
    REDIS_PREFIX Plain, "slug of APP_NAME + _database_", "text, may be empty", "Prefix of every key in Redis";
    REDIS_DB Plain, "0", "a number from 0", "Database number of the Redis connection default";
    REDIS_CACHE_DB Plain, "1", "a number from 0", "Database number of the Redis connection cache";
    REDIS_SESSION_DB Plain, "2", "a number from 0", "Database number of the Redis connection session";
    REDIS_QUEUE_DB Plain, "3", "a number from 0", "Database number of the Redis connection queue";

    DB_CONNECTION Plain, "what a URL says, else sqlite",
        "sqlite, mysql, mariadb or pgsql", "SQL connection of the application";
    DB_URL Url, "",
        "mysql://, mariadb:// or pgsql:// user:password@host[:port]/database, or sqlite:///path",
        "SQL database as a URL; wins over all below";
    MYSQL_URL Url, "",
        "mysql://user:password@host[:port]/database", "The same, as Railway names it; after DB_URL";
    DATABASE_URL Url, "", "as DB_URL", "The same, as most platforms name it; after MYSQL_URL";
    MYSQLHOST Plain, "", "a host name or address", "SQL server as Railway names it; after the URLs";
    MYSQLPORT Plain, "3306", "a number from 1 to 65535", "Port that belongs to MYSQLHOST";
    MYSQLDATABASE Plain, "DB_DATABASE", "text", "Database that belongs to MYSQLHOST";
    MYSQLUSER Plain, "root", "text", "User that belongs to MYSQLHOST";
    MYSQLPASSWORD Secret, "", "text", "Password that belongs to MYSQLHOST";
    DB_HOST Plain, "127.0.0.1", "a host name or address", "SQL server";
    DB_PORT Plain, "3306, for pgsql 5432", "a number from 1 to 65535", "Port of the SQL server";
    DB_DATABASE Plain, "for sqlite database/database.sqlite of the application",
        "name of the database; for sqlite the path of the file, or :memory:", "Database";
    DB_USERNAME Plain, "root", "text", "User of the SQL server";
    DB_PASSWORD Secret, "", "text; null or nothing is no password", "Password of the SQL server";
    DB_PASSWORD_FILE Plain, "",
        "the path of a file with the password and no other line",
        "In the place of DB_PASSWORD; read again when the server refuses the password";
    DB_SOCKET Plain, "", "a path", "Unix socket of the MySQL or MariaDB server; wins over DB_HOST";
    DB_SSLMODE Plain, "prefer",
        "disable, allow, prefer, require, verify-ca or verify-full", "Encryption of a PostgreSQL connection";
    MYSQL_ATTR_SSL_CA Plain, "",
        "the path of a PEM file",
        "Authority that signed the certificate of the MySQL or MariaDB server; makes TLS required";

    CACHE_STORE Plain, "database",
        "redis or database; others are legal, but restart and pause cannot arrive through them",
        "Cache store of the application";
    CACHE_DRIVER Plain, "database", "as CACHE_STORE", "The same, as older Laravel names it; CACHE_STORE wins";
    CACHE_PREFIX Plain, "slug of APP_NAME + _cache_", "text, may be empty", "Prefix of every cache key";
    CACHE_REDIS_CONNECTION Plain, "cache",
        "default, cache, session or queue", "Redis connection of the cache";
    REDIS_CACHE_CONNECTION Plain, "cache",
        "default, cache, session or queue",
        "The same, as newer Laravel spells it; CACHE_REDIS_CONNECTION wins";
    CACHE_REDIS_LOCK_CONNECTION Plain, "default",
        "default, cache, session or queue", "Redis connection of locks";
    REDIS_CACHE_LOCK_CONNECTION Plain, "default",
        "default, cache, session or queue",
        "The same, as newer Laravel spells it; CACHE_REDIS_LOCK_CONNECTION wins";
    DB_CACHE_CONNECTION Plain, "DB_CONNECTION",
        "sqlite, mysql, mariadb or pgsql", "SQL connection of the cache tables";
    DB_CACHE_TABLE Plain, "cache", "name of a table: letters, digits, `_` and `.`", "Table of cached values";
    DB_CACHE_LOCK_TABLE Plain, "cache_locks",
        "name of a table: letters, digits, `_` and `.`", "Table of locks";

    WORKER_LARAVEL_PATH Plain, "the working directory, if artisan is there",
        "the path of a directory that holds artisan", "The application; its .env is read";
    WORKER_CONFIG Plain, "worker.toml, if it is there",
        "the path of a file", "Limits per queue, and more queues";
    WORKER_DATABASE Plain, "worker.sqlite",
        "the path of a file",
        "SQLite file of the worker's own, used when nothing of the application is configured";
    WORKER_CONCURRENCY --"concurrency" Plain, "10",
        "a number from 1 to 10000",
        "Jobs at a time per lane, of migration at most 2; worker.toml wins for its queues, the flag over both";
    WORKER_LEASE Plain, "60",
        "seconds such as 60, or with a unit: 90s, 2m; 3 s to 1 day",
        "How long a reservation lasts unless it is renewed";
    WORKER_DRAIN --"drain" Plain, "600",
        "seconds such as 600, or with a unit: 90s, 10m", "How long a stop waits for running jobs";
    WORKER_START_WAIT Plain, "120",
        "seconds such as 120, or with a unit: 90s, 2m", "How long the start waits for its store";
    WORKER_MAX_TIMEOUT Plain, "",
        "seconds such as 3600, or with a unit: 90s, 1h; 0 is no cap",
        "Caps the time limit of every job, also one that its payload sets";
    WORKER_ON_UNKNOWN --"on-unknown" Plain, "release",
        "release or fail", "What becomes of a job of a class that nothing here can run";
    WORKER_SLEEP --"sleep" Plain, "3",
        "seconds such as 3 or 0.5, or with a unit: 500ms; up to 1 day",
        "Longest wait between two looks at an idle queue of a store that cannot wake the worker; Redis and SQLite can, and PostgreSQL with worker migrate --notify";
    WORKER_PHP_BINARY Plain, "php",
        "the path of a program, or its name in PATH", "PHP that runs the application's jobs";
    WORKER_PHP_ARGS Plain, "",
        "arguments separated by spaces, such as -d memory_limit=512M", "Arguments of PHP itself";
    WORKER_PHP_PROCESSES Plain, "the number of cores",
        "a number from 1 to 1000", "PHP processes, shared by all lanes; php in worker.toml caps a queue's share";
    WORKER_PHP_MAX_JOBS Plain, "10000", "a number from 0; 0 is no limit", "Jobs after which a PHP process is replaced";
    WORKER_PHP_MAX_AGE Plain, "3600",
        "seconds such as 3600, or with a unit: 30m, 1h; 0 is no limit", "Age at which a PHP process is replaced";
    WORKER_PHP_MEMORY_MB Plain, "256",
        "megabytes, a number from 0 to 1000000; 0 is no limit",
        "Resident memory at which a PHP process is replaced after its job; --memory wins";
    WORKER_PHP_ISOLATE Plain, "",
        "classes separated by commas; * stands for anything, as in *Pdf*",
        "Classes after whose jobs a PHP process is replaced";
    WORKER_PHP_ENV Plain, "*",
        "names separated by commas, each with one * at most",
        "Variables of the environment that PHP sees; the worker's own and systemd's never";
    WORKER_HTTP --"http" Plain, "",
        "address:port such as 127.0.0.1:9090; $PORT in it stands for the variable PORT", "Where health is served";
    PORT Plain, "", "a port", "Used only where WORKER_HTTP says $PORT; health is never served on it by itself";
    WORKER_LOG_FORMAT Plain, "auto",
        "auto, human or json", "Form of the log; auto is human on a terminal and JSON elsewhere";
}

/// Flags of the command line that replace settings of every queue and have no variable.
pub const QUEUE_FLAGS: &[&str] = &["timeout", "tries", "backoff"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn names_and_flags_are_unique() {
        let names: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
        let flags: Vec<_> = VARIABLES
            .iter()
            .map(|variable| variable.flag)
            .filter(|flag| !flag.is_empty())
            .collect();
        assert_eq!(
            flags,
            ["env", "concurrency", "drain", "on-unknown", "sleep", "http"]
        );
    }

    #[test]
    fn every_variable_of_the_table_is_read() {
        let mut code = String::new();
        let mut folders = vec![root().join("src/config")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("vars.rs") {
                    code += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        for variable in VARIABLES {
            let name = format!("vars::{}", variable.name);
            let used = code.split(&name).skip(1);
            let read = used.map(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
            assert!(
                read.into_iter().any(|longer| !longer),
                "{} is in the table but nobody reads it",
                variable.name
            );
        }
    }

    #[test]
    fn the_example_names_every_variable_once() {
        let text = std::fs::read_to_string(root().join(".env.example")).unwrap();
        let name = |line: &str| {
            let name = line.trim_start_matches("# ").split_once('=')?.0;
            let upper = |byte: u8| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit();
            (!name.is_empty() && name.bytes().all(upper)).then(|| name.to_owned())
        };
        let mut listed: Vec<_> = text.lines().filter_map(name).collect();
        let mut known: Vec<_> = VARIABLES
            .iter()
            .map(|variable| variable.name.to_owned())
            .collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(
            listed, known,
            ".env.example (left) and the table in src/config/vars.rs (right) differ"
        );
    }
}
