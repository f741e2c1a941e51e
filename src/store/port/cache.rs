//! The application's cache store, as far as queue signals need it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::store::Error;

/// A cached value as Laravel's store writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheValue {
    /// A number: raw digits in Redis, `i:…;` in a table.
    Int(i64),
    /// A truth value: `b:1;` in both.
    Bool(bool),
    /// Anything else, as stored.
    Other(Bytes),
}

/// Under which of a key's names a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// All of them, so that a framework of any age sees it.
    All,
    /// The one that present frameworks use, so that they can remove it again.
    Present,
}

/// A cache store in Laravel's format.
///
/// Keys are given without prefix; each verb reads and writes both forms of the prefix (Laravel 8 puts a
/// colon after it), so that either framework sees the other's values.
#[async_trait::async_trait]
pub trait Cache: Send + Sync + fmt::Debug {
    /// The values of `keys`, in order; `None` where there is none or it has expired.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn get(&self, keys: &[&str]) -> Result<Vec<Option<CacheValue>>, Error>;

    /// Writes a value; without `ttl` it stays "for ever" as Laravel means it, an expiration that fits the
    /// column (2147483647 at most).
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn put(
        &self,
        key: &str,
        value: &CacheValue,
        ttl: Option<Duration>,
        names: Names,
    ) -> Result<(), Error>;

    /// Removes a value.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn forget(&self, key: &str) -> Result<(), Error>;

    /// Adds one to a counter, which starts at zero and then lives for `ttl`; returns the new value.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn increment(&self, key: &str, ttl: Duration) -> Result<i64, Error>;
}
