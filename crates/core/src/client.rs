//! One client connection as everybody else sees it: what is queued for it, what it understands, which
//! subscriptions it holds. What only its own task needs is in [`crate::session::Session`].

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use natterjack_proto::error::ClosedReason;

use crate::budget::Budget;
use crate::outbox::{Outbox, Pressure, Wire};
use crate::permissions::{Permissions, ReplyTracker};
use crate::subscription::Subscription;

/// Totals of one connection; `in` is what the client sent.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Messages that the client sent.
    pub in_msgs: AtomicU64,
    /// Payload and header bytes that the client sent.
    pub in_bytes: AtomicU64,
    /// Messages sent to the client.
    pub out_msgs: AtomicU64,
    /// Payload and header bytes sent to the client.
    pub out_bytes: AtomicU64,
}

impl Traffic {
    /// Messages and bytes from the client, then to it.
    #[must_use]
    pub fn counts(&self) -> [u64; 4] {
        [&self.in_msgs, &self.in_bytes, &self.out_msgs, &self.out_bytes]
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// A client connection. Shared by its own task, by those who deliver to it and by monitoring.
pub struct Client {
    /// The connection's id, unique for the life of the process.
    pub cid: u64,
    /// Traffic of this connection.
    pub traffic: Traffic,
    outbox: Outbox,
    wire: Box<dyn Wire>,
    headers: AtomicBool,
    echo: AtomicBool,
    subscriptions: Mutex<Subscriptions>,
    rights: RwLock<Option<Arc<Permissions>>>,
    /// Boxed: few connections have one.
    replies: Mutex<Option<Box<ReplyTracker>>>,
    has_replies: AtomicBool,
    closed: OnceLock<ClosedReason>,
}

/// The subscriptions of a client, found by the sid that each carries itself.
#[derive(Default)]
struct Subscriptions {
    table: HashTable<Arc<Subscription>>,
    hasher: DefaultHashBuilder,
}

impl Subscriptions {
    fn find(&self, sid: &[u8]) -> Option<&Arc<Subscription>> {
        self.table.find(self.hasher.hash_one(sid), |known| known.sid() == sid)
    }

    /// False when its sid is in use.
    fn add(&mut self, subscription: &Arc<Subscription>) -> bool {
        let Subscriptions { table, hasher } = self;
        let sid = subscription.sid();
        let entry = table.entry(
            hasher.hash_one(sid),
            |known| known.sid() == sid,
            |known| hasher.hash_one(known.sid()),
        );
        match entry {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(subscription.clone());
                true
            }
        }
    }

    fn remove(&mut self, subscription: &Arc<Subscription>) {
        let hash = self.hasher.hash_one(subscription.sid());
        if let Ok(entry) = self.table.find_entry(hash, |known| Arc::ptr_eq(known, subscription)) {
            entry.remove();
        }
        // An idle connection keeps no table, and one that had many keeps no large one.
        let (len, hasher) = (self.table.len(), &self.hasher);
        if len * 8 < self.table.capacity() {
            self.table.shrink_to(len * 2, |known| hasher.hash_one(known.sid()));
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("cid", &self.cid).finish_non_exhaustive()
    }
}

fn guard<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// A connection with its socket; `max_pending` bounds what may wait for it, in bytes;
    /// `budget` what may wait for all together.
    pub fn new(
        cid: u64,
        wire: Box<dyn Wire>,
        max_pending: usize,
        budget: Arc<Budget>,
    ) -> Arc<Self> {
        Arc::new(Client {
            cid,
            traffic: Traffic::default(),
            outbox: Outbox::new(max_pending, budget),
            wire,
            headers: AtomicBool::new(false),
            echo: AtomicBool::new(true),
            subscriptions: Mutex::default(),
            rights: RwLock::default(),
            replies: Mutex::default(),
            has_replies: AtomicBool::new(false),
            closed: OnceLock::new(),
        })
    }

    /// What waits to be written.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Whether the client announced headers in CONNECT.
    pub fn takes_headers(&self) -> bool {
        self.headers.load(Ordering::Relaxed)
    }

    /// Whether the client wants its own publishes back.
    pub fn echoes(&self) -> bool {
        self.echo.load(Ordering::Relaxed)
    }

    pub(crate) fn set_options(&self, headers: bool, echo: bool) {
        self.headers.store(headers, Ordering::Relaxed);
        self.echo.store(echo, Ordering::Relaxed);
    }

    /// The permissions in force; `None` allows everything.
    pub fn permissions(&self) -> Option<Arc<Permissions>> {
        self.rights.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_permissions(&self, permissions: Option<Arc<Permissions>>) {
        let tracker = permissions.as_ref().and_then(|permissions| permissions.reply_tracker());
        self.has_replies.store(tracker.is_some(), Ordering::Relaxed);
        *guard(&self.replies) = tracker.map(Box::new);
        *self.rights.write().unwrap_or_else(PoisonError::into_inner) = permissions;
    }

    /// Remembers that `reply` was delivered, for `allow_responses`.
    pub(crate) fn record_reply(&self, reply: &[u8], now_ns: u64) {
        if self.has_replies.load(Ordering::Relaxed)
            && let Some(tracker) = guard(&self.replies).as_mut()
        {
            tracker.record(reply, now_ns);
        }
    }

    /// Whether `allow_responses` lets the client publish to `subject` now; counts the use.
    pub(crate) fn may_respond(&self, subject: &[u8], now_ns: u64) -> bool {
        self.has_replies.load(Ordering::Relaxed)
            && guard(&self.replies).as_mut().is_some_and(|tracker| tracker.take(subject, now_ns))
    }

    /// Sends `buffer`, by writing it now if the socket is free. Leaves it empty.
    pub fn send(&self, buffer: &mut Vec<u8>) -> Pressure {
        match self.outbox.append_and_write(buffer, self.wire.as_ref()) {
            Ok(Pressure::Over) => {
                self.close(ClosedReason::SlowConsumerPendingBytes);
                Pressure::Over
            }
            Ok(pressure) => pressure,
            Err(_) => {
                self.close(ClosedReason::WriteError);
                Pressure::Fine
            }
        }
    }

    /// Queues `buffer` without a system call; [`Client::flush`] follows. Leaves it empty.
    pub fn queue(&self, buffer: &mut Vec<u8>) -> Pressure {
        let pressure = self.outbox.append(buffer);
        if pressure == Pressure::Over {
            self.close(ClosedReason::SlowConsumerPendingBytes);
        }
        pressure
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn flush(&self) {
        if self.outbox.write(self.wire.as_ref()).is_err() {
            self.close(ClosedReason::WriteError);
        }
    }

    /// Ends the connection. The first reason given is the one that counts. A slow consumer's queue is
    /// dropped; for the other reasons what waits is flushed by the connection's task.
    pub fn close(&self, reason: ClosedReason) {
        let is_first = self.closed.set(reason).is_ok();
        match reason {
            // Also for a connection that is ending: nobody takes what waits, so nobody waits for it.
            ClosedReason::SlowConsumerPendingBytes
            | ClosedReason::SlowConsumerWriteDeadline
            | ClosedReason::WriteError => self.outbox.clear(),
            _ => self.outbox.close(),
        }
        if is_first {
            self.wire.shut();
        }
    }

    /// Why the connection ends; `None` while it lives.
    pub fn closed(&self) -> Option<ClosedReason> {
        self.closed.get().copied()
    }

    /// The number of live subscriptions.
    pub fn subscription_count(&self) -> usize {
        guard(&self.subscriptions).table.len()
    }

    /// All live subscriptions, for monitoring and for a reload.
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        guard(&self.subscriptions).table.iter().cloned().collect()
    }

    /// Registers a subscription; false when its sid is in use.
    pub(crate) fn add_subscription(&self, subscription: &Arc<Subscription>) -> bool {
        guard(&self.subscriptions).add(subscription)
    }

    pub(crate) fn find_subscription(&self, sid: &[u8]) -> Option<Arc<Subscription>> {
        guard(&self.subscriptions).find(sid).cloned()
    }

    /// Forgets this subscription, and not another that has its sid by now.
    pub(crate) fn remove_subscription(&self, subscription: &Arc<Subscription>) {
        guard(&self.subscriptions).remove(subscription);
    }

    pub(crate) fn take_subscriptions(&self) -> HashTable<Arc<Subscription>> {
        std::mem::take(&mut guard(&self.subscriptions).table)
    }
}
