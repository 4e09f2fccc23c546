//! What other streams sent to a mirror or a sourcing stream and it did not take yet.
//!
//! A consumer delivers while its own stream is locked, so a message is only put into this queue, whose
//! lock is a leaf; the stream empties it with its next settle. What is in it is within the windows of
//! flow control, which is answered when messages are durable.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync;

/// Bytes that may wait: the windows of some sources. What comes beyond is not taken, and is asked for
/// again when the gap shows.
const BYTES_MAX: usize = 128 << 20;
/// What a message takes beside its bytes.
const OVERHEAD: usize = 64;

/// A message from another stream, or an answer of its API.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Which attempt of which source it is for.
    pub(super) token: u64,
    bytes: Box<[u8]>,
    reply_at: usize,
    headers_at: usize,
    payload_at: usize,
}

impl Arrival {
    pub(super) fn subject(&self) -> &[u8] {
        &self.bytes[..self.reply_at]
    }

    /// Empty for none.
    pub(super) fn reply(&self) -> &[u8] {
        &self.bytes[self.reply_at..self.headers_at]
    }

    pub(super) fn headers(&self) -> &[u8] {
        &self.bytes[self.headers_at..self.payload_at]
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[self.payload_at..]
    }

    /// What it takes in memory.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }

    /// Heartbeats and requests for flow control are no messages.
    pub(super) fn is_control(&self) -> bool {
        self.payload().is_empty() && self.headers().starts_with(b"NATS/1.0 100 ")
    }
}

/// Messages in their order, and what they take in memory.
#[derive(Debug, Default)]
pub(super) struct Queue {
    arrivals: VecDeque<Arrival>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, arrival: Arrival) {
        self.bytes += arrival.size();
        self.arrivals.push_back(arrival);
    }

    pub(super) fn pop(&mut self) -> Option<Arrival> {
        let first = self.arrivals.pop_front()?;
        self.bytes -= first.size();
        Some(first)
    }

    /// Takes back what was popped.
    pub(super) fn unpop(&mut self, first: Arrival) {
        self.bytes += first.size();
        self.arrivals.push_front(first);
    }

    /// This one behind all of `first`.
    pub(super) fn behind(mut self, mut first: Queue) -> Queue {
        first.bytes += self.bytes;
        first.arrivals.append(&mut self.arrivals);
        first
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }
}

/// The queue of one stream.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    waiting: AtomicBool,
    queue: Mutex<Queue>,
}

impl Arrivals {
    /// True when something is in it: looked at in each settle of each stream.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Puts a message into the queue.
    pub(crate) fn push(
        &self,
        token: u64,
        subject: &[u8],
        reply: &[u8],
        headers: &[u8],
        payload: &[u8],
    ) {
        let bytes = [subject, reply, headers, payload].concat().into_boxed_slice();
        let reply_at = subject.len();
        let headers_at = reply_at + reply.len();
        let payload_at = headers_at + headers.len();
        let arrival = Arrival { token, bytes, reply_at, headers_at, payload_at };
        let mut queue = sync::lock(&self.queue);
        if queue.bytes + arrival.size() > BYTES_MAX && !queue.is_empty() {
            return;
        }
        queue.push(arrival);
        self.waiting.store(true, Ordering::Release);
    }

    /// Puts back in front what has to wait longer.
    pub(super) fn put_back(&self, rest: Queue) {
        let mut queue = sync::lock(&self.queue);
        *queue = std::mem::take(&mut *queue).behind(rest);
        self.waiting.store(!queue.is_empty(), Ordering::Release);
    }

    /// All that is in it.
    pub(super) fn take(&self) -> Queue {
        let mut queue = sync::lock(&self.queue);
        self.waiting.store(false, Ordering::Release);
        std::mem::take(&mut *queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in_and_the_queue_has_a_bound() {
        let arrivals = Arrivals::default();
        assert!(!arrivals.is_waiting());
        arrivals.push(7, b"a.b", b"r", b"NATS/1.0\r\n\r\n", b"payload");
        arrivals.push(8, b"x", b"", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", b"");
        let huge = vec![0; BYTES_MAX];
        arrivals.push(9, b"y", b"", b"", &huge);
        assert!(arrivals.is_waiting());
        let mut queue = arrivals.take();
        assert!(!arrivals.is_waiting());
        let taken: Vec<Arrival> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!((taken.len(), queue.bytes()), (2, 0));
        let parts = |at: usize| {
            let one: &Arrival = &taken[at];
            (one.token, one.subject(), one.reply(), one.payload(), one.is_control())
        };
        assert_eq!(parts(0), (7, &b"a.b"[..], &b"r"[..], &b"payload"[..], false));
        assert_eq!(parts(1), (8, &b"x"[..], &b""[..], &b""[..], true));
        // Alone any message is taken: it is no larger than what a stream stores.
        arrivals.push(9, b"y", b"", b"", &huge);
        let mut first = arrivals.take();
        assert!(first.pop().is_some() && first.is_empty());
    }

    #[test]
    fn what_is_put_back_comes_first_and_counts_again() {
        let arrivals = Arrivals::default();
        let push = |token| arrivals.push(token, b"a", b"", b"", b"");
        (1..=3).for_each(push);
        let mut rest = arrivals.take();
        let bytes = rest.bytes();
        let first = rest.pop().unwrap();
        push(4);
        rest.unpop(first);
        arrivals.put_back(rest);
        let mut all = arrivals.take();
        assert_eq!(all.bytes(), bytes / 3 * 4);
        let tokens: Vec<u64> = std::iter::from_fn(|| all.pop()).map(|one| one.token).collect();
        assert_eq!(tokens, [1, 2, 3, 4]);
    }
}
