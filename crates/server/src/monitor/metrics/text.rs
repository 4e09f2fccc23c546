//! Prometheus's text form: each metric once, with its help, its type and all its samples.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// What a metric does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows.
    Counter,
}

/// Metrics by their names.
#[derive(Default)]
pub(super) struct Metrics(BTreeMap<String, Family>);

struct Family {
    kind: Kind,
    help: String,
    /// Complete lines.
    samples: String,
}

impl Metrics {
    /// Adds a sample. Help and type are those of a metric's first one.
    pub(super) fn add(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        let family = self.0.entry(name.to_owned()).or_insert_with(|| Family {
            kind,
            help: help.replace('\\', "\\\\").replace('\n', "\\n"),
            samples: String::new(),
        });
        let line = &mut family.samples;
        line.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            line.push(if place == 0 { '{' } else { ',' });
            line.push_str(label);
            line.push_str("=\"");
            push_escaped(line, text);
            line.push('"');
        }
        if !labels.is_empty() {
            line.push('}');
        }
        // Writing to a text cannot fail.
        let _ = writeln!(line, " {value}");
    }

    pub(super) fn into_text(self) -> String {
        let mut text = String::new();
        for (name, Family { kind, help, samples }) in self.0 {
            let kind = match kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
            };
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
        }
        text
    }
}

fn push_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            '"' => line.push_str("\\\""),
            '\n' => line.push_str("\\n"),
            other => line.push(other),
        }
    }
}

/// A name with what no name may have replaced, and runs of underscores made one, as the exporter does.
pub(super) fn name(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    for character in path.chars() {
        let character = if character.is_ascii_alphanumeric() { character } else { '_' };
        if character != '_' || !name.ends_with('_') {
            name.push(character);
        }
    }
    name.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_stand_together() {
        let mut metrics = Metrics::default();
        metrics.add("b", Kind::Gauge, "about b", &[], 1);
        metrics.add("a", Kind::Counter, "a\nb\\", &[("x", "1"), ("y", "\"\\\n")], 2);
        metrics.add("b", Kind::Gauge, "about b", &[("x", "é")], 0.5);
        assert_eq!(
            metrics.into_text(),
            "# HELP a a\\nb\\\\\n# TYPE a counter\na{x=\"1\",y=\"\\\"\\\\\\n\"} 2\n\
             # HELP b about b\n# TYPE b gauge\nb 1\nb{x=\"é\"} 0.5\n"
        );
    }

    #[test]
    fn names_keep_to_their_letters() {
        for (path, expected) in [("a_/b/c", "a_b_c"), ("a.b-c_", "a_b_c"), ("a__b", "a_b")] {
            assert_eq!(name(path), expected);
        }
    }
}
