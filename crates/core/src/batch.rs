//! What one reader (or one stream, or one timer) sends out in one go.
//!
//! Deliveries are encoded into a buffer per target; [`Batch::flush`] hands each target its buffer with
//! one lock and at most one write. Nothing is shared while messages are encoded, so two readers that
//! publish to the same client meet only once per read buffer.
//!
//! Order: what one reader encodes for one target stays in order, which is what NATS promises per
//! publisher. A stream promises more: its order is one for all. Its deliveries are therefore moved to
//! the outboxes with [`Batch::seal`] before its lock is released, and written afterwards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hashbrown::HashMap;
use natterjack_proto::encode;

use crate::account::Matches;
use crate::client::Client;
use crate::outbox::Pressure;
use crate::service::{Message, Origin, Service};
use crate::subscription::Subscription;
use crate::trace::{Report, Tracing};

/// Encoded bytes that a batch may hold before it flushes by itself.
const FLUSH_AT: usize = 1024 * 1024;
/// Buffers kept for the next batch, and how large one may be to be kept.
const SPARE: usize = 16;
const SPARE_BYTES: usize = 256 * 1024;
/// Rounds of settling and deferred messages in one flush. Streams that republish into each other in a
/// circle go on in the next flush instead of holding the reader for ever.
const ROUNDS: usize = 64;

/// A message crosses no more accounts than this. Imports form no cycles; it bounds the stack.
const RELAYS: usize = 32;
/// A larger match is not kept for the next message.
const SPARE_MATCHES: usize = 1024;

/// Up to this many targets are found by looking at all of them.
const SCAN: usize = 16;

struct Entry {
    client: Arc<Client>,
    buffer: Vec<u8>,
    /// The line of the last message without reply and headers.
    line: Line,
    msgs: u64,
    bytes: u64,
    queued: bool,
}

/// A control line in the buffer of an entry, to be repeated for the next message that has the same.
#[derive(Clone, Copy, Default)]
struct Line {
    /// Whose it is; no other deliveries of this batch have this key.
    key: Option<LineKey>,
    /// The size of the payload, which the line tells.
    size: usize,
    start: usize,
    len: usize,
}

/// Names what a control line depends on beside reply, headers and size: one subscription as one entry of
/// a connection's match cache holds it, and with it the shown subject. Unique while the batch is not
/// flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineKey {
    /// The publisher.
    pub(crate) cid: u64,
    /// The entry in its cache.
    pub(crate) entry: u32,
    /// The subscription among those of the entry.
    pub(crate) index: u32,
}

/// A message that a service sent to another service while it was locked itself.
struct Deferred {
    service: Arc<dyn Service>,
    account: Arc<str>,
    subject: Bytes,
    reply: Option<Bytes>,
    headers: Bytes,
    payload: Bytes,
}

/// Sees what leaves for a client, for protocol traces.
pub type Tracer = Arc<dyn Fn(&Client, &[u8]) + Send + Sync>;

/// Collects what has to leave. One per worker, reused for ever.
#[derive(Default)]
pub struct Batch {
    /// Told of everything that leaves, while traces are on.
    pub tracer: Option<Tracer>,
    /// Publishers do not wait for clients that are nearly full: these are left out
    /// (`no_fast_producer_stall`).
    pub leaves_out: bool,
    /// The monotonic clock at the beginning of the batch, in nanoseconds.
    pub mono_ns: u64,
    /// The wall clock at the beginning of the batch, in nanoseconds since 1970.
    pub unix_ns: i64,
    entries: Vec<Entry>,
    /// Entries by client, while there are many.
    index: HashMap<u64, u32>,
    /// The entry of the last delivery.
    last: usize,
    size: usize,
    spare: Vec<Vec<u8>>,
    services: Vec<Arc<dyn Service>>,
    deferred: VecDeque<Deferred>,
    /// How many services are being called now; inside one, others are deferred.
    depth: usize,
    congested: Vec<Arc<Client>>,
    pub(crate) ended: Vec<Arc<Subscription>>,
    /// The report about the message that is routed now, if its publisher wants one.
    trace: Option<Box<Tracing>>,
    /// Finished ones.
    traced: Vec<Report>,
    /// How many accounts the message that is routed now has crossed.
    relays: usize,
    /// Matches to be filled again.
    spare_matches: Vec<Matches>,
    random: u64,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Entry {
    /// Encodes a message without reply and headers. A publisher's messages are mostly alike: then the
    /// control line of the one before is copied.
    #[inline]
    fn deliver_alike(&mut self, sid: &[u8], shown: &[u8], payload: &[u8], key: Option<LineKey>) {
        let Line { key: known, size, start, len } = self.line;
        if known == key && size == payload.len() {
            self.buffer.reserve(len + size + 2);
            self.buffer.extend_from_within(start..start + len);
            self.buffer.extend_from_slice(payload);
            self.buffer.extend_from_slice(b"\r\n");
        } else {
            let start = self.buffer.len();
            encode::msg(&mut self.buffer, shown, sid, None, payload);
            let (size, all) = (payload.len(), self.buffer.len() - start);
            self.line = Line { key, size, start, len: all - size - 2 };
        }
    }
}

impl Batch {
    /// An empty batch; `seed` feeds the choice of queue group members.
    pub fn new(seed: u64) -> Self {
        Batch { random: seed | 1, ..Batch::default() }
    }

    /// A number for choices that need no secrecy (xorshift64*).
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    #[inline]
    fn entry(&mut self, client: &Arc<Client>) -> &mut Entry {
        let cid = client.cid;
        // The target of the message before, or in a fan-out the one after it.
        let mut slot = self.last;
        if self.entries.get(slot).is_none_or(|entry| entry.client.cid != cid) {
            slot += 1;
            if self.entries.get(slot).is_none_or(|entry| entry.client.cid != cid) {
                slot = self.find_entry(client);
            }
        }
        self.last = slot;
        &mut self.entries[slot]
    }

    fn find_entry(&mut self, client: &Arc<Client>) -> usize {
        let (cid, entries) = (client.cid, &mut self.entries);
        if entries.len() <= SCAN
            && let Some(slot) = entries.iter().position(|entry| entry.client.cid == cid)
        {
            return slot;
        }
        if entries.len() > SCAN
            && let Some(slot) = self.index.get(&cid)
        {
            return *slot as usize;
        }
        let slot = entries.len();
        entries.push(Entry {
            client: client.clone(),
            buffer: self.spare.pop().unwrap_or_default(),
            line: Line::default(),
            msgs: 0,
            bytes: 0,
            queued: false,
        });
        if slot == SCAN {
            self.index.extend(entries.iter().map(|entry| entry.client.cid).zip(0..));
        } else if slot > SCAN {
            self.index.insert(cid, slot as u32);
        }
        slot
    }

    /// The buffer of what `client` gets in this batch, for protocol lines (`+OK`, `PONG`, `-ERR`, `INFO`).
    /// Append to it only.
    pub fn buffer(&mut self, client: &Arc<Client>) -> &mut Vec<u8> {
        &mut self.entry(client).buffer
    }

    /// Encodes one delivery. Equal keys promise the same subscription and the same `shown`.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        client: &Arc<Client>,
        sid: &[u8],
        shown: &[u8],
        message: &Message<'_>,
        key: Option<LineKey>,
    ) {
        let entry = self.entry(client);
        let before = entry.buffer.len();
        entry.msgs += 1;
        if message.headers.is_empty() || !client.takes_headers() {
            entry.bytes += message.payload.len() as u64;
            if message.reply.is_none() && key.is_some() {
                entry.deliver_alike(sid, shown, message.payload, key);
            } else {
                encode::msg(&mut entry.buffer, shown, sid, message.reply, message.payload);
            }
        } else {
            entry.bytes += (message.headers.len() + message.payload.len()) as u64;
            encode::hmsg(
                &mut entry.buffer,
                shown,
                sid,
                message.reply,
                message.headers,
                message.payload,
            );
        }
        let added = entry.buffer.len() - before;
        self.size += added;
    }

    /// True when enough is encoded to flush before going on.
    pub fn is_large(&self) -> bool {
        self.size > FLUSH_AT
    }

    /// Asks for [`Service::settle`] at the end of the batch, once per key.
    pub fn settle_later(&mut self, key: u64, service: impl FnOnce() -> Option<Arc<dyn Service>>) {
        if self.services.last().is_none_or(|last| last.key() != key)
            && !self.services.iter().any(|known| known.key() == key)
        {
            self.services.extend(service());
        }
    }

    /// Bytes encoded and not yet sealed or flushed, and what reports take.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Calls a service, or defers the call when another service is being called now (its lock is held).
    /// A deferred message counts as received.
    pub(crate) fn call(
        &mut self,
        service: &Arc<dyn Service>,
        account: &Arc<str>,
        message: &Message<'_>,
        origin: Origin<'_>,
    ) -> bool {
        if self.depth > 0 {
            self.deferred.push_back(Deferred {
                service: service.clone(),
                account: account.clone(),
                subject: Bytes::copy_from_slice(message.subject),
                reply: message.reply.map(Bytes::copy_from_slice),
                headers: Bytes::copy_from_slice(message.headers),
                payload: Bytes::copy_from_slice(message.payload),
            });
            return true;
        }
        self.depth += 1;
        let received = service.receive(account, message, origin, self);
        self.depth -= 1;
        received
    }

    /// Before a message is routed in another account; false when it has crossed too many.
    pub(crate) fn enter_relay(&mut self) -> bool {
        let is_allowed = self.relays < RELAYS;
        self.relays += usize::from(is_allowed);
        is_allowed
    }

    /// After [`Batch::enter_relay`] allowed it.
    pub(crate) fn leave_relay(&mut self) {
        self.relays -= 1;
    }

    /// Whether a report is written about the message that is routed now.
    pub(crate) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    pub(crate) fn trace(&mut self) -> &mut Option<Box<Tracing>> {
        &mut self.trace
    }

    /// Keeps a report until it leaves. It counts as what is encoded does: else those about large fan-outs
    /// would pile up to the end of a read buffer.
    pub(crate) fn finish_trace(&mut self, report: Report) {
        self.size += report.bytes();
        self.traced.push(report);
    }

    /// Whether there are reports.
    #[inline]
    pub fn has_reports(&self) -> bool {
        !self.traced.is_empty()
    }

    /// Reports about messages that were routed since the last call.
    pub fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.traced)
    }

    pub(crate) fn take_matches(&mut self) -> Matches {
        self.spare_matches.pop().unwrap_or_default()
    }

    pub(crate) fn give_matches(&mut self, mut matches: Matches) {
        if matches.plain.capacity() <= SPARE_MATCHES && self.spare_matches.len() < RELAYS {
            matches.clear();
            self.spare_matches.push(matches);
        }
    }

    /// Runs `work` as a service does: messages to services that it causes are deferred to the flush.
    pub fn as_service<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if self.services.is_empty() && self.deferred.is_empty() {
                return;
            }
            while let Some(deferred) = self.deferred.pop_front() {
                let message = Message {
                    subject: &deferred.subject,
                    reply: deferred.reply.as_deref(),
                    headers: &deferred.headers,
                    payload: &deferred.payload,
                };
                self.call(&deferred.service, &deferred.account, &message, Origin::Internal);
            }
            for service in std::mem::take(&mut self.services) {
                self.as_service(|batch| service.settle(batch));
            }
        }
    }

    /// Moves everything encoded so far into the outboxes, without a system call. Called by a stream's
    /// host while the stream is locked.
    pub fn seal(&mut self) {
        for entry in &mut self.entries {
            if entry.buffer.is_empty() {
                continue;
            }
            if let Some(tracer) = &self.tracer {
                tracer(&entry.client, &entry.buffer);
            }
            let pressure = entry.client.queue(&mut entry.buffer);
            entry.line = Line::default();
            entry.queued = true;
            if pressure == Pressure::High {
                self.congested.push(entry.client.clone());
            }
        }
        self.size = 0;
    }

    /// Settles the services, then writes everything to its targets.
    pub fn flush(&mut self) {
        self.settle();
        for subscription in std::mem::take(&mut self.ended) {
            crate::account::end(&subscription);
        }
        for mut entry in self.entries.drain(..) {
            if entry.msgs > 0 {
                entry.client.traffic.out_msgs.fetch_add(entry.msgs, Ordering::Relaxed);
                entry.client.traffic.out_bytes.fetch_add(entry.bytes, Ordering::Relaxed);
            }
            if !entry.buffer.is_empty() {
                if let Some(tracer) = &self.tracer {
                    tracer(&entry.client, &entry.buffer);
                }
                if entry.client.send(&mut entry.buffer) == Pressure::High {
                    self.congested.push(entry.client);
                }
            } else if entry.queued {
                entry.client.flush();
            }
            if entry.buffer.capacity() > 0
                && entry.buffer.capacity() <= SPARE_BYTES
                && self.spare.len() < SPARE
            {
                self.spare.push(entry.buffer);
            }
        }
        self.index.clear();
        self.last = 0;
        self.size = 0;
    }

    /// True when services still have something to do: flush again.
    pub fn is_unsettled(&self) -> bool {
        !self.services.is_empty() || !self.deferred.is_empty()
    }

    /// The targets that were found nearly full since the last call: the producer should pause.
    pub fn take_congested(&mut self) -> Vec<Arc<Client>> {
        std::mem::take(&mut self.congested)
    }
}
