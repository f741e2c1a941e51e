//! PHP's `serialize` format: values, reader, writer, and their way into Rust types.

pub mod build;

mod de;
mod decode;
mod encode;
mod table;
mod value;

pub(super) use de::is_list;
pub use de::{Deserializer, from_value};
pub use decode::{MAX_BYTES, MAX_DEPTH, MAX_VALUES, decode};
pub use encode::encode;
pub use table::Table;
pub use value::{Float, Key, Object, Value};
