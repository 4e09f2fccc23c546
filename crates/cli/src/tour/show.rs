//! What the tour prints while it plays: both sides in two colours, with the time since the pair began.

use std::io::Write;
use std::time::Instant;

use natterjack_examples::Line;

use super::Lang;
use crate::output::{Output, Paint};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Publisher,
    Subscriber,
}

impl Role {
    /// Its name, padded to one width.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher ",
            Self::Subscriber => "subscriber",
        }
    }

    fn paint(self) -> Paint {
        match self {
            Self::Publisher => Paint::Cyan,
            Self::Subscriber => Paint::Yellow,
        }
    }
}

/// Prints; cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) out: Output,
    pub(super) plain: bool,
    /// Leaves out the lines of the sides.
    pub(super) quiet: bool,
    pub(super) lang: Lang,
    pub(super) began: Instant,
}

impl Show {
    /// The same with the clock at zero.
    pub(super) fn anew(self) -> Self {
        Self { began: Instant::now(), ..self }
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.plain { text.to_owned() } else { self.out.paint(paint, text) }
    }

    /// Prints a line, for people only.
    pub(super) fn print(&self, text: &str) {
        if !self.out.json && !self.out.quiet {
            write_line(text);
        }
    }

    /// Tells in a sentence what happens next.
    pub(super) fn narrate(&self, text: &str) {
        self.print(&format!("{:>8.3} s  * {text}", self.began.elapsed().as_secs_f64()));
    }

    /// Shows a line of one of the sides.
    pub(super) fn side(&self, role: Role, line: &Line) {
        if self.quiet {
            return;
        }
        let text = format!("{}  {}", role.name(), line.text);
        let offset = format!("{:>8.3} s  ", self.began.elapsed().as_secs_f64());
        self.print(&format!("{offset}{}", self.paint(role.paint(), &text)));
    }

    /// Shows how a check came out.
    pub(super) fn check(&self, claim: &str, broken: Option<&str>) {
        let text = match broken {
            None => format!("{:>12}{claim}", "ok  "),
            Some(found) => self.paint(Paint::Red, &format!("{:>12}{claim}: {found}", "FAIL  ")),
        };
        self.print(&text);
    }

    /// Marks a word that says pass or fail.
    pub(super) fn verdict(&self, passed: bool, text: &str) -> String {
        if passed { text.to_owned() } else { self.paint(Paint::Red, text) }
    }
}

/// Writes to standard output. A reader that has gone does not end the tour, which has to clean up.
pub(super) fn write_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
