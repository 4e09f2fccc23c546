//! Priority groups: whose turn it is among the requests of a pull consumer (ADR-42, jetstream.md 3.9).
//!
//! Overflow requests wait for a backlog, prioritized ones stand in the queue by their number, and of
//! pinned clients one alone is served: the first whose request without an id comes to its turn. It is
//! told its id with each message, names it in its next requests, and loses the place when none comes
//! for `priority_timeout` or an operator says so. Nothing of this survives a restart.

use super::Consumer;
use super::config::{Config, PriorityPolicy};
use super::deliver::Picked;
use super::next::NextRequest;
use crate::ctx::Ctx;
use crate::nuid;

/// Characters of a pin's id.
const ID_LEN: usize = 22;
const MISMATCH: &[u8] = b"NATS/1.0 423 Nats-Pin-Id mismatch\r\n\r\n";

/// When a request is served; all empty without a policy.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Lower ones come first.
    pub(super) rank: i64,
    /// It waits until so many messages are pending, or unsettled; 0 asks for nothing.
    min_pending: u64,
    min_ack_pending: u64,
    /// Its group and the pin that its client holds; only of pinned clients.
    claim: Option<Box<Claim>>,
}

#[derive(Debug)]
struct Claim {
    group: String,
    id: String,
}

impl Turn {
    /// The turn of `request` under `policy`.
    pub(super) fn of(request: &mut NextRequest, policy: PriorityPolicy) -> Self {
        let mut turn = Self::default();
        match policy {
            PriorityPolicy::None => {}
            PriorityPolicy::Prioritized => turn.rank = request.priority,
            PriorityPolicy::Overflow => {
                turn.min_pending = request.min_pending.max(0).unsigned_abs();
                turn.min_ack_pending = request.min_ack_pending;
            }
            PriorityPolicy::PinnedClient => {
                let (group, id) = (&mut request.group, &mut request.id);
                let (group, id) = (std::mem::take(group), std::mem::take(id));
                turn.claim = Some(Box::new(Claim { group, id }));
            }
        }
        turn
    }

    /// Of an overflow request: whether the backlog is there.
    pub(super) fn is_met(&self, pending: u64, unsettled: u64) -> bool {
        let Self { min_pending, min_ack_pending, .. } = *self;
        (min_pending == 0 && min_ack_pending == 0)
            || (min_pending > 0 && pending >= min_pending)
            || (min_ack_pending > 0 && unsettled >= min_ack_pending)
    }

    fn id(&self) -> &str {
        self.claim.as_ref().map_or("", |claim| &claim.id)
    }
}

/// The client that is served alone.
#[derive(Debug)]
pub(super) struct Pin {
    id: String,
    group: String,
    /// Nanoseconds since 1970.
    pub(super) since: i64,
    /// Monotonic: without a request until then it is over.
    until: u64,
}

impl Pin {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// What a request gets while this pin is held.
pub(super) enum Place {
    /// It may be served.
    Served,
    /// Another client is.
    Waits,
    /// Its pin is over.
    Over,
}

impl Place {
    pub(super) fn of(turn: &Turn, pin: Option<&Pin>) -> Self {
        match (pin, turn.id()) {
            (None, "") => Self::Served,
            (Some(pin), id) if pin.id == id => Self::Served,
            (Some(_), "") => Self::Waits,
            _ => Self::Over,
        }
    }
}

/// What is wrong with a request's words about its group; the text after `Bad Request - `.
pub(super) fn fault(request: &NextRequest, config: &Config) -> Option<&'static str> {
    let policy = config.priority_policy;
    if policy != PriorityPolicy::Overflow
        && (request.min_pending != 0 || request.min_ack_pending != 0)
    {
        Some("Not a Overflow Priority consumer")
    } else if policy != PriorityPolicy::PinnedClient && !request.id.is_empty() {
        Some("Not a Pinned Client Priority consumer")
    } else if !(0..=9).contains(&request.priority) {
        Some("Priority must be between 0 and 9")
    } else if policy == PriorityPolicy::None || request.bare {
        None
    } else if request.group.is_empty() {
        Some("Priority Group missing")
    } else if !config.priority_groups.contains(&request.group) {
        Some("Invalid Priority Group")
    } else {
        None
    }
}

impl Consumer {
    /// A request of the pinned client keeps its pin; one with another id is answered. True when the
    /// request goes on.
    pub(super) fn renew_pin(
        &mut self,
        ctx: &mut Ctx<'_>,
        reply: &[u8],
        request: &NextRequest,
    ) -> bool {
        let until = self.pin_until(ctx);
        let Some(pin) = self.pin.as_deref_mut().filter(|_| !request.id.is_empty()) else {
            return true;
        };
        if pin.id != request.id {
            ctx.send(reply, None, MISMATCH);
            return false;
        }
        pin.until = until;
        true
    }

    fn pin_until(&self, ctx: &Ctx<'_>) -> u64 {
        let timeout = self.config.priority_timeout.max(0).unsigned_abs();
        ctx.now.mono_ns.saturating_add(timeout)
    }

    pub(super) fn pin_deadline(&self) -> Option<u64> {
        self.pin.as_ref().map(|pin| pin.until)
    }

    /// The pinned client asked for nothing for too long.
    pub(super) fn end_pin(&mut self, ctx: &mut Ctx<'_>) {
        if self.pin_deadline().is_some_and(|until| until <= ctx.now.mono_ns)
            && let Some(pin) = self.pin.take()
        {
            self.roused = true;
            self.advise_unpinned(ctx, &pin.group, "timeout");
        }
    }

    /// An operator frees the place, whoever has it.
    pub(crate) fn unpin(&mut self, ctx: &mut Ctx<'_>, group: &str) {
        self.pin = None;
        self.roused = true;
        self.advise_unpinned(ctx, group, "admin");
    }

    /// Adds the pin's id to the headers of the message at hand: of the client that is pinned, or that
    /// will be if it takes the message.
    pub(super) fn write_pin(&mut self, ctx: &mut Ctx<'_>, picked: &Picked, turn: &Turn) -> NewPin {
        let new = match (&self.pin, &turn.claim) {
            (None, Some(claim)) if !claim.group.is_empty() => {
                let id = nuid::text(ID_LEN, || ctx.host.random());
                Some(Box::new(Pin {
                    id,
                    group: claim.group.clone(),
                    since: ctx.now.unix_ns,
                    until: self.pin_until(ctx),
                }))
            }
            _ => None,
        };
        if let Some(pin) = new.as_ref().or(self.pin.as_ref()) {
            self.scratch.add_header(ctx, picked, "Nats-Pin-Id", &pin.id);
        }
        NewPin(new)
    }

    /// The client took the message and is pinned from here on.
    pub(super) fn pin(&mut self, ctx: &mut Ctx<'_>, new: NewPin, turn: &mut Turn) {
        let Some(pin) = new.0 else { return };
        if let Some(claim) = &mut turn.claim {
            claim.id.clone_from(&pin.id);
        }
        self.advise_pinned(ctx, &pin.group, &pin.id);
        self.pin = Some(pin);
    }
}

/// A pin that is announced and held once its first message was taken.
pub(super) struct NewPin(Option<Box<Pin>>);
