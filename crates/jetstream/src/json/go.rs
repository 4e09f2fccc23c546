//! A serde deserializer over raw JSON with the semantics and the error texts of Go's
//! `encoding/json`, plus Go's texts for syntax errors.

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::JsonError;
use super::with::{RAW, TIME};

/// One JSON value and how the request leads to it.
#[derive(Clone, Copy)]
pub(super) struct Node<'de, 'p> {
    text: &'de str,
    strict: bool,
    path: Path<'p>,
    /// Go's name of the type, where a `with` module said it.
    go_type: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    /// `root` is the name of the outermost struct.
    Under {
        root: &'static str,
        parent: &'p Path<'p>,
        segment: Segment<'p>,
    },
}

#[derive(Clone, Copy)]
enum Segment<'p> {
    Field(&'p str),
    Index(usize),
}

impl Path<'_> {
    fn write(&self, out: &mut String) {
        if let Path::Under { parent, segment, .. } = self {
            parent.write(out);
            out.push('.');
            match segment {
                Segment::Field(name) => out.push_str(name),
                Segment::Index(index) => out.push_str(&index.to_string()),
            }
        }
    }
}

impl<'de> Node<'de, '_> {
    pub(super) fn root(raw: &'de RawValue, strict: bool) -> Self {
        Node { text: raw.get(), strict, path: Path::Root, go_type: None }
    }

    fn is_null(&self) -> bool {
        self.text == "null"
    }

    /// `json: cannot unmarshal string into Go struct field Request.max of type int64`
    fn mismatch(&self, go_type: &str) -> JsonError {
        let (what, number) = match self.text.as_bytes().first() {
            Some(b'"') => ("string", ""),
            Some(b'{') => ("object", ""),
            Some(b'[') => ("array", ""),
            Some(b't' | b'f') => ("bool", ""),
            // Go names the number where a number was wanted and this one does not fit.
            _ if is_number_type(go_type) => ("number", self.text),
            _ => ("number", ""),
        };
        let space = if number.is_empty() { "" } else { " " };
        let go_type = self.go_type.unwrap_or(go_type);
        let place = match self.path {
            Path::Root => format!("Go value of type {go_type}"),
            Path::Under { root, segment, .. } => {
                let mut place = match segment {
                    Segment::Field(_) => format!("Go struct field {root}"),
                    Segment::Index(_) => root.to_owned(),
                };
                self.path.write(&mut place);
                format!("{place} of type {go_type}")
            }
        };
        JsonError(format!("json: cannot unmarshal {what}{space}{number} into {place}"))
    }

    fn integer<T: std::str::FromStr>(&self, go_type: &str) -> Result<T, JsonError> {
        let text = if self.is_null() { "0" } else { self.text };
        text.parse().map_err(|_| self.mismatch(go_type))
    }

    /// The decoded string; `null` is empty.
    fn string(&self, go_type: &str) -> Result<String, JsonError> {
        if self.is_null() {
            return Ok(String::new());
        }
        if !self.text.starts_with('"') {
            return Err(self.mismatch(go_type));
        }
        serde_json::from_str(self.text).map_err(de::Error::custom)
    }

    fn entries(&self, go_type: &str) -> Result<Vec<(String, &'de RawValue)>, JsonError> {
        if self.is_null() {
            return Ok(Vec::new());
        }
        if !self.text.starts_with('{') {
            return Err(self.mismatch(go_type));
        }
        let Entries(entries) = serde_json::from_str(self.text).map_err(de::Error::custom)?;
        Ok(entries)
    }
}

fn is_number_type(go_type: &str) -> bool {
    go_type.starts_with("int")
        || go_type.starts_with("uint")
        || go_type.starts_with("float")
        || go_type == "time.Duration"
}

/// The members of an object in their order, values unparsed.
struct Entries<'de>(Vec<(String, &'de RawValue)>);

impl<'de> de::Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.text.as_bytes().first() {
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b'"') => self.deserialize_string(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => visitor.visit_unit(),
            _ => match self.text.parse::<i64>() {
                Ok(value) => visitor.visit_i64(value),
                Err(_) => visitor.visit_f64(self.text.parse().unwrap_or(0.0)),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.text {
            "true" => visitor.visit_bool(true),
            "false" | "null" => visitor.visit_bool(false),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_i32(self.integer("int32")?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_i64(self.integer("int64")?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_u64(self.integer("uint64")?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(self.string("string")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match name {
            RAW => visitor.visit_str(self.text),
            TIME => visitor.visit_string(self.string(TIME)?),
            "int" | "time.Duration" => visitor.visit_i64(self.integer(name)?),
            "[]time.Duration" => Node { go_type: Some(name), ..self }.deserialize_seq(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let items: Vec<&'de RawValue> = if self.is_null() {
            Vec::new()
        } else if self.text.starts_with('[') {
            serde_json::from_str(self.text).map_err(de::Error::custom)?
        } else {
            return Err(self.mismatch("[]string"));
        };
        visitor.visit_seq(Items {
            parent: &self,
            root: self.root_name("array"),
            items: items.into_iter().enumerate(),
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let entries = self.entries("map[string]string")?;
        visitor.visit_map(Members {
            parent: &self,
            root: self.root_name("map"),
            fields: None,
            entries: entries.into_iter(),
            current: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        let mut kept: Vec<(String, &'de RawValue)> = Vec::new();
        for (key, value) in self.entries(&format!("server.{name}"))? {
            let field = fields
                .iter()
                .find(|field| **field == key)
                .or_else(|| fields.iter().find(|f| f.eq_ignore_ascii_case(&key)));
            match field {
                Some(field) => match kept.iter_mut().find(|(known, _)| known == field) {
                    Some(entry) => entry.1 = value,
                    None => kept.push(((*field).to_owned(), value)),
                },
                None if self.strict => {
                    let key = super::go_quote(&key);
                    return Err(JsonError(format!("json: unknown field {key}")));
                }
                None => {}
            }
        }
        visitor.visit_map(Members {
            parent: &self,
            root: self.root_name(name),
            fields: Some(fields),
            entries: kept.into_iter(),
            current: None,
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct enum identifier
    }
}

impl Node<'_, '_> {
    fn root_name(&self, own: &'static str) -> &'static str {
        match self.path {
            Path::Root => own,
            Path::Under { root, .. } => root,
        }
    }
}

struct Items<'de, 'a> {
    parent: &'a Node<'de, 'a>,
    root: &'static str,
    items: std::iter::Enumerate<std::vec::IntoIter<&'de RawValue>>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, JsonError> {
        let Some((index, raw)) = self.items.next() else {
            return Ok(None);
        };
        let node = Node {
            text: raw.get(),
            strict: self.parent.strict,
            path: Path::Under {
                root: self.root,
                parent: &self.parent.path,
                segment: Segment::Index(index),
            },
            go_type: None,
        };
        seed.deserialize(node).map(Some)
    }
}

struct Members<'de, 'a> {
    parent: &'a Node<'de, 'a>,
    root: &'static str,
    /// The struct's field names, so that keys are handed out as the struct spells them.
    fields: Option<&'static [&'static str]>,
    entries: std::vec::IntoIter<(String, &'de RawValue)>,
    current: Option<(String, &'de RawValue)>,
}

impl<'de> MapAccess<'de> for Members<'de, '_> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, JsonError> {
        let Some((key, raw)) = self.entries.next() else {
            return Ok(None);
        };
        let known = self.fields.and_then(|fields| fields.iter().find(|field| **field == key));
        let value = match known {
            Some(field) => seed.deserialize(BorrowedStrDeserializer::new(field))?,
            None => seed.deserialize(StrDeserializer::new(&key))?,
        };
        self.current = Some((key, raw));
        Ok(Some(value))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, JsonError> {
        let Some((key, raw)) = self.current.take() else {
            return Err(de::Error::custom("value before key"));
        };
        let node = Node {
            text: raw.get(),
            strict: self.parent.strict,
            path: Path::Under {
                root: self.root,
                parent: &self.parent.path,
                segment: Segment::Field(&key),
            },
            go_type: None,
        };
        seed.deserialize(node)
    }
}

/// Go's text for a body that is not JSON. The library says that and where; which rule was broken
/// is found by a scan with Go's states. `start` is where the value that failed begins.
pub(super) fn syntax_error(
    body: &[u8],
    start: usize,
    error: &serde_json::Error,
    strict: bool,
) -> JsonError {
    match Scanner::new(body, start).value() {
        Err(Stop::End) if !strict => JsonError("unexpected end of JSON input".to_owned()),
        Err(Stop::End) => JsonError("unexpected EOF".to_owned()),
        Err(Stop::At(_, text)) if !strict => JsonError(text),
        Err(Stop::At(offset, text)) => JsonError(format!("{text} at offset {}", offset + 1)),
        // The library refuses a little more than Go, such as lone surrogates and deep nesting.
        Ok(()) => JsonError(error.to_string()),
    }
}

enum Stop {
    End,
    At(usize, String),
}

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn new(body: &'a [u8], start: usize) -> Self {
        Self { body, at: start, depth: 0 }
    }

    fn peek(&mut self) -> Result<u8, Stop> {
        while self.body.get(self.at).is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Result<u8, Stop> {
        self.body.get(self.at).copied().ok_or(Stop::End)
    }

    fn bad(&self, context: &str) -> Stop {
        let byte = self.body.get(self.at).copied().unwrap_or(0);
        let shown = match byte {
            b'\'' => "'\\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            b'\\' => "'\\\\'".to_owned(),
            b'\n' => "'\\n'".to_owned(),
            b'\r' => "'\\r'".to_owned(),
            b'\t' => "'\\t'".to_owned(),
            0x20..=0x7e | 0x80.. => format!("'{}'", char::from(byte)),
            _ => format!("'\\x{byte:02x}'"),
        };
        Stop::At(self.at, format!("invalid character {shown} {context}"))
    }

    fn value(&mut self) -> Result<(), Stop> {
        self.depth += 1;
        // Deeper than what the library reads; its own text is used then.
        if self.depth > 120 {
            return Ok(());
        }
        match self.peek()? {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => self.string()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err(self.bad("looking for beginning of value")),
        }
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), Stop> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.bad("looking for beginning of object key string"));
            }
            self.string()?;
            if self.peek()? != b':' {
                return Err(self.bad("after object key"));
            }
            self.at += 1;
            self.value()?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.bad("after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Result<(), Stop> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.bad("after array element")),
            }
        }
    }

    fn string(&mut self) -> Result<(), Stop> {
        self.at += 1;
        loop {
            match self.byte()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.byte()? {
                        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                        b'u' => {
                            for _ in 0..4 {
                                self.at += 1;
                                if !self.byte()?.is_ascii_hexdigit() {
                                    return Err(self.bad("in \\u hexadecimal character escape"));
                                }
                            }
                        }
                        other => {
                            let shown = char::from(other);
                            let text = format!("invalid escape sequence `\\{shown}` in string");
                            return Err(Stop::At(self.at, text));
                        }
                    }
                }
                0..0x20 => return Err(self.bad("in string")),
                _ => {}
            }
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), Stop> {
        for expected in word.chars() {
            if char::from(self.byte()?) != expected {
                return Err(self.bad(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        if self.byte()? == b'-' {
            self.at += 1;
            if !self.byte()?.is_ascii_digit() {
                return Err(self.bad("in numeric literal"));
            }
        }
        if self.byte()? == b'0' {
            self.at += 1;
        } else {
            self.digits();
        }
        if self.body.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !self.byte()?.is_ascii_digit() {
                return Err(self.bad("after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.body.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.body.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.byte()?.is_ascii_digit() {
                return Err(self.bad("in exponent of numeric literal"));
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.body.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }
}
