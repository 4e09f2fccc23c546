//! Advisories and metrics: events published under `$JS.EVENT.` in the account of the stream.
//!
//! Nothing is built when nobody listens; callers ask [`wanted`] first.

use crate::host::{Host, Outgoing};
use crate::json::{write_string, write_u64};
use crate::nuid;
use crate::time::{Now, write_rfc3339};

/// The prefix of advisory subjects.
pub const ADVISORY: &str = "$JS.EVENT.ADVISORY.";
/// The prefix of metric subjects.
pub const METRIC: &str = "$JS.EVENT.METRIC.";

/// True when somebody in `account` listens to `subject`.
pub fn wanted(host: &mut dyn Host, account: &str, subject: &str) -> bool {
    host.has_interest(account, subject.as_bytes())
}

/// An event under construction: the common head, then fields in the order of the calls.
#[derive(Debug)]
pub struct Event {
    out: Vec<u8>,
}

impl Event {
    /// `io.nats.jetstream.advisory.v1.<kind>` with `id` and `timestamp`.
    pub fn advisory(host: &mut dyn Host, now: Now, kind: &str) -> Self {
        Self::new(host, now, "io.nats.jetstream.advisory.v1.", kind)
    }

    /// `io.nats.jetstream.metric.v1.<kind>` with `id` and `timestamp`.
    pub fn metric(host: &mut dyn Host, now: Now, kind: &str) -> Self {
        Self::new(host, now, "io.nats.jetstream.metric.v1.", kind)
    }

    fn new(host: &mut dyn Host, now: Now, prefix: &str, kind: &str) -> Self {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"id\":\"");
        nuid::write(&mut out, 22, || host.random());
        out.extend_from_slice(b"\",\"timestamp\":\"");
        write_rfc3339(&mut out, now.unix_ns);
        out.push(b'"');
        Self { out }
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A string field.
    #[must_use]
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        write_string(&mut self.out, value);
        self
    }

    /// A string field that is omitted when empty.
    #[must_use]
    pub fn text_if(self, key: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.text(key, value) }
    }

    /// A number field.
    #[must_use]
    pub fn number(mut self, key: &str, value: u64) -> Self {
        self.key(key);
        write_u64(&mut self.out, value);
        self
    }

    /// A boolean field.
    #[must_use]
    pub fn flag(mut self, key: &str, value: bool) -> Self {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// A time field; 0 is Go's zero time.
    #[must_use]
    pub fn time(mut self, key: &str, unix_ns: i64) -> Self {
        self.key(key);
        self.out.push(b'"');
        write_rfc3339(&mut self.out, unix_ns);
        self.out.push(b'"');
        self
    }

    /// A field whose value is JSON already.
    #[must_use]
    pub fn raw(mut self, key: &str, json: &[u8]) -> Self {
        self.key(key);
        self.out.extend_from_slice(json);
        self
    }

    /// Publishes it on `subject`, with the domain as the last field.
    pub fn send(mut self, host: &mut dyn Host, account: &str, domain: Option<&str>, subject: &str) {
        if let Some(domain) = domain {
            self = self.text("domain", domain);
        }
        self.out.push(b'}');
        host.deliver(&Outgoing {
            account,
            route: subject.as_bytes(),
            subject: subject.as_bytes(),
            reply: None,
            headers: &[],
            payload: &self.out,
        });
    }
}
