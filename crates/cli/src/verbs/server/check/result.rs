//! What a check found, and the forms in which monitoring systems read it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::output::Format as TableFormat;
use crate::table::Table;

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A line with performance data.
    #[default]
    Nagios,
    /// An object.
    Json,
    /// Metrics in the text format of Prometheus; exits with 0 always.
    Prometheus,
    /// Tables for people.
    Text,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The kind of check, which names its metrics.
    pub(super) suite: &'static str,
    /// What was checked.
    pub(super) name: String,
    pub(super) critical: Vec<String>,
    pub(super) warning: Vec<String>,
    pub(super) ok: Vec<String>,
    pub(super) metrics: Vec<Metric>,
}

/// A number that was measured. A threshold of 0 is none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) warning: f64,
    pub(super) critical: f64,
    /// `s`, `B`, `%`, or nothing.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
}

impl Metric {
    pub(super) fn new(name: &'static str, value: f64, help: &'static str) -> Self {
        Self { name, value, help, ..Self::default() }
    }

    pub(super) fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    pub(super) fn limits(mut self, warning: f64, critical: f64) -> Self {
        (self.warning, self.critical) = (warning.max(0.0), critical.max(0.0));
        self
    }

    /// `name=value[unit][;warning[;critical]]`: seconds with four digits, all else whole.
    fn nagios(&self) -> String {
        let digits = if self.unit == "s" { 4 } else { 0 };
        let mut text = format!("{}={:.digits$}{}", self.name, self.value, self.unit);
        if self.warning != 0.0 {
            let _ = write!(text, ";{:.digits$}", self.warning);
        } else if self.critical != 0.0 {
            text.push(';');
        }
        if self.critical != 0.0 {
            let _ = write!(text, ";{:.digits$}", self.critical);
        }
        text
    }
}

impl Report {
    pub(super) fn new(suite: &'static str, name: impl Into<String>) -> Self {
        Self { suite, name: name.into(), ..Self::default() }
    }

    pub(super) fn critical(&mut self, text: impl Into<String>) {
        self.critical.push(text.into());
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warning.push(text.into());
    }

    pub(super) fn ok(&mut self, text: impl Into<String>) {
        self.ok.push(text.into());
    }

    pub(super) fn metric(&mut self, metric: Metric) {
        self.metrics.push(metric);
    }

    /// Files `text` by `value`: at or above the limits. A limit of 0 is none.
    pub(super) fn at_least(&mut self, value: f64, warning: f64, critical: f64, text: &str) {
        if critical > 0.0 && value >= critical {
            self.critical(text);
        } else if warning > 0.0 && value >= warning {
            self.warn(text);
        } else {
            self.ok(text);
        }
    }

    /// As [`at_least`](Self::at_least); limits that are the wrong way round ask for low values.
    pub(super) fn either_way(&mut self, value: f64, warning: f64, critical: f64, text: &str) {
        if critical > 0.0 && warning > 0.0 && critical < warning {
            if value <= critical {
                self.critical(text);
            } else if value <= warning {
                self.warn(text);
            } else {
                self.ok(text);
            }
        } else {
            self.at_least(value, warning, critical, text);
        }
    }

    /// 0, 1 or 2, as Nagios counts.
    pub(super) fn status(&self) -> u8 {
        match (self.critical.is_empty(), self.warning.is_empty()) {
            (false, _) => 2,
            (true, false) => 1,
            (true, true) => 0,
        }
    }

    fn word(&self) -> &'static str {
        ["OK", "WARNING", "CRITICAL"][usize::from(self.status())]
    }

    pub(super) fn render(&self, format: Format, namespace: &str) -> String {
        match format {
            Format::Nagios => self.nagios(),
            Format::Json => {
                serde_json::to_string_pretty(&self.json()).expect("a value of JSON encodes")
            }
            Format::Prometheus => self.prometheus(namespace),
            Format::Text => self.text(),
        }
    }

    fn nagios(&self) -> String {
        let mut line = format!("{} {}", self.word(), self.name);
        for (mark, texts) in [("Crit", &self.critical), ("Warn", &self.warning), ("OK", &self.ok)] {
            for text in texts {
                let _ = write!(line, " {mark}:{text}");
            }
        }
        let metrics: Vec<String> = self.metrics.iter().map(Metric::nagios).collect();
        if !metrics.is_empty() {
            let _ = write!(line, " | {}", metrics.join(" "));
        }
        // One line, whatever a server or a file said.
        line.replace(['\n', '\r'], " ")
    }

    fn json(&self) -> Value {
        let metrics: Vec<Value> = self
            .metrics
            .iter()
            .map(|metric| {
                let mut object = json!({
                    "name": metric.name,
                    "value": metric.value,
                    "warning": metric.warning,
                    "critical": metric.critical,
                });
                if !metric.unit.is_empty() {
                    object["unit"] = metric.unit.into();
                }
                object
            })
            .collect();
        let mut object =
            json!({"status": self.word(), "check_suite": self.suite, "check_name": self.name});
        for (name, texts) in
            [("warning", &self.warning), ("critical", &self.critical), ("ok", &self.ok)]
        {
            if !texts.is_empty() {
                object[name] = json!(texts);
            }
        }
        object["perf_data"] = metrics.into();
        object
    }

    fn prometheus(&self, namespace: &str) -> String {
        let item = label(&self.name);
        let mut families: Vec<(String, String, String)> = self
            .metrics
            .iter()
            .map(|metric| {
                let name = format!("{namespace}_{}_{}", self.suite, metric.name);
                let help = match metric.help {
                    "" => format!("Data about the check {}", self.suite),
                    help => help.to_owned(),
                };
                let line = format!("{name}{{item=\"{item}\"}} {}", metric.value);
                (name, help, line)
            })
            .collect();
        let name = format!("{namespace}_{}_status_code", self.suite);
        let status = format!("Nagios compatible status code for {}", self.suite);
        let line =
            format!("{name}{{item=\"{item}\",status=\"{}\"}} {}", self.word(), self.status());
        families.push((name, status, line));
        families.sort();
        let mut text = String::new();
        for (name, help, line) in families {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{line}");
        }
        text
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.name, self.word());
        let mut table = Table::new("Status Detail", &["Status", "Message"]);
        for (word, texts) in
            [("OK", &self.ok), ("Warning", &self.warning), ("Critical", &self.critical)]
        {
            for line in texts {
                table.row([word.to_owned(), line.clone()]);
            }
        }
        let _ = write!(text, "\n{}", table.render(TableFormat::Table));
        if self.metrics.is_empty() {
            return text;
        }
        let head =
            ["Metric", "Value", "Unit", "Critical Threshold", "Warning Threshold", "Description"];
        let mut table = Table::new("Check Metrics", &head).right(&[1, 3, 4]);
        for metric in &self.metrics {
            let digits = if metric.unit == "s" { 4 } else { 0 };
            table.row([
                metric.name.to_owned(),
                format!("{:.digits$}", metric.value),
                metric.unit.to_owned(),
                format!("{:.digits$}", metric.critical),
                format!("{:.digits$}", metric.warning),
                metric.help.to_owned(),
            ]);
        }
        let _ = write!(text, "\n{}", table.render(TableFormat::Table));
        text
    }
}

/// A value of a label, with the marks that would end it escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let mut report = Report::new("kv", "CONFIG");
        report.ok("bucket CONFIG");
        report.either_way(3.0, 2.0, 5.0, "3 values");
        report.metric(Metric::new("values", 3.0, "How many").limits(2.0, 5.0));
        report.metric(Metric::new("time", 0.25, "").unit("s").limits(-1.0, 1.0));
        report
    }

    #[test]
    fn nagios_reads_one_line() {
        let line =
            "WARNING CONFIG Warn:3 values OK:bucket CONFIG | values=3;2;5 time=0.2500s;;1.0000";
        assert_eq!(sample().render(Format::Nagios, ""), line);
        assert_eq!(sample().status(), 1);
        let mut empty = Report::new("x", "N");
        assert_eq!(empty.render(Format::Nagios, ""), "OK N");
        empty.critical("two\nlines");
        assert_eq!(empty.render(Format::Nagios, ""), "CRITICAL N Crit:two lines");
    }

    #[test]
    fn an_object_has_the_names_of_the_nats_tool() {
        let object = sample().json();
        assert_eq!(object["status"], "WARNING");
        assert_eq!(
            (&object["check_suite"], &object["check_name"]),
            (&json!("kv"), &json!("CONFIG"))
        );
        assert_eq!(object["warning"], json!(["3 values"]));
        assert!(object.get("critical").is_none());
        let metric = json!({"name": "values", "value": 3.0, "warning": 2.0, "critical": 5.0});
        assert_eq!(object["perf_data"][0], metric);
    }

    #[test]
    fn prometheus_reads_gauges_in_order() {
        let text = sample().render(Format::Prometheus, "ns");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "ns_kv_status_code{item=\"CONFIG\",status=\"WARNING\"} 1");
        assert_eq!(lines[5], "ns_kv_time{item=\"CONFIG\"} 0.25");
        assert_eq!(lines[6], "# HELP ns_kv_values How many");
        assert_eq!(lines[7], "# TYPE ns_kv_values gauge");
        assert_eq!(label("a\"b\\"), "a\\\"b\\\\");
    }

    #[test]
    fn limits_the_wrong_way_round_ask_for_low_values() {
        let status = |value: f64, warning: f64, critical: f64| {
            let mut report = Report::new("x", "N");
            report.either_way(value, warning, critical, "text");
            report.status()
        };
        assert_eq!([1.0, 4.0, 9.0].map(|value| status(value, 3.0, 8.0)), [0, 1, 2]);
        assert_eq!([1.0, 4.0, 9.0].map(|value| status(value, 8.0, 3.0)), [2, 1, 0]);
        assert_eq!([1.0, 9.0].map(|value| status(value, 0.0, 3.0)), [0, 2]);
        assert_eq!([1.0, 9.0].map(|value| status(value, 3.0, 0.0)), [0, 1]);
    }
}
