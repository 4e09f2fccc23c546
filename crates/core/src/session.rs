//! The protocol state of one client connection: what it announced, who it is, and what its operations
//! do. It is `&mut` in the connection's task; what others need of the client is in [`Client`].
//!
//! Rules and texts: nats-server 2.15.1, as listed in the conformance cases.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use natterjack_proto::connect::Connect;
use natterjack_proto::encode;
use natterjack_proto::error::{ClosedReason, ServerError};
use natterjack_proto::info::Info;
use natterjack_proto::parser::{Op, Publish};
use natterjack_subject::{
    has_wildcard, is_publishable, is_valid_literal, is_valid_subscription, token_count,
};

use crate::account::{Account, Matches};
use crate::batch::Batch;
use crate::cache::{Cache, Hit, Lookup};
use crate::client::Client;
use crate::mapping::Mapped;
use crate::permissions::Permissions;
use crate::service::Message;
use crate::subscription::Subscription;
use crate::trace::{self, What};

/// Limits of one connection: the smallest of the server's, the account's and the user's.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Subscriptions; `None` is unlimited.
    pub max_subscriptions: Option<usize>,
    /// Tokens of a subscription's subject; `None` is unlimited.
    pub max_subject_tokens: Option<usize>,
    /// Whether the server supports headers at all.
    pub headers: bool,
}

/// What the connection's task has to do after an operation.
#[derive(Debug)]
pub enum Flow {
    /// Go on with the next operation.
    Continue,
    /// CONNECT arrived: authenticate, then [`Session::bind`] or refuse.
    Login(Box<Connect>),
    /// An operation arrived before a CONNECT on a server that wants a login: bind the `no_auth_user` and
    /// repeat the operation, or refuse.
    LoginFirst,
    /// The first PING after a CONNECT with protocol 1 was answered: send the post-connect INFO.
    FirstPing,
    /// The connection ends; the error, if any, is encoded already.
    Close(ClosedReason),
}

/// A log line about a refused operation, for the server's log.
#[derive(Debug, PartialEq, Eq)]
pub enum Violation {
    /// A publish to a forbidden subject.
    Publish(Vec<u8>),
    /// A publish with a reserved reply subject.
    Reply(Vec<u8>),
    /// A forbidden subscription.
    Subscribe {
        /// Its subject.
        subject: Vec<u8>,
        /// Its queue group.
        queue: Option<Vec<u8>>,
        /// Its id.
        sid: Vec<u8>,
    },
}

/// One connection's state.
pub struct Session {
    client: Arc<Client>,
    account: Option<Arc<Account>>,
    permissions: Option<Arc<Permissions>>,
    limits: SessionLimits,
    verbose: bool,
    pedantic: bool,
    headers: bool,
    no_responders: bool,
    protocol: i64,
    wants_info: bool,
    cache: Cache,
    scratch: Matches,
    in_msgs: u64,
    in_bytes: u64,
    violations: Vec<Violation>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Prefixes that only servers publish to (1.9 of the protocol notes; nats-server 2.15.1).
fn is_reserved_subject(subject: &[u8]) -> bool {
    matches!(subject.first(), Some(b'$' | b'_'))
        && (subject.starts_with(b"_GR_.")
            || subject.starts_with(b"$GR.")
            || subject.starts_with(b"$NRG."))
}

fn is_reserved_reply(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'$' | b'_'))
        && (reply.starts_with(b"$JS.ACK.")
            || reply.starts_with(b"_R_.")
            || reply.starts_with(b"_GR_."))
}

impl Session {
    /// A session with the defaults in force before CONNECT: verbose, pedantic and echo are on.
    pub fn new(client: Arc<Client>, limits: SessionLimits) -> Self {
        Session {
            client,
            account: None,
            permissions: None,
            limits,
            verbose: true,
            pedantic: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            wants_info: false,
            cache: Cache::default(),
            scratch: Matches::default(),
            in_msgs: 0,
            in_bytes: 0,
            violations: Vec::new(),
        }
    }

    /// The shared half.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The account, once bound.
    pub fn account(&self) -> Option<&Arc<Account>> {
        self.account.as_ref()
    }

    /// Whether the client understands INFO updates.
    pub fn understands_info(&self) -> bool {
        self.protocol >= 1
    }

    /// Whether HPUB was negotiated.
    pub fn takes_headers(&self) -> bool {
        self.headers
    }

    /// Replaces the limits, as a reload does.
    pub fn set_limits(&mut self, limits: SessionLimits) {
        self.limits = limits;
    }

    /// Applies the options of a CONNECT (absent ones keep their value).
    ///
    /// # Errors
    /// A combination that the protocol forbids; it ends the connection.
    pub fn apply(&mut self, connect: &Connect) -> Result<(), (ServerError, ClosedReason)> {
        if let Some(verbose) = connect.verbose {
            self.verbose = verbose;
        }
        if let Some(pedantic) = connect.pedantic {
            self.pedantic = pedantic;
        }
        if let Some(protocol) = connect.protocol {
            self.protocol = protocol;
        }
        if !(0..=1).contains(&self.protocol) {
            return Err((
                ServerError::InvalidClientProtocol,
                ClosedReason::BadClientProtocolVersion,
            ));
        }
        self.headers = self.limits.headers && connect.headers.unwrap_or(self.headers);
        self.no_responders = connect.no_responders.unwrap_or(self.no_responders);
        if self.no_responders && !self.headers {
            return Err((
                ServerError::NoRespondersRequiresHeaders,
                ClosedReason::NoRespondersRequiresHeaders,
            ));
        }
        let echo = connect.echo.unwrap_or_else(|| self.client.echoes());
        self.client.set_options(self.headers, echo);
        self.wants_info = self.protocol >= 1;
        Ok(())
    }

    /// Enters an account with these permissions. Subscriptions made so far end.
    pub fn bind(&mut self, account: Arc<Account>, permissions: Option<Arc<Permissions>>) {
        self.leave();
        account.connections.fetch_add(1, Ordering::Relaxed);
        account.connections_total.fetch_add(1, Ordering::Relaxed);
        self.account = Some(account);
        self.set_permissions(permissions);
    }

    /// Replaces the permissions, as a reload does.
    pub fn set_permissions(&mut self, permissions: Option<Arc<Permissions>>) {
        self.client.set_permissions(permissions.clone());
        self.permissions = permissions;
        for subscription in self.client.subscriptions() {
            subscription.set_filtered(self.needs_filter(subscription.subject()));
        }
        self.cache.clear();
    }

    /// Whether some of what a subscription would get is denied.
    fn needs_filter(&self, subject: &[u8]) -> bool {
        self.permissions.as_ref().is_some_and(|rights| rights.needs_delivery_filter(subject))
    }

    /// Gives back what makes the next publish faster: the client has been silent for long.
    pub fn rest(&mut self) {
        self.cache.clear();
        self.scratch = Matches::default();
    }

    /// Ends all subscriptions and leaves the account.
    pub fn leave(&mut self) {
        self.rest();
        let subscriptions = self.client.take_subscriptions();
        if let Some(account) = self.account.take() {
            for subscription in &subscriptions {
                account.remove(subscription);
            }
            account.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Answers a CONNECT that was accepted.
    pub fn accepted(&mut self, batch: &mut Batch) {
        self.ok(batch);
    }

    fn ok(&self, batch: &mut Batch) {
        if self.verbose {
            encode::ok(batch.buffer(&self.client));
        }
    }

    fn error(&self, batch: &mut Batch, error: &ServerError) {
        encode::err(batch.buffer(&self.client), error);
    }

    /// Ends a read buffer: adds what was counted to the shared totals.
    pub fn end_batch(&mut self) -> (u64, u64) {
        let counted = (std::mem::take(&mut self.in_msgs), std::mem::take(&mut self.in_bytes));
        if counted.0 > 0 {
            self.client.traffic.in_msgs.fetch_add(counted.0, Ordering::Relaxed);
            self.client.traffic.in_bytes.fetch_add(counted.1, Ordering::Relaxed);
        }
        counted
    }

    /// Refusals since the last call, for the log; at most 16 per read buffer are kept.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    fn note(&mut self, violation: impl FnOnce() -> Violation) {
        if self.violations.len() < 16 {
            self.violations.push(violation());
        }
    }

    /// Performs one operation.
    pub fn handle(&mut self, op: &Op<'_>, batch: &mut Batch) -> Flow {
        match op {
            Op::Connect(json) => {
                return match Connect::parse(json) {
                    Ok(connect) => Flow::Login(Box::new(connect)),
                    Err(_) => Flow::Close(ClosedReason::ProtocolViolation),
                };
            }
            Op::Err(_) => return Flow::Close(ClosedReason::ParseError),
            Op::Info(json) if Info::parse(json).is_err() => {
                return Flow::Close(ClosedReason::ProtocolViolation);
            }
            _ => {}
        }
        if let Op::Pub(publish) = op {
            return self.publish(publish, batch);
        }
        let Some(account) = self.account.take() else { return Flow::LoginFirst };
        let flow = match op {
            Op::Sub { subject, queue, sid } => {
                self.subscribe(&account, subject, *queue, sid, batch);
                Flow::Continue
            }
            Op::Unsub { sid, max } => {
                self.unsubscribe(&account, sid, *max, batch);
                Flow::Continue
            }
            Op::Ping => {
                encode::pong(batch.buffer(&self.client));
                if std::mem::take(&mut self.wants_info) { Flow::FirstPing } else { Flow::Continue }
            }
            Op::Pong | Op::Info(_) | Op::Ok | Op::Pub(_) | Op::Connect(_) | Op::Err(_) => {
                Flow::Continue
            }
        };
        self.account = Some(account);
        flow
    }

    /// Performs a publish: what [`Session::handle`] does for the operation that matters, without asking
    /// which one it is.
    #[inline]
    pub fn publish(&mut self, publish: &Publish<'_>, batch: &mut Batch) -> Flow {
        let Some(account) = &self.account else { return Flow::LoginFirst };
        if publish.is_hpub {
            if !self.headers {
                return Flow::Close(ClosedReason::MessageHeaderViolation);
            }
            if trace::is_wanted(publish.headers)
                || account.is_traced() && trace::is_sampled(publish.headers)
            {
                self.publish_traced(publish, batch);
                return Flow::Continue;
            }
        }
        self.in_msgs += 1;
        self.in_bytes += publish.size() as u64;
        let found = (!account.is_mapped()).then(|| self.cache.look(publish.subject, account));
        if let Some(Lookup::Hit(index)) = found
            && let Some(hit) = self.cache.get(index)
            && hit.allowed
            && publish.reply.is_none_or(|reply| !is_reserved_reply(reply))
        {
            self.deliver::<false>(account, publish.subject, publish, hit, batch);
            return Flow::Continue;
        }
        self.publish_rarely(publish, found, batch);
        Flow::Continue
    }

    /// A publish to a subject that is mapped, not in the cache, or perhaps refused.
    #[inline(never)]
    fn publish_rarely(&mut self, publish: &Publish<'_>, found: Option<Lookup>, batch: &mut Batch) {
        // Taken out meanwhile: cloning would make every connection of the account write to one
        // shared counter for each message.
        let Some(account) = self.account.take() else { return };
        self.publish_in(&account, publish, found, batch);
        self.account = Some(account);
    }

    fn publish_in(
        &mut self,
        account: &Account,
        publish: &Publish<'_>,
        found: Option<Lookup>,
        batch: &mut Batch,
    ) {
        let mapped;
        let mut subject = publish.subject;
        if let Some(mappings) = account.mappings() {
            match mappings.apply(subject, batch.random()) {
                Mapped::Unchanged => {}
                Mapped::To(to) => {
                    mapped = to;
                    subject = &mapped;
                    if batch.is_traced() {
                        trace::note(batch, What::Mapped { to: (*mapped).into() });
                    }
                }
                Mapped::Lost => return self.ok(batch),
            }
        }
        if is_reserved_subject(subject) {
            return self.refuse_publish(subject, batch);
        }
        if let Some(reply) = publish.reply
            && is_reserved_reply(reply)
        {
            let error = ServerError::publish_reply_violation(reply);
            trace::refused(batch, &error);
            self.error(batch, &error);
            self.note(|| Violation::Reply(reply.to_vec()));
            return;
        }
        let miss = match found.unwrap_or_else(|| self.cache.look(subject, account)) {
            Lookup::Hit(index) => {
                return self.deliver_cached(account, subject, publish, index, batch);
            }
            Lookup::Miss(miss) => miss,
        };
        let mut matches = std::mem::take(&mut self.scratch);
        let mut decided = account.find(subject, &mut matches);
        let mut allowed = true;
        if let Some(rights) = &self.permissions {
            decided = subject.len();
            allowed = rights.can_publish(subject);
        }
        let hit = Hit { id: 0, matches, allowed };
        match self.cache.offer(&miss, subject, decided, account, hit) {
            Ok(index) => self.deliver_cached(account, subject, publish, index, batch),
            Err(hit) => {
                if hit.allowed || self.client.may_respond(subject, batch.mono_ns) {
                    self.deliver::<true>(account, subject, publish, &hit, batch);
                } else {
                    self.refuse_publish(subject, batch);
                }
                self.scratch = hit.matches;
                self.scratch.clear();
            }
        }
    }

    fn deliver_cached(
        &mut self,
        account: &Account,
        subject: &[u8],
        publish: &Publish<'_>,
        index: usize,
        batch: &mut Batch,
    ) {
        match self.cache.get(index) {
            Some(hit) if hit.allowed || self.client.may_respond(subject, batch.mono_ns) => {
                self.deliver::<true>(account, subject, publish, hit, batch);
            }
            _ => self.refuse_publish(subject, batch),
        }
    }

    #[cold]
    fn refuse_publish(&mut self, subject: &[u8], batch: &mut Batch) {
        let error = ServerError::publish_violation(subject);
        trace::refused(batch, &error);
        self.error(batch, &error);
        self.note(|| Violation::Publish(subject.to_vec()));
    }

    /// Delivers a publish that is allowed to what its subject matches. `RARELY` it may be one of which a
    /// report is written.
    #[inline]
    fn deliver<const RARELY: bool>(
        &self,
        account: &Account,
        subject: &[u8],
        publish: &Publish<'_>,
        hit: &Hit,
        batch: &mut Batch,
    ) {
        if self.pedantic && (has_wildcard(subject) || !is_publishable(subject)) {
            self.error(batch, &ServerError::InvalidPublishSubject);
        }
        self.ok(batch);
        let message = Message {
            subject,
            reply: publish.reply,
            headers: publish.headers,
            payload: publish.payload,
        };
        let delivered = if RARELY && batch.is_traced() {
            trace::route_publish(account, &hit.matches, &message, &self.client, batch)
        } else {
            account.route_publish(hit, &message, &self.client, batch)
        };
        if delivered == 0
            && self.no_responders
            && let Some(reply) = message.reply
        {
            self.no_responders(account, reply, subject, batch);
        }
    }

    /// A publish whose headers ask for a report of what becomes of it.
    #[cold]
    fn publish_traced(&mut self, publish: &Publish<'_>, batch: &mut Batch) {
        let Some(account) = self.account.take() else { return };
        self.in_msgs += 1;
        self.in_bytes += publish.size() as u64;
        let standing = account.standing_trace();
        match trace::Wanted::read(publish.headers, standing.as_deref()) {
            Some(wanted)
                if wanted.is_standing
                    && !standing.is_some_and(|standing| standing.picks(batch.random())) =>
            {
                let headers = &trace::disabled(publish.headers);
                self.publish_in(&account, &Publish { headers, ..*publish }, None, batch);
            }
            Some(wanted) if !is_valid_literal(&wanted.destination) => {
                // Nobody can be told; what should only be traced is not delivered either.
                if !wanted.is_only {
                    self.publish_in(&account, publish, None, batch);
                }
            }
            Some(wanted) if !self.may_report_to(&wanted.destination) => {
                self.refuse_publish(&wanted.destination, batch);
            }
            Some(wanted) => {
                let size = publish.size();
                wanted.begin(&account, self.client.cid, publish.subject, size, batch);
                self.publish_in(&account, publish, None, batch);
                trace::end(batch);
            }
            None => self.publish_in(&account, publish, None, batch),
        }
        self.account = Some(account);
    }

    fn may_report_to(&self, destination: &[u8]) -> bool {
        !is_reserved_subject(destination)
            && self.permissions.as_ref().is_none_or(|rights| rights.can_publish(destination))
    }

    /// Tells the requester at once that nobody is there, if it listens on the reply subject itself.
    fn no_responders(&self, account: &Account, reply: &[u8], subject: &[u8], batch: &mut Batch) {
        let mut matches = Matches::default();
        account.find(reply, &mut matches);
        let own = matches.plain.iter().find(|subscription| {
            matches!(subscription.target(), crate::subscription::Target::Client(client)
                if client.cid == self.client.cid)
        });
        if let Some(own) = own {
            encode::no_responders(batch.buffer(&self.client), reply, own.sid(), subject);
        }
    }

    fn subscribe(
        &mut self,
        account: &Arc<Account>,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
        batch: &mut Batch,
    ) {
        let allowed = queue != Some(b"_sys_")
            && self.permissions.as_ref().is_none_or(|rights| rights.can_subscribe(subject, queue));
        if !allowed {
            self.error(batch, &ServerError::subscription_violation(subject, queue));
            self.note(|| Violation::Subscribe {
                subject: subject.to_vec(),
                queue: queue.map(<[u8]>::to_vec),
                sid: sid.to_vec(),
            });
            return;
        }
        if self.limits.max_subject_tokens.is_some_and(|max| token_count(subject) > max) {
            self.error(batch, &ServerError::too_many_tokens(subject));
            return;
        }
        if self.limits.max_subscriptions.is_some_and(|max| self.client.subscription_count() >= max)
        {
            self.error(batch, &ServerError::MaximumSubscriptionsExceeded);
            return;
        }
        // A known sid keeps its subscription, whatever this subject is (nats-server 2.15.1).
        if !is_valid_subscription(subject) && self.client.find_subscription(sid).is_none() {
            self.error(batch, &ServerError::InvalidSubject);
            return;
        }
        let filtered = self.needs_filter(subject);
        let subscription =
            Subscription::for_client(account, self.client.clone(), subject, queue, sid, filtered);
        if self.client.add_subscription(&subscription) {
            account.add(subscription);
        }
        self.ok(batch);
    }

    fn unsubscribe(
        &mut self,
        account: &Arc<Account>,
        sid: &[u8],
        max: Option<u64>,
        batch: &mut Batch,
    ) {
        if let Some(subscription) = self.client.find_subscription(sid) {
            let ends = match max {
                None | Some(0) => true,
                Some(max) => subscription.set_limit(max),
            };
            if ends {
                self.client.remove_subscription(&subscription);
                account.remove(&subscription);
            }
        }
        self.ok(batch);
    }

    /// Ends the subscriptions that new permissions no longer allow, and reports each on the wire, as a
    /// reload does.
    pub fn drop_forbidden(&mut self, batch: &mut Batch) -> Vec<Arc<Subscription>> {
        let (Some(account), Some(rights)) = (self.account.clone(), self.permissions.clone()) else {
            return Vec::new();
        };
        let mut dropped = Vec::new();
        for subscription in self.client.subscriptions() {
            if rights.can_subscribe(subscription.subject(), subscription.queue()) {
                continue;
            }
            self.client.remove_subscription(&subscription);
            account.remove(&subscription);
            self.error(
                batch,
                &ServerError::subscription_removed(
                    subscription.subject(),
                    subscription.queue(),
                    subscription.sid(),
                ),
            );
            dropped.push(subscription);
        }
        dropped
    }
}
