//! Traces that go along with messages, by the feature `otel`.
//!
//! Sending makes a span and puts its W3C `traceparent` and `tracestate` into the headers, by the global
//! propagator of OpenTelemetry; a handler runs in a span whose parent is the one that sent. The spans go to
//! the global tracer provider. Without a provider and a propagator nothing is made and nothing is sent.
//!
//! | Span | Kind | Of |
//! |---|---|---|
//! | `publish SUBJECT` | PRODUCER | [`Publish`](crate::Publish), [`JetStream::publish`](crate::JetStream::publish) and its publisher |
//! | `request SUBJECT` | CLIENT | [`Ask`](crate::Ask) |
//! | `process SUBJECT` | CONSUMER | handlers of subscriptions and of consumers |
//! | `process SUBJECT` | SERVER | handlers of requests, those of services among them |
//!
//! Attributes: `messaging.system` (`nats`), `messaging.destination.name`, `messaging.operation.name`,
//! `messaging.operation.type`, `messaging.message.body.size`; for messages of consumers
//! `messaging.consumer.group.name` and `messaging.nats.delivery_count`. Inboxes are shown as one, so that
//! names of spans stay few.
//!
//! A span has the status `Error`, with the reason, if sending failed, if nobody answered, if a service
//! refused (for its own span: with a code from 500 on), and if a handler failed or panicked. Of a question
//! with [several answers](crate::Many) it lasts until the answers are dropped.

use std::borrow::Cow;
use std::future::Future;

use async_nats::HeaderMap;
use opentelemetry::context::FutureExt as _;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, global};

use crate::connect::Link;
use crate::jetstream::Meta;

/// The context that a message was sent in: the parent of what is done because of it. For messages that a
/// program reads itself; handlers run in it.
#[must_use]
pub fn context_of(headers: &HeaderMap) -> Context {
    global::get_text_map_propagator(|propagator| propagator.extract(&Carrier(headers)))
}

struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

struct Filling<'a>(&'a mut HeaderMap);

impl Injector for Filling<'_> {
    fn set(&mut self, key: &str, value: String) {
        // What the wire cannot carry is left out, and so is what says nothing.
        if !value.is_empty()
            && let Ok(value) = value.parse::<async_nats::HeaderValue>()
        {
            self.0.insert(key, value);
        }
    }
}

/// What a span is about.
pub(crate) enum Kind<'a> {
    Publish,
    Request,
    /// The handler of a message of a subscription.
    Handler {
        headers: &'a HeaderMap,
        asked: bool,
    },
    /// The handler of a message of a consumer.
    Delivery {
        headers: &'a HeaderMap,
        meta: &'a Meta,
    },
}

/// A span, which ends when this is dropped.
pub(crate) struct Span(Context);

impl Span {
    pub(crate) fn begin(kind: &Kind<'_>, link: &Link, subject: &str, size: usize) -> Self {
        let (name, operation, span_kind) = match kind {
            Kind::Publish => ("publish", "send", SpanKind::Producer),
            Kind::Request => ("request", "send", SpanKind::Client),
            Kind::Handler { asked: true, .. } => ("process", "process", SpanKind::Server),
            Kind::Handler { .. } | Kind::Delivery { .. } => {
                ("process", "process", SpanKind::Consumer)
            }
        };
        let parent = match kind {
            Kind::Publish | Kind::Request => Context::current(),
            Kind::Handler { headers, .. } | Kind::Delivery { headers, .. } => context_of(headers),
        };
        let destination = destination(subject, &link.options.inbox_prefix);
        let mut attributes = vec![
            KeyValue::new("messaging.system", "nats"),
            KeyValue::new("messaging.destination.name", destination.clone().into_owned()),
            KeyValue::new("messaging.operation.name", name),
            KeyValue::new("messaging.operation.type", operation),
            KeyValue::new("messaging.message.body.size", i64::try_from(size).unwrap_or(i64::MAX)),
        ];
        if let Kind::Delivery { meta, .. } = kind {
            let times = i64::try_from(meta.delivered).unwrap_or(i64::MAX);
            attributes.extend([
                KeyValue::new("messaging.consumer.group.name", meta.consumer.clone()),
                KeyValue::new("messaging.nats.delivery_count", times),
            ]);
        }
        let tracer = global::tracer("natterjack");
        let span = tracer
            .span_builder(format!("{name} {destination}"))
            .with_kind(span_kind)
            .with_attributes(attributes);
        let span = tracer.build_with_context(span, &parent);
        Self(parent.with_span(span))
    }

    /// Has the message carry it.
    pub(crate) fn inject(&self, headers: &mut HeaderMap) {
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&self.0, &mut Filling(headers));
        });
    }

    pub(crate) fn failed(&self, why: &dyn std::fmt::Display) {
        self.0.span().set_status(Status::error(why.to_string()));
    }

    pub(crate) fn end(self) {}

    /// Runs a future as what the span is about.
    pub(crate) fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future.with_context(self.0.clone())
    }
}

/// What is done at the moment has failed.
pub(crate) fn failed(why: &dyn std::fmt::Display) {
    Context::current().span().set_status(Status::error(why.to_string()));
}

impl Drop for Span {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed(&"the handler panicked");
        }
        // What was begun within it may go on, and keep its context.
        self.0.span().end();
    }
}

/// The subject as spans show it: what is sent to an inbox has a random one.
fn destination<'a>(subject: &'a str, inbox_prefix: &str) -> Cow<'a, str> {
    match subject.strip_prefix(inbox_prefix) {
        Some(rest) if rest.starts_with('.') => format!("{inbox_prefix}.>").into(),
        _ => subject.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::destination;

    #[test]
    fn inboxes_are_shown_as_one() {
        for (subject, shown) in [
            ("_INBOX.x.1", "_INBOX.>"),
            ("_INBOX.y", "_INBOX.>"),
            ("_INBOXES.y", "_INBOXES.y"),
            ("orders.new", "orders.new"),
        ] {
            assert_eq!(destination(subject, "_INBOX"), shown);
        }
    }
}
