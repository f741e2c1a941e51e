//! The application's cached configuration.

use super::catalogue::{CONFIG_CACHE_DIFFERS, CONFIG_CACHE_STALE, CONFIG_CACHE_UNREAD};
use super::{Facts, Finding};

const REFRESH: &str = "php artisan config:clear (or config:cache, after every change of .env or config)";

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(cached) = &facts.clues.cached else {
        return Vec::new();
    };
    let path = cached.path.display().to_string();
    let mut findings: Vec<_> = cached
        .differences
        .iter()
        .map(|it| {
            let what = format!(
                "is {:?} in {path}; here {} is {:?}",
                it.cached, it.variable, it.here
            );
            let fix = format!("{REFRESH}; or set {} to what the application uses", it.variable);
            CONFIG_CACHE_DIFFERS.found(&it.key, what, fix)
        })
        .collect();
    if let Some(changed) = &cached.older_than {
        findings.push(CONFIG_CACHE_STALE.found(&path, format!("is older than {changed}"), REFRESH));
    }
    if !cached.readable {
        findings.push(CONFIG_CACHE_UNREAD.found(
            &path,
            "is there and is not the array that Laravel writes",
            REFRESH,
        ));
    }
    findings
}
