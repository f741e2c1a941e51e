//! The application whose queues are served.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Secret;
use super::reader::Reader;
use super::vars;

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

impl App {
    pub(super) fn read(reader: &mut Reader<'_>, laravel_root: Option<&Path>) -> Self {
        let key = reader.parsed(&vars::APP_KEY, "is not a key", read_key);
        let previous_keys = reader.parsed(&vars::APP_PREVIOUS_KEYS, "is not a list of keys", |text| {
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(read_key)
                .collect()
        });
        let known_zone = |text: &str| jiff::tz::TimeZone::get(text).ok().map(|_| text.to_owned());
        let timezone = reader.parsed(&vars::APP_TIMEZONE, "is not a time zone", known_zone);
        Self {
            name: reader.text_or(&vars::APP_NAME, "Laravel"),
            env: reader.text_or(&vars::APP_ENV, "production"),
            key,
            previous_keys: previous_keys.unwrap_or_default(),
            timezone: timezone.unwrap_or_else(|| "UTC".to_owned()),
            log_filter: log_filter(reader),
            base_path: laravel_root.map(Path::to_path_buf),
        }
    }
}

/// Accepts what Laravel's encrypter accepts: 16 or 32 bytes.
fn read_key(text: &str) -> Option<Secret> {
    let length = match text.strip_prefix("base64:") {
        Some(encoded) => STANDARD.decode(encoded).ok()?.len(),
        None => text.len(),
    };
    matches!(length, 16 | 32).then(|| Secret::new(text))
}

fn log_filter(reader: &mut Reader<'_>) -> String {
    let levels = [
        ("debug", "debug"),
        ("info", "info"),
        ("notice", "info"),
        ("warning", "warn"),
        ("error", "error"),
        ("critical", "error"),
        ("alert", "error"),
        ("emergency", "error"),
    ];
    let level = reader.parsed(&vars::LOG_LEVEL, "is not a level", |text| {
        let text = text.to_ascii_lowercase();
        levels
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, level)| *level)
    });
    let directives = reader.parsed(&vars::RUST_LOG, "is not a list of log directives", |text| {
        tracing_subscriber::EnvFilter::builder()
            .parse(text)
            .ok()
            .map(|_| text.to_owned())
    });
    directives.unwrap_or_else(|| level.unwrap_or("info").to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, load_app, problems};

    #[test]
    fn defaults() {
        let app = load(&[("APP_KEY", ""), ("APP_TIMEZONE", "")]).config.app;
        assert_eq!(
            (app.name.as_str(), app.env.as_str(), app.timezone.as_str()),
            ("Laravel", "production", "UTC")
        );
        assert_eq!(
            (
                app.log_filter.as_str(),
                app.key,
                app.previous_keys.len(),
                app.base_path
            ),
            ("info", None, 0, None)
        );
        assert_eq!(load_app(&[]).config.app.base_path, Some("/app".into()));
    }

    #[test]
    fn keys() {
        let long = "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let both = format!("0123456789abcdef, {long},");
        let app = load(&[("APP_KEY", long), ("APP_PREVIOUS_KEYS", &both)])
            .config
            .app;
        assert_eq!(app.key.unwrap().expose(), long);
        let previous: Vec<_> = app.previous_keys.iter().map(|key| key.expose()).collect();
        assert_eq!(previous, ["0123456789abcdef", long]);
        for wrong in ["short", "base64:AAAA", "base64:?"] {
            assert!(
                problems(&[("APP_KEY", wrong)])[0]
                    .starts_with("APP_KEY (environment) is not a key; allowed: base64:")
            );
        }
    }

    #[test]
    fn log_levels() {
        let filter = |env: &[(&str, &str)]| load(env).config.app.log_filter;
        assert_eq!(filter(&[("LOG_LEVEL", "WARNING")]), "warn");
        assert_eq!(filter(&[("LOG_LEVEL", "emergency")]), "error");
        assert_eq!(
            filter(&[("LOG_LEVEL", "debug"), ("RUST_LOG", "worker=trace,info")]),
            "worker=trace,info"
        );
        assert!(problems(&[("LOG_LEVEL", "loud")])[0].starts_with("LOG_LEVEL (environment) is not a level"));
        assert!(problems(&[("RUST_LOG", "a=b=c")])[0].starts_with("RUST_LOG (environment) is not a list"));
        assert!(
            problems(&[("APP_TIMEZONE", "Mars/Olympus")])[0]
                .starts_with("APP_TIMEZONE (environment) is not a time")
        );
    }
}
