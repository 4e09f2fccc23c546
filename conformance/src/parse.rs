//! The case file parser.

use crate::case::{Case, Setup};
use crate::step::{self, Action, Expect, Step};

/// The key lines before a case's steps.
#[derive(Debug, Clone)]
struct Header {
    setup: Setup,
    connect: String,
    covers: Vec<String>,
    partly: Vec<String>,
    spec: Option<String>,
    differs: Option<String>,
    alone: bool,
    waits: bool,
    manual_pings: bool,
    patience_ms: u64,
}

impl Header {
    fn new() -> Self {
        Self {
            setup: Setup::default(),
            connect: r#"{"verbose":false}"#.to_owned(),
            covers: Vec::new(),
            partly: Vec::new(),
            spec: None,
            differs: None,
            alone: false,
            waits: false,
            manual_pings: false,
            patience_ms: 2000,
        }
    }

    /// Takes `key: value`; answers whether the line was one.
    fn take(&mut self, line: &str, more: &[String]) -> Result<bool, String> {
        let Some((key, value)) = line.split_once(':') else { return Ok(false) };
        let value = value.trim();
        let flag = || match value {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(format!("{key}: yes or no")),
        };
        match key {
            "flags" => self.setup.flags = value.split_whitespace().map(str::to_owned).collect(),
            "config" => {
                let text: String = more.iter().map(|l| format!("{}\n", l.trim_end())).collect();
                self.setup.config = (!text.trim().is_empty()).then_some(text);
            }
            "connect" => value.clone_into(&mut self.connect),
            "covers" => self.covers = capabilities(value)?,
            "partly" => self.partly = capabilities(value)?,
            "spec" => self.spec = Some(value.to_owned()),
            "differs" => self.differs = Some(value.to_owned()),
            "alone" => self.alone = flag()?,
            "waits" => self.waits = flag()?,
            "pings" => self.manual_pings = value == "manual",
            "patience" => {
                self.patience_ms = value.parse().map_err(|_| "patience: milliseconds")?;
            }
            _ => return Ok(false),
        }
        if key != "config" && !more.is_empty() {
            return Err(format!("{key} takes one line"));
        }
        Ok(true)
    }
}

fn capabilities(text: &str) -> Result<Vec<String>, String> {
    let ids: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match ids.iter().find(|id| !is_capability(id)) {
        Some(bad) => Err(format!("{bad:?} is not a capability id")),
        None => Ok(ids),
    }
}

pub(crate) fn is_capability(id: &str) -> bool {
    let mut parts = id.splitn(2, '-');
    let kind = matches!(parts.next(), Some("C" | "J" | "U"));
    kind && parts.next().is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A line with its continuation lines.
struct Logical {
    number: usize,
    text: String,
    more: Vec<String>,
}

fn logical_lines(text: &str) -> Result<Vec<Logical>, String> {
    let mut lines: Vec<Logical> = Vec::new();
    let mut blanks = 0;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            blanks += 1;
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let last = lines.last_mut().ok_or(format!("{number}: nothing to continue"))?;
            // Blank lines within a block belong to it.
            last.more.extend(std::iter::repeat_n(String::new(), blanks));
            last.more.push(line.to_owned());
        } else {
            lines.push(Logical { number, text: line.trim_end().to_owned(), more: Vec::new() });
        }
        blanks = 0;
    }
    Ok(lines)
}

/// Parses a file; `name` is its path below the directory of cases, without extension.
///
/// # Errors
/// The first mistake, as `line: text`.
pub fn parse(name: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut defaults = Header::new();
    let mut defaults_text = String::new();
    let mut cases: Vec<Case> = Vec::new();
    let mut in_header = true;
    let mut raw: Vec<String> = Vec::new();
    for line in logical_lines(text)? {
        let at = |error: String| format!("{}: {error}", line.number);
        if let Some(title) = line.text.strip_prefix("=== ") {
            let title = title.trim();
            let id = format!("{name}/{}", slug(title));
            if cases.iter().any(|case| case.id == id) {
                return Err(at(format!("a second case {id}")));
            }
            cases.push(blank(id, title, cases.len() + 1, &defaults));
            raw.push(defaults_text.clone());
            in_header = true;
            continue;
        }
        let full = format!("{}\n{}\n", line.text, line.more.join("\n"));
        let Some(case) = cases.last_mut() else {
            defaults_text.push_str(&full);
            if !defaults.take(&line.text, &line.more).map_err(at)? {
                return Err(at(format!("not a default: {:?}", line.text)));
            }
            continue;
        };
        raw.last_mut().expect("one text per case").push_str(&full);
        if in_header {
            let mut header = header_of(case);
            if header.take(&line.text, &line.more).map_err(at)? {
                apply(case, header);
                continue;
            }
            in_header = false;
        }
        let step = step::read(line.number, &line.text, &line.more).map_err(at)?;
        add(case, step).map_err(at)?;
    }
    for (case, text) in cases.iter_mut().zip(raw) {
        case.hash = fnv(text.as_bytes());
        if case.steps.is_empty() {
            return Err(format!("1: {} has no steps", case.id));
        }
    }
    Ok(cases)
}

fn blank(id: String, title: &str, ordinal: usize, defaults: &Header) -> Case {
    let mut case = Case {
        id,
        title: title.to_owned(),
        word: format!("S{ordinal}"),
        covers: Vec::new(),
        partly: Vec::new(),
        spec: None,
        differs: None,
        setup: Setup::default(),
        alone: false,
        waits: false,
        connect: String::new(),
        manual_pings: false,
        patience_ms: 0,
        steps: Vec::new(),
        hash: 0,
    };
    apply(&mut case, defaults.clone());
    case
}

fn header_of(case: &Case) -> Header {
    Header {
        setup: case.setup.clone(),
        connect: case.connect.clone(),
        covers: case.covers.clone(),
        partly: case.partly.clone(),
        spec: case.spec.clone(),
        differs: case.differs.clone(),
        alone: case.alone,
        waits: case.waits,
        manual_pings: case.manual_pings,
        patience_ms: case.patience_ms,
    }
}

fn apply(case: &mut Case, header: Header) {
    case.setup = header.setup;
    case.connect = header.connect;
    case.covers = header.covers;
    case.partly = header.partly;
    case.spec = header.spec;
    case.differs = header.differs;
    case.alone = header.alone;
    case.waits = header.waits;
    case.manual_pings = header.manual_pings;
    case.patience_ms = header.patience_ms;
}

/// Appends a step; consecutive `<*` and `<|` lines of a connection become one.
fn add(case: &mut Case, step: Step) -> Result<(), String> {
    if step.only.is_some() && case.differs.is_none() {
        return Err("@ours and @theirs need a decision record: differs: D-…".to_owned());
    }
    case.alone |= matches!(step.action, Action::Server(_));
    if let Some(last) = case.steps.last_mut()
        && last.only == step.only
        && let (Action::Expect(conn, before), Action::Expect(next, now)) =
            (&mut last.action, &step.action)
        && conn == next
    {
        match (before, now) {
            (Expect::AnyOrder(all), Expect::AnyOrder(more))
            | (Expect::OneOf(all), Expect::OneOf(more)) => {
                all.extend(more.iter().cloned());
                last.text = format!("{}\n{}", last.text, step.text);
                return Ok(());
            }
            _ => {}
        }
    }
    case.steps.push(step);
    Ok(())
}

fn slug(title: &str) -> String {
    let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// FNV-1a, 32 bits.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# comment
flags: -js -sd {dir}/store
config:
    max_payload: 100

    debug: false

=== A bare LF ends a line
covers: C-005 C-006
spec: core 10.7
a> PING
a< PONG

=== Two in any order
config:
a<* MSG a
a<* MSG b
a<* MSG c
";

    #[test]
    fn a_file_becomes_cases_with_defaults() {
        let cases = parse("core/parser", FILE).unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[0].id, "core/parser/a-bare-lf-ends-a-line");
        assert_eq!(cases[0].covers, ["C-005", "C-006"]);
        assert_eq!(cases[0].setup.flags, ["-js", "-sd", "{dir}/store"]);
        assert_eq!(
            cases[0].setup.config.as_deref(),
            Some("    max_payload: 100\n\n    debug: false\n")
        );
        assert_eq!(cases[0].word, "S1");
        assert_eq!(cases[0].steps.len(), 2);
        assert_eq!(cases[1].setup.config, None);
        assert_eq!(cases[1].steps.len(), 1, "lines in any order are one step");
    }

    #[test]
    fn the_hash_follows_the_text_and_the_defaults() {
        let first = parse("x", FILE).unwrap();
        let changed = parse("x", &FILE.replace("a< PONG", "a< PING")).unwrap();
        assert_ne!(first[0].hash, changed[0].hash);
        assert_eq!(first[1].hash, changed[1].hash);
        let changed = parse("x", &FILE.replace("100", "200")).unwrap();
        assert_ne!(first[1].hash, changed[1].hash);
    }

    #[test]
    fn a_case_that_touches_the_server_is_alone() {
        let cases = parse("x", "=== t\nserver kill\nserver start\n").unwrap();
        assert!(cases[0].alone);
    }

    #[test]
    fn mistakes_name_their_line() {
        let error = |text: &str| parse("x", text).unwrap_err();
        assert!(error("=== t\na ping\na% x\n").starts_with("3: "));
        assert!(error("=== t\ncovers: X-1\na ping\n").contains("capability"));
        assert!(error("=== t\n@ours a ping\n").contains("decision record"));
        assert!(error("=== t\n").contains("no steps"));
        assert!(error("=== t\na ping\n=== T!\na ping\n").contains("second case"));
        assert!(error("nonsense\n").contains("not a default"));
    }
}
