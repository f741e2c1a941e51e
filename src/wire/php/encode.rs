//! The writer.

use super::value::{Key, Value};

/// Writes a value as `serialize` would; the inverse of [`decode`](super::decode()) for all that PHP writes.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // The pairs still to write of each open array or object, outermost first.
    let mut open = vec![];
    let mut next = Some(value);
    loop {
        if let Some(value) = next.take() {
            if let Some(pairs) = begin(value, &mut out) {
                open.push(pairs.iter());
            }
        } else {
            let Some(pairs) = open.last_mut() else { return out };
            if let Some((key, value)) = pairs.next() {
                write_key(key, &mut out);
                next = Some(value);
            } else {
                out.push(b'}');
                open.pop();
            }
        }
    }
}

/// Writes a value, or its head up to `{` and gives back what belongs inside.
fn begin<'a>(value: &'a Value, out: &mut Vec<u8>) -> Option<&'a [(Key, Value)]> {
    match value {
        Value::Null => out.extend_from_slice(b"N;"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"b:1;" } else { b"b:0;" }),
        Value::Int(value) => put(out, &["i:", &value.to_string(), ";"]),
        Value::Float(value) => put(out, &["d:", value.text(), ";"]),
        Value::String(bytes) => write_string(bytes, out),
        Value::Enum { class, case } => {
            let length = class
                .len()
                .saturating_add(case.len())
                .saturating_add(1)
                .to_string();
            put(out, &["E:", &length, ":\"", class, ":", case, "\";"]);
        }
        Value::Custom { class, data } => {
            let (class_length, length) = (class.len().to_string(), data.len().to_string());
            put(out, &["C:", &class_length, ":\"", class, "\":", &length, ":{"]);
            out.extend_from_slice(data);
            out.push(b'}');
        }
        Value::Reference { slot, alias } => {
            put(out, &[if *alias { "R:" } else { "r:" }, &slot.to_string(), ";"]);
        }
        Value::Array(pairs) => {
            put(out, &["a:", &pairs.len().to_string(), ":{"]);
            return Some(pairs);
        }
        Value::Object(object) => {
            let (length, count) = (
                object.class.len().to_string(),
                object.properties.len().to_string(),
            );
            put(out, &["O:", &length, ":\"", &object.class, "\":", &count, ":{"]);
            return Some(&object.properties);
        }
    }
    None
}

fn write_key(key: &Key, out: &mut Vec<u8>) {
    match key {
        Key::Int(index) => put(out, &["i:", &index.to_string(), ";"]),
        Key::String(bytes) => write_string(bytes, out),
    }
}

fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    put(out, &["s:", &bytes.len().to_string(), ":\""]);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\";");
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::php::{Float, Object, decode};

    fn keys() -> impl Strategy<Value = Key> + Clone {
        prop_oneof![
            any::<i64>().prop_map(Key::Int),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(Key::String),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let class = "[A-Z][a-z\\\\]{0,6}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(|float| Value::Float(Float::new(float))),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::String),
            (class, "[A-Z]{1,3}").prop_map(|(class, case)| Value::Enum { class, case }),
            (class, prop::collection::vec(any::<u8>(), 0..9))
                .prop_map(|(class, data)| Value::Custom { class, data }),
            Just(Value::Reference { slot: 1, alias: true }),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            let pairs = prop::collection::vec((keys(), inner), 0..5).boxed();
            prop_oneof![
                pairs.clone().prop_map(Value::Array),
                (class, pairs).prop_map(|(class, properties)| Value::Object(Object { class, properties })),
            ]
        })
    }

    proptest! {
        #[test]
        fn comes_back_the_same(value in prop::collection::vec((keys(), values()), 0..4).prop_map(Value::Array)) {
            let text = encode(&value);
            let back = decode(&text).unwrap();
            prop_assert_eq!(&back, &value);
            prop_assert_eq!(encode(&back), text);
        }
    }
}
