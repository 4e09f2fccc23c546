//! Message tracing (ADR-41; nats-server 2.11): a publisher names a subject in `Nats-Trace-Dest`, and one
//! report goes there about what became of the message. With `Nats-Trace-Only` it is reported, and
//! delivered to nobody.
//!
//! All of it is beside the path of other messages: a publish with headers is searched for one name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use natterjack_proto::ServerError;
use natterjack_proto::headers::VERSION;

use crate::account::{Account, Matches, Routed};
use crate::batch::Batch;
use crate::client::Client;
use crate::service::{Message, Origin};
use crate::sharing::without_asker;
use crate::subscription::{Subscription, Target};

mod standing;
pub use standing::Standing;
pub(crate) use standing::is_sampled;

const DESTINATION: &str = "Nats-Trace-Dest";
const ONLY: &str = "Nats-Trace-Only";
/// No subject: a message that was traced already.
const DISABLED: &[u8] = b"trace disabled";

/// About what an event takes, with its texts.
const EVENT_BYTES: usize = 256;

const NO_ECHO: &str = "Not delivered because of no echo";
const DENIED: &str = "Not delivered because subscription denies this subject";
const CLOSED: &str = "Not delivered because subscription is closed";
const CLIENT_CLOSED: &str = "Not delivered because client is closed";
const EXCEEDED: &str = "Not delivered because auto-unsubscribe exceeded";

/// What became of one message.
#[derive(Clone, Debug)]
pub struct Report {
    /// The publisher's account, and the subject there that the report goes to.
    pub account: Arc<str>,
    /// See above.
    pub destination: Box<[u8]>,
    /// The headers of the message, each name with its values in their order.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Bytes of headers and payload.
    pub size: usize,
    /// What happened, in order; first of all it came in.
    pub events: Vec<Event>,
}

impl Report {
    /// About what it takes until it has left.
    pub(crate) fn bytes(&self) -> usize {
        self.size + EVENT_BYTES * self.events.len()
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, in nanoseconds since 1970.
    pub unix_ns: i64,
    /// What.
    pub what: What,
}

/// What happened to a message that is traced.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// A client published it.
    In {
        /// The connection.
        cid: u64,
        /// Its account.
        account: Arc<str>,
        /// The subject as it was published.
        subject: Box<[u8]>,
        /// Why it went nowhere.
        error: Option<String>,
    },
    /// Its subject was mapped.
    Mapped {
        /// To this one.
        to: Box<[u8]>,
    },
    /// It crossed to an account that imports the stream.
    StreamExport {
        /// That account.
        account: Arc<str>,
        /// Its subject there.
        to: Box<[u8]>,
    },
    /// It crossed to an account that offers the service.
    ServiceImport {
        /// That account.
        account: Arc<str>,
        /// Its subject before.
        from: Box<[u8]>,
        /// Its subject there.
        to: Box<[u8]>,
    },
    /// A stream captures its subject.
    JetStream {
        /// The stream.
        stream: String,
        /// The subject it is stored under.
        subject: Box<[u8]>,
    },
    /// It left for a subscriber, or did not.
    Out {
        /// The connection.
        cid: u64,
        /// Its account, if that is another than the publisher's.
        account: Option<Arc<str>>,
        /// The subscription's subject.
        subject: Box<[u8]>,
        /// Its queue group.
        queue: Option<Box<[u8]>>,
        /// Why it was not delivered.
        error: Option<&'static str>,
    },
}

/// A report that is being written.
#[derive(Debug)]
pub(crate) struct Tracing {
    report: Report,
    /// Nobody gets the message.
    is_only: bool,
}

/// Whether a publish with these headers has something for this module to do.
#[inline]
pub(crate) fn is_wanted(headers: &[u8]) -> bool {
    // Hardly any header has this letter: looking for one byte is cheaper than for the whole name.
    let (before, from) = DESTINATION.as_bytes().split_at("Nats-Trace-".len());
    let is_named = |at: usize| headers[..at].ends_with(before) && headers[at..].starts_with(from);
    memchr::memchr_iter(from[0], headers).any(is_named)
}

/// What the headers of a publish ask for.
pub(crate) struct Wanted {
    headers: BTreeMap<String, Vec<String>>,
    pub(crate) destination: Box<[u8]>,
    pub(crate) is_only: bool,
    /// Whether the account wants it, and not the publisher.
    pub(crate) is_standing: bool,
}

impl Wanted {
    /// `None` without a destination, or if the message was traced before. One that is traced from outside
    /// is reported where its account says.
    pub(crate) fn read(headers: &[u8], standing: Option<&Standing>) -> Option<Self> {
        let mut rest = headers.strip_prefix(VERSION)?.strip_prefix(b"\r\n")?;
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        while let Some(colon) = memchr::memchr(b':', rest) {
            let (name, behind) = (&rest[..colon], &rest[colon + 1..]);
            let Some(end) = memchr::memmem::find(behind, b"\r\n") else { break };
            let value = behind[..end].trim_ascii();
            rest = &behind[end + 2..];
            if !name.is_empty() && !value.is_empty() {
                named.entry(text(name)).or_default().push(text(value));
            }
        }
        let first = |name: &str| named.get(name)?.first().cloned();
        let Some(destination) = first(DESTINATION) else {
            let standing = standing.filter(|_| is_sampled(headers))?;
            return Some(Wanted {
                is_only: false,
                is_standing: true,
                destination: standing.destination().into(),
                headers: named,
            });
        };
        let destination = destination.into_bytes();
        if destination == DISABLED {
            return None;
        }
        let only = first(ONLY).unwrap_or_default().to_ascii_lowercase();
        Some(Wanted {
            is_only: matches!(only.as_str(), "1" | "true" | "on"),
            is_standing: false,
            destination: destination.into(),
            headers: named,
        })
    }

    /// Begins the report about a message that a client publishes.
    pub(crate) fn begin(
        self,
        account: &Account,
        cid: u64,
        subject: &[u8],
        size: usize,
        batch: &mut Batch,
    ) {
        let came =
            What::In { cid, account: account.name().clone(), subject: subject.into(), error: None };
        let report = Report {
            account: account.name().clone(),
            destination: self.destination,
            headers: self.headers,
            size,
            events: vec![Event { unix_ns: batch.unix_ns, what: came }],
        };
        *batch.trace() = Some(Box::new(Tracing { report, is_only: self.is_only }));
    }
}

/// Whether this is the message that a report is written about, and not one that it causes.
pub(crate) fn is_traced(out: Routed<'_>, batch: &Batch) -> bool {
    matches!(out.origin, Origin::Client(_)) && batch.is_traced()
}

/// Adds to the report, if one is written.
pub(crate) fn note(batch: &mut Batch, what: What) {
    let unix_ns = batch.unix_ns;
    if let Some(tracing) = batch.trace() {
        tracing.report.events.push(Event { unix_ns, what });
    }
}

/// The message goes nowhere.
pub(crate) fn refused(batch: &mut Batch, why: &ServerError) {
    if let Some(tracing) = batch.trace()
        && let Some(Event { what: What::In { error, .. }, .. }) = tracing.report.events.first_mut()
    {
        *error = Some(why.to_string());
    }
}

/// Nothing more happens to the message.
pub(crate) fn end(batch: &mut Batch) {
    if let Some(tracing) = batch.trace().take() {
        batch.finish_trace(tracing.report);
    }
}

fn is_only(batch: &mut Batch) -> bool {
    batch.trace().as_ref().is_some_and(|tracing| tracing.is_only)
}

/// A header block whose message is not traced any more.
pub(crate) fn disabled(headers: &[u8]) -> Cow<'_, [u8]> {
    let name = [b"\r\n", DESTINATION.as_bytes(), b":"].concat();
    let Some(at) = memchr::memmem::find(headers, &name) else {
        // One that is traced from outside names no destination.
        let Some(lines) = headers.strip_suffix(b"\r\n").filter(|_| is_sampled(headers)) else {
            return Cow::Borrowed(headers);
        };
        let line = [DESTINATION.as_bytes(), b": ", DISABLED, b"\r\n\r\n"].concat();
        return Cow::Owned([lines, &line].concat());
    };
    let value = at + name.len();
    let len = memchr::memmem::find(&headers[value..], b"\r\n").unwrap_or(headers.len() - value);
    Cow::Owned([&headers[..value], b" ", DISABLED, &headers[value + len..]].concat())
}

/// Passes a message on into another account: followed there if that is allowed, else untraced, or if it
/// is only traced not at all.
pub(crate) fn beyond(
    batch: &mut Batch,
    what: What,
    is_followed: bool,
    out: Routed<'_>,
    pass: impl FnOnce(Routed<'_>, &mut Batch) -> bool,
) -> bool {
    note(batch, what);
    if is_followed {
        return pass(out, batch);
    }
    if is_only(batch) {
        return true;
    }
    let tracing = batch.trace().take();
    let headers = disabled(out.message.headers);
    let message = Message { headers: &headers, ..*out.message };
    let is_received = pass(Routed { message: &message, ..out }, batch);
    *batch.trace() = tracing;
    is_received
}

/// As `Account::route_publish`, for a message that is traced. Returns how many received it, or would.
pub(crate) fn route_publish(
    account: &Account,
    matches: &Matches,
    message: &Message<'_>,
    publisher: &Client,
    batch: &mut Batch,
) -> usize {
    let origin = Origin::Client(publisher);
    let out = Routed { shown: message.subject, message, origin, key: None, via: None };
    route(account, matches, out, batch)
}

pub(crate) fn route(
    account: &Account,
    matches: &Matches,
    out: Routed<'_>,
    batch: &mut Batch,
) -> usize {
    let mut received = 0;
    for subscription in &matches.plain {
        received += usize::from(offer(account, subscription, out, batch));
    }
    for (_, members) in &matches.queues {
        let start = usize::try_from(batch.random()).unwrap_or(0) % members.len().max(1);
        let mut turns = (start..members.len()).chain(0..start);
        received += usize::from(turns.any(|at| offer(account, &members[at], out, batch)));
    }
    received
}

/// Offers a message that is traced to one receiver, and reports it.
pub(crate) fn offer(
    account: &Account,
    subscription: &Arc<Subscription>,
    out: Routed<'_>,
    batch: &mut Batch,
) -> bool {
    let client = match subscription.target() {
        Target::Client(client) => client,
        Target::Import(relay) => {
            let before = batch.trace().as_ref().map_or(0, |tracing| tracing.report.events.len());
            let is_received = relay.pass(account, out, batch);
            if relay.is_stream()
                && let Some(tracing) = batch.trace()
            {
                // Told as the subscription that stands here for the other.
                for event in tracing.report.events.iter_mut().skip(before) {
                    if let What::Out { subject, .. } = &mut event.what {
                        *subject = subscription.subject().into();
                    }
                }
            }
            return is_received;
        }
        Target::Service(service) => {
            if let Some(stream) = service.stream_name() {
                note(batch, What::JetStream { stream, subject: out.message.subject.into() });
            }
            if is_only(batch) {
                return true;
            }
            let headers = match out.via {
                // What the server takes itself, such as a stream, does not keep who asked.
                Some(_) => without_asker(out.message.headers),
                None => Cow::Borrowed(out.message.headers),
            };
            // Nor is it traced again when it comes out of a stream.
            let message = Message { headers: &disabled(&headers), ..*out.message };
            return batch.call(service, account.name(), &message, out.origin);
        }
        Target::Inlet(_) => return is_only(batch) || account.offer(subscription, out, batch),
    };
    let only = is_only(batch);
    let error = match refusal(subscription, client, out) {
        None if only || account.offer(subscription, out, batch) => None,
        None => Some(EXCEEDED),
        refusal => refusal,
    };
    let is_own = batch.trace().as_ref().is_some_and(|it| it.report.account == *account.name());
    let what = What::Out {
        cid: client.cid,
        account: (!is_own).then(|| account.name().clone()),
        subject: subscription.subject().into(),
        queue: subscription.queue().map(Into::into),
        error,
    };
    note(batch, what);
    error.is_none()
}

/// Why a client does not get a message, beside that it has had enough.
fn refusal(subscription: &Subscription, client: &Client, out: Routed<'_>) -> Option<&'static str> {
    if let Origin::Client(publisher) = out.origin
        && publisher.cid == client.cid
        && !client.echoes()
    {
        return Some(NO_ECHO);
    }
    let is_denied = || {
        client.permissions().is_some_and(|rights| {
            rights.denies_delivery_to(out.message.subject, subscription.queue())
        })
    };
    if subscription.is_filtered() && is_denied() {
        return Some(DENIED);
    }
    if subscription.is_closed() {
        return Some(CLOSED);
    }
    client.closed().map(|_| CLIENT_CLOSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &str) -> Vec<u8> {
        format!("NATS/1.0\r\n{lines}\r\n").into_bytes()
    }

    #[test]
    fn headers_tell_what_is_wanted() {
        let all = block("A: 1\r\nNats-Trace-Dest:  to.me \r\nA:2\r\nNats-Trace-Only: TRUE\r\n");
        assert!(is_wanted(&all));
        let wanted = Wanted::read(&all, None).unwrap();
        assert!(wanted.is_only);
        assert_eq!(*wanted.destination, *b"to.me");
        let named: Vec<String> = wanted
            .headers
            .iter()
            .map(|(name, values)| format!("{name}={}", values.join(",")))
            .collect();
        assert_eq!(named, ["A=1,2", "Nats-Trace-Dest=to.me", "Nats-Trace-Only=TRUE"]);
        for without in ["A: 1\r\n", "Nats-Trace-Dest:\r\n", "Nats-Trace-Dest: trace disabled\r\n"] {
            assert!(Wanted::read(&block(without), None).is_none(), "{without}");
        }
        assert!(
            !Wanted::read(&block("Nats-Trace-Dest: a\r\nNats-Trace-Only: no\r\n"), None)
                .unwrap()
                .is_only
        );
        for without in
            ["A: 1\r\n", "Date: D\r\nNats-Trace-D: Trace-Dest\r\n", "nats-trace-dest: a\r\n"]
        {
            assert!(!is_wanted(&block(without)), "{without}");
        }
        for within in ["DDD: D\r\nNats-Trace-DNats-Trace-Dest: D\r\n", "A: Nats-Trace-Dest\r\n"] {
            assert!(is_wanted(&block(within)), "{within}");
        }
        assert!(!is_wanted(b"Dest") && !is_wanted(b"Nats-Trace-D") && !is_wanted(b""));
        assert!(Wanted::read(b"nonsense", None).is_none());
    }

    #[test]
    fn traces_from_outside_are_reported_where_the_account_says() {
        let parent = "traceparent: 00-a-b-01\r\n";
        let standing = Standing::new("to.us", 100);
        let read = |lines: &str| Wanted::read(&block(lines), standing.as_ref());
        let wanted = read(&format!("{parent}Nats-Trace-Only: true\r\n")).unwrap();
        assert!(wanted.is_standing && !wanted.is_only);
        assert_eq!(*wanted.destination, *b"to.us");
        // Who publishes comes first.
        let own = read(&format!("{parent}Nats-Trace-Dest: to.me\r\n")).unwrap();
        assert_eq!((&*own.destination, own.is_standing), (&b"to.me"[..], false));
        assert!(read(&format!("{parent}Nats-Trace-Dest: trace disabled\r\n")).is_none());
        assert!(read("traceparent: 00-a-b-00\r\n").is_none());
        assert!(Wanted::read(&block(parent), None).is_none());
        let disabled_at_the_end = format!("{parent}Nats-Trace-Dest: trace disabled\r\n");
        assert_eq!(disabled(&block(parent)), block(&disabled_at_the_end));
        assert_eq!(disabled(&block("A: 1\r\n")), block("A: 1\r\n"));
    }

    #[test]
    fn a_trace_is_disabled_in_its_place() {
        let headers = block("A: 1\r\nNats-Trace-Dest: to.me\r\nB: 2\r\n");
        let expected = block("A: 1\r\nNats-Trace-Dest: trace disabled\r\nB: 2\r\n");
        assert_eq!(disabled(&headers), expected);
        assert_eq!(disabled(b""), &b""[..]);
    }
}
