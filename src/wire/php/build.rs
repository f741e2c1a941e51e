//! From JSON to PHP values, for jobs that we dispatch.

use serde_json::{Map, Value as Json};

use super::decode::MAX_DEPTH;
use super::value::{Float, Key, Object, Value};
use crate::wire::Error;

/// An object of `class` with these properties, in order.
///
/// A name may begin with `protected:` or `private:`; the property then gets PHP's mangled name (private:
/// to `class` itself). JSON arrays and objects become PHP arrays, integers beyond 64 bits floats.
///
/// # Errors
/// [`Error::Field`] when the properties are nested deeper than [`MAX_DEPTH`].
pub fn object(class: &str, properties: &Map<String, Json>) -> Result<Value, Error> {
    let property = |(name, value): (&String, &Json)| Ok((mangle(class, name), convert(value, 1)?));
    let properties = properties.iter().map(property).collect::<Result<_, Error>>()?;
    Ok(Value::Object(Object {
        class: class.to_owned(),
        properties,
    }))
}

fn convert(json: &Json, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::Field("more than 512 levels deep".to_owned()));
    }
    let deeper = depth.saturating_add(1);
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(Float::new(number.as_f64().unwrap_or_default())),
        },
        Json::String(text) => Value::string(text.as_str()),
        Json::Array(items) => {
            let item = |(index, item)| Ok((Key::Int(index), convert(item, deeper)?));
            Value::Array((0..).zip(items).map(item).collect::<Result<_, Error>>()?)
        }
        Json::Object(members) => {
            let member = |(name, item): (&String, _)| Ok((array_key(name), convert(item, deeper)?));
            Value::Array(members.iter().map(member).collect::<Result<_, Error>>()?)
        }
    })
}

/// PHP keeps `"5"` as the integer 5, but `"05"` and `"+5"` as strings.
fn array_key(name: &str) -> Key {
    match name.parse::<i64>() {
        Ok(index) if index.to_string() == name => Key::Int(index),
        _ => name.into(),
    }
}

fn mangle(class: &str, name: &str) -> Key {
    if let Some(name) = name.strip_prefix("protected:") {
        Key::String([b"\0*\0", name.as_bytes()].concat())
    } else if let Some(name) = name.strip_prefix("private:") {
        Key::String([b"\0", class.as_bytes(), b"\0", name.as_bytes()].concat())
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::php::encode;

    #[test]
    fn builds_what_php_would_serialize() {
        let json = json!({
            "protected:id": 5,
            "private:x": null,
            "list": [true, 1.5, u64::MAX],
            "map": {"5": "a", "05": "б", "-0": {}},
        });
        let built = object("App\\J", json.as_object().unwrap()).unwrap();
        let expected = concat!(
            "O:5:\"App\\J\":4:{s:5:\"\0*\0id\";i:5;s:8:\"\0App\\J\0x\";N;",
            "s:4:\"list\";a:3:{i:0;b:1;i:1;d:1.5;i:2;d:1.8446744073709552E+19;}",
            "s:3:\"map\";a:3:{i:5;s:1:\"a\";s:2:\"05\";s:2:\"б\";s:2:\"-0\";a:0:{}}}"
        );
        assert_eq!(String::from_utf8(encode(&built)).unwrap(), expected);
    }
}
