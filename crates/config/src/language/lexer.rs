//! The cursor over the text: position, blanks, comments.

use super::{Position, SyntaxError};
use std::sync::Arc;

pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    /// The offset that columns count from: 0 on the first line, then that of the last newline.
    line_start: usize,
    pub(super) file: Arc<str>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], file: Arc<str>) -> Self {
        Self { text, at: 0, line: 1, line_start: 0, file }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn peek_second(&self) -> Option<u8> {
        self.text.get(self.at + 1).copied()
    }

    /// The text from here on.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn slice_from(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    pub(super) fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        if byte == b'\n' {
            self.line += 1;
            self.line_start = self.at;
        }
        self.at += 1;
        Some(byte)
    }

    pub(super) fn bump_while(&mut self, mut wanted: impl FnMut(u8) -> bool) {
        while self.peek().is_some_and(&mut wanted) {
            self.bump();
        }
    }

    pub(super) fn skip_blanks(&mut self) {
        self.bump_while(is_blank);
    }

    /// Skips blanks, newlines and comments.
    pub(super) fn skip_trivia(&mut self) {
        loop {
            self.bump_while(is_space);
            if !self.skip_comment() {
                return;
            }
        }
    }

    /// Skips a comment up to its newline, if one starts here.
    pub(super) fn skip_comment(&mut self) -> bool {
        if !self.at_comment() {
            return false;
        }
        self.bump_while(|b| !is_newline(b));
        true
    }

    pub(super) fn at_comment(&self) -> bool {
        match self.peek() {
            Some(b'#') => true,
            Some(b'/') => self.peek_second() == Some(b'/'),
            _ => false,
        }
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn column(&self) -> u32 {
        u32::try_from(self.at - self.line_start).unwrap_or(u32::MAX)
    }

    pub(super) fn position(&self) -> Position {
        Position { file: self.file.clone(), line: self.line, column: self.column() }
    }

    pub(super) fn error<T>(&self, text: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::Parse { line: self.line, text: text.into() })
    }

    pub(super) fn invalid<T>(&self) -> Result<T, SyntaxError> {
        Err(SyntaxError::Invalid {
            file: self.file.to_string(),
            line: self.line,
            column: self.column(),
        })
    }

    /// What stands here, in quotes, for an error text.
    pub(super) fn found(&self) -> String {
        match String::from_utf8_lossy(&self.rest()[..self.rest().len().min(4)]).chars().next() {
            Some(c) => format!("'{c}'"),
            None => "end of file".to_owned(),
        }
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Blank, newline, form feed or vertical tab: what may stand around keys.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
