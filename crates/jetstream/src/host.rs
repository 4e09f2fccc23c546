//! What the engine asks of the process around it: routing, interest, disk and timers.
//!
//! The server implements [`Host`]; tests implement it with a recorder. Every call may happen while
//! a stream's lock is held, so none may block or call back into the engine.

use std::sync::Arc;

use natterjack_store::{Blocked, Damage, DiskRequest};

use crate::engine::restore::Restore;
use crate::snapshot::Snapshot;
use crate::stream::StreamCell;

/// A message that leaves a stream or the API.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The account in which it is routed.
    pub account: &'a str,
    /// The subject by which subscriptions are found: an inbox or a deliver subject. Whoever listens there
    /// receives the message, as one that a client publishes: of each queue group one member (nats-server
    /// 2.15.1, also of other groups than `deliver_group`).
    pub route: &'a [u8],
    /// The subject that the MSG line shows: for deliveries the stored one.
    pub subject: &'a [u8],
    /// The reply subject of the MSG line.
    pub reply: Option<&'a [u8]>,
    /// The complete header block, or empty.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// What became of an [`Outgoing`] message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Nobody listens.
    No,
    /// At least one subscription took it.
    Yes,
    /// It was taken, and the target is filling up: pause until the host resumes the stream.
    Congested,
}

/// Effects of the engine.
pub trait Host {
    /// Routes a message. Called in the order in which messages must arrive.
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered;

    /// True when somebody in `account` would receive `subject`, plainly or as the member of a group.
    fn has_interest(&mut self, account: &str, subject: &[u8]) -> bool;

    /// True when somebody in `account` subscribed to exactly this `subject`: with `queue`, as a member of
    /// that group; without, plainly. Wildcards do not count.
    fn is_subscribed(&mut self, account: &str, subject: &[u8], queue: Option<&[u8]>) -> bool;

    /// True when a receiver of `route` is still filling up; the host then calls `resume` once more
    /// when it has room. Asked of each paused consumer at a resume, since that may concern another.
    fn is_congested(&mut self, account: &str, route: &[u8]) -> bool {
        let _ = (account, route);
        false
    }

    /// Performs a disk request and later calls `JetStream::completed` with `owner`. Owner 0 is the
    /// catalog, any other is a stream's id.
    fn disk(&mut self, owner: u64, request: DiskRequest);

    /// Calls `JetStream::tick` for `owner` at or after the monotonic instant. Later calls replace
    /// earlier ones; `u64::MAX` cancels.
    fn wake_at(&mut self, owner: u64, mono_ns: u64);

    /// Hands every publish in `account` that matches `subject` to `stream`.
    fn subscribe(&mut self, account: &str, subject: &[u8], stream: &Arc<StreamCell>);

    /// Ends what [`subscribe`](Host::subscribe) began.
    fn unsubscribe(&mut self, account: &str, subject: &[u8], stream_id: u64);

    /// Hands what is published on `subject` in `account` to [`StreamCell::arrive`] of a stream, under
    /// `token`, at once and in order; [`StreamCell::settle`] follows. It may be called while that or
    /// another stream is locked.
    fn open_inlet(&mut self, account: &str, subject: &[u8], stream_id: u64, token: u64) {
        let _ = (account, subject, stream_id, token);
    }

    /// Ends what [`open_inlet`](Host::open_inlet) began.
    fn close_inlet(&mut self, account: &str, subject: &[u8], stream_id: u64) {
        let _ = (account, subject, stream_id);
    }

    /// While on, `StreamCell::interest_changed` is called when subscriptions that match `subject`
    /// come or go: a push consumer delivers there.
    fn watch_interest(&mut self, account: &str, subject: &[u8], stream_id: u64, on: bool);

    /// The account that hears of the server itself; `None` without one.
    fn system_account(&mut self) -> Option<Arc<str>> {
        None
    }

    /// 64 random bits.
    fn random(&mut self) -> u64;

    /// Sends a snapshot to who asked for it; the host asks it for chunks from now on.
    fn send_snapshot(&mut self, snapshot: Snapshot) {
        drop(snapshot);
    }

    /// Takes chunks on the subject of a restore for it, from now on.
    fn take_restore(&mut self, restore: Restore) {
        drop(restore);
    }

    /// Damage was found when a message was read or looked at: the operator should know, as of
    /// what the start itself finds ([`RecoveredStream::log`](crate::RecoveredStream)).
    fn damaged(&mut self, account: &str, stream: &str, damage: &Damage) {
        let _ = (account, stream, damage);
    }

    /// The disk begins to refuse what is stored, for this reason, or takes it again: of a stream, by
    /// account and name, or of the catalog. Told once each.
    fn blocked(&mut self, stream: Option<(&str, &str)>, reason: Option<&Blocked>) {
        let _ = (stream, reason);
    }

    /// What was delivered so far takes its place in the targets' queues. Called last, still under the
    /// stream's lock, so that the stream's order is the order on the wire. A target that
    /// was [`Congested`](Delivered::Congested) since calls `resume` of the stream when it has room.
    fn seal(&mut self, stream_id: u64) {
        let _ = stream_id;
    }
}
