//! The JSON text that the digest is taken of, byte for byte as Go's encoder writes it.

use super::{Kind, Map, Value};
use std::fmt::Write;

pub(super) fn write_map(map: &Map, out: &mut String) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    out.push('{');
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(&entry.key, out);
        out.push(':');
        write_value(&entry.value, out);
    }
    out.push('}');
}

fn write_value(value: &Value, out: &mut String) {
    match &value.kind {
        Kind::String(text) | Kind::Date(text) => write_string(text, out),
        Kind::Integer(number) => out.push_str(&number.to_string()),
        Kind::Float(number) => write_float(*number, out),
        Kind::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Kind::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Kind::Map(map) => write_map(map, out),
    }
}

/// Go writes an exponent below 1e-6 and from 1e21 on, and no fraction for whole numbers.
fn write_float(number: f64, out: &mut String) {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                let _ = write!(out, "{digits}e+{exponent}");
            }
            _ => out.push_str(&text),
        }
    } else {
        let _ = write!(out, "{number}");
    }
}

/// Go also escapes what could end a script element, and the two Unicode line separators.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
