//! The way of a message to async-nats, and the buffer for when there is no connection.
//!
//! Connected, a message goes straight on. Otherwise, or while the buffer still holds earlier ones, it
//! joins the buffer, so that each sender's order is kept. The buffer is bounded in bytes; what happens
//! when it is full is the `while_disconnected` option.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::client::traits::Publisher;
use async_nats::message::OutboundMessage;
use tokio::sync::Notify;

use crate::connect::{Link, Offline};
use crate::error::{Backpressure, Error, Timeout, TooLarge};
use crate::event::ConnState;
use crate::signal::raised;
use crate::units::ByteSize;

/// What one message costs besides its own bytes; roughly what it takes in memory.
const OVERHEAD: u64 = 128;

pub(crate) struct Outbox {
    buffer: Mutex<Buffer>,
    limit: ByteSize,
    policy: Offline,
    /// A message was added.
    filled: Notify,
    /// Messages were taken out, or the connection changed.
    room: Notify,
}

#[derive(Default)]
struct Buffer {
    queue: VecDeque<OutboundMessage>,
    bytes: u64,
    /// The pump has a message in its hand.
    moving: bool,
    dropped: u64,
}

/// What became of a message that was offered to the buffer.
enum Offered {
    Kept,
    Dropped,
    Full(OutboundMessage),
    /// There is nothing before it: it may go straight on.
    Direct(OutboundMessage),
}

fn cost(message: &OutboundMessage) -> u64 {
    let headers = message.headers.as_ref().map_or(0, header_bytes);
    let reply = message.reply.as_ref().map_or(0, |reply| reply.len());
    OVERHEAD + (message.payload.len() + message.subject.len() + reply + headers) as u64
}

/// The size of headers on the wire (ADR-4): the version line, each line, and the blank one.
pub(crate) fn header_bytes(headers: &async_nats::HeaderMap) -> usize {
    if headers.is_empty() {
        return 0;
    }
    let lines = headers.iter().flat_map(|(name, values)| {
        values.iter().map(move |value| AsRef::<[u8]>::as_ref(name).len() + value.as_str().len() + 4)
    });
    "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>()
}

impl Outbox {
    pub(crate) fn new(limit: ByteSize, policy: Offline) -> Self {
        Self { buffer: Mutex::default(), limit, policy, filled: Notify::new(), room: Notify::new() }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that have not been handed on.
    pub(crate) fn len(&self) -> u64 {
        let buffer = self.buffer();
        buffer.queue.len() as u64 + u64::from(buffer.moving)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.buffer().dropped
    }

    fn offer(&self, message: OutboundMessage, connected: bool) -> Offered {
        let mut buffer = self.buffer();
        if connected && buffer.queue.is_empty() && !buffer.moving {
            return Offered::Direct(message);
        }
        let cost = cost(&message);
        if buffer.bytes + cost > self.limit.bytes() {
            if self.policy == Offline::DropNewest && !connected {
                buffer.dropped += 1;
                return Offered::Dropped;
            }
            return Offered::Full(message);
        }
        buffer.bytes += cost;
        buffer.queue.push_back(message);
        drop(buffer);
        self.filled.notify_one();
        Offered::Kept
    }

    fn take(&self) -> Option<OutboundMessage> {
        let mut buffer = self.buffer();
        let message = buffer.queue.pop_front()?;
        buffer.bytes = buffer.bytes.saturating_sub(cost(&message));
        buffer.moving = true;
        Some(message)
    }

    fn moved(&self) {
        self.buffer().moving = false;
        self.room.notify_waiters();
    }

    /// Waits until the buffer is empty.
    pub(crate) async fn emptied(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            room.await;
        }
    }
}

/// Sends a message, waiting at most `limit` for room.
///
/// # Errors
/// `TooLarge`; `Closed`; `Offline` and `Backpressure` while there is no connection, by policy;
/// `Timeout` if the connection takes nothing.
pub(crate) async fn send(
    link: &Link,
    message: OutboundMessage,
    limit: Duration,
) -> Result<(), Error> {
    link.check_open()?;
    check_size(link, &message)?;
    let started = Instant::now();
    let mut message = message;
    loop {
        let room = link.outbox.room.notified();
        let connected = matches!(link.state(), ConnState::Connected | ConnState::Draining);
        if !connected {
            link.check_open()?;
            if link.outbox.policy == Offline::Fail {
                return Err(link.offline());
            }
        }
        message = match link.outbox.offer(message, connected) {
            Offered::Kept => return Ok(()),
            Offered::Dropped => {
                link.meters.dropped_out();
                return Ok(());
            }
            Offered::Direct(message) => return hand_on(link, message, limit).await,
            Offered::Full(_) if !connected => {
                return Err(Backpressure { limit: link.outbox.limit }.into());
            }
            Offered::Full(message) => message,
        };
        let left = limit.saturating_sub(started.elapsed());
        if tokio::time::timeout(left, room).await.is_err() {
            return Err(Backpressure { limit: link.outbox.limit }.into());
        }
    }
}

async fn hand_on(link: &Link, message: OutboundMessage, limit: Duration) -> Result<(), Error> {
    let client = link.client()?;
    link.meters.sent(&message.subject, message.payload.len());
    match tokio::time::timeout(limit, client.publish_message(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => {
            link.check_open()?;
            Err(link.offline())
        }
        Err(_) => Err(Timeout { what: "publish".into(), after: limit }.into()),
    }
}

fn check_size(link: &Link, message: &OutboundMessage) -> Result<(), Error> {
    let Ok(client) = link.client() else { return Ok(()) };
    let size = message.payload.len() + message.headers.as_ref().map_or(0, header_bytes);
    let limit = client.max_payload();
    if size > limit {
        Err(TooLarge { size: size as u64, limit: limit as u64 }.into())
    } else {
        Ok(())
    }
}

/// Hands on what the buffer holds whenever there is a connection. Ends with it.
pub(crate) async fn pump_outbox(link: Arc<Link>) {
    let mut stop = link.stop();
    let pump = async {
        let mut state = link.watch_state();
        loop {
            link.outbox.filled.notified().await;
            loop {
                let up =
                    state.wait_for(|s| matches!(s, ConnState::Connected | ConnState::Draining));
                if up.await.is_err() {
                    return;
                }
                let Some(message) = link.outbox.take() else { break };
                if let Ok(client) = link.client() {
                    link.meters.sent(&message.subject, message.payload.len());
                    // Fails only when async-nats has ended; then there is nobody to send to.
                    let _ = client.publish_message(message).await;
                }
                link.outbox.moved();
            }
        }
    };
    tokio::select! {
        () = pump => {}
        () = raised(&mut stop) => {}
    }
    link.outbox.room.notify_waiters();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteSize;

    fn message(size: usize) -> OutboundMessage {
        OutboundMessage {
            subject: "s".into(),
            reply: None,
            payload: vec![0; size].into(),
            headers: None,
        }
    }

    #[test]
    fn the_buffer_is_bounded_in_bytes() {
        let outbox = Outbox::new(ByteSize::new(2 * (OVERHEAD + 11)), Offline::Buffer);
        assert!(matches!(outbox.offer(message(10), false), Offered::Kept));
        assert!(matches!(outbox.offer(message(10), false), Offered::Kept));
        assert!(matches!(outbox.offer(message(10), false), Offered::Full(_)));
        assert_eq!(outbox.len(), 2);
        // A connection does not let a message pass those that wait.
        assert!(matches!(outbox.offer(message(0), true), Offered::Full(_)));
        outbox.take().unwrap();
        assert_eq!(outbox.len(), 2, "one is in the pump's hand");
        outbox.moved();
        outbox.take().unwrap();
        outbox.moved();
        assert!(matches!(outbox.offer(message(10), true), Offered::Direct(_)));
    }

    #[test]
    fn drop_newest_drops_and_counts() {
        let outbox = Outbox::new(ByteSize::new(OVERHEAD + 1), Offline::DropNewest);
        assert!(matches!(outbox.offer(message(0), false), Offered::Kept));
        assert!(matches!(outbox.offer(message(0), false), Offered::Dropped));
        assert_eq!((outbox.len(), outbox.dropped()), (1, 1));
    }

    #[test]
    fn header_size_is_that_of_the_wire() {
        let mut headers = async_nats::HeaderMap::new();
        assert_eq!(header_bytes(&headers), 0);
        headers.insert("A", "b");
        assert_eq!(header_bytes(&headers), "NATS/1.0\r\nA: b\r\n\r\n".len());
    }
}
