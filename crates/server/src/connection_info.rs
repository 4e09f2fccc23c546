//! What monitoring, the log and advisories know of a connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use natterjack_core::auth::{ConnectionType, Identity};
use natterjack_core::client::Client;
use natterjack_proto::connect::Connect;

use crate::transport::Facts;

/// A live connection.
pub(crate) struct ConnectionInfo {
    /// The shared half of the connection.
    pub client: Arc<Client>,
    /// The other end of its socket.
    socket_peer: SocketAddr,
    /// When it came, in nanoseconds since 1970.
    pub start_unix_ns: i64,
    /// The last measured round trip in nanoseconds; 0 while unknown.
    rtt_ns: AtomicU64,
    /// When it last sent something, in nanoseconds since 1970.
    active_unix_ns: AtomicI64,
    informed: AtomicBool,
    admitted: bool,
    details: Mutex<Details>,
    /// What the connection's task has not looked at yet: [`TIMER`], [`RELOAD`].
    nudges: AtomicU8,
    /// Its task.
    waker: Mutex<Option<Waker>>,
}

const TIMER: u8 = 1;
const RELOAD: u8 = 2;

/// Why the task of a connection was woken, beside its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nudges {
    /// A deadline that it set has come.
    pub timer: bool,
    /// It shall judge itself by the configuration as it is now.
    pub reload: bool,
}

/// What CONNECT told.
#[derive(Clone, Default)]
pub(crate) struct Details {
    /// Name, language and version in one text: most connections give two short ones.
    text: Box<str>,
    /// Where the language and the version begin.
    starts: (u32, u32),
    /// Who it said it is, if that was refused.
    pub refused: Option<Box<str>>,
    /// Who it is, once logged in.
    pub identity: Option<Arc<Identity>>,
    /// What is more about it than TCP.
    pub facts: Option<Arc<Facts>>,
}

impl Details {
    /// For whom a load balancer said it speaks.
    fn stands_for(&self) -> Option<SocketAddr> {
        self.facts.as_ref().and_then(|facts| facts.stands_for)
    }

    /// The kind of connection.
    pub(crate) fn connection_type(&self) -> ConnectionType {
        match &self.facts {
            Some(facts) if facts.is_websocket => ConnectionType::WebSocket,
            Some(facts) if facts.is_in_process => ConnectionType::InProcess,
            _ => ConnectionType::Standard,
        }
    }

    /// Its kind, as events name it.
    pub(crate) fn client_type(&self) -> &'static str {
        match self.connection_type() {
            ConnectionType::WebSocket => "websocket",
            _ => "nats",
        }
    }

    /// The user's JWT.
    pub(crate) fn jwt(&self) -> Option<&str> {
        self.facts.as_ref().and_then(|facts| facts.jwt.as_deref())
    }

    /// The key that signed it.
    pub(crate) fn issuer_key(&self) -> Option<&str> {
        self.identity.as_ref().and_then(|identity| identity.issuer_key.as_deref())
    }

    /// The name that it gives the user.
    pub(crate) fn user_name(&self) -> Option<&str> {
        self.identity.as_ref().and_then(|identity| identity.user_name.as_deref())
    }

    /// Its tags.
    pub(crate) fn tags(&self) -> &[String] {
        self.identity.as_ref().map(|identity| &*identity.tags).unwrap_or_default()
    }

    /// The connection's name.
    pub(crate) fn name(&self) -> &str {
        &self.text[..self.starts.0 as usize]
    }

    /// The client library's language.
    pub(crate) fn lang(&self) -> &str {
        &self.text[self.starts.0 as usize..self.starts.1 as usize]
    }

    /// The client library's version.
    pub(crate) fn version(&self) -> &str {
        &self.text[self.starts.1 as usize..]
    }

    fn describe(&mut self, name: &str, lang: &str, version: &str) {
        // A CONNECT is no longer than a control line, which is far below 4 GB.
        let part = |text: &str| u32::try_from(text.len()).ok();
        let starts = part(name).and_then(|name| Some((name, name.checked_add(part(lang)?)?)));
        let Some(starts) = starts else { return };
        self.starts = starts;
        self.text = [name, lang, version].concat().into();
    }
}

impl ConnectionInfo {
    pub(crate) fn new(
        client: Arc<Client>,
        peer: SocketAddr,
        start_unix_ns: i64,
        admitted: bool,
    ) -> Self {
        ConnectionInfo {
            client,
            socket_peer: peer,
            start_unix_ns,
            rtt_ns: AtomicU64::new(0),
            active_unix_ns: AtomicI64::new(start_unix_ns),
            informed: AtomicBool::new(false),
            admitted,
            details: Mutex::default(),
            nudges: AtomicU8::new(0),
            waker: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it comes from: the other end of its socket, or whom a load balancer named there.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.lock().stands_for().unwrap_or(self.socket_peer)
    }

    /// False for one beyond `max_connections`: it is told so and goes.
    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// What CONNECT told, as it is now.
    pub(crate) fn details(&self) -> Details {
        self.lock().clone()
    }

    /// Whether it is logged in to this account.
    pub(crate) fn is_of(&self, account: &str) -> bool {
        self.lock().identity.as_ref().is_some_and(|identity| *identity.account == *account)
    }

    /// Asks the connection's task to judge itself by the configuration as it is now.
    pub(crate) fn reload(&self) {
        self.nudge(RELOAD);
    }

    /// Tells the connection's task that a deadline has come.
    pub(crate) fn expire(&self) {
        self.nudge(TIMER);
    }

    fn nudge(&self, why: u8) {
        self.nudges.fetch_or(why, Ordering::Release);
        let waker = self.waker().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this waker wakes the connection's task. What came before is still to be taken.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        *self.waker() = Some(waker.clone());
    }

    /// The task is ending: a waker would keep its memory.
    pub(crate) fn forget_waker(&self) {
        self.waker().take();
    }

    /// What the task was nudged for since the last call.
    pub(crate) fn take_nudges(&self) -> Option<Nudges> {
        if self.nudges.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let taken = self.nudges.swap(0, Ordering::Acquire);
        Some(Nudges { timer: taken & TIMER != 0, reload: taken & RELOAD != 0 })
    }

    pub(crate) fn describe(&self, connect: &Connect) {
        let mut details = self.lock();
        let fields = [&connect.name, &connect.lang, &connect.version];
        let [name, lang, version] = fields.map(|field| field.as_deref().unwrap_or_default());
        details.describe(name, lang, version);
    }

    /// Its login was refused. A token or signature says nothing that may be shown.
    pub(crate) fn refused(&self, connect: &Connect) {
        self.describe(connect);
        let token = connect.auth_token.as_ref().map(|_| "[REDACTED]");
        let said = connect.nkey.as_deref().or(connect.user.as_deref()).or(token);
        self.lock().refused = said.map(Into::into);
    }

    /// What is more about it than TCP.
    pub(crate) fn set_facts(&self, facts: Facts) {
        self.lock().facts = Some(Arc::new(facts));
    }

    /// One more of these facts.
    pub(crate) fn add_fact(&self, add: impl FnOnce(&mut Facts)) {
        let mut details = self.lock();
        let mut facts = details.facts.as_deref().cloned().unwrap_or_default();
        add(&mut facts);
        details.facts = Some(Arc::new(facts));
    }

    pub(crate) fn facts(&self) -> Option<Arc<Facts>> {
        self.lock().facts.clone()
    }

    /// The kind of connection.
    pub(crate) fn connection_type(&self) -> ConnectionType {
        self.lock().connection_type()
    }

    pub(crate) fn bound(&self, identity: Arc<Identity>) {
        self.lock().identity = Some(identity);
    }

    pub(crate) fn set_rtt(&self, rtt_ns: Option<u64>) {
        self.rtt_ns.store(rtt_ns.unwrap_or(0), Ordering::Relaxed);
    }

    /// The last measured round trip in nanoseconds; 0 while unknown.
    pub(crate) fn rtt_ns(&self) -> u64 {
        self.rtt_ns.load(Ordering::Relaxed)
    }

    /// It sent something at this time, in nanoseconds since 1970.
    pub(crate) fn set_active(&self, unix_ns: i64) {
        self.active_unix_ns.store(unix_ns, Ordering::Relaxed);
    }

    /// When it last sent something, in nanoseconds since 1970.
    pub(crate) fn active_unix_ns(&self) -> i64 {
        self.active_unix_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn set_informed(&self) {
        self.informed.store(true, Ordering::Relaxed);
    }

    /// Whether the post-connect INFO was sent: only then later ones are.
    pub(crate) fn is_informed(&self) -> bool {
        self.informed.load(Ordering::Relaxed)
    }

    /// How log lines about the connection begin:
    /// `127.0.0.1:47880 - cid:14 - "v3:py:me" - "$G/user:u"`.
    pub(crate) fn prefix(&self) -> String {
        let details = self.lock();
        let forwarded = details.facts.as_ref().and_then(|facts| facts.forwarded_for);
        let forwarded = forwarded.map(|ip| format!("{ip}/")).unwrap_or_default();
        let kind = match details.connection_type() {
            ConnectionType::WebSocket => "wid",
            _ => "cid",
        };
        let peer = details.stands_for().unwrap_or(self.socket_peer);
        let mut text = format!("{forwarded}{peer} - {kind}:{}", self.client.cid);
        let (name, lang, version) = (details.name(), details.lang(), details.version());
        if !(name.is_empty() && lang.is_empty() && version.is_empty()) {
            let version = if version.is_empty() { String::new() } else { format!("v{version}") };
            let parts: Vec<&str> = [version.as_str(), lang, name]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            text.push_str(&format!(" - \"{}\"", parts.join(":")));
        }
        if let Some(identity) = &details.identity
            && !identity.label.is_empty()
        {
            text.push_str(&format!(" - \"{}\"", identity.label));
        }
        text
    }
}
