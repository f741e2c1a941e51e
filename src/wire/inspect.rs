//! A payload as JSON, for people: `worker inspect`.

use serde_json::{Map, Value as Json, json};

use super::php::{Key, MAX_DEPTH, Table, Value, is_list};
use super::{Command, Error, Keys, Payload, crypt};

/// Describes a payload.
///
/// The members are those of [`Payload`], `null` where absent; `data` for a string job; and `command` as
/// `{"class", "properties"}`: visibility marks stripped (where parent and child share a private name the
/// last wins), objects inside in the same form, enums as `{"enum": "Class::Case"}`, PHP arrays with keys
/// 0..n-1 as lists and others as objects, references resolved and circles `{"ref": n}` (n as PHP counts),
/// strings that are not UTF-8 as `{"bytes": hex}`, INF and NAN as strings, and objects in a form of their
/// own as `{"class", "custom"}`.
///
/// A command that is encrypted and cannot be opened is `null`, and `note` says why.
///
/// # Errors
/// Whatever is wrong with the payload, its data, or its command, with the byte offset.
pub fn inspect(text: &[u8], keys: Option<&Keys>) -> Result<Json, Error> {
    let payload = Payload::parse(bytes::Bytes::copy_from_slice(text))?;
    let mut out = envelope(&payload);
    let Some(text) = payload.command() else {
        out.insert("encrypted".to_owned(), Json::Bool(false));
        out.insert("data".to_owned(), data(&payload)?);
        out.insert("command".to_owned(), Json::Null);
        return Ok(Json::Object(out));
    };
    let encrypted = !text.starts_with("O:") && crypt::is_encrypted(text);
    out.insert("encrypted".to_owned(), Json::Bool(encrypted));
    match Command::open(text, keys) {
        Ok(command) => {
            out.insert("command".to_owned(), describe(command.value())?);
        }
        Err(error @ (Error::Decrypt(_) | Error::Key(_))) if encrypted => {
            out.insert("command".to_owned(), Json::Null);
            out.insert("note".to_owned(), Json::String(error.to_string()));
        }
        Err(error) => return Err(error),
    }
    Ok(Json::Object(out))
}

fn envelope(payload: &Payload) -> Map<String, Json> {
    let members = json!({
        "uuid": payload.uuid(),
        "id": payload.id(),
        "displayName": payload.display_name(),
        "job": payload.job(),
        "attempts": payload.attempts(),
        "maxTries": payload.max_tries(),
        "maxExceptions": payload.max_exceptions(),
        "failOnTimeout": payload.fail_on_timeout(),
        "backoff": payload.backoff(),
        "timeout": payload.timeout(),
        "retryUntil": payload.raw_retry_until(),
        "createdAt": payload.created_at(),
        "delay": payload.delay(),
        "batchId": payload.batch_id(),
    });
    match members {
        Json::Object(members) => members,
        _ => Map::new(),
    }
}

/// The data of a string job.
fn data(payload: &Payload) -> Result<Json, Error> {
    let Some(text) = payload.data() else {
        return Ok(Json::Null);
    };
    let offset = payload.data_offset();
    serde_json::from_str(text).map_err(|error| {
        // The text is one value that was read before: what is left are limits.
        let reason = if error.to_string().contains("recursion") {
            "data is more than 127 levels deep"
        } else {
            "a number in data is out of range"
        };
        let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let before: usize = lines.map(str::len).sum();
        Error::json(
            offset.saturating_add(before).saturating_add(error.column()),
            reason,
        )
    })
}

/// Describes one PHP value with all that is in it, without recursion.
fn describe(root: &Value) -> Result<Json, Error> {
    let table = Table::new(root);
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut due = Some((root, 1));
    loop {
        let finished = if let Some((value, slot)) = due.take() {
            match begin(&table, &open, value, slot)? {
                Begun::Whole(json) => json,
                Begun::Open(inner) => {
                    open.push(inner);
                    continue;
                }
            }
        } else if let Some(inner) = open.last_mut()
            && let Some((key, value)) = inner.rest.next()
        {
            inner.key = Some(key);
            due = Some((value, inner.next));
            if !matches!(value, Value::Reference { alias: true, .. }) {
                inner.next = inner.next.saturating_add(table.size(inner.next));
            }
            continue;
        } else if let Some(inner) = open.pop() {
            inner.close()
        } else {
            Json::Null
        };
        match open.last_mut() {
            Some(around) => around.put(finished),
            None => return Ok(finished),
        }
    }
}

/// An array or object that is being described.
struct Open<'a> {
    value: &'a Value,
    /// Its number, and that of its next child.
    slot: usize,
    next: usize,
    rest: std::slice::Iter<'a, (Key, Value)>,
    key: Option<&'a Key>,
    done: Done,
}

/// What of it is described so far.
enum Done {
    List(Vec<Json>),
    Named(Map<String, Json>),
}

enum Begun<'a> {
    Whole(Json),
    Open(Open<'a>),
}

impl<'a> Open<'a> {
    fn begin(value: &'a Value, slot: usize, done: Done) -> Begun<'a> {
        let rest = value.children().iter();
        Begun::Open(Self {
            value,
            slot,
            next: slot.saturating_add(1),
            rest,
            key: None,
            done,
        })
    }

    fn put(&mut self, json: Json) {
        match &mut self.done {
            Done::List(items) => items.push(json),
            Done::Named(members) => {
                let name = match (self.value, self.key) {
                    (Value::Object(_), Some(key)) => key.name().into_owned(),
                    (_, Some(Key::String(bytes))) => String::from_utf8_lossy(bytes).into_owned(),
                    (_, Some(Key::Int(index))) => index.to_string(),
                    (_, None) => String::new(),
                };
                members.insert(name, json);
            }
        }
    }

    fn close(self) -> Json {
        match (self.done, self.value) {
            (Done::List(items), _) => Json::Array(items),
            (Done::Named(properties), Value::Object(object)) => {
                // Not `json!`, which would copy the properties.
                Json::Object(Map::from_iter([
                    ("class".to_owned(), Json::from(object.class.as_str())),
                    ("properties".to_owned(), Json::Object(properties)),
                ]))
            }
            (Done::Named(members), _) => Json::Object(members),
        }
    }
}

/// Describes the value that has this number (or would have, for `R:`), or opens it.
fn begin<'a>(
    table: &Table<'a>,
    open: &[Open<'a>],
    value: &'a Value,
    slot: usize,
) -> Result<Begun<'a>, Error> {
    table.visit()?;
    let (value, meant) = table.resolve(value)?;
    let slot = meant.unwrap_or(slot);
    if open.len() > MAX_DEPTH {
        return Err(Error::Field(
            "values nested too deep through references".to_owned(),
        ));
    }
    Ok(match value {
        Value::Array(_) | Value::Object(_) if open.iter().any(|around| around.slot == slot) => {
            Begun::Whole(json!({ "ref": slot }))
        }
        Value::Array(pairs) if is_list(pairs) => Open::begin(value, slot, Done::List(Vec::new())),
        Value::Array(_) | Value::Object(_) => Open::begin(value, slot, Done::Named(Map::new())),
        leaf => Begun::Whole(scalar(leaf)),
    })
}

fn scalar(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(float) => {
            serde_json::Number::from_f64(float.value()).map_or_else(|| Json::from(float.text()), Json::Number)
        }
        Value::String(bytes) => string(bytes),
        Value::Enum { class, case } => json!({ "enum": format!("{class}::{case}") }),
        Value::Custom { class, data } => json!({ "class": class, "custom": string(data) }),
        Value::Null | Value::Reference { .. } | Value::Array(_) | Value::Object(_) => Json::Null,
    }
}

fn string(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => Json::from(text),
        Err(_) => json!({ "bytes": crypt::hex(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::php::decode;

    fn described(text: &[u8]) -> Json {
        describe(&decode(text).unwrap()).unwrap()
    }

    #[test]
    fn values_of_every_kind() {
        let text = concat!(
            "O:1:\"J\":9:{s:4:\"\0*\0a\";E:6:\"S\\T:Up\";s:4:\"\0P\0b\";i:1;s:4:\"\0J\0b\";i:2;",
            "s:1:\"c\";a:2:{i:0;N;i:1;b:1;}s:1:\"d\";a:2:{i:1;d:INF;s:1:\"k\";d:-0.5;}s:1:\"e\";a:0:{}",
            "s:1:\"f\";O:1:\"K\":1:{i:0;d:NAN;}s:1:\"g\";C:1:\"L\":2:{ab}s:1:\"h\";d:5;}"
        );
        let expected = json!({"class": "J", "properties": {
            "a": {"enum": "S\\T::Up"}, "b": 2, "c": [null, true], "d": {"1": "INF", "k": -0.5}, "e": [],
            "f": {"class": "K", "properties": {"0": "NAN"}}, "g": {"class": "L", "custom": "ab"}, "h": 5.0,
        }});
        assert_eq!(described(text.as_bytes()), expected);
        assert_eq!(described(b"s:2:\"\xff\x00\";"), json!({"bytes": "ff00"}));
    }

    #[test]
    fn shared_values_are_resolved_and_circles_named() {
        let shared = "a:3:{i:0;O:1:\"A\":1:{s:1:\"x\";i:1;}i:1;r:2;i:2;R:2;}";
        let object = json!({"class": "A", "properties": {"x": 1}});
        assert_eq!(described(shared.as_bytes()), json!([object, object, object]));

        let own = "O:1:\"A\":2:{s:1:\"x\";i:1;s:4:\"self\";r:1;}";
        assert_eq!(
            described(own.as_bytes()),
            json!({"class": "A", "properties": {"x": 1, "self": {"ref": 1}}})
        );

        let inner = "a:2:{i:0;i:7;i:1;O:1:\"A\":1:{s:1:\"b\";O:1:\"B\":1:{s:1:\"a\";r:3;}}}";
        let inside = json!({"class": "B", "properties": {"a": {"ref": 3}}});
        assert_eq!(
            described(inner.as_bytes()),
            json!([7, {"class": "A", "properties": {"b": inside}}])
        );

        let list = "a:1:{i:0;R:1;}";
        assert_eq!(described(list.as_bytes()), json!([{"ref": 1}]));
    }

    #[test]
    fn shared_values_cannot_blow_up() {
        use std::fmt::Write as _;
        let mut text = String::from("a:60:{i:0;O:1:\"A\":0:{}");
        for index in 1..60 {
            let before = if index == 1 { 2 } else { 3 * index - 3 };
            write!(
                text,
                "i:{index};O:1:\"A\":2:{{s:1:\"a\";r:{before};s:1:\"b\";r:{before};}}"
            )
            .unwrap();
        }
        text.push('}');
        assert!(describe(&decode(text.as_bytes()).unwrap()).is_err());
    }

    #[test]
    fn depth_is_no_danger() {
        let nested = |depth: usize| "a:1:{i:0;".repeat(depth) + "N;" + &"}".repeat(depth);
        drop(described(nested(512).as_bytes()));
        let deep = |levels: usize| {
            format!(
                "{{\"job\":\"A@b\",\"data\":{}{}}}",
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        assert!(inspect(deep(100).as_bytes(), None).is_ok());
        assert!(
            inspect(deep(100_000).as_bytes(), None)
                .unwrap_err()
                .offset()
                .is_some()
        );
    }
}
