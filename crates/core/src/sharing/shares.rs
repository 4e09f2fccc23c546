//! What an account has of its exports and imports while the server runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use hashbrown::HashMap;
use natterjack_subject::matches;
use smallvec::SmallVec;

use super::answers::{Answers, Awaited};
use super::awaited::Waiters;
use super::check::{export_for, rename};
use super::client_info::ClientInfo;
use super::declared::{ExportKind, Import, Service, Sharing};
use super::latency::{self, Tracked};
use super::rename::Rename;
use super::request::Request;
use super::shadow::Shadow;
use super::{Leads, Relay};
use crate::account::Account;
use crate::batch::Batch;
use crate::subscription::{Subscription, Target};

/// What the server knows and does for services.
pub trait Reception: Send + Sync {
    /// About a client of this account; all that is known of it, or its account and round trip only.
    fn client_info(&self, cid: u64, account: &str, all: bool) -> ClientInfo;

    /// The server's public key.
    fn server_id(&self) -> &str;

    /// RFC 3339 text of nanoseconds since 1970.
    fn time_text(&self, unix_ns: i64) -> String;

    /// Wants a call of [`Account::tick`] of all accounts at this time of the monotonic clock.
    fn call_at(&self, mono_ns: u64);
}

/// A stream that is imported.
struct Stream {
    import: Import,
    exporter: Weak<Account>,
    rename: Arc<Rename>,
}

/// A subscription in another account.
type Abroad = (Weak<Account>, Arc<Subscription>);

#[derive(Default)]
struct Streams {
    imports: Vec<Stream>,
    /// By the address of the subscription that they stand for, which lives as long as they do.
    shadows: HashMap<usize, SmallVec<[Abroad; 1]>>,
}

/// A service that is imported.
struct Wired {
    import: Import,
    service: Service,
    subscription: Arc<Subscription>,
}

/// Exports and imports of one account. Its locks are taken before those of sublists.
#[derive(Default)]
pub(crate) struct Shares {
    reception: OnceLock<Arc<dyn Reception>>,
    streams: Mutex<Streams>,
    /// Whether a stream is imported, or was: then subscriptions may have shadows.
    has_streams: AtomicBool,
    services: Mutex<Vec<Wired>>,
    /// Answers to accounts that ask this one, by their name.
    answers: Mutex<HashMap<Arc<str>, Arc<Answers>>>,
    /// Where answers to this account's requests are awaited, by reply subject.
    awaited: Mutex<Waiters>,
    awaiting: AtomicUsize,
    /// Measured requests whose requester went away, to be reported.
    left: Mutex<Vec<(Box<Tracked>, Arc<Account>)>>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where `exporter` answers requests of `importer`.
pub(super) fn answers_between(
    exporter: &Arc<Account>,
    importer: &Arc<Account>,
    batch: &mut Batch,
) -> Arc<Answers> {
    let mut known = guard(&exporter.shares().answers);
    if let Some(answers) = known.get(importer.name()) {
        return answers.clone();
    }
    let answers = Answers::new(exporter, importer, batch);
    known.insert(importer.name().clone(), answers.clone());
    exporter.subscribe_relay(&answers.pattern(), None, Relay(Leads::Requester(answers.clone())));
    answers
}

/// Puts into effect what accounts declare; what was in effect before and is not declared any more ends.
/// `declared` holds every account, and what [`check`](super::check()) found faulty is left out.
pub fn wire(
    declared: &[Sharing],
    find: &dyn Fn(&str) -> Option<Arc<Account>>,
    reception: &Arc<dyn Reception>,
) {
    for sharing in declared {
        let Some(account) = find(&sharing.account) else { continue };
        let shares = account.shares();
        let _ = shares.reception.set(reception.clone());
        let mut streams = Vec::new();
        let mut services = Vec::new();
        for import in &sharing.imports {
            let (Some(exporter), Ok(rename)) = (find(&import.account), rename(import)) else {
                continue;
            };
            let _ = exporter.shares().reception.set(reception.clone());
            if import.is_service {
                let offers = declared.iter().find(|other| *other.account == *import.account);
                let export = offers.and_then(|offers| export_for(offers.exports.iter(), import));
                let Some(ExportKind::Service(service)) = export.map(|export| &export.kind) else {
                    continue;
                };
                services.push((import.clone(), service.clone(), exporter, rename));
            } else {
                let (import, exporter) = (import.clone(), Arc::downgrade(&exporter));
                streams.push(Stream { import, exporter, rename: Arc::new(rename) });
            }
        }
        set_services(&account, services);
        set_streams(&account, streams);
    }
}

fn set_services(account: &Arc<Account>, wanted: Vec<(Import, Service, Arc<Account>, Rename)>) {
    let mut services = guard(&account.shares().services);
    let (kept, ended): (Vec<_>, Vec<_>) = services.drain(..).partition(|old| {
        wanted.iter().any(|(import, terms, ..)| *import == old.import && *terms == old.service)
    });
    *services = kept;
    for old in ended {
        account.remove(&old.subscription);
    }
    for (import, service, exporter, rename) in wanted {
        if services.iter().any(|known| known.import == import) {
            continue;
        }
        let local = rename.local().to_vec();
        let request = Request {
            importer: Arc::downgrade(account),
            exporter: Arc::downgrade(&exporter),
            rename,
            share: import.share,
            service: service.clone(),
            answers: OnceLock::new(),
        };
        let subscription = account.subscribe_relay(&local, None, Relay(Leads::Service(request)));
        services.push(Wired { import, service, subscription });
    }
}

fn set_streams(account: &Arc<Account>, wanted: Vec<Stream>) {
    let shares = account.shares();
    if wanted.is_empty() && !shares.has_streams.load(Ordering::SeqCst) {
        return;
    }
    // From now on who subscribes asks for shadows itself, and waits for the lock.
    shares.has_streams.store(true, Ordering::SeqCst);
    let mut subscriptions = Vec::new();
    let mut streams = guard(&shares.streams);
    let is_same = streams.imports.len() == wanted.len()
        && streams.imports.iter().zip(&wanted).all(|(old, new)| old.import == new.import);
    if is_same {
        return;
    }
    streams.imports = wanted;
    let old = std::mem::take(&mut streams.shadows);
    account.for_each_subscription(|subscription| subscriptions.push(subscription.clone()));
    for subscription in &subscriptions {
        streams.shade(subscription);
    }
    drop(streams);
    for shadow in old.into_values().flatten() {
        end(&shadow);
    }
}

fn end((account, subscription): &Abroad) {
    if let Some(account) = account.upgrade() {
        account.remove(subscription);
    }
}

impl Streams {
    /// Gives a subscription its shadows, unless it has them or is over.
    fn shade(&mut self, subscription: &Arc<Subscription>) {
        let key = Arc::as_ptr(subscription).addr();
        if subscription.is_closed() || !is_shaded(subscription) || self.shadows.contains_key(&key) {
            return;
        }
        let mut shadows: SmallVec<[Abroad; 1]> = SmallVec::new();
        for stream in &self.imports {
            let Some(exporter) = stream.exporter.upgrade() else { continue };
            let Some(pattern) = stream.rename.pattern_to_exported(subscription.subject()) else {
                continue;
            };
            let allow_trace = stream.import.allow_trace;
            let rename = stream.rename.clone();
            let shadow = Shadow::new(subscription.clone(), rename, allow_trace);
            let relay = Relay(Leads::Stream(shadow));
            let shadow = exporter.subscribe_relay(&pattern, subscription.queue(), relay);
            shadows.push((stream.exporter.clone(), shadow));
        }
        if !shadows.is_empty() {
            self.shadows.insert(key, shadows);
        }
    }
}

/// Whether a subscription hears imported streams: those of clients, and of JetStream's streams, but not
/// what stands for imports itself, and not the server's own services.
fn is_shaded(subscription: &Subscription) -> bool {
    match subscription.target() {
        Target::Client(_) | Target::Inlet(_) => true,
        Target::Service(_) => subscription.is_stream(),
        Target::Import(_) => false,
    }
}

impl Shares {
    pub(super) fn reception(&self) -> Option<Arc<dyn Reception>> {
        self.reception.get().cloned()
    }

    /// A subscription was added to the account's sublist.
    pub(crate) fn added(&self, subscription: &Arc<Subscription>) {
        if self.has_streams.load(Ordering::SeqCst) {
            guard(&self.streams).shade(subscription);
        }
    }

    /// A subscription of `account`, to which these shares belong, ended.
    pub(crate) fn removed(&self, account: &Account, subscription: &Arc<Subscription>) {
        if self.has_streams.load(Ordering::SeqCst) {
            let key = Arc::as_ptr(subscription).addr();
            let shadows = guard(&self.streams).shadows.remove(&key);
            for shadow in shadows.iter().flatten() {
                end(shadow);
            }
        }
        if self.awaiting.load(Ordering::Relaxed) > 0 {
            self.forget_requests(account, subscription.subject());
        }
    }

    /// A request of this account waits for its answer.
    pub(super) fn awaits(&self, reply: Arc<[u8]>, request: Awaited) {
        let mut awaited = guard(&self.awaited);
        awaited.insert(reply, request);
        self.awaiting.store(awaited.len(), Ordering::Relaxed);
    }

    pub(super) fn no_longer_awaits(&self, reply: &[u8], request: &Awaited) {
        let mut awaited = guard(&self.awaited);
        awaited.remove(reply, request);
        self.awaiting.store(awaited.len(), Ordering::Relaxed);
    }

    /// Interest in `subject` ended: requests whose answers nobody would hear are forgotten.
    fn forget_requests(&self, account: &Account, subject: &[u8]) {
        let mut lost = Vec::new();
        let is_more = {
            let mut awaited = guard(&self.awaited);
            let is_lost = |reply: &[u8]| !account.is_anybody_there(reply);
            let is_more = awaited.lost(subject, is_lost, &mut lost);
            self.awaiting.store(awaited.len(), Ordering::Relaxed);
            is_more
        };
        self.requesters_left(lost);
        if is_more && let Some(reception) = self.reception() {
            reception.call_at(0);
        }
    }

    /// As above, for a reply subject between accounts on which nobody waits any more.
    pub(super) fn forget_reply(&self, reply: &[u8]) {
        if self.awaiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let lost = {
            let mut awaited = guard(&self.awaited);
            let lost = awaited.take(reply);
            self.awaiting.store(awaited.len(), Ordering::Relaxed);
            lost
        };
        self.requesters_left(lost);
    }

    fn requesters_left(&self, lost: impl IntoIterator<Item = Awaited>) {
        let measured = lost.into_iter().filter_map(|(answers, token)| {
            answers.upgrade().and_then(|answers| answers.requester_left(token))
        });
        let measured: Vec<_> = measured.collect();
        if !measured.is_empty() {
            guard(&self.left).extend(measured);
            if let Some(reception) = self.reception() {
                reception.call_at(0);
            }
        }
    }

    /// How many requests wait for an answer from here, and how many of here wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, usize) {
        let asked = guard(&self.answers).values().map(|answers| answers.len()).sum();
        let awaited = guard(&self.awaited);
        assert_eq!(awaited.len(), self.awaiting.load(Ordering::Relaxed));
        (asked, awaited.requests())
    }

    /// Whether somebody waits for an answer on `subject`, which begins with `_R_.`.
    pub(crate) fn is_awaited(&self, subject: &[u8]) -> bool {
        guard(&self.answers).values().any(|answers| answers.is_awaited(subject))
    }

    pub(crate) fn imports_service(&self, subject: &[u8]) -> bool {
        guard(&self.services).iter().any(|wired| matches(wired.subscription.subject(), subject))
    }

    /// Reports and ends what is due. Returns when to come again.
    pub(crate) fn tick(&self, account: &Account, batch: &mut Batch) -> Option<u64> {
        let mut lost = Vec::new();
        let sweeps = {
            let mut awaited = guard(&self.awaited);
            let is_lost = |reply: &[u8]| !account.is_anybody_there(reply);
            let sweeps = awaited.sweep(batch.mono_ns, is_lost, &mut lost);
            self.awaiting.store(awaited.len(), Ordering::Relaxed);
            sweeps
        };
        self.requesters_left(lost);
        let left = std::mem::take(&mut *guard(&self.left));
        for (tracked, exporter) in left {
            latency::report_failure(&exporter, &tracked, latency::REQUESTER_GONE, batch);
        }
        let answers: Vec<_> = guard(&self.answers).values().cloned().collect();
        answers.iter().filter_map(|answers| answers.expire(batch)).chain(sweeps).min()
    }
}
