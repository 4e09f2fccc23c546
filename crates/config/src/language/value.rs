//! The tree that the parser yields.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The file as it was named on the command line, or joined from the including file's directory.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes: from 0 on the first line, from 1 on later ones, as nats-server counts.
    pub column: u32,
}

impl Position {
    /// A position for what does not come from a file, such as a flag.
    pub fn unknown() -> Self {
        Self { file: Arc::from(""), line: 0, column: 0 }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::unknown()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A quoted, raw, block or bare string.
    String(Arc<str>),
    /// An integer, its suffix multiplied out.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true yes on false no off`.
    Bool(bool),
    /// A date in the form `2016-05-04T18:53:41Z`.
    Date(Arc<str>),
    /// `[…]`
    Array(Arc<Vec<Value>>),
    /// `{…}`
    Map(Arc<Map>),
}

impl Kind {
    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, with an article, for error texts.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a bool",
            Self::Date(_) => "a date",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Where: the position of the key for a map entry, its own for an array element.
    pub position: Position,
    /// What.
    pub kind: Kind,
    /// How much memory it stands for when written out: guards against variables that multiply.
    pub(crate) weight: usize,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// The value; its position is the key's.
    pub value: Value,
    /// Whether a `$key` refers to it, which exempts it from the unknown-field error.
    pub used_as_variable: bool,
}

/// The entries of a map in the order of their first appearance; a repeated key keeps its last value.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Map {
    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry whose key is exactly `key`.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).map(|at| &self.entries[*at])
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        match self.index.get(&entry.key) {
            Some(at) => self.entries[*at] = entry,
            None => {
                self.index.insert(entry.key.clone(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    /// The value of a variable, which is marked as used.
    pub(crate) fn resolve(&mut self, name: &str) -> Option<Value> {
        let at = *self.index.get(name)?;
        self.entries[at].used_as_variable = true;
        Some(self.entries[at].value.clone())
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}
