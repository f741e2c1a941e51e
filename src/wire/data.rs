//! From JSON to a Rust type, by serde, in words that quote none of it.
//!
//! What `serde_json` reads is read here too. Its errors quote values, though, and end in logs and records;
//! these name kinds and members only. PHP writes an empty map as `[]`, so a list is a map where a map or a
//! struct is asked for.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value as Json;

use super::Error;

/// A JSON value on its way into a Rust type.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a>(pub &'a Json);

/// The name of a member; a number where one is asked for.
struct Name(String);

fn entries<'a>(
    members: &'a serde_json::Map<String, Json>,
) -> MapDeserializer<'a, impl Iterator<Item = (Name, Data<'a>)>, Error> {
    MapDeserializer::new(
        members
            .iter()
            .map(|(name, value)| (Name(name.clone()), Data(value))),
    )
}

fn numbered<'a>(items: &'a [Json]) -> MapDeserializer<'a, impl Iterator<Item = (Name, Data<'a>)>, Error> {
    MapDeserializer::new(
        items
            .iter()
            .enumerate()
            .map(|(index, value)| (Name(index.to_string()), Data(value))),
    )
}

impl<'de> de::Deserializer<'de> for Data<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => visitor.visit_borrowed_str(text),
            Json::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Data))),
            Json::Object(members) => visitor.visit_map(entries(members)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Json::Array(items) => visitor.visit_map(numbered(items)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Json::Array(items) if !items.is_empty() => {
                visitor.visit_seq(SeqDeserializer::new(items.iter().map(Data)))
            }
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Json::String(case) => visitor.visit_enum(StrDeserializer::new(case)),
            Json::Object(members) => visitor.visit_enum(MapAccessDeserializer::new(entries(members))),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Data<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match (self.0.parse::<u64>(), self.0.parse::<i64>()) {
                (Ok(number), _) => visitor.visit_u64(number),
                (Err(_), Ok(number)) => visitor.visit_i64(number),
                (Err(_), Err(_)) => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for Name {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Name {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Job {
        company_id: u64,
        note: Option<String>,
        kind: Kind,
        #[serde(flatten)]
        rest: BTreeMap<String, Json>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        Plain,
        With(u8),
        Named { x: i64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(u64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Nothing;

    fn agree<T: DeserializeOwned + PartialEq + std::fmt::Debug>(json: &Json) {
        let expected = serde_json::from_value::<T>(json.clone()).unwrap();
        assert_eq!(T::deserialize(Data(json)).unwrap(), expected);
    }

    #[test]
    fn what_serde_json_reads_is_read() {
        for kind in [json!("Plain"), json!({"With": 5}), json!({"Named": {"x": -1}})] {
            agree::<Job>(&json!({"companyId": u64::MAX, "kind": kind, "more": {}, "list": [1.5]}));
        }
        agree::<Id>(&json!(7));
        agree::<Nothing>(&json!(null));
        agree::<(u8, String)>(&json!([1, "a"]));
        agree::<HashMap<i64, HashMap<String, bool>>>(&json!({"5": {"6": true}, "-5": {}}));
        agree::<BTreeMap<Id, u8>>(&json!({"7": 1}));
        agree::<Json>(&json!({"a": [], "b": {}, "c": null}));
    }

    impl PartialOrd for Id {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Eq for Id {}

    impl Ord for Id {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }

    #[test]
    fn phps_empty_maps_are_maps() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Defaults {
            #[serde(default)]
            a: u8,
            #[serde(default)]
            b: BTreeMap<String, u8>,
        }
        for json in [json!([]), json!({"b": []})] {
            let read = Defaults::deserialize(Data(&json)).unwrap();
            assert_eq!(
                read,
                Defaults {
                    a: 0,
                    b: BTreeMap::new()
                }
            );
        }
        let listed = BTreeMap::<u8, u8>::deserialize(Data(&json!([5]))).unwrap();
        assert_eq!(listed, BTreeMap::from([(0, 5)]));
    }

    #[test]
    fn errors_quote_nothing() {
        for json in [
            json!({"companyId": "secret", "kind": "Plain"}),
            json!({"companyId": 1, "kind": "secret"}),
        ] {
            let error = Job::deserialize(Data(&json)).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
