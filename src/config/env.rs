//! The one reader of the process environment.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the process environment"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Variables by name: the process environment, or a map in a test.
pub trait Env: fmt::Debug {
    /// The value of variable `name`, `None` when it is not set. An empty value is set.
    fn get(&self, name: &str) -> Option<OsString>;

    /// The names of all variables that are set, without those that are not Unicode.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process, as it was when it was captured.
#[derive(Clone)]
pub struct ProcessEnv(BTreeMap<OsString, OsString>);

impl ProcessEnv {
    /// Copies the environment of this process.
    #[must_use]
    pub fn capture() -> Self {
        Self(std::env::vars_os().collect())
    }
}

impl fmt::Debug for ProcessEnv {
    /// Without names and values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessEnv({} variables)", self.0.len())
    }
}

impl Env for ProcessEnv {
    fn get(&self, name: &str) -> Option<OsString> {
        self.0.get(std::ffi::OsStr::new(name)).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0
            .keys()
            .filter_map(|name| name.to_str())
            .map(str::to_owned)
            .collect()
    }
}

impl<V: Clone + fmt::Debug + Into<OsString>> Env for BTreeMap<String, V> {
    fn get(&self, name: &str) -> Option<OsString> {
        Self::get(self, name).cloned().map(Into::into)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}
