//! A PHP value as `serialize` describes it.

use std::borrow::Cow;

use crate::wire::number;

/// Any value that `serialize` can write. Nothing is ever instantiated from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `N;`
    Null,
    /// `b:1;`
    Bool(bool),
    /// `i:5;`
    Int(i64),
    /// `d:0.5;`
    Float(Float),
    /// `s:1:"a";` — bytes, usually but not always UTF-8.
    String(Vec<u8>),
    /// `a:1:{…}` — pairs in order.
    Array(Vec<(Key, Self)>),
    /// `O:1:"C":1:{…}`
    Object(Object),
    /// `E:3:"C:A";`
    Enum {
        /// The enum's class.
        class: String,
        /// The name of the case (not its backing value).
        case: String,
    },
    /// `C:1:"C":1:{…}` — an object that wrote itself in a form only its class knows.
    Custom {
        /// Its class.
        class: String,
        /// What it wrote.
        data: Vec<u8>,
    },
    /// `r:1;` (the same object) or `R:1;` (the same variable).
    Reference {
        /// The number of the value meant: values count from 1 in the order they are written, `R:` and
        /// array keys not counted.
        slot: usize,
        /// True for `R:`.
        alias: bool,
    },
}

impl Value {
    /// A string value.
    #[must_use]
    pub fn string(text: impl Into<Vec<u8>>) -> Self {
        Self::String(text.into())
    }

    /// The text of a string that is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The integer.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// What PHP's `empty()` says of it, references aside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) | Self::Int(0) => true,
            Self::Float(float) => float.value() == 0.0,
            Self::String(bytes) => bytes.is_empty() || bytes == b"0",
            Self::Array(pairs) => pairs.is_empty(),
            Self::Bool(true) | Self::Int(_) | Self::Object(_) | Self::Enum { .. } | Self::Custom { .. } => {
                false
            }
            Self::Reference { .. } => false,
        }
    }

    /// The pairs or properties inside, if it can hold any.
    #[must_use]
    pub fn children(&self) -> &[(Key, Self)] {
        match self {
            Self::Array(pairs) => pairs,
            Self::Object(object) => &object.properties,
            _ => &[],
        }
    }
}

/// A float with the exact text it was written as, so that it is written the same again.
#[derive(Debug, Clone)]
pub struct Float {
    value: f64,
    text: Box<str>,
}

impl Float {
    /// A float in the notation of PHP 7.1 and later (`serialize_precision = -1`).
    #[must_use]
    pub fn new(value: f64) -> Self {
        let text = match value {
            f64::INFINITY => "INF".into(),
            f64::NEG_INFINITY => "-INF".into(),
            _ if value.is_nan() => "NAN".into(),
            _ => number::float(value, 'E').into(),
        };
        Self { value, text }
    }

    /// A float from the text after `d:`; `None` when PHP would not take it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = match text {
            "INF" => f64::INFINITY,
            "-INF" => f64::NEG_INFINITY,
            "NAN" => f64::NAN,
            _ if text
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) =>
            {
                text.parse().ok()?
            }
            _ => return None,
        };
        Some(Self {
            value,
            text: text.into(),
        })
    }

    /// The number.
    #[must_use]
    pub const fn value(&self) -> f64 {
        self.value
    }

    /// The number as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// By text, so that NAN equals itself and -0 differs from 0.
impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The key of a pair in an array, or the name of a property.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// `i:0;`
    Int(i64),
    /// `s:1:"a";` — for a protected property `\0*\0name`, for a private one `\0Class\0name`.
    String(Vec<u8>),
}

impl Key {
    /// The key as text; as a property's name with its visibility mark stripped. Not UTF-8: lossy.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Int(index) => Cow::Owned(index.to_string()),
            Self::String(bytes) => String::from_utf8_lossy(strip_mark(bytes)),
        }
    }
}

impl From<&str> for Key {
    fn from(name: &str) -> Self {
        Self::String(name.as_bytes().to_vec())
    }
}

/// `\0*\0name` and `\0Class\0name` become `name`.
fn strip_mark(name: &[u8]) -> &[u8] {
    let Some(marked) = name.strip_prefix(b"\0") else {
        return name;
    };
    match marked.iter().position(|&byte| byte == 0) {
        Some(end) => marked.get(end.saturating_add(1)..).unwrap_or_default(),
        None => name,
    }
}

/// An object: its class and its properties in order, names as PHP mangles them.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The class.
    pub class: String,
    /// The properties; names may be integers where the class has its own `__serialize`.
    pub properties: Vec<(Key, Value)>,
}

impl Object {
    /// The property of this name, visibility aside; where parent and child share one, the last.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.properties
            .iter()
            .rev()
            .find(|(key, _)| key.name() == name)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_marks_are_stripped() {
        for (raw, name) in [
            ("a", "a"),
            ("\0*\0a", "a"),
            ("\0App\\Job\0a", "a"),
            ("\0a", "\0a"),
            ("", ""),
        ] {
            assert_eq!(Key::from(raw).name(), name);
        }
        assert_eq!(Key::Int(-3).name(), "-3");
    }

    #[test]
    fn the_last_property_of_a_name_wins() {
        let object = Object {
            class: "C".to_owned(),
            properties: vec![("\0P\0a".into(), Value::Int(1)), ("\0C\0a".into(), Value::Int(2))],
        };
        assert_eq!(object.property("a"), Some(&Value::Int(2)));
    }
}
