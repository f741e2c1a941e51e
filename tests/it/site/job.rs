//! Payloads as Laravel 12 pushes them, written here without the worker's own code.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A job to be pushed.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    class: String,
    uuid: String,
    properties: Vec<(String, Value)>,
    members: Map<String, Value>,
}

impl Job {
    /// An object job of this class.
    pub(crate) fn new(class: &str) -> Self {
        Self {
            class: class.to_owned(),
            uuid: Uuid::new_v4().to_string(),
            properties: Vec::new(),
            members: Map::new(),
        }
    }

    /// A job that fails on every attempt.
    pub(crate) fn broken() -> Self {
        Self::new(r"Worker\Demo\Broken")
    }

    /// Sets a property of the object.
    pub(crate) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a member of the payload, such as `maxTries`.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same job under another uuid.
    pub(crate) fn again(&self) -> Self {
        Self {
            uuid: Uuid::new_v4().to_string(),
            ..self.clone()
        }
    }

    /// So many of this job, each with a uuid of its own.
    pub(crate) fn times(&self, count: usize) -> Vec<Self> {
        std::iter::repeat_with(|| self.again()).take(count).collect()
    }

    /// Its uuid.
    pub(crate) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The payload's members; Redis payloads carry an id and their attempts.
    pub(crate) fn json(&self, for_redis: bool) -> Value {
        let mut json = json!({
            "uuid": self.uuid,
            "displayName": self.class,
            "job": "Illuminate\\Queue\\CallQueuedHandler@call",
            "maxTries": null,
            "maxExceptions": null,
            "failOnTimeout": false,
            "backoff": null,
            "timeout": null,
            "retryUntil": null,
            "data": {"commandName": self.class, "command": self.command(), "batchId": null},
            "createdAt": 1_768_471_200,
            "delay": null,
        });
        let members = json.as_object_mut().expect("an object was just made");
        members.extend(self.members.clone());
        if for_redis {
            members.insert("id".to_owned(), self.uuid.replace('-', "").into());
            members.insert("attempts".to_owned(), 0.into());
        }
        json
    }

    /// The payload as text.
    pub(crate) fn text(&self, for_redis: bool) -> String {
        self.json(for_redis).to_string()
    }

    /// The object as PHP serializes it.
    pub(crate) fn command(&self) -> String {
        let properties: String = self
            .properties
            .iter()
            .map(|(name, value)| php(&name.as_str().into()) + &php(value))
            .collect();
        let (length, count) = (self.class.len(), self.properties.len());
        format!("O:{length}:\"{}\":{count}:{{{properties}}}", self.class)
    }
}

/// A value as PHP serializes it.
fn php(value: &Value) -> String {
    let entries = |entries: Vec<(Value, &Value)>| {
        let inner: String = entries
            .iter()
            .map(|(key, value)| php(key) + &php(value))
            .collect();
        format!("a:{}:{{{inner}}}", entries.len())
    };
    match value {
        Value::Null => "N;".to_owned(),
        Value::Bool(flag) => format!("b:{};", u8::from(*flag)),
        Value::Number(number) if number.is_f64() => format!("d:{number};"),
        Value::Number(number) => format!("i:{number};"),
        Value::String(text) => format!("s:{}:\"{text}\";", text.len()),
        Value::Array(list) => entries(
            list.iter()
                .enumerate()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        ),
        Value::Object(map) => entries(
            map.iter()
                .map(|(key, value)| (key.as_str().into(), value))
                .collect(),
        ),
    }
}
