//! Serde modules for JSON forms that Rust's types do not say: Go's `int` and `time.Duration`,
//! RFC 3339 times, and raw text for enums.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

/// Names the deserializer recognises; see [`super::go`].
pub(super) const RAW: &str = "$raw";
pub(super) const TIME: &str = "time.Time";

/// The raw JSON text of a value, for types that judge it themselves.
pub(crate) fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_newtype_struct(RAW, TextVisitor)
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

struct IntVisitor;

impl Visitor<'_> for IntVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }
}

/// An `i64` that is Go's `int`.
pub mod int {
    use serde::{Deserializer, Serializer};

    /// Writes the number.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(*value)
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// When the value is no integer of 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        deserializer.deserialize_newtype_struct("int", super::IntVisitor)
    }
}

/// An `i64` of nanoseconds that is Go's `time.Duration`.
pub mod duration {
    use serde::{Deserializer, Serializer};

    /// Writes the nanoseconds.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(*value)
    }

    /// Reads nanoseconds.
    ///
    /// # Errors
    /// When the value is no integer of 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        deserializer.deserialize_newtype_struct("time.Duration", super::IntVisitor)
    }
}

/// A list of nanoseconds, Go's `[]time.Duration`.
pub mod durations {
    use serde::de::{DeserializeSeed, SeqAccess, Visitor};
    use serde::{Deserializer, Serialize, Serializer};

    /// Writes the nanoseconds.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &[i64], serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    /// Reads a list of nanoseconds.
    ///
    /// # Errors
    /// When the value is no list, or an element no integer of 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
        deserializer.deserialize_newtype_struct("[]time.Duration", List)
    }

    struct List;

    impl<'de> Visitor<'de> for List {
        type Value = Vec<i64>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of spans")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<i64>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element_seed(Element)? {
                list.push(item);
            }
            Ok(list)
        }
    }

    struct Element;

    impl<'de> DeserializeSeed<'de> for Element {
        type Value = i64;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i64, D::Error> {
            super::duration::deserialize(deserializer)
        }
    }
}

/// An optional RFC 3339 time as nanoseconds since 1970; absent, `null` and Go's zero time are
/// `None`. Use with `skip_serializing_if = "Option::is_none"` where the field is omitted.
pub mod time {
    use serde::{Deserializer, Serializer};

    /// Writes the time, Go's zero time for `None`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::time::rfc3339(value.unwrap_or(0)))
    }

    /// Reads a time.
    ///
    /// # Errors
    /// When the value is no RFC 3339 time, in Go's words.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<i64>, D::Error> {
        let text = deserializer.deserialize_newtype_struct(super::TIME, super::TextVisitor)?;
        if text.is_empty() {
            return Ok(None);
        }
        match crate::time::parse_rfc3339(&text) {
            Some(0) => Ok(None),
            Some(ns) => Ok(Some(ns)),
            None => Err(serde::de::Error::custom(format!(
                "parsing time {0} as \"2006-01-02T15:04:05Z07:00\": cannot parse {0} as \"2006\"",
                crate::json::go_quote(&text)
            ))),
        }
    }
}

/// A time that is always written (`created`, `ts`, `last_ts`), as nanoseconds since 1970; 0 is
/// Go's zero time.
pub mod stamp {
    use serde::{Deserializer, Serializer};

    /// Writes the time.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::time::rfc3339(*value))
    }

    /// Reads a time.
    ///
    /// # Errors
    /// When the value is no RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        Ok(super::time::deserialize(deserializer)?.unwrap_or(0))
    }
}
