//! What is inside arrays and objects, item by item.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::Deserializer;
use crate::wire::php::{Key, Value};
use crate::wire::{Error, number};

/// The items of a list.
pub(super) struct List<'t, 'a> {
    pub(super) of: Deserializer<'t, 'a>,
    pub(super) pairs: std::slice::Iter<'a, (Key, Value)>,
}

impl<'de> SeqAccess<'de> for List<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match self.pairs.next() {
            Some((_, value)) => seed.deserialize(self.of.inner(value)?).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.pairs.len())
    }
}

/// The entries of an array or the properties of an object.
pub(super) struct Entries<'t, 'a> {
    pub(super) of: Deserializer<'t, 'a>,
    pub(super) entries: std::vec::IntoIter<(Name<'a>, &'a Value)>,
    pub(super) value: Option<&'a Value>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let value = self
            .value
            .take()
            .ok_or_else(|| Error::Field("a value before its key".to_owned()))?;
        seed.deserialize(self.of.inner(value)?)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A key or a property's name; text unless bytes or an integer is asked for.
pub(super) enum Name<'a> {
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

impl<'a> Name<'a> {
    pub(super) fn of_key(key: &'a Key) -> Self {
        match key {
            Key::Int(index) => Self::Text(Cow::Owned(index.to_string())),
            Key::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Self::Text(Cow::Borrowed(text)),
                Err(_) => Self::Bytes(bytes),
            },
        }
    }
}

macro_rules! integer_names {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match &self {
                Name::Text(text) => match number::integer(text) {
                    Some(index) => visitor.visit_i64(index),
                    None => self.deserialize_any(visitor),
                },
                Name::Bytes(_) => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for Name<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Name::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Name::Text(Cow::Owned(text)) => visitor.visit_string(text),
            Name::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
        }
    }

    integer_names! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Name::Text(text) => {
                let text: de::value::CowStrDeserializer<'_, Error> = text.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            Name::Bytes(_) => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
