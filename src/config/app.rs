//! The application whose queues are served.

use std::path::PathBuf;

use super::Secret;

/// The Laravel application: what its own `config/app.php` would hold.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// `APP_NAME`, default `Laravel`. Default prefixes of keys are made from it.
    pub name: String,
    /// `APP_ENV` (or the flag `--env`), default `production`.
    pub env: String,
    /// `APP_KEY` as written, with its `base64:` mark if it has one; an empty value is none.
    pub key: Option<Secret>,
    /// `APP_PREVIOUS_KEYS`, separated by commas, newest first, in the form of [`App::key`].
    pub previous_keys: Vec<Secret>,
    /// `APP_TIMEZONE`, an IANA name such as `Europe/Skopje` that is known to exist; default `UTC`. Times in SQL
    /// columns of type timestamp (`failed_at`) are in this zone.
    pub timezone: String,
    /// Directives for the log filter: `RUST_LOG` as it is, else one level from `LOG_LEVEL` (Laravel's eight names
    /// are mapped on error, warn, info and debug); default `info`.
    pub log_filter: String,
    /// The directory that holds `artisan`: `WORKER_LARAVEL_PATH`, else the working directory if `artisan` is there.
    pub base_path: Option<PathBuf>,
}
