//! How PHP processes are started, and when they are replaced.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::output::Sink;

/// Makes the whole environment of a process that starts.
pub type Environment = Arc<dyn Fn() -> Vec<(OsString, OsString)> + Send + Sync>;

/// The settings of a pool.
#[derive(Clone)]
pub struct Settings {
    /// The PHP binary.
    pub binary: PathBuf,
    /// Its arguments, before the script.
    pub args: Vec<String>,
    /// The directory that holds `artisan`.
    pub base: PathBuf,
    /// The whole environment of a process, asked for at each start.
    pub env: Environment,
    /// How many processes.
    pub processes: usize,
    /// How many jobs a process runs; zero for no limit.
    pub max_jobs: u64,
    /// How old a process gets; zero for no limit.
    pub max_age: Duration,
    /// At how many megabytes of resident memory a process is replaced; zero for never.
    pub memory_mb: u64,
    /// Classes after which a process is replaced.
    pub isolate: Vec<Pattern>,
    /// Where output goes.
    pub sink: Sink,
}

impl std::fmt::Debug for Settings {
    /// Without the environment, which holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("binary", &self.binary)
            .field("base", &self.base)
            .field("processes", &self.processes)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether a process that has run a job of `class` is to be replaced.
    #[must_use]
    pub fn isolates(&self, class: &str) -> bool {
        self.isolate.iter().any(|pattern| pattern.matches(class))
    }
}

/// A class name in which `*` stands for anything. Case counts for nothing, as in PHP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern; a leading backslash is dropped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim_start_matches('\\').to_ascii_lowercase())
    }

    /// Whether `name` fits it.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name = name.trim_start_matches('\\').to_ascii_lowercase();
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some((_, after)) = rest.split_once(part) else {
                return false;
            };
            rest = after;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, fits) in [
            (r"App\Jobs\Pdf", r"app\jobs\pdf", true),
            (r"App\Jobs\Pdf", r"App\Jobs\PdfJob", false),
            (r"\App\Jobs\*", r"App\Jobs\PdfJob", true),
            (r"*Pdf*", r"App\Jobs\GeneratePdfJob", true),
            (r"*Pdf*", r"App\Jobs\Import", false),
            (r"App\*\Create*Job", r"App\Jobs\CreateBackupJob", true),
            (r"App\*\Create*Job", r"App\Jobs\CreateBackup", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), fits, "{pattern} {name}");
        }
    }
}
