//! What goes to standard output (data) and to standard error (everything else).
//!
//! A reader that has gone away (`| head -1`) ends the command quietly with 0.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Failure;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How tables are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// With lines, for people.
    #[default]
    Table,
    /// Markdown.
    Md,
    /// Comma separated values.
    Csv,
    /// Tab separated values.
    Tsv,
    /// As `--json`.
    Json,
}

/// How tables are drawn: the schemes of the `nats` tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scheme {
    /// Round corners.
    #[default]
    Rounded,
    /// Double lines.
    Double,
    /// Lines in a colour.
    Yellow,
    /// Lines in a colour.
    Blue,
    /// Lines in a colour.
    Cyan,
    /// Lines in a colour.
    Green,
    /// Lines in a colour.
    Magenta,
    /// Lines in a colour.
    Red,
}

impl Scheme {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Rounded | Self::Double => None,
            Self::Yellow => Some("33"),
            Self::Blue => Some("34"),
            Self::Cyan => Some("36"),
            Self::Green => Some("32"),
            Self::Magenta => Some("35"),
            Self::Red => Some("31"),
        }
    }

    /// The scheme of a name that stands in the environment or in a context; an unknown one is none.
    pub(crate) fn named(name: &str) -> Option<Self> {
        clap::ValueEnum::from_str(name, true).ok()
    }
}

/// Where and how a command writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) format: Format,
    pub(crate) scheme: Scheme,
    color: bool,
    color_chatter: bool,
}

/// Colours that are used; never the only carrier of a meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    /// What is less important.
    Dim,
    /// What deserves attention.
    Yellow,
    /// What failed.
    Red,
    /// What names things.
    Cyan,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Cyan => "36",
        }
    }
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, format: Format, color: ColorChoice) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let allowed = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto => terminal || (set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE")),
        };
        let json = json || format == Format::Json;
        Self {
            json,
            quiet,
            format,
            scheme: Scheme::default(),
            color: allowed(io::stdout().is_terminal()) && !json,
            color_chatter: allowed(io::stderr().is_terminal()),
        }
    }

    /// Writes data and flushes it, so that a reader has it at once.
    pub(crate) fn data(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        drop(stdout);
        if let Err(error) = written {
            end_of_pipe(&error);
        }
    }

    /// Writes a line of data.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let mut line = Vec::with_capacity(text.len() + 1);
        line.extend_from_slice(text.as_bytes());
        line.push(b'\n');
        self.data(&line);
    }

    /// Writes one object on a line of its own.
    pub(crate) fn object(&self, value: &impl Serialize) {
        // A value made of maps with text keys always encodes.
        let text = serde_json::to_string(value).expect("output values encode");
        self.line(text);
    }

    /// Writes a document for people who read JSON: one object over several lines.
    pub(crate) fn document(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).expect("output values encode");
        self.line(text);
    }

    /// Writes names: one a line, or as one document.
    pub(crate) fn names(&self, names: &[impl AsRef<str> + Serialize]) {
        match self.json {
            true => self.document(&names),
            false => names.iter().for_each(|name| self.line(name)),
        }
    }

    /// What was read; what could not be read is warned of and left out.
    pub(crate) fn or_warn<T>(&self, read: Result<T, Failure>) -> Option<T> {
        read.map_err(|failure| self.warn(failure.message)).ok()
    }

    /// Says something that is not data; with `-q` or `--json` nothing.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            complain(text.as_ref());
        }
    }

    /// As [`say`](Self::say), after the time of day.
    pub(crate) fn log(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            let time = jiff::Zoned::now().strftime("%H:%M:%S");
            complain(&format!("{time} {}", text.as_ref()));
        }
    }

    /// Shows API traffic (`--trace`).
    pub(crate) fn trace(&self, text: &str) {
        complain(text);
    }

    /// Warns, also with `-q`.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        complain(&format!("{} {}", self.chatter(Paint::Yellow, "warning:"), text.as_ref()));
    }

    /// Reports why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        if self.json {
            complain(&failure.json().to_string());
            return;
        }
        complain(&format!("{} {}", self.chatter(Paint::Red, "error:"), failure.message));
        if !failure.hint.is_empty() {
            complain(&format!("{} {}", self.chatter(Paint::Cyan, "try:"), failure.hint));
        }
    }

    /// Colours the lines around and in a table.
    pub(crate) fn paint_lines(&self, table: &str) -> String {
        let Some(code) = self.scheme.code().filter(|_| self.color) else { return table.to_owned() };
        let is_line = |c: char| ('\u{2500}'..='\u{257f}').contains(&c);
        let mut painted = String::with_capacity(table.len() * 2);
        let mut inside = false;
        for c in table.chars() {
            if is_line(c) != inside {
                inside = !inside;
                painted.push_str(if inside { "\x1b[" } else { "\x1b[0m" });
                if inside {
                    painted.push_str(code);
                    painted.push('m');
                }
            }
            painted.push(c);
        }
        if inside {
            painted.push_str("\x1b[0m");
        }
        painted
    }

    /// Colours text for standard output.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        colored(self.color, paint, text)
    }

    fn chatter(&self, paint: Paint, text: &str) -> String {
        colored(self.color_chatter, paint, text)
    }

    /// Whether chatter goes to a terminal, so that a line may be overwritten.
    pub(crate) fn has_progress(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Overwrites the progress line.
    pub(crate) fn progress(&self, text: &str, done: bool) {
        if self.has_progress() {
            let end = if done { "\n" } else { "" };
            let mut stderr = io::stderr().lock();
            // Chatter that cannot be written is lost, and nothing else.
            let _ = write!(stderr, "\r\x1b[K{text}{end}").and_then(|()| stderr.flush());
        }
    }
}

fn is_zero(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "0")
}

fn colored(on: bool, paint: Paint, text: &str) -> String {
    if on { format!("\x1b[{}m{text}\x1b[0m", paint.code()) } else { text.to_owned() }
}

fn complain(text: &str) {
    // Chatter that cannot be written is lost, and nothing else.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Ends the process when standard output is gone: quietly if its reader has left.
fn end_of_pipe(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    complain(&format!("error: cannot write the output: {error}"));
    std::process::exit(1);
}

/// Puts a body into a JSON object: `data` if it is text, else `data_base64`.
pub(crate) fn put_body(object: &mut Map<String, Value>, body: &[u8]) {
    put_bytes(object, "data", body);
}

/// As [`put_body`], under another name.
pub(crate) fn put_bytes(object: &mut Map<String, Value>, name: &str, body: &[u8]) {
    use base64::Engine;
    match std::str::from_utf8(body) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => {
            let text = base64::engine::general_purpose::STANDARD.encode(body);
            object.insert(format!("{name}_base64"), text.into())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_no_text_come_as_base64() {
        let mut object = Map::new();
        put_body(&mut object, b"text");
        put_bytes(&mut object, "value", &[0xff, 0]);
        assert_eq!(Value::Object(object).to_string(), r#"{"data":"text","value_base64":"/wA="}"#);
    }

    #[test]
    fn a_scheme_colours_lines_and_nothing_else() {
        let mut out = Output::new(false, false, Format::Table, ColorChoice::Always);
        assert_eq!(out.paint_lines("╭─╮\n│a│"), "╭─╮\n│a│");
        out.scheme = Scheme::Green;
        let green = |text: &str| format!("\x1b[32m{text}\x1b[0m");
        let wanted = format!("{}\n{}a{}", green("╭─╮"), green("│"), green("│"));
        assert_eq!(out.paint_lines("╭─╮\n│a│"), wanted);
        let plain = Output {
            scheme: Scheme::Red,
            ..Output::new(false, false, Format::Table, ColorChoice::Never)
        };
        assert_eq!(plain.paint_lines("│"), "│");
        assert_eq!((Scheme::named("RED"), Scheme::named("odd")), (Some(Scheme::Red), None));
    }

    #[test]
    fn never_means_never_and_always_always() {
        let plain = Output::new(false, false, Format::Table, ColorChoice::Never);
        assert_eq!(plain.paint(Paint::Red, "x"), "x");
        let colored = Output::new(false, false, Format::Table, ColorChoice::Always);
        assert_eq!(colored.paint(Paint::Red, "x"), "\x1b[31mx\x1b[0m");
        let json = Output::new(true, false, Format::Table, ColorChoice::Always);
        assert_eq!(json.paint(Paint::Red, "x"), "x");
    }
}
