//! A subscription: who wants messages of a subject, and how many more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::account::Account;
use crate::client::Client;
use crate::service::{Inlet, Service};
use crate::sharing::Relay;

/// Who receives what a subscription matches.
#[derive(Clone)]
pub enum Target {
    /// A client connection, under its own subscription id.
    Client(Arc<Client>),
    /// A part of the server: a stream, the JetStream API, an acknowledgement subject. Boxed, so that all
    /// targets are one pointer.
    Service(Box<Arc<dyn Service>>),
    /// Somebody in another account.
    Import(Arc<Relay>),
    /// A queue of a part of the server, such as a mirror's. Boxed as a service is.
    Inlet(Box<Arc<dyn Inlet>>),
}

/// One subscription. Immutable but for its counters; shared by the sublist, match caches and its owner.
///
/// There may be a million: what it says is one text, and the fields are 72 bytes.
pub struct Subscription {
    target: Target,
    /// Weak: the account's sublist owns its subscriptions.
    account: Weak<Account>,
    /// The sid, the subject, and the queue group if there is one.
    text: Box<[u8]>,
    /// Where the subject begins.
    subject_at: u32,
    /// Where the queue group begins; [`NO_QUEUE`] without one.
    queue_at: u32,
    /// Whether the client's deny list overlaps the subject, so that deliveries must be filtered. A reload
    /// may change it.
    filtered: AtomicBool,
    /// Whether a stream captures with it.
    stream: bool,
    closed: AtomicBool,
    delivered: AtomicU64,
    /// The delivery count at which the subscription ends; 0 for never.
    limit: AtomicU64,
}

const NO_QUEUE: u32 = u32::MAX;

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("subject", &String::from_utf8_lossy(self.subject()))
            .field("sid", &String::from_utf8_lossy(self.sid()))
            .finish_non_exhaustive()
    }
}

/// What one delivery means for an auto-unsubscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Deliver,
    DeliverLast,
    Done,
}

impl Subscription {
    pub(crate) fn for_client(
        account: &Arc<Account>,
        client: Arc<Client>,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        filtered: bool,
    ) -> Arc<Self> {
        Self::new(account, Target::Client(client), sid, subject, queue, filtered)
    }

    pub(crate) fn for_service(
        account: &Arc<Account>,
        service: Arc<dyn Service>,
        subject: &[u8],
        stream: bool,
    ) -> Arc<Self> {
        let target = Target::Service(Box::new(service));
        let made = Self::unshared(account, target, b"", subject, None, false);
        Arc::new(Subscription { stream, ..made })
    }

    pub(crate) fn for_inlet(
        account: &Arc<Account>,
        inlet: Arc<dyn Inlet>,
        subject: &[u8],
    ) -> Arc<Self> {
        Self::new(account, Target::Inlet(Box::new(inlet)), b"", subject, None, false)
    }

    pub(crate) fn for_relay(
        account: &Arc<Account>,
        relay: Relay,
        subject: &[u8],
        queue: Option<&[u8]>,
    ) -> Arc<Self> {
        Self::new(account, Target::Import(Arc::new(relay)), b"", subject, queue, false)
    }

    fn new(
        account: &Arc<Account>,
        target: Target,
        sid: &[u8],
        subject: &[u8],
        queue: Option<&[u8]>,
        filtered: bool,
    ) -> Arc<Self> {
        Arc::new(Self::unshared(account, target, sid, subject, queue, filtered))
    }

    fn unshared(
        account: &Arc<Account>,
        target: Target,
        sid: &[u8],
        subject: &[u8],
        queue: Option<&[u8]>,
        filtered: bool,
    ) -> Self {
        let at = |len: usize| u32::try_from(len).expect("a control line is shorter than 2 GB");
        Subscription {
            target,
            account: Arc::downgrade(account),
            text: [sid, subject, queue.unwrap_or_default()].concat().into(),
            subject_at: at(sid.len()),
            queue_at: queue.map_or(NO_QUEUE, |_| at(sid.len() + subject.len())),
            filtered: AtomicBool::new(filtered),
            stream: false,
            closed: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            limit: AtomicU64::new(0),
        }
    }

    /// Who receives.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The client that receives, also one of another account.
    pub fn client(&self) -> Option<&Arc<Client>> {
        match &self.target {
            Target::Client(client) => Some(client),
            Target::Service(_) | Target::Inlet(_) => None,
            Target::Import(relay) => relay.client(),
        }
    }

    pub(crate) fn account(&self) -> Option<Arc<Account>> {
        self.account.upgrade()
    }

    /// The client's name for it; empty for a service.
    #[inline]
    pub fn sid(&self) -> &[u8] {
        &self.text[..self.subject_at as usize]
    }

    /// The subject with its wildcards.
    pub fn subject(&self) -> &[u8] {
        match self.queue_at {
            NO_QUEUE => &self.text[self.subject_at as usize..],
            end => &self.text[self.subject_at as usize..end as usize],
        }
    }

    /// The queue group.
    pub fn queue(&self) -> Option<&[u8]> {
        (self.queue_at != NO_QUEUE).then(|| &self.text[self.queue_at as usize..])
    }

    /// Messages delivered since it was made.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// The delivery count at which it ends; 0 for never.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.filtered.load(Ordering::Relaxed)
    }

    pub(crate) fn set_filtered(&self, filtered: bool) {
        self.filtered.store(filtered, Ordering::Relaxed);
    }

    /// Whether a stream captures with it, also what its account imports.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// True for the one caller that closed it.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::Relaxed)
    }

    /// Sets the delivery count at which it ends; true when that is reached already.
    pub(crate) fn set_limit(&self, limit: u64) -> bool {
        self.limit.store(limit, Ordering::SeqCst);
        self.delivered.load(Ordering::SeqCst) >= limit
    }

    /// Counts one delivery. Exact under concurrent publishers: each gets its own number. Of a delivery
    /// and a limit that is set meanwhile, one sees the other (hence `SeqCst`): else neither would end
    /// the subscription.
    pub(crate) fn count(&self) -> Count {
        let number = self.delivered.fetch_add(1, Ordering::SeqCst) + 1;
        match self.limit.load(Ordering::SeqCst) {
            0 => Count::Deliver,
            limit if number < limit => Count::Deliver,
            limit if number == limit => Count::DeliverLast,
            _ => Count::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::InterestWatcher;
    use crate::batch::Batch;
    use crate::service::{Message, Origin};

    struct Nobody;

    impl InterestWatcher for Nobody {
        fn changed(&self, _: &Arc<str>, _: &[u8]) {}
    }

    impl Service for Nobody {
        fn receive(&self, _: &str, _: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
            true
        }
    }

    #[test]
    fn its_text_is_told_apart_again_and_it_stays_small() {
        let account = Account::new("$G", 1, Arc::new(Nobody));
        let target = Target::Service(Box::new(Arc::new(Nobody)));
        for (sid, subject, queue) in
            [("1", "a.b", None), ("", "a", Some("q")), ("99", "a.>", Some("")), ("", "", None)]
        {
            let queue = queue.map(str::as_bytes);
            let (sid, subject) = (sid.as_bytes(), subject.as_bytes());
            let made = Subscription::new(&account, target.clone(), sid, subject, queue, false);
            assert_eq!((made.sid(), made.subject(), made.queue()), (sid, subject, queue));
        }
        assert_eq!(size_of::<Subscription>(), 72);
    }
}
