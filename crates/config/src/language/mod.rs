//! nats-server's configuration language: text in, a tree of values with positions out.
//!
//! A file is the body of a map; enclosing braces are allowed, so JSON is a valid configuration.
//! The rules are those of the reference server (measured on 2.15.1): separators, quoted, bare, raw
//! and block strings, number suffixes, dates, comments, `include` and variables. What the reference
//! accepts yields the same tree and the same [`digest`]; more is accepted where it stumbles: an
//! integer directly before `]`, a `/` that starts an array element, a comma that starts a line of a
//! map, an absolute path of an `include`, `$2b$` and `$2y$` as bcrypt text.
//!
//! Bounds, which the reference lacks: maps and arrays nest to 128, includes to 16 and never in a
//! circle, and all that includes and variables expand to stays below 64 MiB.
//!
//! The parser reads no file and no environment: both come through a [`Source`].

mod error;
mod json;
mod lexer;
mod parser;
mod scalar;
mod value;

pub use error::SyntaxError;
pub(crate) use error::io_text;
pub use value::{Entry, Kind, Map, Position, Value};

use std::io;

/// How the parser reaches the world: files for `include`, variables from the environment.
pub trait Source {
    /// The content of the file at `path`, for the configuration itself and for each `include`.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The value of an environment variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;
}

/// A source without files or variables, for configuration that is given as text.
///
/// # Examples
///
/// ```
/// use natterjack_config::language::{parse, NoSource};
///
/// let tree = parse("port: 4222\ndebug: true", "server.conf", &NoSource).unwrap();
/// assert_eq!(tree.get("port").unwrap().value.kind.as_integer(), Some(4222));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSource;

impl Source for NoSource {
    fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Parses `text`, which was read from `file`; includes are relative to the directory of `file`.
///
/// # Errors
///
/// The first syntax error, as text with its line, exactly as the reference server words it.
pub fn parse(text: &str, file: &str, source: &dyn Source) -> Result<Map, SyntaxError> {
    parser::parse_root(text.as_bytes(), file, source)
}

/// Reads `file` through `source` and parses it.
///
/// # Errors
///
/// [`SyntaxError::Open`] if the file cannot be read, else the first syntax error.
pub fn parse_file(file: &str, source: &dyn Source) -> Result<Map, SyntaxError> {
    let text = source
        .read(file)
        .map_err(|error| SyntaxError::Open { path: file.to_owned(), why: io_text(&error) })?;
    parser::parse_root(&text, file, source)
}

/// The digest of a tree: `sha256:` and the hex of SHA-256 over its JSON with sorted keys and a
/// final newline. Order and layout of the text do not change it.
pub fn digest(tree: &Map) -> String {
    use sha2::{Digest, Sha256};
    let mut json = String::new();
    json::write_map(tree, &mut json);
    json.push('\n');
    let mut out = String::from("sha256:");
    for byte in Sha256::digest(json.as_bytes()) {
        out.push_str(&format!("{byte:02x}"));
    }
    out
}
