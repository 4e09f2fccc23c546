//! Publishes that wait until a stored message that they depend on has been read.
//!
//! A counter goes on from the last message of its subject, and that may be on disk. Whoever publishes
//! after one that waits waits behind it, so that answers and sequences keep the order of the publishes.

use std::collections::VecDeque;

use super::batch::Staged;
use super::publish::Inbound;

/// A publish, its subject already renamed.
#[derive(Debug)]
pub(super) struct Parked {
    staged: Staged,
    reply: Option<Box<[u8]>>,
}

impl Parked {
    pub(super) fn message(&self) -> Inbound<'_> {
        Inbound { reply: self.reply.as_deref(), ..self.staged.message() }
    }
}

/// The queue of one stream.
#[derive(Debug, Default)]
pub(super) struct Lot {
    queue: VecDeque<Parked>,
    bytes: usize,
}

impl Lot {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a publish in, unless that would be more than the bounds (`max_buffered_msgs`,
    /// `max_buffered_size`).
    pub(super) fn park(&mut self, msg: &Inbound<'_>, (messages, bytes): (usize, usize)) -> bool {
        let size = msg.size();
        if self.queue.len() >= messages || self.bytes + size > bytes {
            return false;
        }
        self.bytes += size;
        self.queue.push_back(Parked { staged: Staged::of(msg), reply: msg.reply.map(Into::into) });
        true
    }

    /// Takes all out. What has to go on waiting goes [back](Self::put_back).
    pub(super) fn take(&mut self) -> VecDeque<Parked> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }

    pub(super) fn put_back(&mut self, rest: VecDeque<Parked>) {
        self.bytes = rest.iter().map(|parked| parked.message().size()).sum();
        self.queue = rest;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
