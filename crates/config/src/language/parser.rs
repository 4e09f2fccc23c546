//! Recursive descent over maps, arrays, includes and variables, each bounded.

use super::error::io_text;
use super::lexer::{Cursor, is_blank, is_newline, is_space};
use super::scalar::{self, Bare};
use super::{Entry, Kind, Map, Position, Source, SyntaxError, Value};
use std::cell::Cell;
use std::sync::Arc;

/// How deep maps and arrays may nest. The reference has no bound; real files stay below ten.
const MAX_DEPTH: usize = 128;
/// How deep files may include each other, and variables of the environment refer to others.
const MAX_INCLUDE_DEPTH: usize = 16;
/// How large a configuration may become, in bytes, once includes and variables are expanded.
const MAX_WEIGHT: usize = 64 << 20;
/// What an entry or element weighs besides its text.
const NODE_WEIGHT: usize = 64;

pub(super) fn parse_root(text: &[u8], file: &str, source: &dyn Source) -> Result<Map, SyntaxError> {
    let weight = Cell::new(0);
    let world = World { source, weight: &weight, chain: None, includes: 0, variables: 0, depth: 0 };
    let map = Parser::new(text, file, world)?.file()?;
    if map.is_empty() {
        return Err(SyntaxError::Empty { file: file.to_owned() });
    }
    Ok(map)
}

/// What all parsers of one configuration share.
#[derive(Clone, Copy)]
struct World<'a> {
    source: &'a dyn Source,
    weight: &'a Cell<usize>,
    /// The files that include this one, innermost first.
    chain: Option<&'a Chain<'a>>,
    includes: usize,
    variables: usize,
    /// How deep the map stands in which this text is expanded.
    depth: usize,
}

struct Chain<'a> {
    file: Arc<str>,
    outer: Option<&'a Chain<'a>>,
}

impl World<'_> {
    fn charge(&self, weight: usize) -> Result<(), SyntaxError> {
        self.weight.set(self.weight.get().saturating_add(weight));
        if self.weight.get() > MAX_WEIGHT {
            return Err(SyntaxError::TooLarge { limit: MAX_WEIGHT });
        }
        Ok(())
    }
}

/// Which map is being read; the error texts differ.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Top,
    /// Inside the braces that enclose a whole file.
    Block,
    Map,
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    world: World<'a>,
    /// The maps being read, outermost first: where variables are looked up.
    scopes: Vec<Map>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8], file: &str, world: World<'a>) -> Result<Self, SyntaxError> {
        world.charge(text.len())?;
        let cursor = Cursor::new(text, Arc::from(file));
        Ok(Self { cursor, world, scopes: vec![Map::default()], depth: world.depth })
    }

    fn file(mut self) -> Result<Map, SyntaxError> {
        let mut level = Level::Top;
        loop {
            self.cursor.skip_trivia();
            match self.cursor.peek() {
                None => break,
                Some(b'{') if level == Level::Top => {
                    self.cursor.bump();
                    level = Level::Block;
                }
                Some(b'}') if self.closes_file() => {
                    self.cursor.bump();
                    level = Level::Top;
                    self.end_of_value(level)?;
                }
                Some(_) => {
                    self.entry(level)?;
                    if self.cursor.peek() == Some(b'}') {
                        self.cursor.bump();
                        level = Level::Top;
                        self.end_of_value(level)?;
                    }
                }
            }
        }
        Ok(self.scopes.pop().unwrap_or_default())
    }

    /// A closing brace by itself ends the file's block; otherwise it is part of a key.
    fn closes_file(&self) -> bool {
        self.cursor.peek_second().is_none_or(|b| is_space(b) || matches!(b, b',' | b';'))
    }

    /// One entry and what ends it, except a closing brace.
    fn entry(&mut self, level: Level) -> Result<(), SyntaxError> {
        let (key, position, quoted) = self.key(level)?;
        if !quoted && key.eq_ignore_ascii_case("include") && self.cursor.peek().is_none_or(is_space)
        {
            self.include(level)?;
        } else {
            self.cursor.bump_while(is_space);
            if matches!(self.cursor.peek(), Some(b'=' | b':')) {
                self.cursor.bump();
                self.cursor.skip_blanks();
                self.expect_value("value")?;
            } else if self.cursor.peek().is_none() {
                return self.unfinished_key(level);
            }
            if level == Level::Map && self.cursor.peek() == Some(b',') {
                return self.cursor.error("Unexpected map value terminator \",\".");
            }
            let (kind, weight) = self.value()?;
            let weight = weight + key.len();
            self.world.charge(NODE_WEIGHT + key.len())?;
            let value = Value { position, kind, weight };
            self.insert(Entry { key, value, used_as_variable: false });
        }
        self.end_of_value(level)
    }

    fn insert(&mut self, entry: Entry) {
        if let Some(map) = self.scopes.last_mut() {
            map.insert(entry);
        }
    }

    fn unfinished_key<T>(&self, level: Level) -> Result<T, SyntaxError> {
        match level {
            Level::Map => self.cursor.error("Unexpected EOF processing map key."),
            _ => self.cursor.invalid(),
        }
    }

    /// A key: bare up to a blank or separator, or in quotes. The position of a quoted key is that
    /// of the text inside the quotes.
    fn key(&mut self, level: Level) -> Result<(String, Position, bool), SyntaxError> {
        match self.cursor.peek() {
            Some(separator @ (b'=' | b':')) => {
                self.cursor.error(format!("Unexpected key separator '{}'", char::from(separator)))
            }
            Some(b'/') if self.cursor.peek_second().is_none_or(is_space) => {
                self.cursor.error("Unexpected EOF.")
            }
            Some(quote @ (b'"' | b'\'')) => {
                self.cursor.bump();
                let position = self.cursor.position();
                let start = self.cursor.offset();
                self.cursor.bump_while(|b| b != quote);
                let key = self.cursor.slice_from(start);
                if self.cursor.bump().is_none() {
                    return self.cursor.error("Unexpected EOF processing quoted map key.");
                }
                Ok((String::from_utf8_lossy(key).into_owned(), position, true))
            }
            _ => {
                let position = self.cursor.position();
                let start = self.cursor.offset();
                self.cursor.bump_while(|b| !is_space(b) && !matches!(b, b'=' | b':'));
                let key = self.cursor.slice_from(start);
                if self.cursor.peek().is_none() {
                    return self.unfinished_key(level);
                }
                Ok((String::from_utf8_lossy(key).into_owned(), position, false))
            }
        }
    }

    fn expect_value(&mut self, what: &str) -> Result<(), SyntaxError> {
        if self.cursor.peek().is_some_and(is_newline) {
            self.cursor.bump();
            return self.cursor.error(format!("Expected {what} but found new line"));
        }
        Ok(())
    }

    /// A value and its weight beyond the text it was read from.
    fn value(&mut self) -> Result<(Kind, usize), SyntaxError> {
        let bare = match self.cursor.peek() {
            Some(b'{') => return self.nested(Self::map),
            Some(b'[') => return self.nested(Self::array),
            Some(b'"') => Bare::Value(scalar::quoted(&mut self.cursor)?),
            Some(b'\'') => Bare::Value(scalar::raw(&mut self.cursor)?),
            Some(b'(') => Bare::Value(scalar::block(&mut self.cursor)?),
            Some(b'-' | b'0'..=b'9') => scalar::number(&mut self.cursor)?,
            Some(b'.') => return self.cursor.error("Floats must start with a digit"),
            _ => scalar::bare(&mut self.cursor)?,
        };
        match bare {
            Bare::Value(kind) => {
                let length = kind.as_str().map_or(0, str::len);
                Ok((kind, NODE_WEIGHT + length))
            }
            Bare::Variable(name) => {
                let value = self.variable(&name)?;
                self.world.charge(value.weight)?;
                Ok((value.kind, value.weight))
            }
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(Kind, usize), SyntaxError>,
    ) -> Result<(Kind, usize), SyntaxError> {
        if self.depth == MAX_DEPTH {
            return self.cursor.error(format!("Maps and arrays nest deeper than {MAX_DEPTH}."));
        }
        self.depth += 1;
        self.cursor.bump();
        let result = read(self)?;
        self.depth -= 1;
        Ok(result)
    }

    fn map(&mut self) -> Result<(Kind, usize), SyntaxError> {
        self.scopes.push(Map::default());
        loop {
            self.skip_separators();
            match self.cursor.peek() {
                None => return self.cursor.error("Unexpected EOF processing map."),
                Some(b'}') => break,
                Some(_) => self.entry(Level::Map)?,
            }
        }
        self.cursor.bump();
        let map = self.scopes.pop().unwrap_or_default();
        let weight = map.iter().map(|e| NODE_WEIGHT + e.value.weight).sum::<usize>();
        Ok((Kind::Map(Arc::new(map)), NODE_WEIGHT + weight))
    }

    /// Inside a map commas may repeat and lead.
    fn skip_separators(&mut self) {
        loop {
            self.cursor.skip_trivia();
            if self.cursor.peek() != Some(b',') {
                return;
            }
            self.cursor.bump();
        }
    }

    fn array(&mut self) -> Result<(Kind, usize), SyntaxError> {
        let mut items = Vec::new();
        let mut total = NODE_WEIGHT;
        loop {
            self.cursor.skip_trivia();
            match self.cursor.peek() {
                None => return self.cursor.error("Unexpected EOF processing array."),
                Some(b']') => break,
                Some(b',') => {
                    return self.cursor.error("Unexpected array value terminator ','.");
                }
                Some(_) => {}
            }
            let position = self.element_position();
            let (kind, weight) = self.value()?;
            self.world.charge(NODE_WEIGHT)?;
            total += weight;
            items.push(Value { position, kind, weight });
            self.end_of_element()?;
        }
        self.cursor.bump();
        Ok((Kind::Array(Arc::new(items)), total))
    }

    /// The position of a quoted element is that of the text inside the quotes.
    fn element_position(&self) -> Position {
        let mut position = self.cursor.position();
        if matches!(self.cursor.peek(), Some(b'"' | b'\'' | b'{' | b'[' | b'(')) {
            position.column += 1;
        }
        position
    }

    fn end_of_element(&mut self) -> Result<(), SyntaxError> {
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            Some(b',') => {
                self.cursor.bump();
                Ok(())
            }
            Some(b']') => Ok(()),
            Some(byte) if is_newline(byte) || self.cursor.at_comment() => Ok(()),
            _ => {
                let found = self.cursor.found();
                self.cursor.error(format!(
                    "Expected an array value terminator \",\" or an array terminator \"]\", but \
                     got {found} instead."
                ))
            }
        }
    }

    /// After a value: a newline, a separator, a comment, the end of the file, or a closing brace,
    /// which stays for the caller.
    fn end_of_value(&mut self, level: Level) -> Result<(), SyntaxError> {
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            Some(b',' | b';') => {
                self.cursor.bump();
                Ok(())
            }
            Some(b'}') => Ok(()),
            Some(byte) if is_newline(byte) || self.cursor.at_comment() => Ok(()),
            None if level == Level::Top => Ok(()),
            found => {
                if found == Some(b'/') {
                    self.cursor.bump();
                }
                let found = self.cursor.found();
                let expected = match level {
                    Level::Top => "a top-level value to end with a new line, comment or EOF",
                    Level::Block => "a block-level value to end with a new line, comment or EOF",
                    Level::Map => "a map value terminator \",\" or a map terminator \"}\"",
                };
                self.cursor.error(format!("Expected {expected}, but got {found} instead."))
            }
        }
    }

    /// `include`, whose entries become entries of the map it stands in.
    fn include(&mut self, level: Level) -> Result<(), SyntaxError> {
        self.cursor.skip_blanks();
        self.expect_value("include value")?;
        let name = match self.cursor.peek() {
            None => return self.unfinished_key(level),
            Some(b'"') => scalar::quoted(&mut self.cursor)?,
            Some(b'\'') => scalar::raw(&mut self.cursor)?,
            Some(_) => {
                let start = self.cursor.offset();
                self.cursor.bump_while(|b| !is_blank(b) && !is_newline(b));
                Kind::String(Arc::from(String::from_utf8_lossy(self.cursor.slice_from(start))))
            }
        };
        let name = name.as_str().unwrap_or_default().to_owned();
        match self.included(&name) {
            Ok(map) => {
                for entry in map.into_entries() {
                    self.insert(entry);
                }
                Ok(())
            }
            Err(error @ SyntaxError::TooLarge { .. }) => Err(error),
            Err(error) => Err(SyntaxError::Include { name, why: error.to_string() }),
        }
    }

    fn included(&self, name: &str) -> Result<Map, SyntaxError> {
        let path = join(&self.cursor.file, name);
        let chain = Chain { file: self.cursor.file.clone(), outer: self.world.chain };
        let refuse = |why: String| Err(SyntaxError::Open { path: path.clone(), why });
        let mut links = std::iter::successors(Some(&chain), |link| link.outer);
        if links.any(|link| *link.file == *path) {
            return refuse("it includes itself".to_owned());
        }
        // A file may also return under ever new names.
        if self.world.includes == MAX_INCLUDE_DEPTH {
            return refuse(format!("includes nest deeper than {MAX_INCLUDE_DEPTH}"));
        }
        let text = match self.world.source.read(&path) {
            Ok(text) => text,
            Err(error) => return refuse(io_text(&error)),
        };
        self.world.charge(NODE_WEIGHT)?;
        let world = World {
            chain: Some(&chain),
            includes: self.world.includes + 1,
            depth: self.depth,
            ..self.world
        };
        Parser::new(&text, &path, world)?.file()
    }

    /// The value of `$name`: from the nearest enclosing map that defines it, else from the
    /// environment, whose text is read as a value.
    fn variable(&mut self, name: &str) -> Result<Value, SyntaxError> {
        let line = self.cursor.line();
        if let Some(value) = self.scopes.iter_mut().rev().find_map(|map| map.resolve(name)) {
            return Ok(value);
        }
        let Some(text) = self.world.source.variable(name) else {
            return Err(SyntaxError::UnknownVariable { name: name.to_owned(), line });
        };
        let bad = |why: String| SyntaxError::BadVariable { name: name.to_owned(), line, why };
        if self.world.variables == MAX_INCLUDE_DEPTH {
            return Err(bad(format!("variables refer to others deeper than {MAX_INCLUDE_DEPTH}")));
        }
        let world = World { variables: self.world.variables + 1, depth: self.depth, ..self.world };
        let text = format!("value={text}");
        let parsed = Parser::new(text.as_bytes(), &self.cursor.file, world)
            .and_then(Parser::file)
            .map_err(|error| bad(error.to_string()))?;
        match parsed.get("value") {
            Some(entry) => Ok(entry.value.clone()),
            None => Err(bad("it has no value".to_owned())),
        }
    }
}

/// `name` relative to the directory of `file`, without `.` and `..` where they can be resolved.
fn join(file: &str, name: &str) -> String {
    let is_separator = |c: char| c == '/' || (cfg!(windows) && c == '\\');
    if name.starts_with(is_separator) || (cfg!(windows) && name.get(1..2) == Some(":")) {
        return name.to_owned();
    }
    let directory = file.rfind(is_separator).map_or("", |at| &file[..=at]);
    let joined = format!("{directory}{name}");
    let absolute = joined.starts_with(is_separator);
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split(is_separator) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            _ => parts.push(part),
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
}
