//! The errors of earlier attempts, kept for the record of a job that fails in the end.
//!
//! Laravel records the last error only, and a job whose worker died is recorded as "attempted too many
//! times", whatever went wrong before. What is kept here goes below the record's own text. It is kept in the
//! application's cache, since another worker may make the next attempt; without a readable cache, in this
//! process, for as many jobs as fit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::debug;

use crate::store::port::{Cache, CacheValue, Names};

/// How long an error is kept: longer than any usual backoff.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// How long the cache may take; a slot waits for it.
const LIMIT: Duration = Duration::from_secs(2);
/// The most bytes of one error.
const ONE: usize = 4096;
/// The most bytes of all errors of a job; the oldest stay, since they mostly say what began it.
const ALL: usize = 32 * 1024;
/// How many jobs are remembered where there is no cache.
const JOBS: usize = 1000;

/// What went wrong with which job before.
#[derive(Debug)]
pub struct History {
    cache: Option<Arc<dyn Cache>>,
    here: Mutex<HashMap<String, String>>,
}

impl History {
    /// A history kept in `cache`.
    #[must_use]
    pub fn new(cache: Option<Arc<dyn Cache>>) -> Self {
        Self {
            cache,
            here: Mutex::default(),
        }
    }

    /// Keeps the error of an attempt after which the job is tried again.
    pub async fn keep(&self, uuid: &str, attempt: u32, error: &str) {
        let mut text = self.read(uuid).await;
        if text.len() < ALL {
            let error: String = error.chars().take(ONE).collect();
            text = format!("{text}\n\nAttempt {attempt}: {error}");
            self.write(uuid, text).await;
        }
    }

    /// The errors of earlier attempts, as they follow a record's text; empty when there were none. Forgets
    /// them.
    pub async fn take(&self, uuid: &str) -> String {
        let text = self.forget(uuid).await;
        if text.is_empty() {
            return text;
        }
        format!("\n\nEarlier attempts:{text}")
    }

    /// Forgets the errors of a job that is done, and returns them.
    pub async fn forget(&self, uuid: &str) -> String {
        let text = self.read(uuid).await;
        if !text.is_empty() {
            self.here().remove(uuid);
            if let Some(cache) = &self.cache {
                within(cache.forget(&key(uuid))).await;
            }
        }
        text
    }

    async fn read(&self, uuid: &str) -> String {
        if let Some(cache) = &self.cache {
            let key = key(uuid);
            let found = within(cache.get(&[&key])).await.unwrap_or_default();
            if let Some(Some(CacheValue::Other(bytes))) = found.into_iter().next() {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        self.here().get(uuid).cloned().unwrap_or_default()
    }

    async fn write(&self, uuid: &str, text: String) {
        if let Some(cache) = &self.cache {
            let value = CacheValue::Other(text.clone().into());
            let key = key(uuid);
            let put = cache.put(&key, &value, Some(KEPT), Names::Present);
            if within(put).await.is_some() {
                return;
            }
        }
        let mut here = self.here();
        if here.len() < JOBS || here.contains_key(uuid) {
            here.insert(uuid.to_owned(), text);
        }
    }

    fn here(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(uuid: &str) -> String {
    format!("worker-errors:{uuid}")
}

/// What the cache answers in time.
async fn within<T>(asked: impl Future<Output = Result<T, crate::store::Error>>) -> Option<T> {
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            debug!("The errors of a job are not kept in the cache: {error}");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        futures_util::FutureExt::now_or_never(future).expect("nothing to wait for without a cache")
    }

    #[test]
    fn errors_are_told_once_in_order_and_within_bounds() {
        let history = History::new(None);
        assert_eq!(now(history.take("a")), "");
        now(history.keep("a", 1, "first"));
        now(history.keep("a", 2, &"x".repeat(9000)));
        now(history.keep("b", 1, "other"));
        let told = now(history.take("a"));
        assert!(
            told.starts_with("\n\nEarlier attempts:\n\nAttempt 1: first\n\nAttempt 2: xxx"),
            "{told}"
        );
        assert!(told.len() < 5000);
        assert_eq!(now(history.take("a")), "");
        now(history.keep("a", 1, "again"));
        assert!(now(history.forget("a")).ends_with("again"));
        assert_eq!(now(history.take("a")), "");
        for attempt in 0..100 {
            now(history.keep("b", attempt, &"y".repeat(4096)));
        }
        assert!(now(history.take("b")).len() < ALL + 2 * ONE);
    }
}
