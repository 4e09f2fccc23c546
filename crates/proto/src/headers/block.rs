//! Building and changing header blocks.

use memchr::memmem;

use super::{CRLF, Headers, VERSION};

/// A header block under construction; [`into_bytes`](Self::into_bytes) closes it.
///
/// Names and values are written as given, except that CR and LF, which would break the block, become
/// spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderBlock {
    /// The lines so far, each with its CRLF, without the empty line at the end.
    lines: Vec<u8>,
}

impl Default for HeaderBlock {
    fn default() -> Self {
        Self::new()
    }
}

impl HeaderBlock {
    /// A block without headers.
    #[must_use]
    pub fn new() -> Self {
        Self { lines: [VERSION, CRLF].concat() }
    }

    /// A block with an inline status; an empty `description` writes the code alone.
    #[must_use]
    pub fn with_status(code: u16, description: &str) -> Self {
        let mut lines = [VERSION, b" ", itoa::Buffer::new().format(code).as_bytes()].concat();
        if !description.is_empty() {
            lines.push(b' ');
            push_clean(&mut lines, description.as_bytes());
        }
        lines.extend_from_slice(CRLF);
        Self { lines }
    }

    /// A block that starts with what a raw block holds; an empty one gives [`new`](Self::new).
    ///
    /// Of a malformed block everything is kept, and the line end that it lacks is added.
    #[must_use]
    pub fn from_raw(block: &[u8]) -> Self {
        if block.is_empty() {
            return Self::new();
        }
        let lines = match block.strip_suffix(b"\r\n\r\n") {
            Some(lines) => [lines, CRLF].concat(),
            None if block.ends_with(CRLF) => block.to_vec(),
            None => [block, CRLF].concat(),
        };
        Self { lines }
    }

    /// Appends `name: value`, whether or not the name is there already.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        push_clean(&mut self.lines, name.as_bytes());
        self.lines.extend_from_slice(b": ");
        push_clean(&mut self.lines, value.as_ref());
        self.lines.extend_from_slice(CRLF);
        self
    }

    /// Puts `value` in the place of the first header `name` and removes later ones; appends it if there
    /// is none.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let Some((start, end)) = self.find(name, 0) else { return self.push(name, value) };
        let mut line = Vec::new();
        push_clean(&mut line, name.as_bytes());
        line.extend_from_slice(b": ");
        push_clean(&mut line, value.as_ref());
        line.extend_from_slice(CRLF);
        let after = start + line.len();
        self.lines.splice(start..end, line);
        self.remove_from(name, after);
        self
    }

    /// Removes every header `name`; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.remove_from(name, 0)
    }

    /// Removes every header whose name starts with `prefix`; says whether there was one.
    pub fn remove_prefix(&mut self, prefix: &str) -> bool {
        let before = self.lines.len();
        let mut kept = Vec::with_capacity(before);
        let mut rest = &self.lines[..];
        let mut first = true;
        while !rest.is_empty() {
            let end = memmem::find(rest, CRLF).map_or(rest.len(), |at| at + 2);
            let (line, after) = rest.split_at(end);
            let matches = line.starts_with(prefix.as_bytes()) && line.contains(&b':');
            if first || !matches {
                kept.extend_from_slice(line);
            }
            first = false;
            rest = after;
        }
        self.lines = kept;
        self.lines.len() != before
    }

    /// The first value of `name`, by the rule of [`Headers::get`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        Headers::new(&self.lines).get(name)
    }

    /// Whether the block holds the bare version line only: no status, no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.strip_suffix(CRLF) == Some(VERSION)
    }

    /// Length in bytes of the closed block.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len() + CRLF.len()
    }

    /// The closed block; `NATS/1.0` and two line ends if there is no header.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.lines.extend_from_slice(CRLF);
        self.lines
    }

    /// Removes the headers `name` that start at or after `from`.
    fn remove_from(&mut self, name: &str, from: usize) -> bool {
        let mut removed = false;
        while let Some((start, end)) = self.find(name, from) {
            self.lines.drain(start..end);
            removed = true;
        }
        removed
    }

    /// The line of the first header `name` that starts at or after `from`, CRLF included.
    fn find(&self, name: &str, from: usize) -> Option<(usize, usize)> {
        // A name starts right after a CRLF, which may be the last two bytes before `from`.
        let search = from.saturating_sub(CRLF.len());
        let start = memmem::find_iter(&self.lines[search..], CRLF)
            .map(|at| search + at + CRLF.len())
            .find(|start| {
                let line = &self.lines[*start..];
                line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
            })?;
        let len = memmem::find(&self.lines[start..], CRLF)? + CRLF.len();
        Some((start, start + len))
    }
}

fn push_clean(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
}
