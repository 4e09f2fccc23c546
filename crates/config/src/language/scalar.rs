//! Numbers, dates, strings.

use super::lexer::{Cursor, is_blank, is_newline};
use super::{Kind, SyntaxError};
use std::sync::Arc;

/// Whether `byte` ends an unquoted value.
fn ends_bare(byte: Option<u8>) -> bool {
    byte.is_none_or(|b| {
        is_blank(b) || is_newline(b) || matches!(b, b',' | b';' | b']' | b'}' | b'\0')
    })
}

/// A string in double quotes, on whose opening quote the cursor stands.
pub(super) fn quoted(cursor: &mut Cursor<'_>) -> Result<Kind, SyntaxError> {
    cursor.bump();
    let mut bytes = Vec::new();
    loop {
        match cursor.peek() {
            None => return cursor.error("Unexpected EOF."),
            Some(b'"') => {
                cursor.bump();
                return Ok(string(&bytes));
            }
            Some(b'\\') => escape(cursor, &mut bytes)?,
            Some(byte) => {
                cursor.bump();
                bytes.push(byte);
            }
        }
    }
}

/// A raw string in single quotes, on whose opening quote the cursor stands.
pub(super) fn raw(cursor: &mut Cursor<'_>) -> Result<Kind, SyntaxError> {
    cursor.bump();
    let start = cursor.offset();
    cursor.bump_while(|b| b != b'\'');
    let text = cursor.slice_from(start);
    if cursor.bump().is_none() {
        return cursor.error("Unexpected EOF.");
    }
    Ok(string(text))
}

/// A block `(` … `)`: raw text up to a line that is just `)`.
pub(super) fn block(cursor: &mut Cursor<'_>) -> Result<Kind, SyntaxError> {
    cursor.bump();
    let start = cursor.offset();
    loop {
        cursor.bump_while(|b| b != b'\n');
        if cursor.bump().is_none() {
            return cursor.error("Unexpected EOF processing block.");
        }
        if cursor.peek() == Some(b')') && cursor.peek_second().is_none_or(is_newline) {
            let text = cursor.slice_from(start);
            cursor.bump();
            return Ok(string(text));
        }
    }
}

fn escape(cursor: &mut Cursor<'_>, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
    cursor.bump();
    let byte = match cursor.peek() {
        Some(b't') => b'\t',
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b'"') => b'"',
        Some(b'\\') => b'\\',
        Some(b'x') => {
            cursor.bump();
            return hexadecimal(cursor, bytes);
        }
        other => {
            let found = match other {
                Some(b'\n') => {
                    cursor.bump();
                    "'\\n'".to_owned()
                }
                _ => cursor.found(),
            };
            return cursor.error(format!(
                "Invalid escape character {found}. Only the following escape characters are \
                 allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\."
            ));
        }
    };
    cursor.bump();
    bytes.push(byte);
    Ok(())
}

fn hexadecimal(cursor: &mut Cursor<'_>, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
    let two = &cursor.rest()[..cursor.rest().len().min(2)];
    let digit = |i: usize| two.get(i).and_then(|b| char::from(*b).to_digit(16));
    match (digit(0), digit(1)) {
        (Some(high), Some(low)) => {
            bytes.push((high * 16 + low) as u8);
            cursor.bump();
            cursor.bump();
            Ok(())
        }
        _ => cursor.error(format!(
            "Expected two hexadecimal digits after '\\x', but got '{}'",
            String::from_utf8_lossy(two)
        )),
    }
}

/// What an unquoted run of characters turned out to be.
pub(super) enum Bare {
    Value(Kind),
    /// `$NAME`
    Variable(String),
}

/// An unquoted value: bool, variable or string. Escapes work as in double quotes.
pub(super) fn bare(cursor: &mut Cursor<'_>) -> Result<Bare, SyntaxError> {
    bare_from(cursor, Vec::new())
}

fn bare_from(cursor: &mut Cursor<'_>, mut bytes: Vec<u8>) -> Result<Bare, SyntaxError> {
    // A text with an escape or a quote is a string, whatever it spells.
    let mut plain = true;
    while !ends_bare(cursor.peek()) {
        match cursor.peek() {
            // The reference ends a bare string at a single quote and takes the quote away.
            Some(b'\'') => {
                cursor.bump();
                plain = false;
                break;
            }
            Some(b'\\') => {
                escape(cursor, &mut bytes)?;
                plain = false;
            }
            Some(byte) => {
                bytes.push(byte);
                cursor.bump();
            }
            None => break,
        }
    }
    if !plain {
        return Ok(Bare::Value(string(&bytes)));
    }
    if let Some(name) = bytes.strip_prefix(b"$")
        && !is_bcrypt(&bytes)
    {
        return Ok(Bare::Variable(String::from_utf8_lossy(name).into_owned()));
    }
    Ok(Bare::Value(match bytes.to_ascii_lowercase().as_slice() {
        b"true" | b"yes" | b"on" => Kind::Bool(true),
        b"false" | b"no" | b"off" => Kind::Bool(false),
        _ => string(&bytes),
    }))
}

/// Whether an unquoted text is the start of a bcrypt hash rather than a variable. The reference
/// knows `$2a$` only; a variable cannot be named like the others either.
fn is_bcrypt(text: &[u8]) -> bool {
    matches!(text, [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', ..])
}

/// A value that starts with a digit or a minus sign: integer, float, date, or a bare string such
/// as an address or a duration.
pub(super) fn number(cursor: &mut Cursor<'_>) -> Result<Bare, SyntaxError> {
    let start = cursor.offset();
    let negative = cursor.peek() == Some(b'-');
    if negative {
        cursor.bump();
        if !cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
            return cursor.error(format!("Expected a digit but got {}.", cursor.found()));
        }
    }
    let digits_start = cursor.offset();
    cursor.bump_while(|b| b.is_ascii_digit());
    let digits = cursor.slice_from(digits_start);
    match cursor.peek() {
        Some(b'-') if !negative => return date(cursor, start, digits.len()),
        Some(b'.') => return float(cursor, start),
        _ => {}
    }
    let text = cursor.slice_from(start);
    // Only a positive number turns into a string at any letter; `-5s` stays a number, and what
    // follows it is refused by whoever expects the end of the value.
    let unit = cursor.peek().is_some_and(|b| b"kmgtpe".contains(&b.to_ascii_lowercase()));
    if negative && !unit {
        return integer(text, 1).map(Bare::Value);
    }
    let factor = suffix(cursor);
    if ends_bare(cursor.peek())
        && let Some(factor) = factor
    {
        return integer(text, factor).map(Bare::Value);
    }
    let head = cursor.slice_from(start).to_vec();
    bare_from(cursor, head)
}

fn float(cursor: &mut Cursor<'_>, start: usize) -> Result<Bare, SyntaxError> {
    cursor.bump();
    if !cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        let found = cursor.found();
        return cursor
            .error(format!("Floats must have a digit after the '.', but got {found} instead."));
    }
    cursor.bump_while(|b| b.is_ascii_digit());
    let text = String::from_utf8_lossy(cursor.slice_from(start)).into_owned();
    if cursor.peek() == Some(b'.') {
        return bare_from(cursor, text.into_bytes());
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_infinite() => Err(SyntaxError::FloatRange { text }),
        Ok(number) => Ok(Bare::Value(Kind::Float(number))),
        Err(_) => cursor.error(format!("Expected a float but got '{text}'.")),
    }
}

/// The factor of a suffix, or `None` for letters that are none; the cursor moves past it.
fn suffix(cursor: &mut Cursor<'_>) -> Option<i64> {
    let start = cursor.offset();
    cursor.bump_while(|b| b.is_ascii_alphabetic());
    let text = cursor.slice_from(start).to_ascii_lowercase();
    let Some((unit, rest)) = text.split_first() else { return Some(1) };
    let power = 1 + b"kmgtpe".iter().position(|known| known == unit)? as u32;
    match rest {
        b"" => Some(1000_i64.pow(power)),
        b"b" | b"i" | b"ib" => Some(1024_i64.pow(power)),
        _ => None,
    }
}

fn integer(text: &[u8], factor: i64) -> Result<Kind, SyntaxError> {
    let digits = String::from_utf8_lossy(text);
    digits
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .map(Kind::Integer)
        .ok_or_else(|| SyntaxError::IntegerRange { digits: digits.into_owned() })
}

/// `2016-05-04T18:53:41Z`; the year is read and the cursor stands on the first `-`.
fn date(cursor: &mut Cursor<'_>, start: usize, year_len: usize) -> Result<Bare, SyntaxError> {
    if year_len != 4 {
        return cursor.error("All ISO8601 dates must be in full Zulu form.");
    }
    for expected in *b"-00-00T00:00:00Z" {
        let matches = match cursor.peek() {
            Some(byte) if expected == b'0' => byte.is_ascii_digit(),
            found => found == Some(expected),
        };
        if !matches {
            let found = cursor.found();
            return match expected {
                b'0' => cursor.error(format!(
                    "Expected digit in ISO8601 datetime, but found {found} instead."
                )),
                _ => cursor.error(format!(
                    "Expected '{}' in ISO8601 datetime, but found {found} instead.",
                    char::from(expected)
                )),
            };
        }
        cursor.bump();
    }
    let text = String::from_utf8_lossy(cursor.slice_from(start)).into_owned();
    if names_a_moment(text.as_bytes()) {
        Ok(Bare::Value(Kind::Date(Arc::from(text))))
    } else {
        Err(SyntaxError::Date { text })
    }
}

/// Whether a text of the right form names a day of the calendar and a time of that day.
fn names_a_moment(text: &[u8]) -> bool {
    let two = |at: usize| u32::from(text[at] - b'0') * 10 + u32::from(text[at + 1] - b'0');
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day) && two(11) < 24 && two(14) < 60 && two(17) < 60
}

fn string(bytes: &[u8]) -> Kind {
    Kind::String(Arc::from(String::from_utf8_lossy(bytes)))
}
