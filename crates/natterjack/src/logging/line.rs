//! The line that people read.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// `TIME LEVEL target k=v k=v | message`.
pub(super) struct Line {
    time: &'static str,
}

impl Line {
    pub(super) fn console() -> Self {
        Self { time: "%Y-%m-%d %H:%M:%S%.3f" }
    }

    /// RFC 3339, so that a file says by itself which time it means.
    pub(super) fn file() -> Self {
        Self { time: "%Y-%m-%dT%H:%M:%S%.3f%:z" }
    }
}

/// The time now, local, in a form that jiff's `strftime` knows.
pub(super) fn now(form: &str) -> String {
    jiff::Zoned::now().strftime(form).to_string()
}

fn color(level: Level) -> &'static str {
    match level {
        Level::TRACE => "\x1b[90m",
        Level::DEBUG => "\x1b[36m",
        Level::INFO => "\x1b[32m",
        Level::WARN => "\x1b[33m",
        Level::ERROR => "\x1b[1;31m",
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        write!(writer, "{} ", now(self.time))?;
        if writer.has_ansi_escapes() {
            write!(writer, "{}{:<5}\x1b[0m", color(*meta.level()), meta.level())?;
        } else {
            write!(writer, "{:<5}", meta.level())?;
        }
        write!(writer, " {}", meta.target())?;
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, " {fields}")?;
            }
        }
        let mut found = Found::default();
        event.record(&mut found);
        if !found.fields.is_empty() {
            write!(writer, " {}", found.fields)?;
        }
        writeln!(writer, " | {}", one_line(&found.message))
    }
}

/// A record is one line, whatever is in it.
fn one_line(text: &str) -> String {
    if text.contains(['\n', '\r']) {
        text.replace('\r', "\\r").replace('\n', "\\n")
    } else {
        text.to_owned()
    }
}

/// The message of an event, and its other fields as `k=v`.
#[derive(Default)]
struct Found {
    message: String,
    fields: String,
}

impl Found {
    fn add(&mut self, name: &str, value: &str) {
        if name == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        if !self.fields.is_empty() {
            self.fields.push(' ');
        }
        self.fields.push_str(name);
        self.fields.push('=');
        let plain = !value.is_empty() && !value.contains([' ', '"', '=', '|', '\n', '\r', '\t']);
        if plain {
            self.fields.push_str(value);
        } else {
            self.fields.push_str(&format!("{value:?}"));
        }
    }
}

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field.name(), &value.to_string());
    }
}

/// Fields of spans, in the same form.
pub(super) struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut found = Found::default();
        fields.record(&mut found);
        writer.write_str(&found.fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_only_where_needed() {
        let mut found = Found::default();
        found.add("a", "x");
        found.add("b", "x y");
        found.add("c", "");
        found.add("message", "hello");
        assert_eq!(
            (found.fields.as_str(), found.message.as_str()),
            (r#"a=x b="x y" c="""#, "hello")
        );
    }

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(one_line("a\r\nb"), "a\\r\\nb");
    }

    #[test]
    fn the_console_time_has_milliseconds() {
        let time = now(Line::console().time);
        assert_eq!(time.len(), "2026-01-31 12:00:00.123".len(), "{time}");
    }
}
