//! From a PHP value to a Rust type, by serde.

mod access;

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, Visitor};
use serde::forward_to_deserialize_any;

use super::table::Table;
use super::value::{Key, Object, Value};
use crate::wire::Error;
use access::{Entries, List, Name};

/// How deep a value may be read into a Rust type, references followed; serde recurses, and this is the
/// limit of `serde_json` too.
const MAX_DEPTH: usize = 128;

/// Reads a Rust type out of a value.
///
/// # Errors
/// [`Error::Field`] when the value does not fit the type, or its references run in a circle.
pub fn from_value<'a, T: Deserialize<'a>>(value: &'a Value) -> Result<T, Error> {
    T::deserialize(Table::new(value).deserializer())
}

/// A PHP value on its way into a Rust type.
///
/// - Objects are maps of their properties, visibility marks stripped; of two with one name the last wins.
/// - Arrays with the keys 0..n-1 are sequences, others maps; an empty one is whichever is asked for, and
///   any array is a map where a map or struct is asked for.
/// - Enums are the name of their case; so are strings where a Rust enum is asked for.
/// - Strings that are not UTF-8 are bytes, and so is what a `C:` object wrote.
/// - References are what they refer to. Numbers stay what they are: `"5"` is no integer.
#[derive(Debug, Clone, Copy)]
pub struct Deserializer<'t, 'a> {
    table: &'t Table<'a>,
    value: &'a Value,
    depth: usize,
}

impl<'t, 'a> Deserializer<'t, 'a> {
    pub(super) const fn new(table: &'t Table<'a>, value: &'a Value) -> Self {
        Self {
            table,
            value,
            depth: 0,
        }
    }

    fn inner(self, value: &'a Value) -> Result<Self, Error> {
        self.table.visit()?;
        if self.depth > MAX_DEPTH {
            return Err(Error::Field(
                "values refer to themselves, or are nested too deep".to_owned(),
            ));
        }
        Ok(Self {
            table: self.table,
            value,
            depth: self.depth.saturating_add(1),
        })
    }

    /// Itself, with a reference replaced by what it means.
    fn resolved(self) -> Result<Self, Error> {
        let (value, _) = self.table.resolve(self.value)?;
        Ok(Self { value, ..self })
    }

    fn list(self, pairs: &'a [(Key, Value)]) -> List<'t, 'a> {
        List {
            of: self,
            pairs: pairs.iter(),
        }
    }

    fn map(self, pairs: &'a [(Key, Value)]) -> Entries<'t, 'a> {
        let entries: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (Name::of_key(key), value))
            .collect();
        Entries {
            of: self,
            entries: entries.into_iter(),
            value: None,
        }
    }

    fn properties(self, object: &'a Object) -> Entries<'t, 'a> {
        let mut entries: Vec<(Name<'a>, &'a Value)> = Vec::with_capacity(object.properties.len());
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::with_capacity(object.properties.len());
        for (key, value) in &object.properties {
            let name = key.name();
            let place = *places.entry(name.clone()).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => entries.push((Name::Text(name), value)),
            }
        }
        Entries {
            of: self,
            entries: entries.into_iter(),
            value: None,
        }
    }
}

/// Whether the keys are 0..n-1 in order, as in a list of PHP's.
pub(in crate::wire) fn is_list(pairs: &[(Key, Value)]) -> bool {
    (0_i64..)
        .zip(pairs)
        .all(|(index, (key, _))| *key == Key::Int(index))
}

impl<'de> de::Deserializer<'de> for Deserializer<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let this = self.resolved()?;
        match this.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(value.value()),
            Value::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
            Value::Array(pairs) if is_list(pairs) => visitor.visit_seq(this.list(pairs)),
            Value::Array(pairs) => visitor.visit_map(this.map(pairs)),
            Value::Object(object) => visitor.visit_map(this.properties(object)),
            Value::Enum { case, .. } => visitor.visit_borrowed_str(case),
            Value::Custom { data, .. } => visitor.visit_borrowed_bytes(data),
            Value::Reference { .. } => Err(Error::Field("a reference leads nowhere".to_owned())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let this = self.resolved()?;
        match this.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(this),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let this = self.resolved()?;
        match this.value {
            Value::Array(pairs) => visitor.visit_map(this.map(pairs)),
            _ => this.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let this = self.resolved()?;
        match this.value {
            Value::String(bytes) => visitor.visit_borrowed_bytes(bytes),
            _ => this.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
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
        let this = self.resolved()?;
        match this.value {
            Value::Enum { case, .. } => visitor.visit_enum(StrDeserializer::new(case)),
            Value::Object(object) => visitor.visit_enum(MapAccessDeserializer::new(this.properties(object))),
            Value::Array(pairs) => visitor.visit_enum(MapAccessDeserializer::new(this.map(pairs))),
            value => match value.as_str() {
                Some(case) => visitor.visit_enum(StrDeserializer::new(case)),
                None => this.deserialize_any(visitor),
            },
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct seq tuple
        tuple_struct identifier
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::Deserialize;

    use super::*;
    use crate::wire::php::decode;

    fn read<T: de::DeserializeOwned>(text: &str) -> Result<T, Error> {
        from_value(&decode(text.as_bytes()).unwrap())
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Suit {
        Spades,
        Hearts,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Job {
        company_id: u64,
        note: Option<String>,
        suit: Suit,
        lines: Vec<f64>,
        map: BTreeMap<String, i64>,
        by_id: HashMap<i64, bool>,
        #[serde(default)]
        missing: u8,
        same: Option<Box<Point>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i64,
    }

    #[test]
    fn reads_an_object_with_every_visibility() {
        let text = concat!(
            "O:1:\"J\":9:{s:12:\"\0*\0companyId\";i:7;s:4:\"note\";N;s:7:\"\0J\0suit\";E:11:\"Suit:Spades\";",
            "s:5:\"lines\";a:2:{i:0;d:1.5;i:1;i:2;}s:3:\"map\";a:0:{}s:4:\"byId\";a:1:{i:9;b:1;}",
            "s:5:\"other\";O:1:\"P\":1:{s:1:\"x\";i:3;}s:4:\"same\";r:11;s:5:\"extra\";a:1:{s:1:\"k\";R:11;}}"
        );
        assert_eq!(
            read::<Job>(text).unwrap(),
            Job {
                company_id: 7,
                note: None,
                suit: Suit::Spades,
                lines: vec![1.5, 2.0],
                map: BTreeMap::new(),
                by_id: HashMap::from([(9, true)]),
                missing: 0,
                same: Some(Box::new(Point { x: 3 })),
            }
        );
    }

    #[test]
    fn an_empty_array_is_whatever_is_asked_for() {
        assert_eq!(read::<Vec<u8>>("a:0:{}").unwrap(), Vec::<u8>::new());
        assert_eq!(read::<BTreeMap<String, u8>>("a:0:{}").unwrap(), BTreeMap::new());
        assert_eq!(
            read::<serde_json::Value>("a:0:{}").unwrap(),
            serde_json::json!([])
        );
        assert_eq!(
            read::<BTreeMap<u8, u8>>("a:1:{i:0;i:5;}").unwrap(),
            BTreeMap::from([(0, 5)])
        );
        assert_eq!(
            read::<(u8, String)>("a:2:{i:0;i:5;i:1;s:1:\"a\";}").unwrap(),
            (5, "a".to_owned())
        );
    }

    #[test]
    fn the_child_wins_over_the_parent() {
        let text = "O:1:\"C\":2:{s:4:\"\0P\0x\";i:1;s:4:\"\0C\0x\";i:2;}";
        assert_eq!(read::<Point>(text).unwrap(), Point { x: 2 });
    }

    #[test]
    fn strings_and_wrong_types() {
        assert_eq!(read::<Suit>("s:6:\"Hearts\";").unwrap(), Suit::Hearts);
        assert!(read::<Suit>("s:6:\"Clubs!\";").is_err());
        assert!(read::<String>("i:5;").is_err());
        assert!(read::<u8>("i:256;").is_err());
        assert!(read::<u64>("s:1:\"5\";").is_err());
        let value = Value::String(vec![0xFF, 0]);
        assert!(from_value::<String>(&value).is_err());
        assert_eq!(from_value::<&[u8]>(&value).err(), None);
    }

    #[test]
    fn a_circle_is_an_error() {
        let circle = "O:1:\"A\":1:{s:4:\"self\";r:1;}";
        assert!(read::<serde_json::Value>(circle).is_err());
        assert!(read::<serde_json::Value>("a:1:{i:0;R:1;}").is_err());
        // Not looked at, it does no harm.
        assert!(read::<BTreeMap<String, de::IgnoredAny>>(circle).is_ok());
    }

    #[test]
    fn shared_values_cannot_blow_up() {
        use std::fmt::Write as _;
        let mut text = String::from("a:60:{i:0;O:1:\"A\":0:{}");
        for index in 1..60 {
            // The object of slot 2, then 3 slots each: every one holds the one before it twice.
            let before = if index == 1 { 2 } else { 3 * index - 3 };
            write!(
                text,
                "i:{index};O:1:\"A\":2:{{s:1:\"a\";r:{before};s:1:\"b\";r:{before};}}"
            )
            .unwrap();
        }
        text.push('}');
        assert!(read::<serde_json::Value>(&text).is_err());
    }

    #[test]
    fn the_deepest_value_fits_the_stack() {
        let nested = |depth: usize| "a:1:{i:0;".repeat(depth) + "N;" + &"}".repeat(depth);
        assert!(read::<serde_json::Value>(&nested(MAX_DEPTH)).is_ok());
        assert!(read::<serde_json::Value>(&nested(MAX_DEPTH + 2)).is_err());
    }
}
