//! Values in Laravel's cache stores, where `queue:restart` and `queue:pause` leave their signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::number;
use super::php::{self, Float, Value};

/// Which form a store keeps its values in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The redis store: numbers plain, all else serialized (12.x, `Cache/RedisStore.php`).
    Redis,
    /// The database store: everything serialized (12.x, `Cache/DatabaseStore.php`).
    Database,
}

/// The bytes that Laravel would store.
///
/// Values with NUL bytes on PostgreSQL and SQLite, which Laravel writes as base64, are not our business:
/// the signs are numbers and booleans.
#[must_use]
pub fn encode(value: &Value, form: Form) -> Vec<u8> {
    match (form, value) {
        (Form::Redis, Value::Int(number)) => number.to_string().into_bytes(),
        (Form::Redis, Value::Float(float)) if float.value().is_finite() => float.text().as_bytes().to_vec(),
        _ => php::encode(value),
    }
}

/// The value behind bytes of either form; `None` when they are neither, such as the owner of a lock.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Value> {
    if let Ok(value) = php::decode(bytes) {
        return Some(value);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if let Some(number) = number::integer(text) {
        return Some(Value::Int(number));
    }
    if let Some(float) = text.parse::<f64>().ok().filter(|float| float.is_finite()) {
        return Some(Value::Float(Float::new(float)));
    }
    php::decode(&STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_both_forms() {
        for (value, redis, database) in [
            (Value::Int(1_795_375_432), "1795375432", "i:1795375432;"),
            (Value::Bool(true), "b:1;", "b:1;"),
            (Value::Float(Float::new(1.5)), "1.5", "d:1.5;"),
            (Value::string("текст"), "s:10:\"текст\";", "s:10:\"текст\";"),
        ] {
            assert_eq!(encode(&value, Form::Redis), redis.as_bytes());
            assert_eq!(encode(&value, Form::Database), database.as_bytes());
            assert_eq!(decode(redis.as_bytes()).unwrap(), value);
            assert_eq!(decode(database.as_bytes()).unwrap(), value);
        }
        assert_eq!(decode(b"czozOiJhAGIiOw==").unwrap(), Value::string("a\0b"));
        assert_eq!(decode(b"QWGb38KYWGT7WS8P"), None);
        assert_eq!(decode(b""), None);
    }
}
