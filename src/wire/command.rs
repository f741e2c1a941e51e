//! The serialized object inside an object job's payload.

use super::Error;
use super::crypt::{self, Keys};
use super::php::{self, Object, Table, Value};

/// A decoded command: class and properties of the job's PHP object. Nothing is instantiated.
#[derive(Debug)]
pub struct Command {
    value: Value,
    encrypted: bool,
}

impl Command {
    /// Reads the text of [`Payload::command`](super::Payload::command), decrypting it where it does not
    /// begin with `O:`, as Laravel does (12.x, `Queue/CallQueuedHandler.php`, `getCommand`).
    ///
    /// # Errors
    /// [`Error::Php`] when it is not a serialized object; [`Error::Decrypt`] when it is encrypted and
    /// there are no keys, or none that fits.
    pub fn open(text: &str, keys: Option<&Keys>) -> Result<Self, Error> {
        if text.starts_with("O:") {
            return Self::of(php::decode(text.as_bytes())?, false);
        }
        if !crypt::is_encrypted(text) {
            return Err(Error::php(0, "neither an object nor an encrypted one"));
        }
        let keys = keys.ok_or(Error::Decrypt("the command is encrypted and there is no APP_KEY"))?;
        match keys.decrypt_value(text)? {
            Value::String(inner) => Self::of(php::decode(&inner)?, true),
            _ => Err(Error::Decrypt("the encrypted command is not a serialized object")),
        }
    }

    fn of(value: Value, encrypted: bool) -> Result<Self, Error> {
        match value {
            Value::Object(_) => Ok(Self { value, encrypted }),
            _ => Err(Error::php(0, "expected an object")),
        }
    }

    /// Whether it had to be decrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The object itself; a [`Table`] over it makes it a Rust type.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The class, as PHP writes it: no leading backslash.
    #[must_use]
    pub fn class(&self) -> &str {
        self.object().map_or("", |object| &object.class)
    }

    /// The property of this name, visibility aside; a reference is followed.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Value> {
        match self.object()?.property(name)? {
            reference @ Value::Reference { .. } => Some(Table::new(&self.value).resolve(reference).ok()?.0),
            value => Some(value),
        }
    }

    /// A property that is a UTF-8 string.
    #[must_use]
    pub fn str_property(&self, name: &str) -> Option<&str> {
        self.property(name)?.as_str()
    }

    /// Whether further jobs wait for this one to succeed, or callbacks of its chain for it to fail.
    #[must_use]
    pub fn has_chain(&self) -> bool {
        self.is_filled("chained") || self.is_filled("chainCatchCallbacks")
    }

    /// Whether the dispatcher gave the job middleware of its own (`through()`), which only PHP can run.
    #[must_use]
    pub fn has_middleware(&self) -> bool {
        self.is_filled("middleware")
    }

    /// The batch that the job belongs to.
    #[must_use]
    pub fn batch_id(&self) -> Option<&str> {
        self.str_property("batchId").filter(|id| !id.is_empty())
    }

    /// Whether a unique or debounce lock may have to be freed when the job ends.
    ///
    /// Laravel 13 writes the lock's owner into the object (`uniqueLockOwner`, `debounceOwner`). Earlier
    /// versions do not: there `uniqueId` or `uniqueFor` is taken as the sign, and for Laravel 11 and later
    /// [`Payload::has_unique_lock`](super::Payload::has_unique_lock) knows. A unique job of Laravel 8 to 10
    /// that has neither property cannot be told from others by its payload.
    #[must_use]
    pub fn has_lock(&self) -> bool {
        ["uniqueLockOwner", "debounceOwner"]
            .into_iter()
            .any(|name| self.is_filled(name))
            || ["uniqueId", "uniqueFor"]
                .into_iter()
                .any(|name| self.property(name).is_some())
    }

    fn is_filled(&self, name: &str) -> bool {
        self.property(name).is_some_and(|value| !value.is_empty())
    }

    const fn object(&self) -> Option<&Object> {
        match &self.value {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Command {
        Command::open(text, None).unwrap()
    }

    #[test]
    fn tells_what_only_the_framework_can_finish() {
        let plain = open("O:1:\"J\":3:{s:7:\"chained\";a:0:{}s:10:\"middleware\";a:0:{}s:1:\"x\";i:5;}");
        assert_eq!(
            (plain.class(), plain.has_chain(), plain.has_middleware()),
            ("J", false, false)
        );
        assert_eq!(
            (plain.batch_id(), plain.has_lock(), plain.is_encrypted()),
            (None, false, false)
        );
        assert!(open("O:1:\"J\":1:{s:7:\"chained\";a:1:{i:0;s:1:\"x\";}}").has_chain());
        assert!(open("O:1:\"J\":1:{s:19:\"chainCatchCallbacks\";a:1:{i:0;N;}}").has_chain());
        assert!(open("O:1:\"J\":1:{s:9:\"uniqueFor\";i:5;}").has_lock());
        assert!(open("O:1:\"J\":1:{s:13:\"debounceOwner\";s:1:\"x\";}").has_lock());
        assert!(!open("O:1:\"J\":1:{s:13:\"debounceOwner\";s:0:\"\";}").has_lock());
        assert_eq!(
            open("O:1:\"J\":1:{s:7:\"batchId\";s:2:\"ab\";}").batch_id(),
            Some("ab")
        );
        let shared = open("O:1:\"J\":2:{s:1:\"a\";s:1:\"v\";s:7:\"batchId\";R:2;}");
        assert_eq!(shared.batch_id(), Some("v"));
    }

    #[test]
    fn refuses_what_is_no_object() {
        for bad in ["", "i:5;", "O:1:\"J\":0:{", "garbage", "a:0:{}"] {
            assert!(
                matches!(Command::open(bad, None), Err(Error::Php { .. })),
                "{bad}"
            );
        }
    }
}
