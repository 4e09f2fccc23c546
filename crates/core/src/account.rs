//! An account: its subscriptions, and the routing of one message among them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use natterjack_subject::{MatchSet, Sublist, whole};

use crate::batch::{Batch, LineKey};
use crate::cache::Hit;
use crate::client::Client;
use crate::mapping::Mappings;
use crate::service::{Inlet, Message, Origin, Service};
use crate::sharing::{self, Relay, Shares, Via};
use crate::subscription::{Count, Subscription, Target};
use crate::trace::{self, Standing};

/// What a sublist match yields.
pub type Matches = MatchSet<Arc<Subscription>>;

/// Told when interest in a subject that it watches may have changed.
pub trait InterestWatcher: Send + Sync {
    /// Something subscribed to or unsubscribed from `subject`, possibly with wildcards.
    fn changed(&self, account: &Arc<str>, subject: &[u8]);
}

const BUCKETS: usize = 64;

/// An isolated space of subjects.
pub struct Account {
    name: Arc<str>,
    sublist: RwLock<Sublist<Arc<Subscription>>>,
    /// A cached match is valid while the number of its bucket (by first token) is unchanged.
    generations: [AtomicU64; BUCKETS],
    /// Counts changes whose first token is a wildcard: they concern every bucket.
    wild_generation: AtomicU64,
    mappings: RwLock<Option<Arc<Mappings>>>,
    is_mapped: AtomicBool,
    standing_trace: RwLock<Option<Arc<Standing>>>,
    is_traced: AtomicBool,
    watched: RwLock<BTreeMap<Box<[u8]>, usize>>,
    watchers: AtomicU64,
    watcher: Arc<dyn InterestWatcher>,
    /// Imports, and what is left to do for those who import from here.
    shares: Shares,
    /// Live client connections.
    pub connections: AtomicI64,
    /// Connections since the start.
    pub connections_total: AtomicU64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A message on its way to those it matched.
#[derive(Clone, Copy)]
pub(crate) struct Routed<'a> {
    /// The subject that receivers see.
    pub(crate) shown: &'a [u8],
    pub(crate) message: &'a Message<'a>,
    pub(crate) origin: Origin<'a>,
    /// For the first receiver that is looked at; the index counts up from there.
    pub(crate) key: Option<LineKey>,
    /// How it came into this account, if it was not published here.
    pub(crate) via: Option<Via>,
}

/// The part of an account's subjects that changes together, by first token.
#[derive(Clone, Copy, Debug)]
pub struct Bucket(u8);

fn bucket(subject: &[u8]) -> usize {
    let token = subject.split(|byte| *byte == b'.').next().unwrap_or_default();
    let hash = token.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The last bytes of a token are in the lowest bits; the product carries them to the highest.
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % BUCKETS
}

/// Takes a subscription that reached its limit out of its client and its account.
pub(crate) fn end(subscription: &Arc<Subscription>) {
    if let (Target::Client(client), Some(account)) = (subscription.target(), subscription.account())
    {
        client.remove_subscription(subscription);
        account.remove(subscription);
    }
}

impl Account {
    /// An empty account. `seed` is random: clients choose the subjects that are hashed.
    pub fn new(name: &str, seed: u64, watcher: Arc<dyn InterestWatcher>) -> Arc<Self> {
        Arc::new(Account {
            name: name.into(),
            sublist: RwLock::new(Sublist::with_seed(seed)),
            generations: [const { AtomicU64::new(0) }; BUCKETS],
            wild_generation: AtomicU64::new(0),
            mappings: RwLock::default(),
            is_mapped: AtomicBool::new(false),
            standing_trace: RwLock::default(),
            is_traced: AtomicBool::new(false),
            watched: RwLock::default(),
            watchers: AtomicU64::new(0),
            watcher,
            shares: Shares::default(),
            connections: AtomicI64::new(0),
            connections_total: AtomicU64::new(0),
        })
    }

    /// The account's name: `$G`, a name of the configuration, or a public key.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn read(&self) -> RwLockReadGuard<'_, Sublist<Arc<Subscription>>> {
        whole(self.sublist.read())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sublist<Arc<Subscription>>> {
        whole(self.sublist.write())
    }

    /// The bucket of a literal subject.
    pub fn bucket(subject: &[u8]) -> Bucket {
        // There are fewer than 256.
        Bucket(bucket(subject) as u8)
    }

    /// The number under which a match of a subject in this bucket may be cached. Read it before the match
    /// is looked for.
    #[inline]
    pub fn generation(&self, bucket: Bucket) -> u64 {
        self.generations[usize::from(bucket.0) % BUCKETS]
            .load(Ordering::Acquire)
            .wrapping_add(self.wild_generation.load(Ordering::Acquire))
    }

    fn bump(&self, subject: &[u8]) {
        let counter = match subject.split(|byte| *byte == b'.').next() {
            Some(b"*" | b">") => &self.wild_generation,
            _ => &self.generations[bucket(subject)],
        };
        counter.fetch_add(1, Ordering::Release);
    }

    /// Adds a subscription; its subject must be valid.
    pub(crate) fn add(&self, subscription: Arc<Subscription>) {
        self.insert(&subscription);
        self.shares.added(&subscription);
    }

    fn insert(&self, subscription: &Arc<Subscription>) {
        {
            let mut sublist = self.write();
            sublist.insert(subscription.subject(), subscription.queue(), subscription.clone());
            self.bump(subscription.subject());
        }
        self.notify(subscription.subject());
    }

    /// Removes a subscription; a no-op when it is gone.
    pub(crate) fn remove(&self, subscription: &Arc<Subscription>) {
        if !subscription.close() {
            return;
        }
        {
            let mut sublist = self.write();
            sublist.remove(subscription.subject(), subscription.queue(), |other| {
                Arc::ptr_eq(other, subscription)
            });
            self.bump(subscription.subject());
        }
        self.notify(subscription.subject());
        self.shares.removed(self, subscription);
    }

    /// Lets a part of the server receive `subject` of this account, and not what it imports. Keep the
    /// result to remove it again.
    pub fn subscribe_service(
        self: &Arc<Self>,
        subject: &[u8],
        service: Arc<dyn Service>,
    ) -> Arc<Subscription> {
        let subscription = Subscription::for_service(self, service, subject, false);
        self.add(subscription.clone());
        subscription
    }

    /// Lets a stream capture `subject`, as a subscriber would: also from streams that the account imports.
    pub fn subscribe_stream(
        self: &Arc<Self>,
        subject: &[u8],
        service: Arc<dyn Service>,
    ) -> Arc<Subscription> {
        let subscription = Subscription::for_service(self, service, subject, true);
        self.add(subscription.clone());
        subscription
    }

    /// Lets a queue of the server receive `subject`, as a subscriber would: also from streams that the
    /// account imports.
    pub fn subscribe_inlet(
        self: &Arc<Self>,
        subject: &[u8],
        inlet: Arc<dyn Inlet>,
    ) -> Arc<Subscription> {
        let subscription = Subscription::for_inlet(self, inlet, subject);
        self.add(subscription.clone());
        subscription
    }

    /// Lets another account receive `subject`. What imports stand for has no imports of its own: no lock
    /// of [`Shares`] is taken.
    pub(crate) fn subscribe_relay(
        self: &Arc<Self>,
        subject: &[u8],
        queue: Option<&[u8]>,
        relay: Relay,
    ) -> Arc<Subscription> {
        let subscription = Subscription::for_relay(self, relay, subject, queue);
        self.insert(&subscription);
        subscription
    }

    pub(crate) fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Whether a service that the account imports is asked on `subject`.
    pub fn imports_service(&self, subject: &[u8]) -> bool {
        self.shares.imports_service(subject)
    }

    /// Does what is due for requests between accounts, such as forgetting those that waited too long.
    /// Returns when to come again, on the monotonic clock.
    pub fn tick(&self, batch: &mut Batch) -> Option<u64> {
        self.shares.tick(self, batch)
    }

    /// Ends what [`Account::subscribe_service`], [`Account::subscribe_stream`] or
    /// [`Account::subscribe_inlet`] began.
    pub fn unsubscribe_service(&self, subscription: &Arc<Subscription>) {
        self.remove(subscription);
    }

    /// The number of subscriptions.
    pub fn subscription_count(&self) -> usize {
        self.read().len()
    }

    /// Calls `visit` for each subscription; the sublist is locked meanwhile.
    pub fn for_each_subscription(&self, mut visit: impl FnMut(&Arc<Subscription>)) {
        self.read().for_each(|_, _, subscription| visit(subscription));
    }

    /// Finds the subscriptions for a literal subject. Tells how many bytes of it decided, as
    /// [`Sublist::matches_within`] does.
    pub fn find(&self, subject: &[u8], out: &mut Matches) -> usize {
        self.read().matches_within(subject, out)
    }

    /// As [`Account::find`], and tells whether subjects that differ in the last token only find the same
    /// ([`Sublist::matches_siblings`]).
    pub fn find_siblings(&self, subject: &[u8], out: &mut Matches) -> bool {
        self.read().matches_siblings(subject, out)
    }

    /// Whether anybody receives `subject`, plainly or as a member of a queue group.
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        // One subscription stands for all answers that other accounts may wait for.
        if subject.starts_with(b"_R_.") {
            return self.shares.is_awaited(subject);
        }
        self.is_anybody_there(subject)
    }

    /// Whether somebody subscribed to exactly this `subject`, or with `queue` joined that group there. Who
    /// listens to more with a wildcard does not count.
    pub fn is_subscribed(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        match queue {
            None if subject.starts_with(b"_R_.") => self.shares.is_awaited(subject),
            _ => self.read().holds(subject, queue),
        }
    }

    /// Whether a message to `subject` would be received, by whomever.
    pub(crate) fn is_anybody_there(&self, subject: &[u8]) -> bool {
        self.read().has_interest(subject)
    }

    /// Watches for changes of interest in `subject` (counted: each watch needs its end).
    pub fn watch(&self, subject: &[u8], on: bool) {
        let mut watched = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        if on {
            *watched.entry(subject.into()).or_insert(0) += 1;
        } else if let Some(count) = watched.get_mut(subject) {
            *count -= 1;
            if *count == 0 {
                watched.remove(subject);
            }
        }
        self.watchers.store(watched.len() as u64, Ordering::Release);
    }

    /// Tells those who watch `subject` that interest in it may have changed.
    pub(crate) fn notify(&self, subject: &[u8]) {
        if self.watchers.load(Ordering::Acquire) == 0 {
            return;
        }
        let concerned: Vec<Box<[u8]>> = {
            let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
            let is_wildcard = |byte: &u8| matches!(byte, b'*' | b'>');
            let prefix = &subject[..subject.iter().position(is_wildcard).unwrap_or(subject.len())];
            watched
                .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
                .map(|(key, _)| key)
                .take_while(|key| key.starts_with(prefix))
                // Behind the subject itself come those that only begin like it.
                .take(if natterjack_subject::has_wildcard(subject) { usize::MAX } else { 1 })
                .filter(|key| natterjack_subject::matches(subject, key))
                .cloned()
                .collect()
        };
        for key in concerned {
            self.watcher.changed(&self.name, &key);
        }
    }

    /// Whether there are subject mappings.
    #[inline]
    pub fn is_mapped(&self) -> bool {
        self.is_mapped.load(Ordering::Acquire)
    }

    /// The subject mappings, if any.
    pub fn mappings(&self) -> Option<Arc<Mappings>> {
        if !self.is_mapped() {
            return None;
        }
        self.mappings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the subject mappings.
    pub fn set_mappings(&self, mappings: Option<Mappings>) {
        let mappings = mappings.filter(|mappings| !mappings.is_empty()).map(Arc::new);
        self.is_mapped.store(mappings.is_some(), Ordering::Release);
        *self.mappings.write().unwrap_or_else(PoisonError::into_inner) = mappings;
    }

    /// Whether messages that are traced from outside are reported.
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.is_traced.load(Ordering::Relaxed)
    }

    pub(crate) fn standing_trace(&self) -> Option<Arc<Standing>> {
        if !self.is_traced() {
            return None;
        }
        self.standing_trace.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says where reports go about messages that are traced from outside; `None` is nowhere.
    pub fn set_standing_trace(&self, standing: Option<Standing>) {
        self.is_traced.store(standing.is_some(), Ordering::Relaxed);
        *self.standing_trace.write().unwrap_or_else(PoisonError::into_inner) =
            standing.map(Arc::new);
    }

    /// Delivers a message to what `matches` holds. `shown` is the subject that receivers see. Returns how
    /// many received it.
    pub fn route(
        &self,
        matches: &Matches,
        shown: &[u8],
        message: &Message<'_>,
        origin: Origin<'_>,
        batch: &mut Batch,
    ) -> usize {
        let out = Routed { shown, message, origin, key: None, via: None };
        let plain =
            matches.plain.iter().filter(|subscription| self.offer(subscription, out, batch));
        let mut delivered = plain.count();
        for (_, members) in &matches.queues {
            delivered += usize::from(self.offer_to_one(members, out, batch));
        }
        delivered
    }

    /// Delivers a message that comes from another account. True when somebody received it.
    pub(crate) fn route_found(&self, out: Routed<'_>, batch: &mut Batch) -> bool {
        let mut matches = batch.take_matches();
        self.find(out.message.subject, &mut matches);
        if trace::is_traced(out, batch) {
            let received = trace::route(self, &matches, out, batch);
            batch.give_matches(matches);
            return received > 0;
        }
        let mut is_received = false;
        for subscription in &matches.plain {
            is_received |= match subscription.target() {
                // What the server takes itself, such as a stream, does not keep who asked.
                Target::Service(service) if out.via.is_some() => {
                    let headers = sharing::without_asker(out.message.headers);
                    let message = Message { headers: &headers, ..*out.message };
                    batch.call(service, &self.name, &message, out.origin)
                }
                _ => self.offer(subscription, out, batch),
            };
        }
        for (_, members) in &matches.queues {
            is_received |= self.offer_to_one(members, out, batch);
        }
        batch.give_matches(matches);
        is_received
    }

    /// Publishes a message of the server itself; `subject` must be literal.
    pub fn publish(&self, subject: &[u8], payload: &[u8], batch: &mut Batch) {
        let message = Message { subject, reply: None, headers: &[], payload };
        let origin = Origin::Internal;
        let out = Routed { shown: subject, message: &message, origin, key: None, via: None };
        self.route_found(out, batch);
    }

    /// As [`Account::route`], for a message that a client publishes.
    #[inline]
    pub(crate) fn route_publish(
        &self,
        hit: &Hit,
        message: &Message<'_>,
        publisher: &Client,
        batch: &mut Batch,
    ) -> usize {
        let Hit { id: entry, matches, .. } = hit;
        let mut delivered = 0;
        let mut key = LineKey { cid: publisher.cid, entry: *entry, index: 0 };
        let origin = Origin::Client(publisher);
        let mut out = Routed { shown: message.subject, message, origin, key: None, via: None };
        for subscription in &matches.plain {
            out.key = (key.entry != 0).then_some(key);
            key.index += 1;
            delivered += usize::from(self.offer(subscription, out, batch));
        }
        for (_, members) in &matches.queues {
            out.key = (key.entry != 0).then_some(key);
            key.index += members.len() as u32;
            delivered += usize::from(self.offer_to_one(members, out, batch));
        }
        delivered
    }

    /// One member gets it: a random one, or the next that can.
    fn offer_to_one(
        &self,
        members: &[Arc<Subscription>],
        out: Routed<'_>,
        batch: &mut Batch,
    ) -> bool {
        let start = match members.len() as u64 {
            0 | 1 => 0,
            // The upper half of the number, scaled: cheaper than a division.
            count => (((batch.random() >> 32) * count) >> 32) as usize,
        };
        let offer = |at: usize, batch: &mut Batch| {
            let key = out.key.map(|key| LineKey { index: key.index + at as u32, ..key });
            members.get(at).is_some_and(|member| self.offer(member, Routed { key, ..out }, batch))
        };
        offer(start, batch) || (start + 1..members.len()).chain(0..start).any(|at| offer(at, batch))
    }

    #[inline]
    pub(crate) fn offer(
        &self,
        subscription: &Arc<Subscription>,
        out: Routed<'_>,
        batch: &mut Batch,
    ) -> bool {
        let Routed { shown, message, origin, key, .. } = out;
        let client = match subscription.target() {
            Target::Client(client) => client,
            Target::Service(service) => return batch.call(service, &self.name, message, origin),
            Target::Import(relay) => return relay.pass(self, out, batch),
            Target::Inlet(inlet) => {
                inlet.take(shown, message);
                batch.settle_later(inlet.key(), || inlet.service());
                return true;
            }
        };
        if let Origin::Client(publisher) = origin
            && publisher.cid == client.cid
            && !client.echoes()
        {
            return false;
        }
        if subscription.is_closed() || client.closed().is_some() {
            return false;
        }
        if batch.leaves_out && matches!(origin, Origin::Client(_)) && client.outbox().is_high() {
            return false;
        }
        if subscription.is_filtered()
            && client.permissions().is_some_and(|rights| {
                rights.denies_delivery_to(message.subject, subscription.queue())
            })
        {
            return false;
        }
        match subscription.count() {
            Count::Deliver => {}
            Count::DeliverLast => batch.ended.push(subscription.clone()),
            Count::Done => return false,
        }
        if let Some(reply) = message.reply {
            client.record_reply(reply, batch.mono_ns);
        }
        batch.deliver(client, subscription.sid(), shown, message, key);
        true
    }
}
