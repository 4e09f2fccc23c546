//! Reports of how long a service takes, published in its account (chapter 3.6 of the protocol notes).

use std::collections::BTreeMap;
use std::sync::Arc;

use natterjack_proto::headers::Headers;
use serde::Serialize;

use super::client_info::ClientInfo;
use super::declared::Latency;
use super::shares::Reception;
use crate::account::Account;
use crate::batch::Batch;

/// A request that is measured.
pub(crate) struct Tracked {
    /// Where the report goes, in the exporter's account.
    pub(super) subject: Box<str>,
    pub(super) reception: Arc<dyn Reception>,
    pub(super) requestor: ClientInfo,
    /// The headers that asked for it.
    pub(super) headers: BTreeMap<String, Vec<String>>,
    pub(super) asked_unix_ns: i64,
}

impl Tracked {
    /// About what it takes while the request waits.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, values)| 128 + name.len() + length(values));
        let ClientInfo { user, name, jwt, tags, .. } = &self.requestor;
        let requestor = user.len() + name.len() + jwt.len() + length(tags);
        1024 + headers.sum::<usize>() + requestor
    }
}

fn length(texts: &[String]) -> usize {
    texts.iter().map(|text| size_of::<String>() + text.len()).sum()
}

/// Trace headers that are kept for the report, in bytes; those beyond are left out of it. The W3C asks
/// for 512 bytes of the longest one, `tracestate`.
const TRACE_BYTES: usize = 4096;

/// Status and description of a request without an answer.
pub(super) type Failure = (u16, &'static str);

/// There was no reply subject.
pub(super) const BAD_REQUEST: Failure = (400, "Bad Request");
/// The requester went away.
pub(super) const REQUESTER_GONE: Failure = (408, "Request Timeout");
/// Nobody was there to answer.
pub(super) const UNAVAILABLE: Failure = (503, "Service Unavailable");
/// No answer in time.
pub(super) const TIMEOUT: Failure = (504, "Service Timeout");

/// The report, keys in nats-server's order.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    timestamp: String,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'static str,
    requestor: &'a ClientInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    responder: Option<&'a ClientInfo>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    header: &'a BTreeMap<String, Vec<String>>,
    start: String,
    service: u64,
    system: u64,
    total: u64,
}

/// Whether a request is measured, and the headers that asked for it.
pub(super) fn sample(
    latency: &Latency,
    headers: &[u8],
    batch: &mut Batch,
) -> Option<BTreeMap<String, Vec<String>>> {
    match latency.sampling {
        0 => trace_headers(headers),
        percent => (batch.random() % 100 < u64::from(percent)).then(BTreeMap::new),
    }
}

/// Headers of tracing systems that ask for this request to be sampled: Zipkin's, in several headers or
/// one, Jaeger's, and those of the W3C. Names are compared and reported as HTTP would write them, whatever
/// the case of their letters (nats-server 2.15.1).
fn trace_headers(headers: &[u8]) -> Option<BTreeMap<String, Vec<String>>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in Headers::new(headers).iter() {
        let name = canonical(&String::from_utf8_lossy(name));
        let value = String::from_utf8_lossy(value).trim().to_owned();
        all.entry(name).or_default().push(value);
    }
    let first = |name: &str| all.get(name).and_then(|values| values.first());
    let names: &[&str] = if let Some(sampled) = first("X-B3-Sampled") {
        (sampled == "1").then_some(ZIPKIN)?
    } else if first("X-B3-Traceid").is_some() {
        // Without a decision it is the receiver's.
        ZIPKIN
    } else if let Some(b3) = first("B3") {
        let decision = b3.split('-').nth(2).unwrap_or(if b3 == "0" { "0" } else { "1" });
        matches!(decision, "1" | "d").then_some(&["B3"][..])?
    } else if let Some(jaeger) = first("Uber-Trace-Id") {
        is_odd(jaeger.split(':').nth(3)?).then_some(&["Uber-Trace-Id"][..])?
    } else {
        let flags = first("Traceparent")?.split('-').nth(3)?;
        is_odd(flags).then_some(&["Traceparent", "Tracestate"][..])?
    };
    let mut left = TRACE_BYTES;
    all.retain(|name, values| {
        values.retain(|value| {
            let is_kept = names.contains(&name.as_str()) && value.len() <= left;
            left -= if is_kept { value.len() } else { 0 };
            is_kept
        });
        !values.is_empty()
    });
    Some(all)
}

const ZIPKIN: &[&str] =
    &["X-B3-Traceid", "X-B3-Parentspanid", "X-B3-Spanid", "X-B3-Sampled", "X-B3-Flags"];

/// A header's name with a capital at the start of each word.
fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut word = word.to_ascii_lowercase();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        word
    });
    words.collect::<Vec<_>>().join("-")
}

fn is_odd(hex: &str) -> bool {
    u64::from_str_radix(hex, 16).is_ok_and(|flags| flags & 1 == 1)
}

/// Reports an answer that `responder` gave now.
pub(super) fn report_answer(
    exporter: &Account,
    tracked: &Tracked,
    responder: Option<&ClientInfo>,
    batch: &mut Batch,
) {
    let elapsed = u64::try_from(batch.unix_ns - tracked.asked_unix_ns).unwrap_or(0);
    let responder_rtt = responder.map_or(0, |info| info.rtt);
    let service = elapsed.saturating_sub(responder_rtt);
    let total = service + responder_rtt + tracked.requestor.rtt;
    send(exporter, tracked, (200, ""), responder, (service, total), batch);
}

/// Reports a request that got no answer.
pub(super) fn report_failure(
    exporter: &Account,
    tracked: &Tracked,
    failure: Failure,
    batch: &mut Batch,
) {
    send(exporter, tracked, failure, None, (0, 0), batch);
}

fn send(
    exporter: &Account,
    tracked: &Tracked,
    (status, description): Failure,
    responder: Option<&ClientInfo>,
    (service, total): (u64, u64),
    batch: &mut Batch,
) {
    let reception = &tracked.reception;
    let rtt = i64::try_from(tracked.requestor.rtt).unwrap_or(0);
    let report = Report {
        kind: "io.nats.server.metric.v1.service_latency",
        id: identifier(batch),
        timestamp: reception.time_text(batch.unix_ns),
        status,
        description,
        requestor: &tracked.requestor,
        responder,
        header: &tracked.headers,
        start: reception.time_text(tracked.asked_unix_ns.saturating_sub(rtt)),
        service,
        // What passes between two times read for one batch is not measured.
        system: 0,
        total,
    };
    let Ok(payload) = serde_json::to_vec(&report) else { return };
    exporter.publish(tracked.subject.as_bytes(), &payload, batch);
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `count` random characters out of 62.
pub(super) fn random_text<const COUNT: usize>(batch: &mut Batch) -> [u8; COUNT] {
    std::array::from_fn(|_| DIGITS[((batch.random() >> 32) % 62) as usize])
}

/// As long as all ids of events.
fn identifier(batch: &mut Batch) -> String {
    random_text::<22>(batch).into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_few_trace_headers_are_kept() {
        let long = "x".repeat(TRACE_BYTES);
        let block = format!(
            "NATS/1.0\r\nTraceparent: 00-a-b-01\r\nTracestate: {long}\r\nTracestate: a=b\r\n\r\n"
        );
        let kept = trace_headers(block.as_bytes()).unwrap();
        assert_eq!(kept["Traceparent"], ["00-a-b-01"]);
        assert_eq!(kept["Tracestate"], ["a=b"]);
    }

    #[test]
    fn headers_of_tracing_systems_ask_to_be_sampled() {
        for (line, is_sampled) in [
            ("X-B3-Sampled: 1", true),
            ("X-B3-Sampled: 0", false),
            ("x-b3-TRACEID: abc", true),
            ("B3: 1", true),
            ("B3: 0", false),
            ("B3: abc-def", true),
            ("B3: abc-def-1-x", true),
            ("B3: abc-def-0", false),
            ("Uber-Trace-Id: a:b:0:1", true),
            ("Uber-Trace-Id: a:b:0:2", false),
            ("Uber-Trace-Id: a", false),
            ("Traceparent: 00-a-b-01", true),
            ("Traceparent: 00-a-b-00", false),
            ("Other: 1", false),
        ] {
            let block = format!("NATS/1.0\r\nNot: me\r\n{line}\r\n\r\n");
            let (name, value) = line.split_once(": ").unwrap();
            let name = canonical(name);
            let expected = is_sampled.then(|| BTreeMap::from([(name, vec![value.to_owned()])]));
            assert_eq!(trace_headers(block.as_bytes()), expected, "{line}");
        }
        assert_eq!(trace_headers(b""), None);
    }
}
