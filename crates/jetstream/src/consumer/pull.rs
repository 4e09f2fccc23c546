//! Pull requests (jetstream.md 3.7, ADR-13).

use std::collections::VecDeque;

use super::Consumer;
use super::config::PriorityPolicy;
use super::deliver::{Budget, Lull, Pick, Picked};
use super::group::{self, Place, Turn};
use super::next::NextRequest;
use crate::ctx::Ctx;
use crate::host::Delivered;
use crate::time::{Now, go_duration};

pub(super) const CONSUMER_DELETED: &[u8] = b"NATS/1.0 409 Consumer Deleted\r\n\r\n";
const NO_MESSAGES: &[u8] = b"NATS/1.0 404 No Messages\r\n\r\n";
const REQUESTS_PENDING: &[u8] = b"NATS/1.0 408 Requests Pending\r\n\r\n";
const MAX_WAITING: &[u8] = b"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n";
const PUSH_BASED: &[u8] = b"NATS/1.0 409 Consumer is push based\r\n\r\n";

/// The shortest time between heartbeats, whatever a client asks for: 1 ms.
const BEAT_MIN: u64 = 1_000_000;
/// How often a full queue is searched for requests that are over, at most.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) reply: Box<[u8]>,
    /// Messages left of the batch, as the client wrote it: 0 counts as 1.
    left: i64,
    /// Bytes left; unlimited when the client gave none.
    bytes: i64,
    limited: bool,
    /// Monotonic; `u64::MAX` for never.
    expires: u64,
    /// Nanoseconds between heartbeats; 0 for none.
    beat: u64,
    beat_at: u64,
    no_wait: bool,
    served: bool,
    turn: Turn,
}

impl Request {
    fn deadline(&self) -> u64 {
        self.expires.min(self.beat_at)
    }

    /// A status with what is left of the request.
    fn status(&self, line: &str) -> Vec<u8> {
        let Self { left, bytes, .. } = self;
        let text = format!(
            "NATS/1.0 {line}\r\nNats-Pending-Messages: {left}\r\nNats-Pending-Bytes: {bytes}\r\n\r\n"
        );
        text.into_bytes()
    }

    /// It ends when nothing is left to deliver: it took what there was, or would not wait at all.
    fn ends_when_empty(&self) -> bool {
        self.no_wait && (self.served || self.expires == u64::MAX)
    }
}

/// The requests that wait, in order of service.
#[derive(Debug)]
pub(super) struct Requests {
    queue: VecDeque<Request>,
    /// Those whose client is full; the others go on meanwhile.
    stalled: VecDeque<Request>,
    /// A client was found full: others are asked before they get something.
    wary: bool,
    no_wait: usize,
    /// No request has a deadline before this.
    earliest: u64,
    swept: Option<u64>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            stalled: VecDeque::new(),
            wary: false,
            no_wait: 0,
            earliest: u64::MAX,
            swept: None,
        }
    }
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.stalled.len()
    }

    /// True when some could be served.
    pub(super) fn are_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// True when the client of some is full.
    pub(super) fn are_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    fn push(&mut self, request: Request) {
        self.no_wait += usize::from(request.no_wait);
        self.earliest = self.earliest.min(request.deadline());
        self.file(request);
    }

    /// Puts a request behind those of its rank.
    fn file(&mut self, request: Request) {
        let rank = request.turn.rank;
        match self.queue.back() {
            Some(last) if last.turn.rank > rank => {
                let at = self.queue.partition_point(|other| other.turn.rank <= rank);
                self.queue.insert(at, request);
            }
            _ => self.queue.push_back(request),
        }
    }

    /// Takes the first request for good.
    fn pop(&mut self) {
        if let Some(request) = self.queue.pop_front() {
            self.no_wait -= usize::from(request.no_wait);
        }
    }

    /// Lets the first request wait behind the others.
    fn rotate(&mut self) {
        if self.queue.len() > 1
            && let Some(request) = self.queue.pop_front()
        {
            self.file(request);
        }
    }

    /// Brings the request at `at` to the front.
    fn bring(&mut self, at: usize) {
        if at > 0
            && let Some(request) = self.queue.remove(at)
        {
            self.queue.push_front(request);
        }
    }

    /// Takes the request at `at` out for good.
    fn take(&mut self, at: usize) -> Option<Request> {
        let request = self.queue.remove(at)?;
        self.no_wait -= usize::from(request.no_wait);
        Some(request)
    }

    /// Sets the first request aside: its client is full.
    fn stall(&mut self) {
        self.stalled.extend(self.queue.pop_front());
        self.wary = true;
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Request> {
        let Self { queue, stalled, .. } = std::mem::take(self);
        queue.into_iter().chain(stalled)
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        (self.len() > 0 && self.earliest != u64::MAX).then_some(self.earliest)
    }

    /// Keeps the requests for which `keep` says so.
    fn retain(&mut self, mut keep: impl FnMut(&mut Request) -> bool) {
        let (mut no_wait, mut earliest) = (0, u64::MAX);
        let mut keep = |request: &mut Request| {
            let kept = keep(request);
            if kept {
                no_wait += usize::from(request.no_wait);
                earliest = earliest.min(request.deadline());
            }
            kept
        };
        self.queue.retain_mut(&mut keep);
        self.stalled.retain_mut(&mut keep);
        self.no_wait = no_wait;
        self.earliest = earliest;
    }
}

impl Consumer {
    /// Takes a pull request that came with `reply`; statuses and messages go there. Call
    /// [`pump`](Consumer::pump) afterwards.
    pub fn pull(&mut self, ctx: &mut Ctx<'_>, reply: &[u8], body: &[u8]) {
        if !self.config.is_pull() {
            ctx.send(reply, None, PUSH_BASED);
            return;
        }
        self.last_interest = ctx.now.mono_ns;
        let mut request = match NextRequest::read(body) {
            Ok(request) => request,
            Err(text) => return bad_request(ctx, reply, &text),
        };
        if let Some(text) = self.over_cap(&request) {
            ctx.send(reply, None, format!("NATS/1.0 409 Exceeded {text}\r\n\r\n").as_bytes());
            return;
        }
        if let Some(text) = group::fault(&request, &self.config) {
            return bad_request(ctx, reply, text);
        }
        if !self.renew_pin(ctx, reply, &request) {
            return;
        }
        if request.no_wait && !self.may_serve_now(ctx, reply, request.expires == 0) {
            return;
        }
        let turn = Turn::of(&mut request, self.config.priority_policy);
        let request = accept(&request, reply, ctx.now, turn);
        if request.expires <= ctx.now.mono_ns {
            ctx.send(reply, None, &request.status("408 Request Timeout"));
            return;
        }
        if self.is_full(ctx) {
            // With heartbeats the client notices by their absence.
            if request.beat == 0 {
                ctx.send(reply, None, MAX_WAITING);
            }
            return;
        }
        self.requests.push(request);
        self.roused = true;
    }

    fn over_cap(&self, request: &NextRequest) -> Option<String> {
        let config = &self.config;
        let over = |value: i64, cap: i64| cap > 0 && value > cap;
        if over(request.batch, config.max_batch) {
            Some(format!("MaxRequestBatch of {}", config.max_batch))
        } else if over(request.expires, config.max_expires) {
            Some(format!("MaxRequestExpires of {}", go_duration(config.max_expires)))
        } else if over(request.max_bytes, config.max_bytes) {
            Some(format!("MaxRequestMaxBytes of {}", config.max_bytes))
        } else {
            None
        }
    }

    /// For `no_wait`: true when the request is to be queued; else it was answered.
    fn may_serve_now(&mut self, ctx: &mut Ctx<'_>, reply: &[u8], no_expiry: bool) -> bool {
        let available = if self.is_paused(ctx.now) {
            0
        } else {
            self.num_pending(ctx) + self.state.queue.len() as u64
        };
        if available == 0 {
            if no_expiry {
                ctx.send(reply, None, NO_MESSAGES);
            }
            return !no_expiry;
        }
        self.drop_uninterested(ctx);
        let Requests { queue, stalled, .. } = &self.requests;
        let claimed = queue.iter().chain(stalled).map(|request| request.left.max(0).unsigned_abs());
        if available < claimed.fold(0, u64::saturating_add) {
            ctx.send(reply, None, REQUESTS_PENDING);
            return false;
        }
        true
    }

    fn is_full(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let max = usize::try_from(self.config.max_waiting).unwrap_or(usize::MAX);
        if self.requests.len() < max {
            return false;
        }
        let now = ctx.now.mono_ns;
        if self.requests.swept.is_none_or(|swept| now.saturating_sub(swept) >= SWEEP_EVERY) {
            self.requests.swept = Some(now);
            self.drop_uninterested(ctx);
        }
        self.requests.len() >= max
    }

    /// Ends requests that expired, and forgets those whose inbox nobody listens to.
    pub(super) fn drop_uninterested(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono_ns;
        self.requests.retain(|request| {
            if request.expires <= now {
                ctx.send(&request.reply, None, &request.status("408 Request Timeout"));
                return false;
            }
            ctx.host.has_interest(&ctx.scope.account, &request.reply)
        });
    }

    /// Ends expired requests and sends heartbeats that are due.
    pub(super) fn tick_requests(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono_ns;
        if self.requests.earliest > now {
            return;
        }
        let beat = self.heartbeat(None);
        self.roused = true;
        self.requests.retain(|request| {
            if request.expires <= now {
                ctx.send(&request.reply, None, &request.status("408 Request Timeout"));
                return false;
            }
            if request.beat_at <= now {
                request.beat_at = now.saturating_add(request.beat);
                return ctx.send(&request.reply, None, &beat) != Delivered::No;
            }
            true
        });
    }

    /// Clients that were full may have room: their requests are served again.
    pub(super) fn resume_requests(&mut self, ctx: &mut Ctx<'_>) {
        let mut still = VecDeque::new();
        for request in std::mem::take(&mut self.requests.stalled) {
            if ctx.host.is_congested(&ctx.scope.account, &request.reply) {
                still.push_back(request);
            } else {
                self.requests.file(request);
            }
        }
        self.requests.wary = !still.is_empty();
        self.requests.stalled = still;
    }

    pub(super) fn pump_pull(&mut self, ctx: &mut Ctx<'_>, budget: &mut Budget) -> bool {
        while self.requests.are_waiting() {
            if budget.is_spent() {
                return true;
            }
            if self.config.priority_policy == PriorityPolicy::Overflow && !self.choose_met(ctx) {
                self.lull = Lull::None;
                self.end_no_wait(ctx);
                return false;
            }
            match self.pick(ctx) {
                Pick::Message(picked) => {
                    let size = self.prepare(ctx, &picked);
                    if !self.pace.allows(&picked, size, ctx) {
                        self.lull = Lull::Held;
                        return false;
                    }
                    if self.is_pinning() && !self.choose_pinned(ctx) {
                        // A request or the end of the pin goes on; another message does not.
                        self.lull = Lull::Held;
                        self.end_no_wait(ctx);
                        return false;
                    }
                    self.offer(ctx, &picked, size, budget);
                }
                Pick::End => {
                    self.end_no_wait(ctx);
                    return false;
                }
                Pick::Full | Pick::Reading => return false,
            }
        }
        false
    }

    fn is_pinning(&self) -> bool {
        self.config.priority_policy == PriorityPolicy::PinnedClient
    }

    /// Brings the first request whose backlog is there to the front; false when there is none.
    fn choose_met(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let pending = self.num_pending(ctx);
        let unsettled = self.state.pending.len() as u64;
        let met = |request: &Request| request.turn.is_met(pending, unsettled);
        let at = self.requests.queue.iter().position(met);
        at.is_some_and(|at| {
            self.requests.bring(at);
            true
        })
    }

    /// Brings the first request of the pinned client to the front, or of one that may be pinned; false
    /// when there is none. On the way requests whose pin is over end.
    fn choose_pinned(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let mut at = 0;
        while let Some(request) = self.requests.queue.get(at) {
            match Place::of(&request.turn, self.pin.as_deref()) {
                Place::Served => {
                    self.requests.bring(at);
                    return true;
                }
                Place::Waits => at += 1,
                Place::Over => {
                    if let Some(request) = self.requests.take(at) {
                        let status = request.status("423 Nats-Wrong-Pin-Id");
                        ctx.send(&request.reply, None, &status);
                    }
                }
            }
        }
        false
    }

    /// Gives the message to the first request that can take it. With thresholds and pins only the first
    /// is known to have its turn.
    fn offer(&mut self, ctx: &mut Ctx<'_>, picked: &Picked, size: usize, budget: &mut Budget) {
        let now = ctx.now.mono_ns;
        let bytes = i64::try_from(size).unwrap_or(i64::MAX);
        let pinning = self.is_pinning();
        let chosen = pinning || self.config.priority_policy == PriorityPolicy::Overflow;
        let mut first = true;
        while let Some(request) = self.requests.queue.front_mut() {
            if !std::mem::take(&mut first) && chosen {
                return;
            }
            if request.expires <= now {
                let status = request.status("408 Request Timeout");
                ctx.send(&request.reply, None, &status);
                self.requests.pop();
                continue;
            }
            if request.limited && bytes > request.bytes {
                let status = request.status("409 Message Size Exceeds MaxBytes");
                ctx.send(&request.reply, None, &status);
                self.requests.pop();
                continue;
            }
            if self.requests.wary && ctx.host.is_congested(&ctx.scope.account, &request.reply) {
                self.requests.stall();
                continue;
            }
            let reply = std::mem::take(&mut request.reply);
            let delivered = if pinning {
                self.emit_pinned(ctx, picked, size, &reply)
            } else {
                self.emit(ctx, picked, size, Some(&reply))
            };
            let Some(request) = self.requests.queue.front_mut() else { return };
            request.reply = reply;
            if delivered == Delivered::No {
                // Nobody listens there any more: forgotten without a word.
                self.requests.pop();
                continue;
            }
            budget.spend(size);
            request.left -= 1;
            request.served = true;
            if request.limited {
                request.bytes -= bytes;
            }
            if request.beat > 0 {
                request.beat_at = now.saturating_add(request.beat);
            }
            if request.left <= 0 {
                if request.limited && request.bytes > 0 {
                    request.left = 0;
                    let status = request.status("409 Batch Completed");
                    ctx.send(&request.reply, None, &status);
                }
                self.requests.pop();
                self.requests.wary |= delivered == Delivered::Congested;
            } else if delivered == Delivered::Congested {
                self.requests.stall();
            } else {
                // The others come first now.
                self.requests.rotate();
            }
            return;
        }
    }

    /// As [`emit`](Self::emit) to the first request, with the id of its pin.
    fn emit_pinned(
        &mut self,
        ctx: &mut Ctx<'_>,
        picked: &Picked,
        size: usize,
        reply: &[u8],
    ) -> Delivered {
        let Some(request) = self.requests.queue.front_mut() else { return Delivered::No };
        let mut turn = std::mem::take(&mut request.turn);
        let new = self.write_pin(ctx, picked, &turn);
        let delivered = self.emit(ctx, picked, size, Some(reply));
        if delivered != Delivered::No {
            self.pin(ctx, new, &mut turn);
        }
        if let Some(request) = self.requests.queue.front_mut() {
            request.turn = turn;
        }
        delivered
    }

    /// Nothing is left: requests that do not wait for more end.
    fn end_no_wait(&mut self, ctx: &mut Ctx<'_>) {
        if self.requests.no_wait == 0 {
            return;
        }
        self.requests.retain(|request| {
            let ends = request.ends_when_empty();
            if ends {
                ctx.send(&request.reply, None, NO_MESSAGES);
            }
            !ends
        });
    }
}

fn bad_request(ctx: &mut Ctx<'_>, reply: &[u8], text: &str) {
    ctx.send(reply, None, format!("NATS/1.0 400 Bad Request - {text}\r\n\r\n").as_bytes());
}

fn accept(request: &NextRequest, reply: &[u8], now: Now, turn: Turn) -> Request {
    let expires = match request.expires {
        0 => u64::MAX,
        ns if ns < 0 => now.mono_ns,
        ns => now.mono_ns.saturating_add(ns.unsigned_abs()),
    };
    let beat = match request.idle_heartbeat {
        ..=0 => 0,
        // One nanosecond would keep the server busy with nothing else.
        ns => ns.unsigned_abs().max(BEAT_MIN),
    };
    let beat_at = if beat == 0 { u64::MAX } else { now.mono_ns.saturating_add(beat) };
    Request {
        reply: reply.into(),
        left: request.batch,
        bytes: request.max_bytes,
        limited: request.max_bytes > 0,
        expires,
        beat,
        beat_at,
        no_wait: request.no_wait,
        served: false,
        turn,
    }
}
