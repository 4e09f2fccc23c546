//! One trace over two processes.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use natterjack::service::ServiceError;
use natterjack::{Connector, Delivery, Msg, Until};
use opentelemetry::trace::{FutureExt as _, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, global};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde::{Deserialize, Serialize};

use crate::{PATIENCE, builder, server};

/// Where the child finds its server.
const URL: &str = "NATTERJACK_TEST_URL";

/// What is looked at of a span.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    name: String,
    kind: String,
    trace: String,
    id: String,
    parent: String,
    /// Empty unless it failed.
    failed: String,
    attributes: BTreeMap<String, String>,
}

/// Has the spans of this process kept.
fn keep() -> (InMemorySpanExporter, SdkTracerProvider) {
    let kept = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_tracer_provider(provider.clone());
    (kept, provider)
}

fn seen(kept: &InMemorySpanExporter) -> Vec<Seen> {
    let spans = kept.get_finished_spans().unwrap().into_iter();
    let seen = spans.map(|span| Seen {
        name: span.name.to_string(),
        kind: format!("{:?}", span.span_kind),
        trace: span.span_context.trace_id().to_string(),
        id: span.span_context.span_id().to_string(),
        parent: span.parent_span_id.to_string(),
        failed: match span.status {
            Status::Error { description } => description.into_owned(),
            _ => String::new(),
        },
        attributes: span
            .attributes
            .iter()
            .map(|pair| (pair.key.to_string(), pair.value.to_string()))
            .collect(),
    });
    seen.collect()
}

/// Handles one order, asking for its price, and tells what spans that made.
#[tokio::test]
#[ignore = "run by `one_trace_spans_publish_consume_request_and_reply` in a process of its own"]
async fn consumer() {
    let (kept, _provider) = keep();
    let connector = builder(std::env::var(URL).unwrap()).build().await.unwrap();
    let asking = connector.clone();
    let consumer = connector.jetstream().consumer("S", "c").limit(1);
    let run = consumer.run(move |order: Delivery<u32>| {
        let asking = asking.clone();
        async move { asking.request::<u32, u32>("prices", order.value()).await.map(drop) }
    });
    let report = tokio::time::timeout(PATIENCE, run).await.expect("the order comes").unwrap();
    assert_eq!(report.acked, 1);
    connector.publish("seen", &seen(&kept)).await.unwrap();
    connector.close().await.unwrap();
}

async fn publish_in_a_trace(connector: &Connector) -> Context {
    let span = global::tracer("test").start("buy");
    let context = Context::current_with_span(span);
    let js = connector.jetstream();
    js.publish("s.new", &7_u32).send().with_context(context.clone()).await.unwrap();
    context
}

/// Has the other process consume.
///
/// In a process of its own as well: the tracer is one for the whole process, and other tests send too.
#[tokio::test]
#[ignore = "run by `one_trace_spans_publish_consume_request_and_reply` in a process of its own"]
async fn producer() {
    let (kept, _provider) = keep();
    let url = std::env::var(URL).unwrap();
    let connector = builder(url.clone()).build().await.unwrap();
    connector.jetstream().stream("S").subjects(["s.>"]).ensure().await.unwrap();
    let prices = connector.on("prices").serve(1, async |pieces: Msg<u32>| {
        pieces.respond(&(pieces.value() * 3)).await.unwrap();
    });
    let prices = prices.await.unwrap();
    let mut told = connector.subscribe::<Vec<Seen>>("seen").await.unwrap();
    let context = publish_in_a_trace(&connector).await;
    assert_eq!(process("consumer", url).await, Some(0));
    let theirs = tokio::time::timeout(PATIENCE, told.next()).await.expect("spans are told");
    prices.stop().await;
    let all: Vec<Seen> =
        seen(&kept).into_iter().chain(theirs.unwrap().unwrap().into_value()).collect();
    let find = |name: &str| {
        let mut found = all.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("{name} is not in {all:#?}"));
        assert!(found.next().is_none(), "{name} is there twice");
        span
    };
    let mut parent = context.span().span_context().span_id().to_string();
    for (name, kind) in [
        ("publish s.new", "Producer"),
        ("process s.new", "Consumer"),
        ("request prices", "Client"),
        ("process prices", "Server"),
    ] {
        let span = find(name);
        assert_eq!((span.kind.as_str(), &span.parent), (kind, &parent), "{name}");
        assert_eq!(span.trace, context.span().span_context().trace_id().to_string(), "{name}");
        let attribute = |key: &str| span.attributes.get(key).map(String::as_str);
        assert_eq!(attribute("messaging.system"), Some("nats"));
        assert_eq!(attribute("messaging.destination.name"), name.split(' ').nth(1));
        let consumed = kind == "Consumer";
        assert_eq!(attribute("messaging.nats.delivery_count"), consumed.then_some("1"));
        assert_eq!(attribute("messaging.consumer.group.name"), consumed.then_some("c"));
        parent.clone_from(&span.id);
    }
    connector.close().await.unwrap();
}

/// Runs a test of this file in a process of its own; what it ends with.
async fn process(name: &str, url: String) -> Option<i32> {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process
        .args(["--ignored", "--exact", &format!("traces::{name}"), "--nocapture", "--quiet"])
        .env(URL, url)
        .stdout(std::process::Stdio::null());
    tokio::task::spawn_blocking(move || process.status().unwrap()).await.unwrap().code()
}

// Shows U-055.
#[tokio::test]
async fn one_trace_spans_publish_consume_request_and_reply() {
    let server = server().await;
    assert_eq!(process("producer", server.url()).await, Some(0));
}

/// What fails, and how its spans say so.
///
/// In a process of its own as well.
#[tokio::test]
#[ignore = "run by `a_span_of_what_failed_says_why` in a process of its own"]
async fn failures() {
    let (kept, _provider) = keep();
    let connector = builder(std::env::var(URL).unwrap()).build().await.unwrap();
    let service = connector
        .service("prices", "1.0.0")
        .endpoint("down", async |_: Msg<u32>| Err::<u32, _>(ServiceError::internal("no prices")))
        .endpoint("unknown", async |_: Msg<u32>| Err::<u32, _>(ServiceError::new(404, "no such")));
    let service = service.start().await.unwrap();
    for subject in ["down", "unknown"] {
        connector.request::<u32, u32>(subject, &1).await.unwrap_err();
    }
    service.stop().await;
    let begun = Arc::new(tokio::sync::Notify::new());
    let tells = begun.clone();
    let panics = connector.on("panics").serve(1, move |_: Msg<u32>| {
        let tells = tells.clone();
        async move {
            tells.notify_one();
            panic!("on purpose")
        }
    });
    let panics = panics.await.unwrap();
    connector.publish("panics", &1_u32).await.unwrap();
    begun.notified().await;
    panics.stop().await;
    let ask = connector.ask("nobody").many(Until::Count(1));
    let mut answers = ask.stream::<u32, u32>(&1).await.unwrap();
    assert!(seen(&kept).iter().all(|span| span.name != "request nobody"), "it waits for answers");
    answers.next().await.unwrap().unwrap_err();
    drop(answers);
    connector.close().await.unwrap();

    let all = seen(&kept);
    for (name, why) in [
        ("process down", "no prices (500)"),
        ("request down", "down: no prices (code 500)"),
        // Who asked was wrong, not the service.
        ("process unknown", ""),
        ("request unknown", "unknown: no such (code 404)"),
        ("process panics", "the handler panicked"),
        ("request nobody", "no responders on nobody"),
    ] {
        let found: Vec<&str> =
            all.iter().filter(|span| span.name == name).map(|span| &*span.failed).collect();
        assert_eq!(found, [why], "{name}");
    }
}

// Shows U-055.
#[tokio::test]
async fn a_span_of_what_failed_says_why() {
    let server = server().await;
    assert_eq!(process("failures", server.url()).await, Some(0));
}
