//! The messages that wait for one reader: bounded, with a named answer to being full, and counted.
//!
//! A pump takes from async-nats and puts here at once, so that nothing is lost on the way without being
//! counted; async-nats itself would drop, and tell so only while its event queue has room.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_nats::{Message, Subscriber};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Notify, watch};

use super::vitals::SubscriptionStats;
use crate::connect::Link;
use crate::event::Event;
use crate::signal::{lowered, raised};

/// A slow reader is reported at most this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What a full subscription does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It drops the message that comes.
    #[default]
    DropNewest,
    /// It drops the message that has waited longest.
    DropOldest,
}

/// What a queue holds at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
}

pub(crate) struct Queue {
    pub(crate) subject: String,
    pub(crate) group: Option<String>,
    room: Room,
    overflow: Overflow,
    inner: Mutex<Inner>,
    /// The reader is gone.
    closed: Notify,
    /// Take in no more.
    intake: watch::Sender<bool>,
    taken: AtomicU64,
    /// A handler loop reads it; its count is in `Work`.
    served: bool,
}

#[derive(Default)]
struct Inner {
    messages: VecDeque<Message>,
    /// The bytes of these.
    bytes: u64,
    waker: Option<Waker>,
    ended: bool,
    received: u64,
    dropped: u64,
    reader_gone: bool,
    /// Messages after which the subscription ends by itself.
    left: Option<u64>,
}

impl Inner {
    /// Whether a message of this size is too much. One that comes first never is.
    fn is_full(&self, room: Room, size: u64) -> bool {
        self.messages.len() >= room.messages
            || !self.messages.is_empty() && self.bytes + size > room.bytes
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.length as u64;
        Some(message)
    }
}

impl Queue {
    pub(crate) fn new(
        subject: String,
        group: Option<String>,
        room: Room,
        overflow: Overflow,
        limit: Option<u64>,
        served: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            subject,
            group,
            room: Room { messages: room.messages.max(1), ..room },
            overflow,
            inner: Mutex::new(Inner { left: limit, ..Inner::default() }),
            closed: Notify::new(),
            intake: watch::Sender::new(true),
            taken: AtomicU64::new(0),
            served,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message. How many were dropped: it, or others for it.
    fn push(&self, message: Message) -> u64 {
        let mut inner = self.inner();
        if inner.ended || inner.reader_gone {
            return 0;
        }
        inner.received += 1;
        let (size, before) = (message.length as u64, inner.dropped);
        if inner.is_full(self.room, size) && self.overflow == Overflow::DropNewest {
            inner.dropped += 1;
        } else {
            while inner.is_full(self.room, size) {
                inner.pop();
                inner.dropped += 1;
            }
            inner.bytes += size;
            inner.messages.push_back(message);
        }
        if let Some(left) = &mut inner.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                inner.ended = true;
            }
        }
        let dropped = inner.dropped - before;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        dropped
    }

    fn end(&self) {
        let mut inner = self.inner();
        inner.ended = true;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_ended(&self) -> bool {
        self.inner().ended
    }

    /// The next message; `None` when no more will come.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut inner = self.inner();
        if let Some(message) = inner.pop() {
            self.taken.fetch_add(1, Ordering::Relaxed);
            return Poll::Ready(Some(message));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        match &mut inner.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Tells the pump to take in no more; what waits can still be read.
    pub(crate) fn stop_intake(&self) {
        self.intake.send_replace(false);
    }

    /// The reader is gone: the subscription ends and what waits is dropped.
    pub(crate) fn abandon(&self) {
        let mut inner = self.inner();
        inner.reader_gone = true;
        inner.messages.clear();
        inner.bytes = 0;
        drop(inner);
        self.closed.notify_one();
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.inner().dropped
    }

    pub(crate) fn pending(&self) -> usize {
        self.inner().messages.len()
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn served(&self) -> bool {
        self.served
    }

    fn stats(&self) -> SubscriptionStats {
        let inner = self.inner();
        SubscriptionStats {
            subject: self.subject.clone(),
            queue: self.group.clone(),
            received: inner.received,
            dropped: inner.dropped,
            pending: inner.messages.len(),
        }
    }
}

/// Moves messages from async-nats to the queue until either side ends.
pub(crate) async fn pump(link: Arc<Link>, queue: Arc<Queue>, mut subscriber: Subscriber) {
    let mut stop = link.stop();
    let mut intake = queue.intake.subscribe();
    let mut reports = Reports::default();
    loop {
        tokio::select! {
            biased;
            message = subscriber.next() => match message {
                Some(message) => {
                    link.meters.received(&message.subject, message.payload.len());
                    let dropped = queue.push(message);
                    if dropped > 0 {
                        link.meters.dropped_in(dropped);
                        reports.dropped(&link, &queue);
                    }
                    if queue.is_ended() {
                        break;
                    }
                }
                None => break,
            },
            () = queue.closed.notified() => break,
            () = lowered(&mut intake) => {
                drain_subscriber(&mut subscriber, &link, &queue).await;
                break;
            }
            () = raised(&mut stop) => break,
            () = reports.due() => reports.send(&link, &queue),
        }
    }
    reports.send(&link, &queue);
    queue.end();
}

/// Unsubscribes and takes what is still on its way, as far as async-nats passes it on.
async fn drain_subscriber(subscriber: &mut Subscriber, link: &Link, queue: &Queue) {
    if subscriber.drain().await.is_err() {
        return;
    }
    // The server's answer to the UNSUB ends the stream; a dead connection does not.
    let rest = async {
        while let Some(message) = subscriber.next().await {
            link.meters.received(&message.subject, message.payload.len());
            link.meters.dropped_in(queue.push(message));
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), rest).await;
}

/// Reports drops at once and then once a second, always with the exact total.
#[derive(Default)]
struct Reports {
    last: Option<Instant>,
    unsent: bool,
}

impl Reports {
    fn dropped(&mut self, link: &Link, queue: &Queue) {
        self.unsent = true;
        if self.last.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
            self.send(link, queue);
        }
    }

    async fn due(&self) {
        match self.last {
            Some(last) if self.unsent => {
                tokio::time::sleep_until((last + REPORT_INTERVAL).into()).await
            }
            _ => std::future::pending().await,
        }
    }

    fn send(&mut self, link: &Link, queue: &Queue) {
        if !std::mem::take(&mut self.unsent) {
            return;
        }
        self.last = Some(Instant::now());
        link.emit(Event::SlowConsumer {
            subject: queue.subject.clone(),
            queue: queue.group.clone(),
            dropped: queue.dropped(),
            pending: queue.pending(),
        });
    }
}

/// The queues of a connection.
#[derive(Default)]
pub(crate) struct Registry {
    inner: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    open: Vec<Weak<Queue>>,
    /// Drops of queues that are gone.
    dropped: u64,
}

impl Registry {
    fn inner(&self) -> MutexGuard<'_, Queues> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, queue: &Arc<Queue>) {
        let mut inner = self.inner();
        inner.open.retain(|queue| queue.strong_count() > 0);
        inner.open.push(Arc::downgrade(queue));
    }

    /// Keeps the count of a queue that is about to go.
    pub(crate) fn retire(&self, queue: &Queue) {
        self.inner().dropped += queue.dropped();
    }

    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        self.inner().open.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn stats(&self) -> Vec<SubscriptionStats> {
        let live = |queue: &Arc<Queue>| !queue.inner().reader_gone;
        self.all().iter().filter(|queue| live(queue)).map(|queue| queue.stats()).collect()
    }

    pub(crate) fn dropped(&self) -> u64 {
        let live: u64 = self
            .all()
            .iter()
            .filter(|queue| !queue.inner().reader_gone)
            .map(|queue| queue.dropped())
            .sum();
        live + self.inner().dropped
    }
}

/// The reading end of a queue, as a stream.
pub(crate) struct Reader {
    pub(crate) queue: Arc<Queue>,
    pub(crate) link: Arc<Link>,
    /// Keeps the connection open for as long as somebody reads from it.
    pub(crate) _keep: Option<crate::Connector>,
}

impl Stream for Reader {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.queue.poll_next(cx)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.link.subscriptions.retire(&self.queue);
        self.queue.abandon();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A message of this many bytes, the first of which is `n`.
    fn message(n: u8, length: usize) -> Message {
        let mut payload = vec![0; length];
        payload[0] = n;
        Message {
            subject: "s".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
            length,
        }
    }

    fn fill(room: Room, overflow: Overflow, limit: Option<u64>, sizes: &[usize]) -> (Vec<u8>, u64) {
        let queue = Queue::new("s".into(), None, room, overflow, limit, false);
        let pushed = (0..).zip(sizes).map(|(n, size)| queue.push(message(n, *size)));
        assert_eq!(pushed.sum::<u64>(), queue.dropped());
        queue.end();
        let mut cx = Context::from_waker(Waker::noop());
        let mut kept = Vec::new();
        while let Poll::Ready(Some(message)) = queue.poll_next(&mut cx) {
            kept.push(message.payload[0]);
        }
        assert_eq!(queue.inner().bytes, 0);
        (kept, queue.dropped())
    }

    const THREE: Room = Room { messages: 3, bytes: u64::MAX };

    #[test]
    fn a_full_queue_drops_by_its_policy_and_counts() {
        let sizes = [1; 5];
        assert_eq!(fill(THREE, Overflow::DropNewest, None, &sizes), (vec![0, 1, 2], 2));
        assert_eq!(fill(THREE, Overflow::DropOldest, None, &sizes), (vec![2, 3, 4], 2));
    }

    #[test]
    fn a_queue_is_full_of_bytes_too() {
        let room = Room { messages: 100, bytes: 10 };
        let fill = |overflow, sizes: &[usize]| fill(room, overflow, None, sizes);
        assert_eq!(fill(Overflow::DropNewest, &[4, 4, 4, 2]), (vec![0, 1, 3], 1));
        assert_eq!(fill(Overflow::DropOldest, &[4, 4, 4, 2]), (vec![1, 2, 3], 1));
        assert_eq!(fill(Overflow::DropOldest, &[4, 4, 9]), (vec![2], 2));
        // One that is larger than all of it would never be read otherwise.
        assert_eq!(fill(Overflow::DropNewest, &[11, 1]), (vec![0], 1));
        assert_eq!(fill(Overflow::DropOldest, &[1, 11]), (vec![1], 1));
    }

    #[test]
    fn a_limited_subscription_ends_at_its_limit() {
        assert_eq!(fill(THREE, Overflow::DropNewest, Some(2), &[1; 5]), (vec![0, 1], 0));
    }
}
