//! One JSON object a line: `ts level target msg fields span trace_id`.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
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
        let mut fields = Collected(Map::new());
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_else(|| "".into());
        let mut trace_id = fields.0.remove("trace_id");
        let mut names: Vec<&'static str> = Vec::new();
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            names.push(span.name());
            let extensions = span.extensions();
            if trace_id.is_none()
                && let Some(known) = extensions.get::<FormattedFields<N>>()
            {
                trace_id = trace_of(known).map(Into::into);
            }
        }
        let meta = event.metadata();
        let mut object = json!({
            "ts": super::line::now("%Y-%m-%dT%H:%M:%S%.3f%:z"),
            "level": meta.level().as_str(),
            "target": meta.target(),
            "msg": message,
            "fields": fields.0,
        });
        if !names.is_empty() {
            object["span"] = names.join(":").into();
        }
        if let Some(trace_id) = trace_id {
            object["trace_id"] = trace_id;
        }
        writeln!(writer, "{object}")
    }
}

/// The `trace_id` among the formatted fields of a span.
fn trace_of(fields: &str) -> Option<&str> {
    let rest = fields.split(' ').find_map(|field| field.strip_prefix("trace_id="))?;
    Some(rest.trim_matches('"'))
}

struct Collected(Map<String, Value>);

impl Visit for Collected {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.insert(field.name().into(), value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }
}
