//! Request bodies, decoded as the reference decodes them, with its texts for what is wrong.
//!
//! Clients show these texts, and tests of clients compare them, so a body is read through a small
//! serde deserializer over raw JSON that follows Go's `encoding/json`: field names match in any
//! letter case, `null` leaves a field at its zero value, the last of two equal keys wins, several
//! values may follow one another, and strict decoding names the first unknown field.
//!
//! The type names in error texts are Go's. A struct gives its own by `#[serde(rename = "…")]`;
//! integers that are not `int64` by the modules [`int`], [`duration`] and [`time`] used with
//! `#[serde(with = "…")]`. All structs read here must be `#[serde(default)]`.

mod go;
pub mod with;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use with::{duration, durations, int, time};

use crate::error::ApiError;

/// Why a body could not be decoded, in the reference's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl serde::de::Error for JsonError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        ApiError::invalid_json(error.0)
    }
}

/// Decodes `body` into `T`. Zero bytes give `T::default()`. `strict` refuses unknown fields;
/// without it they are skipped, and syntax errors come without their offset: the reference uses
/// another reader then.
///
/// # Errors
/// What the reference answers after `invalid JSON: `.
pub fn decode<T: DeserializeOwned + Default>(body: &[u8], strict: bool) -> Result<T, JsonError> {
    let mut value = T::default();
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    while let Some(raw) = values.next() {
        let raw =
            raw.map_err(|error| go::syntax_error(body, values.byte_offset(), &error, strict))?;
        value = T::deserialize(go::Node::root(raw, strict))?;
    }
    Ok(value)
}

/// True when `body` carries nothing: zero bytes, `{}`, or white space around it. What endpoints
/// without parameters accept.
pub fn is_empty(body: &[u8]) -> bool {
    let mut rest = body.iter().filter(|b| !b.is_ascii_whitespace());
    matches!((rest.next(), rest.next(), rest.next()), (None, ..) | (Some(b'{'), Some(b'}'), None))
}

/// Defines an enum that is a string in JSON. `unknown` receives the raw JSON text that matched no
/// name and yields Go's error text.
macro_rules! json_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident, $unknown:path, {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal $(| $other:literal)*,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_meta])* $variant,)* }

        impl $name {
            /// The name in JSON.
            $vis fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = $crate::json::with::raw(deserializer)?;
                match raw.as_str() {
                    $(concat!("\"", $text, "\"") $(| concat!("\"", $other, "\""))* => Ok(Self::$variant),)*
                    other => Err(::serde::de::Error::custom($unknown(other))),
                }
            }
        }
    };
}
pub(crate) use json_enum;

/// `can not unmarshal "\"foo\""`, what most enums of the reference answer.
pub fn cannot_unmarshal(raw: &str) -> String {
    format!("can not unmarshal {}", go_quote(raw))
}

/// `text` as Go's `%q` prints it (ASCII and printable text; what enum texts need).
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Appends `value` as decimal digits.
pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    // Serializing a str into a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    json_enum! {
        /// A sample.
        enum Color, cannot_unmarshal, {
            Red = "red",
            Blue = "blue",
        }
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename = "Placement")]
    struct Inner {
        #[serde(with = "int")]
        depth: i64,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename = "Request")]
    struct Outer {
        name: String,
        max: i64,
        seq: u64,
        small: i32,
        flag: bool,
        #[serde(with = "duration")]
        wait: i64,
        #[serde(with = "durations")]
        steps: Vec<i64>,
        #[serde(with = "time")]
        since: Option<i64>,
        subjects: Vec<String>,
        inner: Option<Inner>,
        color: Option<Color>,
        metadata: BTreeMap<String, String>,
    }

    fn check(body: &str, expected: &str) {
        let text = match decode::<Outer>(body.as_bytes(), true) {
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected, "{body}");
    }

    #[test]
    fn errors_have_the_texts_of_the_reference() {
        for (body, expected) in [
            (r#"{"foo":1}"#, r#"json: unknown field "foo""#),
            (r#"{"inner":{"foo":1}}"#, r#"json: unknown field "foo""#),
            (r#"{"name":"x""#, "unexpected EOF"),
            (r#"{"#, "unexpected EOF"),
            (
                r#"{"name":5}"#,
                "json: cannot unmarshal number into Go struct field Request.name of type string",
            ),
            (
                r#"{"max":"x"}"#,
                "json: cannot unmarshal string into Go struct field Request.max of type int64",
            ),
            (
                r#"{"max":1e3}"#,
                "json: cannot unmarshal number 1e3 into Go struct field Request.max of type int64",
            ),
            (
                r#"{"seq":-1}"#,
                "json: cannot unmarshal number -1 into Go struct field Request.seq of type uint64",
            ),
            (
                r#"{"small":3000000000}"#,
                "json: cannot unmarshal number 3000000000 into Go struct field Request.small of type int32",
            ),
            (
                r#"{"flag":1}"#,
                "json: cannot unmarshal number into Go struct field Request.flag of type bool",
            ),
            (
                r#"{"wait":true}"#,
                "json: cannot unmarshal bool into Go struct field Request.wait of type time.Duration",
            ),
            (
                r#"{"steps":["x"]}"#,
                "json: cannot unmarshal string into Request.steps.0 of type time.Duration",
            ),
            (
                r#"{"since":"x"}"#,
                r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
            ),
            (
                r#"{"since":5}"#,
                "json: cannot unmarshal number into Go struct field Request.since of type time.Time",
            ),
            (
                r#"{"subjects":"x"}"#,
                "json: cannot unmarshal string into Go struct field Request.subjects of type []string",
            ),
            (
                r#"{"subjects":[1]}"#,
                "json: cannot unmarshal number into Request.subjects.0 of type string",
            ),
            (
                r#"{"inner":{"depth":"x"}}"#,
                "json: cannot unmarshal string into Go struct field Request.inner.depth of type int",
            ),
            (
                r#"{"inner":5}"#,
                "json: cannot unmarshal number into Go struct field Request.inner of type server.Placement",
            ),
            (
                r#"{"metadata":{"a":1}}"#,
                "json: cannot unmarshal number into Go struct field Request.metadata.a of type string",
            ),
            (r#"{"color":"foo"}"#, r#"can not unmarshal "\"foo\"""#),
            (r#"{"color":5}"#, r#"can not unmarshal "5""#),
            ("[]", "json: cannot unmarshal array into Go value of type server.Request"),
            (
                r#"{"name":"S"} x"#,
                "invalid character 'x' looking for beginning of value at offset 14",
            ),
            (
                "{name:1}",
                "invalid character 'n' looking for beginning of object key string at offset 2",
            ),
            (
                r#"{"name":"S",}"#,
                "invalid character '}' looking for beginning of object key string at offset 13",
            ),
            (
                r#"{"name":"S" "x":1}"#,
                "invalid character '\"' after object key:value pair at offset 13",
            ),
            ("nope", "invalid character 'o' in literal null (expecting 'u') at offset 2"),
            (
                r#"{"name":tru}"#,
                "invalid character '}' in literal true (expecting 'e') at offset 12",
            ),
            ("{\"name\":\"a\u{1}\"}", "invalid character '\\x01' in string at offset 11"),
            (r#"{"name":"\q"}"#, "invalid escape sequence `\\q` in string at offset 11"),
            (r#"{"name":-}"#, "invalid character '}' in numeric literal at offset 10"),
            (r#"{"name":01}"#, "invalid character '1' after object key:value pair at offset 10"),
        ] {
            check(body, expected);
        }
    }

    #[test]
    fn decoding_follows_go() {
        let body = br#"{"NAME":"S","max":1,"max":2,"seq":null,"color":"red","inner":{"depth":3}}"#;
        let value: Outer = decode(body, true).unwrap();
        assert_eq!(value.name, "S");
        assert_eq!(value.max, 2);
        assert_eq!(value.color, Some(Color::Red));
        assert_eq!(value.inner, Some(Inner { depth: 3 }));
        assert_eq!(decode::<Outer>(b"", true).unwrap(), Outer::default());
        assert_eq!(decode::<Outer>(b"null", true).unwrap(), Outer::default());
        assert!(decode::<Outer>(br#"{"foo":{"x":[1]}}"#, false).is_ok());
    }

    #[test]
    fn an_empty_object_is_an_empty_request() {
        for body in ["", "{}", " { } ", "  "] {
            assert!(is_empty(body.as_bytes()), "{body:?}");
        }
        for body in ["[]", "null", "{\"x\":1}", "x"] {
            assert!(!is_empty(body.as_bytes()), "{body:?}");
        }
    }
}
