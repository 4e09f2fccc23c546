//! Text of a configuration: never a panic or an overflow of the stack, whatever it includes; what was read
//! can be written as JSON, which is a configuration as well, and read again.
//!
//! The input is the configuration, and behind each byte 0x1e a file that it may include or a value of
//! its environment. One that begins with a dash is a command line, an argument a line.

#![no_main]

use std::cell::Cell;
use std::fmt::Write as _;
use std::io;

use libfuzzer_sys::fuzz_target;
use natterjack_config::language::{self, Kind, Map, Source, Value};
use natterjack_config::{ConfigError, Options, duration, flags, reload};

/// What can be read of the world at most: files that include each other multiply.
const READS: u32 = 12;
/// Longer texts are not written again.
const WRITTEN: usize = 64 << 10;
/// How deep maps and arrays may nest in a text. Variables may make the tree deeper.
const DEPTH: usize = 128;

struct World<'a> {
    parts: Vec<&'a [u8]>,
    reads: Cell<u32>,
}

impl World<'_> {
    /// One of the parts, the same for the same name.
    fn part(&self, name: &str) -> Option<&[u8]> {
        let reads = self.reads.get();
        self.reads.set(reads + 1);
        let hash = name.bytes().fold(0_usize, |hash, byte| hash * 3 + usize::from(byte) & 0xffff);
        let at = hash % (self.parts.len() + 1);
        self.parts.get(at).copied().filter(|_| reads < READS)
    }
}

impl Source for World<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.part(path).map(<[u8]>::to_vec).ok_or(io::ErrorKind::NotFound.into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.part(name).map(|part| String::from_utf8_lossy(part).into_owned())
    }
}

fuzz_target!(|data: &[u8]| {
    if data.first() == Some(&b'-') {
        return command_line(&String::from_utf8_lossy(data));
    }
    let parts: Vec<&[u8]> = data.split(|byte| *byte == 0x1e).collect();
    let text = String::from_utf8_lossy(parts[0]);
    let world = || World { parts: parts.clone(), reads: Cell::new(0) };
    let tree = language::parse(&text, "C", &world());
    match Options::parse(&text, "C", &world()) {
        Ok(options) => {
            match &tree {
                Ok(tree) => {
                    assert_eq!(options.config_digest, language::digest(tree));
                    assert!(options.warnings.iter().all(|it| !it.problem.text.is_empty()));
                }
                // An empty file is none to a check only.
                Err(error) => assert!(matches!(error, language::SyntaxError::Empty { .. })),
            }
            assert!(options.max_payload > 0 && options.max_control_line > 0);
            let _ = (options.validate(), options.check_deprecated(), options.startup_notices());
            let changes = reload::diff(&options, &options).expect("nothing changed");
            let always = 2 + usize::from(options.tls.is_some());
            assert_eq!(changes.len(), always, "what is always reloaded");
            let _ = reload::diff(&Options::default(), &options);
        }
        Err(ConfigError::Options(problems)) => assert!(tree.is_ok() && !problems.is_empty()),
        Err(error) => assert_eq!(tree.clone().map_err(ConfigError::from), Err(error)),
    }
    if let Ok(tree) = &tree {
        again(tree);
    }
    if text.len() < 40 {
        durations(&text);
    }
});

/// What is written as JSON is read as the same tree, whichever way it is sorted.
fn again(tree: &Map) {
    let mut text = String::new();
    let entries: Vec<_> = tree.iter().collect();
    for entry in entries.iter().rev() {
        if !write_entry(&entry.key, &entry.value, &mut text, 0) {
            return;
        }
        text.push('\n');
    }
    let read = language::parse(&text, "J", &language::NoSource);
    let read = read.unwrap_or_else(|error| panic!("{error} in {text:?}"));
    assert_eq!(language::digest(&read), language::digest(tree), "{text:?}");
}

/// False if there is no way to write it.
fn write_entry(key: &str, value: &Value, out: &mut String, depth: usize) -> bool {
    let quote = if key.contains('"') { '\'' } else { '"' };
    let _ = write!(out, "{quote}{key}{quote}: ");
    !key.contains(quote) && write_value(value, out, depth)
}

fn write_value(value: &Value, out: &mut String, depth: usize) -> bool {
    if depth > DEPTH || out.len() > WRITTEN {
        return false;
    }
    match &value.kind {
        Kind::String(text) => {
            out.push('"');
            for c in text.chars() {
                match c {
                    '"' | '\\' => out.extend(['\\', c]),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\x0d"),
                    _ => out.push(c),
                }
            }
            out.push('"');
        }
        Kind::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        Kind::Float(number) => {
            assert!(number.is_finite());
            let from = out.len();
            let _ = write!(out, "{number}");
            if !out[from..].contains('.') {
                out.push_str(".0");
            }
        }
        Kind::Bool(flag) => out.push_str(if *flag { "yes" } else { "off" }),
        Kind::Date(text) => out.push_str(text),
        Kind::Array(items) => {
            out.push('[');
            for item in items.iter() {
                if !write_value(item, out, depth + 1) {
                    return false;
                }
                out.push(',');
            }
            out.push(']');
        }
        Kind::Map(map) => {
            out.push('{');
            for entry in map.iter() {
                if !write_entry(&entry.key, &entry.value, out, depth + 1) {
                    return false;
                }
                out.push(';');
            }
            out.push('}');
        }
    }
    true
}

fn durations(text: &str) {
    if let Ok(nanos) = duration::parse_positive(text) {
        let shown = duration::format(nanos);
        assert_eq!(duration::parse_positive(&shown), Ok(nanos));
    }
    if let Ok(nanos) = duration::parse(text)
        && !text.starts_with(['-', '+'])
    {
        assert_eq!(duration::parse(&format!("-{text}")), Ok(-nanos));
    }
}

fn command_line(text: &str) {
    let args = || text.lines().map(str::to_owned);
    let parsed = flags::parse(args());
    // Two dashes are as good as one.
    let two = args().map(|arg| match arg.strip_prefix('-') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(['-', '=']) => format!("-{arg}"),
        _ => arg,
    });
    if let (Ok(parsed), Ok(two)) = (&parsed, flags::parse(two)) {
        // Values that look like flags are changed as well.
        assert_eq!(std::mem::discriminant(parsed), std::mem::discriminant(&two));
    }
    match parsed {
        Ok(flags::Command::Serve(overrides) | flags::Command::Check(overrides)) => {
            let mut options = Options::default();
            overrides.apply(&mut options);
            let once = options.clone();
            let _ = options.validate();
            options.warnings.clear();
            overrides.apply(&mut options);
            assert_eq!(options, once, "applied twice");
        }
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
