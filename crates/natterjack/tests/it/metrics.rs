//! Figures, as a recorder sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use natterjack::jetstream::DeadLetter;
use natterjack::{Delivery, Msg, Overflow, Verdict, WatchEvent};

use crate::{builder, server};

/// Keeps each figure by its name and labels.
#[derive(Clone, Default)]
struct Kept {
    counters: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    gauges: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    histograms: Arc<Mutex<BTreeMap<String, Arc<Values>>>>,
}

#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

/// `name{label=value,..}`.
fn shown(key: &Key) -> String {
    let labels: Vec<String> =
        key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.counters.lock().unwrap().entry(shown(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.gauges.lock().unwrap().entry(shown(key)).or_default().clone())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.histograms.lock().unwrap().entry(shown(key)).or_default().clone())
    }
}

impl Kept {
    fn count(&self, figure: &str) -> u64 {
        self.counters.lock().unwrap()[figure].load(Ordering::Relaxed)
    }

    fn values(&self, figure: &str) -> Vec<f64> {
        self.histograms.lock().unwrap()[figure].0.lock().unwrap().clone()
    }

    fn all(&self) -> Vec<String> {
        let counters = self.counters.lock().unwrap().keys().cloned().collect::<Vec<_>>();
        let gauges = self.gauges.lock().unwrap().keys().cloned().collect::<Vec<_>>();
        let histograms = self.histograms.lock().unwrap().keys().cloned().collect();
        [counters, gauges, histograms].concat()
    }
}

/// The names in the table of the module's documentation.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../src/meters.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `natterjack_"));
    rows.filter_map(|row| row.split_once('`'))
        .map(|(name, _)| format!("natterjack_{name}"))
        .collect()
}

// Shows U-056.
#[tokio::test]
async fn the_documented_figures_are_kept_and_their_labels_are_few() {
    // The recorder is this thread's, and so is the test's runtime.
    let kept = Kept::default();
    let _recorder = metrics::set_default_local_recorder(&kept);
    let mut server = server().await;
    let build = builder(server.url()).metrics_subjects(["orders.>", "sums", "s.*"]);
    let connector = build.build().await.unwrap();

    // Core messages, of which one is dropped.
    let narrow = connector.on("orders.*").capacity(1).overflow(Overflow::DropNewest);
    let orders = narrow.open::<u32>().await.unwrap();
    for n in [1_u32, 2] {
        connector.publish("orders.new", &n).await.unwrap();
    }
    // More subjects than anybody would like as labels.
    for n in 0..500 {
        connector.publish(&format!("visits.{n}"), &n).await.unwrap();
    }
    // A request, whose answer comes when the messages before it have come.
    let sums = connector.on("sums").serve(1, async |sum: Msg<Vec<u32>>| {
        let total: u32 = sum.value().iter().sum();
        sum.respond(&total).await.unwrap();
    });
    let sums = sums.await.unwrap();
    assert_eq!(connector.request::<[u32], u32>("sums", &[1, 2]).await.unwrap(), 3);
    sums.stop().await;

    // A consumer: an ack, a redelivery, a rejection and a dead letter.
    let js = connector.jetstream();
    js.stream("S").subjects(["s.*", "dlq"]).ensure().await.unwrap();
    for word in ["ack", "retry", "reject", "bury"] {
        js.publish(format!("s.{word}"), word).await.unwrap();
    }
    let consumer = js.consumer("S", "c").filter("s.*").dead_letter(DeadLetter::to("dlq")).limit(5);
    let run = consumer.run(async |delivery: Delivery<String>| match delivery.value().as_str() {
        "retry" if delivery.meta.delivered == 1 => Verdict::Retry,
        "reject" => Verdict::Reject("no".into()),
        "bury" => Verdict::DeadLetter("no".into()),
        _ => Verdict::Ack,
    });
    assert_eq!(run.await.unwrap().handled, 5);

    // A watch, and another connection.
    let bucket = connector.kv::<u32>("B").ensure().await.unwrap();
    for n in 0..3_u32 {
        bucket.put(&format!("k{n}"), &n).await.unwrap();
    }
    let mut watch = bucket.watch(">").start().await.unwrap();
    while !matches!(watch.next().await.unwrap(), WatchEvent::Ready) {}
    let mut states = connector.watch_state();
    server.stop().await;
    states.wait_for(|state| *state != natterjack::ConnState::Connected).await.unwrap();
    server.start().await.unwrap();
    states.wait_for(|state| *state == natterjack::ConnState::Connected).await.unwrap();

    let names: BTreeSet<String> =
        kept.all().iter().filter_map(|figure| Some(figure.split_once('{')?.0.to_owned())).collect();
    assert_eq!(names, documented());
    let subjects: BTreeSet<String> = kept
        .all()
        .iter()
        .filter_map(|figure| {
            Some(figure.split_once("subject=")?.1.trim_end_matches('}').to_owned())
        })
        .collect();
    assert_eq!(subjects, ["orders.>", "other", "s.*", "sums"].map(String::from).into());
    for (figure, want) in [
        ("natterjack_messages_total{direction=out,subject=orders.>}", 2),
        ("natterjack_bytes_total{direction=out,subject=orders.>}", 2),
        ("natterjack_messages_total{direction=in,subject=orders.>}", 2),
        ("natterjack_messages_total{direction=in,subject=sums}", 1),
        ("natterjack_bytes_total{direction=in,subject=sums}", 5),
        ("natterjack_messages_total{direction=in,subject=s.*}", 5),
        ("natterjack_dropped_total{direction=in}", 1),
        ("natterjack_dropped_total{direction=out}", 0),
        ("natterjack_settled_total{verdict=ack}", 2),
        ("natterjack_settled_total{verdict=retry}", 1),
        ("natterjack_settled_total{verdict=reject}", 1),
        ("natterjack_settled_total{verdict=dead_letter}", 1),
        ("natterjack_redelivered_total{}", 1),
        ("natterjack_dead_lettered_total{}", 1),
        ("natterjack_reconnects_total{}", 1),
    ] {
        assert_eq!(kept.count(figure), want, "{figure}");
    }
    assert!(kept.count("natterjack_messages_total{direction=out,subject=other}") >= 500);
    for (figure, want) in [
        ("natterjack_publish_seconds{subject=orders.>}", 2),
        ("natterjack_publish_seconds{subject=s.*}", 4),
        ("natterjack_request_seconds{subject=sums}", 1),
        ("natterjack_handler_seconds{subject=sums}", 1),
        ("natterjack_handler_seconds{subject=s.*}", 5),
    ] {
        assert_eq!(kept.values(figure).len(), want, "{figure}");
    }
    assert_eq!(kept.values("natterjack_watch_lag{}"), [2.0, 1.0, 0.0]);
    let in_flight = kept.gauges.lock().unwrap()["natterjack_in_flight{}"].load(Ordering::Relaxed);
    assert_eq!(f64::from_bits(in_flight), 0.0, "no handler is at work");
    drop(orders);
    connector.close().await.unwrap();
}
