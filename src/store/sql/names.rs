//! Names of tables: checked once, quoted where they are used.

use std::fmt;

use crate::store::{Error, Kind};

/// The longest name that MySQL and PostgreSQL both keep whole, in bytes.
const LONGEST: usize = 63;

/// The name of a table, `table` or `schema.table`, made of letters, digits, `_`, `$` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName(String);

impl TableName {
    /// Checks a name as configuration gives it.
    ///
    /// # Errors
    /// [`Kind::Refused`] when a part is empty, longer than 63 bytes, or holds another character.
    pub fn new(name: &str) -> Result<Self, Error> {
        let part = |part: &str| {
            !part.is_empty()
                && part.len() <= LONGEST
                && part
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'))
        };
        if name.split('.').count() <= 2 && name.split('.').all(part) {
            return Ok(Self(name.to_owned()));
        }
        let reason = "a table's name has letters, digits, _, $ and -, 63 bytes at most";
        Err(Error::new(
            Kind::Refused,
            format!("use the table name {name:?}"),
            reason,
        ))
    }

    /// A name known at compile time to be good.
    fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of its indexes begin with, as Laravel forms them: in small letters, with `_` in place
    /// of `.` and `-`.
    pub(super) fn index_prefix(&self) -> String {
        self.0.to_lowercase().replace(['.', '-'], "_")
    }

    /// The name between `quote` marks, part by part.
    pub(super) fn quoted(&self, quote: char) -> String {
        let parts: Vec<String> = self
            .0
            .split('.')
            .map(|part| format!("{quote}{part}{quote}"))
            .collect();
        parts.join(".")
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tables that the worker reads and writes; the defaults are Laravel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// The queue, `DB_QUEUE_TABLE`. Default `jobs`.
    pub jobs: TableName,
    /// The failures. Default `failed_jobs`.
    pub failed_jobs: TableName,
    /// The batches. Default `job_batches`.
    pub job_batches: TableName,
    /// The cache, `DB_CACHE_TABLE`. Default `cache`.
    pub cache: TableName,
    /// The cache's locks. Default `cache_locks`.
    pub cache_locks: TableName,
    /// The sessions. Default `sessions`.
    pub sessions: TableName,
    /// Our own: jobs moved here from elsewhere. Default `worker_markers`.
    pub markers: TableName,
    /// Our own: worker processes that live. Default `worker_processes`.
    pub processes: TableName,
}

impl Tables {
    /// The configured name of a table known by its default name.
    pub(super) fn named(&self, default: &'static str) -> TableName {
        let configured = match default {
            "jobs" => &self.jobs,
            "failed_jobs" => &self.failed_jobs,
            "job_batches" => &self.job_batches,
            "cache" => &self.cache,
            "cache_locks" => &self.cache_locks,
            "sessions" => &self.sessions,
            "worker_markers" => &self.markers,
            "worker_processes" => &self.processes,
            other => return TableName::known(other),
        };
        configured.clone()
    }
}

impl Tables {
    /// Each table's default name with the configured one.
    pub(super) fn by_role(&self) -> [(&'static str, &TableName); 8] {
        [
            ("jobs", &self.jobs),
            ("failed_jobs", &self.failed_jobs),
            ("job_batches", &self.job_batches),
            ("cache", &self.cache),
            ("cache_locks", &self.cache_locks),
            ("sessions", &self.sessions),
            ("worker_markers", &self.markers),
            ("worker_processes", &self.processes),
        ]
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            jobs: TableName::known("jobs"),
            failed_jobs: TableName::known("failed_jobs"),
            job_batches: TableName::known("job_batches"),
            cache: TableName::known("cache"),
            cache_locks: TableName::known("cache_locks"),
            sessions: TableName::known("sessions"),
            markers: TableName::known("worker_markers"),
            processes: TableName::known("worker_processes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TableName;

    #[test]
    fn names_are_checked() {
        for good in ["jobs", "public.jobs", "app_jobs", "задачи", "a-b$2"] {
            assert_eq!(TableName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "a.",
            "a.b.c",
            "a b",
            "a\"b",
            "a`b",
            "a;b",
            "a\0",
            &"x".repeat(64),
        ] {
            assert!(TableName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_part_is_quoted() {
        assert_eq!(
            TableName::new("public.jobs").unwrap().quoted('"'),
            "\"public\".\"jobs\""
        );
        assert_eq!(TableName::new("jobs").unwrap().quoted('`'), "`jobs`");
        assert_eq!(
            TableName::new("App.my-jobs").unwrap().index_prefix(),
            "app_my_jobs"
        );
    }
}
