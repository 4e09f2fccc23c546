//! Choosing the next message and sending it.

use natterjack_store::{Locate, Located, Next};

use super::Consumer;
use super::state::Settled;
use crate::ack_subject::{self, AckToken};
use crate::ctx::Ctx;
use crate::host::{Delivered, Outgoing};
use crate::json::write_u64;

/// Work per [`Consumer::pump`]: other consumers and publishers of the stream wait meanwhile.
const PUMP_MESSAGES: usize = 512;
const PUMP_BYTES: usize = 1 << 20;

/// Buffers that are written anew for each message, so that delivering one allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// `$JS.ACK.<stream>.<consumer>.`, then the token of the message at hand.
    ack: Vec<u8>,
    prefix: usize,
    headers: Vec<u8>,
    /// The message at hand goes out with `headers` instead of its own.
    rewritten: bool,
}

impl Scratch {
    /// The buffer for what is the same for all ack subjects of a consumer.
    pub(super) fn prefix(&mut self) -> &mut Vec<u8> {
        self.prefix = 0;
        &mut self.ack
    }

    /// Adds a header to those of the message at hand.
    pub(super) fn add_header(&mut self, ctx: &Ctx<'_>, picked: &Picked, name: &str, value: &str) {
        let headers = &mut self.headers;
        if self.rewritten {
            headers.truncate(headers.len().saturating_sub(2));
        } else {
            headers.clear();
            let stored = ctx.log.message(&picked.message).map_or(&b""[..], |stored| stored.headers);
            headers.extend_from_slice(stored.strip_suffix(b"\r\n").unwrap_or(b"NATS/1.0\r\n"));
        }
        for part in [name, ": ", value, "\r\n\r\n"] {
            headers.extend_from_slice(part.as_bytes());
        }
        self.rewritten = true;
    }
}

/// What is left of the work of one call.
#[derive(Debug)]
pub(super) struct Budget {
    messages: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The next message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picked {
    pub(super) message: Located,
    /// Deliveries so far.
    pub(super) count: u32,
}

/// Why nothing leaves now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lull {
    /// Nobody asks for anything.
    None,
    /// Nothing is left until more is stored.
    End,
    /// Too much is unsettled.
    Full,
    /// It is too early, or the target is full.
    Held,
    /// The log reads what comes next.
    Reading,
}

/// What there is to deliver.
#[derive(Debug)]
pub(super) enum Pick {
    Message(Picked),
    /// Nothing until more is stored.
    End,
    /// `max_ack_pending` is reached.
    Full,
    /// The log is reading what comes next.
    Reading,
}

impl Consumer {
    /// Delivers as much as the log, the targets and the limits allow, and at most about 512
    /// messages or 1 MiB. True when there may be more to do at once.
    pub fn pump(&mut self, ctx: &mut Ctx<'_>) -> bool {
        self.state.clock(ctx.now);
        self.pace.clear();
        if self.parked || self.is_paused(ctx.now) {
            self.lull = Lull::Held;
            return false;
        }
        if !self.start(ctx) {
            self.lull = Lull::Reading;
            return false;
        }
        self.lull = Lull::None;
        let mut budget = Budget { messages: PUMP_MESSAGES, bytes: PUMP_BYTES };
        if self.config.is_pull() {
            self.pump_pull(ctx, &mut budget)
        } else {
            self.pump_push(ctx, &mut budget)
        }
    }

    /// From where on messages are found by searching the log.
    pub(super) fn horizon(&self) -> u64 {
        self.state.next.max(self.searched).max(self.state.list_end + 1)
    }

    /// The filters select nothing more up to `through`. The position moves there only where
    /// nats-server 2.15.1 searches, too: for a request, a clock, or a message that they select. What
    /// other messages woke stays before them, for filters that are yet to come.
    fn nothing_up_to(&mut self, through: u64) {
        self.searched = self.searched.max(through.saturating_add(1));
        if std::mem::take(&mut self.roused) {
            self.state.skip_to(self.searched);
        }
    }

    /// Matching messages that were not delivered once.
    pub(super) fn num_pending(&mut self, ctx: &mut Ctx<'_>) -> u64 {
        let from = self.horizon();
        self.count.get(ctx.log, &self.filters, from) + self.state.list.len() as u64
    }

    /// The next message to deliver: redeliveries first, then what is new.
    pub(super) fn pick(&mut self, ctx: &mut Ctx<'_>) -> Pick {
        let pick = self.search(ctx);
        self.lull = match &pick {
            Pick::Message(_) => Lull::None,
            Pick::End => Lull::End,
            Pick::Full => Lull::Full,
            Pick::Reading => Lull::Reading,
        };
        pick
    }

    fn search(&mut self, ctx: &mut Ctx<'_>) -> Pick {
        while let Some(entry) = self.next_again(ctx) {
            match ctx.log.locate(entry.seq) {
                Locate::Found(message) => {
                    self.roused = true;
                    return Pick::Message(Picked { message, count: entry.count });
                }
                Locate::Pending => return Pick::Reading,
                // It is gone, or cannot be read: there is nothing to settle any more.
                Locate::Missing | Locate::Damaged => {
                    let _: Settled = self.state.settle(entry.seq, ctx.now.unix_ns);
                }
            }
        }
        let limit = usize::try_from(self.config.max_ack_pending).unwrap_or(0);
        if limit > 0 && self.state.pending.len() >= limit {
            return Pick::Full;
        }
        loop {
            let visible = ctx.log.visible_last();
            let at = self.state.list.front().copied().unwrap_or(self.horizon());
            if at > visible {
                self.nothing_up_to(visible);
                return Pick::End;
            }
            let mut found = if self.state.list.is_empty() && !self.filters.is_empty() {
                Locate::Missing
            } else {
                // The usual case without a search.
                ctx.log.locate(at)
            };
            let mut seq = at;
            if found == Locate::Missing && self.state.list.is_empty() {
                seq = match ctx.log.next_match(&self.filters, at) {
                    Next::Found(seq) if seq <= visible => seq,
                    Next::Pending => return Pick::Reading,
                    Next::Found(_) | Next::End => {
                        self.count.none_left(visible);
                        self.nothing_up_to(visible);
                        return Pick::End;
                    }
                };
                found = ctx.log.locate(seq);
            }
            match found {
                Locate::Found(message) => {
                    self.roused = true;
                    if self.state.list.is_empty() {
                        self.state.skip_to(seq);
                    }
                    return Pick::Message(Picked { message, count: 0 });
                }
                Locate::Pending => return Pick::Reading,
                Locate::Missing | Locate::Damaged => {
                    if self.state.list.front() == Some(&seq) {
                        self.state.list.pop_front();
                    } else {
                        self.count.forget();
                    }
                    self.state.skip_to(seq + 1);
                }
            }
        }
    }

    /// Writes what goes out with `picked` into the scratch buffers. Returns its size as limits and
    /// windows count it: subject, ack subject, headers and payload.
    pub(super) fn prepare(&mut self, ctx: &mut Ctx<'_>, picked: &Picked) -> usize {
        let message = picked.message;
        let first = picked.count == 0;
        let pending = self.num_pending(ctx).saturating_sub(u64::from(first));
        let token = AckToken {
            deliveries: u64::from(picked.count) + 1,
            stream_seq: message.seq(),
            consumer_seq: self.state.consumer_seq + 1,
            time_ns: message.time(),
            pending,
        };
        let Scratch { ack, prefix, headers, rewritten } = &mut self.scratch;
        *rewritten = self.config.headers_only;
        if *prefix == 0 {
            *prefix = ack.len();
        }
        ack.truncate(*prefix);
        ack_subject::write_token(ack, &token);
        let fixed = message.subject_len() + ack.len();
        if !self.config.headers_only {
            return fixed + message.content_len();
        }
        headers.clear();
        let Some(message) = ctx.log.message(&message) else { return fixed };
        match message.headers.strip_suffix(b"\r\n") {
            Some(open) => headers.extend_from_slice(open),
            None => headers.extend_from_slice(b"NATS/1.0\r\n"),
        }
        headers.extend_from_slice(b"Nats-Msg-Size: ");
        write_u64(headers, message.payload.len() as u64);
        headers.extend_from_slice(b"\r\n\r\n");
        fixed + headers.len()
    }

    /// Sends what [`prepare`](Self::prepare) wrote and measured, and records the delivery if somebody took it.
    pub(super) fn emit(
        &mut self,
        ctx: &mut Ctx<'_>,
        picked: &Picked,
        size: usize,
        route: Option<&[u8]>,
    ) -> Delivered {
        let Some(message) = ctx.log.message(&picked.message) else { return Delivered::Yes };
        let headers_only = self.config.headers_only;
        let out = Outgoing {
            account: &ctx.scope.account,
            route: route.unwrap_or(self.config.deliver_subject.as_bytes()),
            subject: message.subject,
            reply: Some(&self.scratch.ack),
            headers: if self.scratch.rewritten { &self.scratch.headers } else { message.headers },
            payload: if headers_only { &[] } else { message.payload },
        };
        let delivered = ctx.host.deliver(&out);
        if delivered == Delivered::No {
            return delivered;
        }
        if picked.count > 0 {
            self.state.deliver_again(message.seq, ctx.now.unix_ns);
        } else {
            if message.seq >= self.horizon() {
                self.count.delivered();
            }
            self.state.deliver(message.seq, ctx.now.unix_ns);
        }
        self.pace.sent(picked, size, ctx.now.mono_ns);
        self.last_sent = ctx.now.mono_ns;
        delivered
    }
}
