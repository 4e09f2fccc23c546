//! An engine with a recording host, moved by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use natterjack_jetstream::{
    AccountLimits, ApiRequest, ClientInfo, Delivered, Host, Inbound, JetStream, Now, Options,
    Outgoing, RecoveryReport, Restore, Snapshot, StreamCell,
};
use natterjack_store::DiskRequest;

use crate::disk::MemDisk;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// A message that left the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) route: String,
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    pub(crate) headers: String,
    pub(crate) payload: String,
}

impl Sent {
    /// Headers and payload in one text.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.headers, self.payload)
    }
}

/// What streams and the API send to each other, in order.
pub(crate) enum Internal {
    /// To a stream's queue, under a token.
    Arrival(u64, u64, Sent),
    /// To the API or as an answer to flow control.
    Request(String, Sent),
    /// Interest in a subject came or went.
    Interest(String),
}

/// Who asks the disk, and for what.
pub(crate) type Asked = (u64, DiskRequest);

#[derive(Default)]
pub(crate) struct Recorder {
    /// Account, subject, stream and token.
    pub(crate) inlets: Vec<(String, String, u64, u64)>,
    pub(crate) internal: VecDeque<Internal>,
    /// Bytes that went to streams' queues.
    pub(crate) arrived: usize,
    watched: BTreeSet<(String, u64)>,
    pub(crate) sent: VecDeque<Sent>,
    /// Subjects that somebody subscribes to; everything under `_I.` is subscribed.
    pub(crate) interest: BTreeSet<String>,
    pub(crate) listeners: Vec<(String, String, Arc<StreamCell>)>,
    pub(crate) disk: VecDeque<(u64, DiskRequest)>,
    /// Another thread that performs requests at once, and says so.
    pub(crate) eager: Option<(Sender<Asked>, Receiver<()>)>,
    pub(crate) wakes: BTreeMap<u64, u64>,
    /// Who set a timer, and how many messages had been sent before.
    pub(crate) woken: Vec<(u64, usize)>,
    pub(crate) congested: bool,
    /// The system account.
    pub(crate) system: Option<Arc<str>>,
    /// Damage that was found after the start.
    pub(crate) damage: Vec<natterjack_store::Damage>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) restores: Vec<Restore>,
    random: u64,
}

impl Recorder {
    /// Whether somebody subscribed to this very subject.
    fn subscribes(&self, subject: &str) -> bool {
        subject.starts_with("_I.")
            || self.inlets.iter().any(|(_, own, ..)| own == subject)
            || self.interest.contains(subject)
    }

    fn listens(&self, subject: &str) -> bool {
        subject.starts_with("_I.")
            || self.inlets.iter().any(|(_, own, ..)| own == subject)
            || self
                .interest
                .iter()
                .any(|own| natterjack_subject::matches(own.as_bytes(), subject.as_bytes()))
    }
}

impl Host for Recorder {
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let sent = || Sent {
            route: text(out.route),
            subject: text(out.subject),
            reply: out.reply.map(text),
            headers: text(out.headers),
            payload: text(out.payload),
        };
        let (account, route) = (out.account, text(out.route));
        if let Some((_, _, id, token)) =
            self.inlets.iter().find(|(of, own, ..)| of == account && *own == route)
        {
            self.arrived += out.payload.len();
            self.internal.push_back(Internal::Arrival(*id, *token, sent()));
            return Delivered::Yes;
        }
        if route.starts_with("$JS.API.") || route.starts_with("$JS.FC.") {
            self.internal.push_back(Internal::Request(account.to_owned(), sent()));
            return Delivered::Yes;
        }
        if !self.listens(&text(out.route)) {
            return Delivered::No;
        }
        self.sent.push_back(sent());
        if self.congested { Delivered::Congested } else { Delivered::Yes }
    }

    fn has_interest(&mut self, _account: &str, subject: &[u8]) -> bool {
        self.listens(&String::from_utf8_lossy(subject))
    }

    fn is_subscribed(&mut self, _account: &str, subject: &[u8], queue: Option<&[u8]>) -> bool {
        queue.is_none() && self.subscribes(&String::from_utf8_lossy(subject))
    }

    fn disk(&mut self, owner: u64, request: DiskRequest) {
        let Some((requests, done)) = &self.eager else {
            return self.disk.push_back((owner, request));
        };
        requests.send((owner, request)).unwrap();
        // What it is told may have to wait until this thread goes on.
        let _ = done.recv_timeout(Duration::from_millis(100));
    }

    fn wake_at(&mut self, owner: u64, mono_ns: u64) {
        if mono_ns == u64::MAX {
            self.wakes.remove(&owner);
        } else {
            self.wakes.insert(owner, mono_ns);
            self.woken.push((owner, self.sent.len()));
        }
    }

    fn subscribe(&mut self, account: &str, subject: &[u8], stream: &Arc<StreamCell>) {
        let subject = String::from_utf8_lossy(subject).into_owned();
        self.listeners.push((account.to_owned(), subject, Arc::clone(stream)));
    }

    fn unsubscribe(&mut self, account: &str, subject: &[u8], stream_id: u64) {
        self.listeners.retain(|(known, own, stream)| {
            known != account || own.as_bytes() != subject || stream.id() != stream_id
        });
    }

    fn open_inlet(&mut self, account: &str, subject: &[u8], stream_id: u64, token: u64) {
        let subject = String::from_utf8_lossy(subject).into_owned();
        self.inlets.push((account.to_owned(), subject.clone(), stream_id, token));
        self.internal.push_back(Internal::Interest(subject));
    }

    fn close_inlet(&mut self, account: &str, subject: &[u8], stream_id: u64) {
        let subject = String::from_utf8_lossy(subject).into_owned();
        self.inlets.retain(|(of, own, id, _)| of != account || *own != subject || *id != stream_id);
        self.internal.push_back(Internal::Interest(subject));
    }

    fn watch_interest(&mut self, _account: &str, subject: &[u8], stream_id: u64, on: bool) {
        let watched = (String::from_utf8_lossy(subject).into_owned(), stream_id);
        if on {
            self.watched.insert(watched);
        } else {
            self.watched.remove(&watched);
        }
    }

    fn damaged(&mut self, _account: &str, _stream: &str, damage: &natterjack_store::Damage) {
        self.damage.push(damage.clone());
    }

    fn send_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshots.push(snapshot);
    }

    fn take_restore(&mut self, restore: Restore) {
        self.restores.push(restore);
    }

    fn system_account(&mut self) -> Option<Arc<str>> {
        self.system.clone()
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        self.random ^ (self.random >> 29)
    }
}

pub(crate) struct World {
    pub(crate) engine: JetStream,
    pub(crate) disk: MemDisk,
    /// Disk requests stay in the queue until [`World::run_disk`].
    pub(crate) slow_disk: bool,
    limits: AccountLimits,
    options: Options,
    pub(crate) host: Recorder,
    pub(crate) now: Now,
    pub(crate) account: &'static str,
    inbox: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), AccountLimits::default())
    }

    pub(crate) fn with(options: Options, limits: AccountLimits) -> Self {
        let now = Now { mono_ns: SECOND, unix_ns: 1_700_000_000 * SECOND as i64 };
        let mut world = Self {
            engine: JetStream::new(options.clone()),
            disk: MemDisk::default(),
            slow_disk: false,
            limits,
            options,
            host: Recorder::default(),
            now,
            account: "$G",
            inbox: 0,
        };
        world.start();
        world
    }

    /// Starts an engine on the disk as it is.
    pub(crate) fn start(&mut self) -> RecoveryReport {
        self.engine = JetStream::new(self.options.clone());
        let interest = std::mem::take(&mut self.host.interest);
        self.host = Recorder { interest, random: self.host.random, ..Recorder::default() };
        natterjack_store::directory::open(&self.disk).unwrap();
        let report = self.engine.recover(&self.disk, self.now, &mut self.host).unwrap();
        self.engine.set_account("$G", Some(self.limits));
        self.settle_disk();
        report
    }

    /// The power goes: what was not synced is gone, and so is everything in memory.
    pub(crate) fn crash(&mut self) -> RecoveryReport {
        self.disk.crash();
        self.start()
    }

    /// Performs what was asked of the disk, and all that follows from it.
    pub(crate) fn run_disk(&mut self) {
        while self.run_one() {}
    }

    /// Performs the next request to the disk, and what streams send to each other because of it.
    /// False when there is none.
    pub(crate) fn run_one(&mut self) -> bool {
        self.run_internal();
        let Some((owner, request)) = self.host.disk.pop_front() else { return false };
        let result = request.run(&self.disk);
        self.engine.completed(&mut self.host, self.now, owner, request.id, result);
        self.run_internal();
        true
    }

    fn run_internal(&mut self) {
        while let Some(next) = self.host.internal.pop_front() {
            match next {
                Internal::Arrival(id, token, Sent { subject, reply, headers, payload, .. }) => {
                    let Some(cell) = self.engine.by_id(id) else { continue };
                    let reply = reply.unwrap_or_default();
                    let (headers, payload) = (headers.as_bytes(), payload.as_bytes());
                    cell.arrive(token, subject.as_bytes(), reply.as_bytes(), headers, payload);
                    // A batch ends with a settle; what came with it is taken together.
                    if !matches!(self.host.internal.front(), Some(Internal::Arrival(next, ..)) if *next == id)
                    {
                        cell.settle(&mut self.host, self.now);
                    }
                }
                Internal::Request(account, Sent { subject, reply, headers, payload, .. }) => {
                    let client = ClientInfo::nobody();
                    let request = ApiRequest {
                        account: &account,
                        subject: subject.as_bytes(),
                        reply: reply.as_deref().map(str::as_bytes),
                        headers: headers.as_bytes(),
                        payload: payload.as_bytes(),
                        client: &client,
                    };
                    if subject.starts_with("$JS.API.") {
                        self.engine.api(&mut self.host, self.now, &request);
                        continue;
                    }
                    let content = (request.headers, request.payload);
                    let to = (account.as_str(), request.subject);
                    let engine = &self.engine;
                    let host = &mut self.host;
                    if let Some(cell) = engine.take_ack(host, self.now, None, to, None, content) {
                        cell.settle(host, self.now);
                    }
                }
                Internal::Interest(subject) => {
                    let ids: Vec<u64> = self
                        .host
                        .watched
                        .iter()
                        .filter(|(own, _)| *own == subject)
                        .map(|(_, id)| *id)
                        .collect();
                    for cell in ids.into_iter().filter_map(|id| self.engine.by_id(id)) {
                        cell.interest_changed(&mut self.host, self.now, subject.as_bytes());
                    }
                }
            }
        }
    }

    /// The server ends in order and starts again.
    pub(crate) fn restart(&mut self) -> RecoveryReport {
        self.engine.shutdown(&mut self.host, self.now);
        self.run_disk();
        assert!(self.engine.is_idle());
        self.start()
    }

    fn settle_disk(&mut self) {
        self.run_internal();
        if !self.slow_disk {
            self.run_disk();
        }
    }

    /// Moves the clocks and runs the timers that come due on the way, each at its time.
    pub(crate) fn pass(&mut self, ns: u64) {
        let end = self.now.mono_ns + ns;
        loop {
            let due = self.host.wakes.iter().map(|(owner, at)| (*at, *owner)).min();
            let Some((at, owner)) = due.filter(|(at, _)| *at <= end) else { break };
            self.host.wakes.remove(&owner);
            self.move_to(at.max(self.now.mono_ns));
            self.engine.tick(&mut self.host, self.now, owner);
            self.settle_disk();
        }
        self.move_to(end);
    }

    fn move_to(&mut self, mono_ns: u64) {
        self.now.unix_ns += (mono_ns - self.now.mono_ns) as i64;
        self.now.mono_ns = mono_ns;
    }

    fn publish_to(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: &str,
        payload: &str,
    ) -> bool {
        let listeners = self.host.listeners.iter().filter(|(account, own, _)| {
            *account == self.account
                && natterjack_subject::matches(own.as_bytes(), subject.as_bytes())
        });
        let streams: Vec<_> = listeners.map(|(_, _, stream)| Arc::clone(stream)).collect();
        for stream in &streams {
            let msg = Inbound {
                subject: subject.as_bytes(),
                reply: reply.map(str::as_bytes),
                headers: headers.as_bytes(),
                payload: payload.as_bytes(),
            };
            stream.publish(&mut self.host, self.now, &msg);
            stream.settle(&mut self.host, self.now);
        }
        self.settle_disk();
        !streams.is_empty()
    }

    /// A publish that waits for nothing.
    pub(crate) fn publish_on(&mut self, reply: &str, subject: &str, headers: &str) {
        assert!(self.publish_to(subject, Some(reply), headers, ""));
    }

    fn next_inbox(&mut self) -> String {
        self.inbox += 1;
        format!("_I.{}", self.inbox)
    }

    /// A publish whose PubAck goes to `reply`.
    pub(crate) fn publish(&mut self, subject: &str, reply: &str, payload: &str) {
        self.publish_to(subject, Some(reply), "", payload);
    }

    /// A publish that waits for its PubAck; `503` when no stream listens, empty when none came.
    pub(crate) fn put(&mut self, subject: &str, headers: &str, payload: &str) -> String {
        let headers = if headers.is_empty() {
            String::new()
        } else {
            format!("NATS/1.0\r\n{headers}\r\n\r\n")
        };
        self.put_raw(subject, &headers, payload)
    }

    /// As [`put`](World::put), with a whole header block.
    pub(crate) fn put_raw(&mut self, subject: &str, headers: &str, payload: &str) -> String {
        let reply = self.next_inbox();
        if !self.publish_to(subject, Some(&reply), headers, payload) {
            return "503".into();
        }
        self.take(&reply).map(|sent| sent.text()).unwrap_or_default()
    }

    /// A request; its first answer, `503` without a responder, empty when none came.
    pub(crate) fn request(&mut self, subject: &str, headers: &str, body: &str) -> String {
        let reply = self.next_inbox();
        if !self.request_to(subject, &reply, headers, body) {
            return "503".into();
        }
        self.take(&reply).map(|sent| sent.text()).unwrap_or_default()
    }

    /// A request that only sends; false without a responder.
    pub(crate) fn request_to(
        &mut self,
        subject: &str,
        reply: &str,
        headers: &str,
        body: &str,
    ) -> bool {
        let client = ClientInfo { acc: self.account.into(), ..ClientInfo::default() };
        let headers = if headers.is_empty() {
            String::new()
        } else {
            format!("NATS/1.0\r\n{headers}\r\n\r\n")
        };
        let request = ApiRequest {
            account: self.account,
            subject: subject.as_bytes(),
            reply: Some(reply.as_bytes()),
            headers: headers.as_bytes(),
            payload: body.as_bytes(),
            client: &client,
        };
        let served = self.engine.api(&mut self.host, self.now, &request);
        self.settle_disk();
        served
    }

    /// A request to the API.
    pub(crate) fn api(&mut self, endpoint: &str, body: &str) -> String {
        self.request(&format!("$JS.API.{endpoint}"), "", body)
    }

    /// A request whose answer must be without error.
    pub(crate) fn must(&mut self, endpoint: &str, body: &str) -> serde_json::Value {
        let answer = self.api(endpoint, body);
        let value: serde_json::Value = serde_json::from_str(&answer).expect(&answer);
        assert!(value.get("error").is_none(), "{endpoint} {body}: {answer}");
        value
    }

    /// `err_code description` of the error that a request is answered with.
    pub(crate) fn refusal(&mut self, endpoint: &str, body: &str) -> String {
        let answer = self.api(endpoint, body);
        error_of(&answer)
    }

    /// Takes the first message sent to `route`.
    pub(crate) fn take(&mut self, route: &str) -> Option<Sent> {
        let at = self.host.sent.iter().position(|sent| sent.route == route)?;
        self.host.sent.remove(at)
    }

    /// Takes all messages sent to `route`.
    pub(crate) fn take_all(&mut self, route: &str) -> Vec<Sent> {
        let sent = std::mem::take(&mut self.host.sent);
        let (taken, rest): (VecDeque<_>, _) =
            sent.into_iter().partition(|sent| sent.route == route);
        self.host.sent = rest;
        taken.into()
    }

    /// An ack; its answer, `silence` if none came, `None` without a responder.
    pub(crate) fn ack(&mut self, subject: &str, body: &str) -> Option<String> {
        let reply = "_I.ack";
        let (account, now) = (self.account, self.now);
        let taken = self.engine.ack(
            &mut self.host,
            now,
            account,
            subject.as_bytes(),
            Some(reply.as_bytes()),
            body.as_bytes(),
        );
        self.settle_disk();
        taken.then(|| self.take(reply).map(|sent| sent.text()).unwrap_or("silence".into()))
    }

    /// A Direct Get and all its answers.
    pub(crate) fn direct(&mut self, tail: &str, body: &str) -> Vec<String> {
        let reply = self.next_inbox();
        if !self.request_to(&format!("$JS.API.DIRECT.GET.{tail}"), &reply, "", body) {
            return vec!["503".into()];
        }
        self.take_all(&reply).iter().map(Sent::text).collect()
    }

    /// `state` of `STREAM.INFO`.
    pub(crate) fn state(&mut self, stream: &str) -> serde_json::Value {
        self.must(&format!("STREAM.INFO.{stream}"), "")["state"].clone()
    }
}

/// `err_code description` of an answer with an error, or the answer itself.
pub(crate) fn error_of(answer: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    match value.get("error") {
        Some(error) => {
            format!("{} {}", error["err_code"], error["description"].as_str().unwrap_or(""))
        }
        None => answer.to_owned(),
    }
}
