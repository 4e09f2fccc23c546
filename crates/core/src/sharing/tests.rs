//! Accounts that share, without a socket or a clock.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use natterjack_proto::parser::{Limits, Parser, Step};

use super::answers::{ENTRY_BYTES, MAX_WAITING};
use super::awaited::{NEAR, STEP};
use super::*;
use crate::account::InterestWatcher;
use crate::budget::Budget;
use crate::client::Client;
use crate::outbox::Wire;
use crate::service::{Message, Origin};
use crate::session::{Flow, Session, SessionLimits};

struct Deaf;

impl InterestWatcher for Deaf {
    fn changed(&self, _: &Arc<str>, _: &[u8]) {}
}

#[derive(Default)]
struct Desk {
    calls: Mutex<Vec<u64>>,
}

impl Reception for Desk {
    fn client_info(&self, cid: u64, account: &str, all: bool) -> ClientInfo {
        let id = if all { cid } else { 0 };
        ClientInfo { id, ..ClientInfo::brief(account, 7) }
    }

    fn server_id(&self) -> &str {
        "N"
    }

    fn time_text(&self, unix_ns: i64) -> String {
        unix_ns.to_string()
    }

    fn call_at(&self, mono_ns: u64) {
        self.calls.lock().unwrap().push(mono_ns);
    }
}

#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Vec<u8>>>);

impl Wire for Socket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.0.lock().unwrap().extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn spawn_writer(&self) {}

    fn shut(&self) {}
}

struct Peer {
    session: Session,
    socket: Socket,
    parser: Parser,
}

impl Peer {
    fn heard(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.socket.0.lock().unwrap())).unwrap()
    }

    /// The reply subject of the only message that was received.
    fn asked(&self) -> String {
        let heard = self.heard();
        assert_eq!(heard.matches("MSG ").count(), 1, "{heard}");
        heard.split(' ').nth(3).unwrap().to_owned()
    }
}

struct World {
    accounts: Vec<Arc<Account>>,
    declared: Vec<Sharing>,
    desk: Arc<Desk>,
    batch: Batch,
    cids: u64,
}

impl World {
    fn new(names: &[&str]) -> Self {
        let account = |name: &&str| Account::new(name, 7, Arc::new(Deaf));
        let nothing = |name: &&str| Sharing {
            account: (*name).into(),
            exports: Vec::new(),
            imports: Vec::new(),
        };
        World {
            accounts: names.iter().map(account).collect(),
            declared: names.iter().map(nothing).collect(),
            desk: Arc::default(),
            batch: Batch::new(42),
            cids: 0,
        }
    }

    fn account(&self, name: &str) -> &Arc<Account> {
        self.accounts.iter().find(|account| **account.name() == *name).unwrap()
    }

    fn of(&mut self, name: &str) -> &mut Sharing {
        self.declared.iter_mut().find(|sharing| *sharing.account == *name).unwrap()
    }

    fn stream(&mut self, from: (&str, &str), to: (&str, &str)) {
        let kind = ExportKind::Stream;
        self.share(from, to, kind);
    }

    fn service(&mut self, from: (&str, &str), to: (&str, &str), service: Service) {
        self.share(from, to, ExportKind::Service(service));
    }

    fn share(&mut self, from: (&str, &str), to: (&str, &str), kind: ExportKind) {
        let is_service = kind != ExportKind::Stream;
        let export = Export { subject: from.1.into(), importers: Importers::All, kind };
        self.of(from.0).exports.push(export);
        self.of(to.0).imports.push(Import {
            is_service,
            account: from.0.into(),
            subject: from.1.into(),
            local: to.1.into(),
            share: false,
            activation: None,
            allow_trace: true,
        });
    }

    fn faults(&self) -> Vec<String> {
        let is_account = |name: &str| self.accounts.iter().any(|account| **account.name() == *name);
        let faults = check(&self.declared, &is_account, 0);
        faults.into_iter().map(|fault| fault.error.to_string()).collect()
    }

    fn wire(&self) {
        assert_eq!(self.faults(), [""; 0]);
        let find =
            |name: &str| self.accounts.iter().find(|account| **account.name() == *name).cloned();
        let reception: Arc<dyn Reception> = self.desk.clone();
        wire(&self.declared, &find, &reception);
    }

    fn peer(&mut self, account: &str) -> Peer {
        self.cids += 1;
        let socket = Socket::default();
        let budget = Arc::new(Budget::new(1 << 30));
        let client = Client::new(self.cids, Box::new(socket.clone()), 1 << 24, budget);
        let limits =
            SessionLimits { max_subscriptions: None, max_subject_tokens: None, headers: true };
        let mut session = Session::new(client, limits);
        session.bind(self.account(account).clone(), None);
        let parser = Parser::new(Limits { max_control_line: 4096, max_payload: 1 << 20 });
        let mut peer = Peer { session, socket, parser };
        let connect = r#"CONNECT {"verbose":false,"headers":true,"no_responders":true}"#;
        assert_eq!(self.tell(&mut peer, connect), "");
        peer
    }

    /// Performs lines and returns what the peer received since the last call.
    fn tell(&mut self, peer: &mut Peer, lines: &str) -> String {
        let text = format!("{}\r\n", lines.replace('\n', "\r\n"));
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let Step::Op { op, consumed } = peer.parser.next(rest).unwrap() else {
                panic!("incomplete: {text:?}")
            };
            if let Flow::Login(connect) = peer.session.handle(&op, &mut self.batch) {
                assert!(peer.session.apply(&connect).is_ok());
            }
            rest = &rest[consumed..];
        }
        self.batch.flush();
        peer.heard()
    }

    fn tick(&mut self, mono_ns: u64) {
        self.batch.mono_ns = mono_ns;
        self.batch.unix_ns = mono_ns as i64;
        for account in &self.accounts {
            account.tick(&mut self.batch);
        }
        self.batch.flush();
    }

    /// Subscriptions of each account.
    fn counts(&self) -> Vec<usize> {
        self.accounts.iter().map(|account| account.subscription_count()).collect()
    }
}

#[test]
fn a_cached_publisher_reaches_importers_as_they_come_and_go() {
    let mut world = World::new(&["A", "B"]);
    world.stream(("A", "ev.*.>"), ("B", "b.$1.>"));
    world.wire();
    let (mut publisher, mut hearer) = (world.peer("A"), world.peer("B"));
    let publish = "PUB ev.x.y 1\n1\n";
    for _ in 0..3 {
        world.tell(&mut publisher, publish.trim_end());
    }
    assert_eq!(hearer.heard(), "");
    world.tell(&mut hearer, "SUB b.*.y 1\nSUB *.x.> q 2\nSUB ev.> 3\nSUB b.y.> 4");
    world.tell(&mut publisher, publish.trim_end());
    assert_eq!(hearer.heard(), "MSG b.x.y 1 1\r\n1\r\nMSG b.x.y 2 1\r\n1\r\n");
    world.tell(&mut hearer, "UNSUB 1\nUNSUB 2 2");
    world.tell(&mut publisher, publish.repeat(3).trim_end());
    assert_eq!(hearer.heard(), "MSG b.x.y 2 1\r\n1\r\n");
    hearer.session.leave();
    assert_eq!(world.counts(), [0, 0]);
}

#[test]
fn imports_that_change_concern_those_who_are_subscribed() {
    let mut world = World::new(&["A", "B"]);
    let (mut publisher, mut hearer) = (world.peer("A"), world.peer("B"));
    world.tell(&mut hearer, "SUB > 1");
    world.tell(&mut publisher, "PUB ev.x 0\n");
    world.stream(("A", "ev.x"), ("B", "one"));
    world.wire();
    world.tell(&mut publisher, "PUB ev.x 0\n");
    assert_eq!(hearer.heard(), "MSG one 1 0\r\n\r\n");
    world.of("B").imports[0].local = "two".into();
    world.wire();
    world.wire();
    world.tell(&mut publisher, "PUB ev.x 0\n");
    assert_eq!(hearer.heard(), "MSG two 1 0\r\n\r\n");
    world.of("B").imports.clear();
    world.wire();
    world.tell(&mut publisher, "PUB ev.x 0\n");
    assert_eq!((hearer.heard(), world.counts()), (String::new(), vec![0, 1]));
}

#[test]
fn a_request_crosses_accounts_and_its_answer_comes_back_once() {
    let mut world = World::new(&["A", "B", "C"]);
    world.service(("A", "svc.*.*"), ("B", "b.$2.$1"), Service::default());
    world.service(("B", "b.*.x"), ("C", "c.*"), Service::default());
    world.wire();
    let mut peers = ["A", "B", "C"].map(|name| world.peer(name));
    let [a, b, c] = &mut peers;
    assert_eq!(
        world.tell(c, "SUB in.* 9\nPUB c.1 in.1 1\nq"),
        "HMSG in.1 9 35 35\r\nNATS/1.0 503\r\nNats-Subject: c.1\r\n\r\n\r\n"
    );
    world.tell(a, "SUB svc.> 1");
    world.tell(c, "PUB c.1 in.1 1\nq");
    let heard = a.heard();
    let reply = heard.split(' ').nth(3).unwrap();
    let info = r#"NATS/1.0|Nats-Request-Info: {"acc":"C","svc":"B","rtt":7}||q"#;
    assert_eq!(heard, format!("HMSG svc.x.1 1 {reply} 62 63\r\n{}\r\n", info.replace('|', "\r\n")));
    world.tell(a, &format!("PUB {reply} 1\n1\nPUB {reply} 1\n2"));
    assert_eq!(c.heard(), "MSG in.1 9 1\r\n1\r\n");
    assert_eq!(b.heard(), "");
    assert_eq!(waiting(&world), 0);
}

/// Requests that any account waits for.
fn waiting(world: &World) -> usize {
    let counts = world.accounts.iter().map(|account| account.shares().waiting());
    let (asked, awaited) = counts.fold((0, 0), |all, it| (all.0 + it.0, all.1 + it.1));
    assert_eq!(asked, awaited, "both sides know of the same");
    asked
}

#[test]
fn both_sides_may_go_on_answering() {
    let mut world = World::new(&["A", "B"]);
    world.service(("A", "svc"), ("B", ""), Service::default());
    world.wire();
    let (mut a, mut b) = (world.peer("A"), world.peer("B"));
    world.tell(&mut a, "SUB svc 1\nSUB a.in 2");
    world.tell(&mut b, "SUB in.* 1");
    world.tell(&mut b, "PUB svc in.1 0\n");
    let reply = a.asked();
    world.tell(&mut a, &format!("PUB {reply} a.in 5\nfirst"));
    let reply = b.asked();
    assert!(reply.starts_with("_R_."));
    assert_eq!(world.tell(&mut a, &format!("PUB {reply} 1\nx")), "");
    world.tell(&mut b, &format!("PUB {reply} in.2 6\nsecond"));
    let reply = a.asked();
    world.tell(&mut a, &format!("PUB {reply} 5\nthird"));
    assert_eq!(b.heard(), "MSG in.2 1 5\r\nthird\r\n");
    assert_eq!(waiting(&world), 0);
}

#[test]
fn a_streamed_answer_has_as_much_time_again_after_each_part() {
    let mut world = World::new(&["A", "B"]);
    let streamed =
        Service { responses: Responses::Streamed, threshold_ns: 100, ..Service::default() };
    world.service(("A", "svc"), ("B", "here"), streamed);
    world.wire();
    let (mut a, mut b) = (world.peer("A"), world.peer("B"));
    world.tell(&mut a, "SUB svc 1");
    world.tell(&mut b, "SUB in.* 1\nPUB here in.1 0\n\nPUB here in.2 0\n");
    let heard = a.heard();
    let mut replies = heard.split(' ').filter(|word| word.starts_with("_R_."));
    let (first, second) = (replies.next().unwrap(), replies.next().unwrap());
    assert_eq!(world.desk.calls.lock().unwrap().first(), Some(&100));
    for now in [60, 120, 180] {
        world.tick(now);
        world.tell(&mut a, &format!("PUB {first} 1\nx\nPUB {second} 0\n"));
    }
    let part = "MSG in.1 1 1\r\nx\r\n";
    assert_eq!(b.heard(), format!("{part}MSG in.2 1 0\r\n\r\n{part}{part}"));
    world.tick(281);
    assert_eq!(waiting(&world), 0);
    world.tell(&mut a, &format!("PUB {first} 1\nx"));
    assert_eq!(b.heard(), "");
}

#[test]
fn latencies_are_reported_with_what_became_of_the_request() {
    let mut world = World::new(&["A", "B"]);
    let latency = Some(Latency { sampling: 100, subject: "m".into() });
    let measured = Service { threshold_ns: 100, latency, ..Service::default() };
    world.service(("A", "svc"), ("B", ""), measured);
    world.wire();
    let (mut a, mut b, mut m) = (world.peer("A"), world.peer("B"), world.peer("A"));
    world.tell(&mut m, "SUB m 1");
    let report = || {
        let heard = m.heard();
        let Some((_, body)) = heard.split_once("\r\n") else { return (0, 0, String::new()) };
        let body: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
        let number = |key: &str| body[key].as_u64().unwrap();
        (number("status"), number("total"), body["responder"]["acc"].to_string())
    };
    let nobody = "null".to_owned();
    world.tell(&mut b, "SUB in.* 1\nPUB svc in.1 0\n");
    assert_eq!(report(), (503, 0, nobody.clone()));
    world.tell(&mut a, "SUB svc 1");
    world.tell(&mut b, "PUB svc 0\n");
    assert_eq!(report(), (400, 0, nobody.clone()));
    a.heard();
    world.tell(&mut b, "PUB svc in.1 0\n");
    let reply = a.asked();
    assert!(reply.ends_with(".T"), "{reply}");
    world.tick(50);
    world.tell(&mut a, &format!("PUB {reply} 1\nx"));
    assert_eq!(report(), (200, 57, "\"A\"".to_owned()));
    world.tell(&mut b, "PUB svc in.1 0\n");
    world.tick(149);
    assert_eq!(report(), (0, 0, String::new()));
    world.tick(150);
    assert_eq!(report(), (504, 0, nobody.clone()));
    world.tell(&mut b, "PUB svc in.1 0\n\nUNSUB 1");
    world.tick(151);
    assert_eq!(report(), (408, 0, nobody));
    assert_eq!(waiting(&world), 0);
}

#[test]
fn a_requester_that_goes_leaves_nothing_behind() {
    let mut world = World::new(&["A", "B"]);
    world.service(("A", "svc"), ("B", ""), Service::default());
    world.wire();
    let (mut a, mut b) = (world.peer("A"), world.peer("B"));
    world.tell(&mut a, "SUB svc 1");
    world.tell(&mut b, "SUB in.* 1\nSUB in.1 2\nSUB other 3\nPUB svc in.1 0\n\nPUB svc in.2 0\n");
    assert_eq!(waiting(&world), 2);
    world.tell(&mut b, "UNSUB 2\nUNSUB 3");
    assert_eq!(waiting(&world), 2);
    b.session.leave();
    assert_eq!(waiting(&world), 0);
}

#[test]
fn the_end_of_a_wildcard_looks_at_a_few_requests_at_a_time() {
    let mut world = World::new(&["A", "B"]);
    world.service(("A", "svc"), ("B", ""), Service::default());
    world.wire();
    let (mut a, mut b, mut c) = (world.peer("A"), world.peer("B"), world.peer("B"));
    world.tell(&mut a, "SUB svc 1");
    world.tell(&mut b, "SUB in.> 1\nSUB on.> 2");
    world.tell(&mut c, "SUB in.9.> 1");
    (0..10).for_each(|n| drop(world.tell(&mut b, &format!("PUB svc in.{n}.x 0\n"))));
    (0..10).for_each(|n| drop(world.tell(&mut b, &format!("PUB svc on.{n}.x 0\n"))));
    world.desk.calls.lock().unwrap().clear();
    world.tell(&mut b, "UNSUB 1");
    assert_eq!(waiting(&world), 20 - NEAR);
    assert_eq!(*world.desk.calls.lock().unwrap(), [0]);
    world.tick(1);
    assert!(waiting(&world) < 20 - NEAR);
    // What ends meanwhile is looked at anew.
    world.tell(&mut b, "UNSUB 2");
    for step in 1..9 {
        let before = waiting(&world);
        world.tick(1 + step * 5_000_000);
        assert!(before - waiting(&world) <= STEP);
    }
    // Somebody else listens there.
    assert_eq!(waiting(&world), 1);
}

#[test]
fn a_requester_that_goes_is_forgotten_by_all_accounts_on_the_way() {
    let mut world = World::new(&["A", "B", "C"]);
    world.service(("A", "svc"), ("B", ""), Service::default());
    world.service(("B", "svc"), ("C", ""), Service::default());
    world.wire();
    let (mut a, mut c) = (world.peer("A"), world.peer("C"));
    world.tell(&mut a, "SUB svc 1");
    world.tell(&mut c, "SUB in.* 1\nPUB svc in.1 0\n");
    let reply = a.asked();
    let is_awaited = |world: &World| world.account("A").has_interest(reply.as_bytes());
    assert!(is_awaited(&world));
    assert_eq!(waiting(&world), 2);
    world.tell(&mut c, "UNSUB 1");
    assert!(!is_awaited(&world));
    assert_eq!(waiting(&world), 0);
}

#[test]
fn who_asks_too_much_is_refused_and_nobody_loses_a_request() {
    let mut world = World::new(&["A", "B"]);
    world.service(("A", "svc"), ("B", ""), Service::default());
    world.wire();
    let (mut a, mut b, mut c) = (world.peer("A"), world.peer("B"), world.peer("B"));
    world.tell(&mut a, "SUB svc 1");
    world.tell(&mut b, "SUB in.* 1\nPUB svc in.first 0\n");
    let first = a.asked();
    world.tell(&mut c, "SUB out.> 1");
    let no_responders = "NATS/1.0 503";
    let mut accepted = 0;
    while !world.tell(&mut c, &format!("PUB svc out.{accepted} 0\n")).contains(no_responders) {
        accepted += 1;
    }
    // One that asks all the time leaves as much to the others as it has.
    let most = MAX_WAITING / ENTRY_BYTES;
    assert!((most / 4..=most / 2).contains(&accepted), "{accepted}");
    assert_eq!(waiting(&world), accepted + 1);
    assert_eq!(world.tell(&mut b, "PUB svc in.second 0\n"), "");
    // What its replies take counts too.
    let long = format!("PUB svc in.{} 0\n", "x".repeat(2000));
    let heard = (0..9).map(|_| world.tell(&mut b, &long)).collect::<String>();
    assert!(heard.contains(no_responders), "{heard}");
    world.tell(&mut a, &format!("PUB {first} 1\nx"));
    assert!(b.heard().starts_with("MSG in.first 1 1\r\nx\r\n"));
    // Room that becomes free is given anew.
    world.tell(&mut c, "UNSUB 1");
    (0..20).for_each(|step| world.tick(step * 5_000_000));
    world.tell(&mut c, "SUB out.> 1");
    assert_eq!(world.tell(&mut c, "PUB svc out.1 0\n"), "");
}

#[test]
fn requests_that_share_a_reply_subject_are_told_apart() {
    let mut world = World::new(&["A", "B"]);
    world.service(("A", "svc"), ("B", ""), Service::default());
    world.wire();
    let (mut a, mut b) = (world.peer("A"), world.peer("B"));
    world.tell(&mut a, "SUB svc 1");
    world.tell(&mut b, "SUB in 1");
    world.tell(&mut b, "PUB svc in 0\n\nPUB svc in 0\n\nPUB svc in 0\n");
    let heard = a.heard();
    let replies: Vec<_> = heard.split(' ').filter(|word| word.starts_with("_R_.")).collect();
    assert_eq!((replies.len(), waiting(&world)), (3, 3));
    world.tell(&mut a, &format!("PUB {} 1\nx", replies[1]));
    world.tell(&mut a, &format!("PUB {} 1\ny", replies[1]));
    assert_eq!((b.heard().as_str(), waiting(&world)), ("MSG in 1 1\r\nx\r\n", 2));
    world.tell(&mut b, "UNSUB 1");
    assert_eq!(waiting(&world), 0);
}

/// Delivers a message of the server itself, as a consumer or a republishing stream does.
fn deliver(world: &mut World, account: &str, subject: &str, headers: &str) {
    let account = world.account(account).clone();
    let mut matches = crate::account::Matches::default();
    account.find(subject.as_bytes(), &mut matches);
    let message = Message {
        subject: subject.as_bytes(),
        reply: None,
        headers: headers.as_bytes(),
        payload: b"m",
    };
    account.route(&matches, b"stored", &message, Origin::Internal, &mut world.batch);
    world.batch.flush();
}

// A bucket of another account is read by its keys (nats-server 2.15.1).
#[test]
fn a_consumers_delivery_keeps_its_subject_in_whatever_account_it_arrives() {
    let mut world = World::new(&["A", "B"]);
    world.stream(("A", "same.>"), ("B", ""));
    world.stream(("A", "other.>"), ("B", "mine.>"));
    world.wire();
    let mut b = world.peer("B");
    world.tell(&mut b, "SUB same.x 1\nSUB mine.x 2");
    deliver(&mut world, "A", "same.x", "");
    deliver(&mut world, "A", "other.x", "");
    assert_eq!(b.heard(), "MSG stored 1 1\r\nm\r\nMSG stored 2 1\r\nm\r\n");
    let mut a = world.peer("A");
    world.tell(&mut a, "PUB other.x 1\nm");
    assert_eq!(b.heard(), "MSG mine.x 2 1\r\nm\r\n");
}

#[test]
fn nobody_is_introduced_by_a_header_that_a_client_wrote() {
    let mut world = World::new(&["A", "B", "C"]);
    world.service(("A", "svc"), ("B", ""), Service::default());
    world.service(("A", "shared"), ("B", ""), Service::default());
    world.service(("B", "svc"), ("C", ""), Service::default());
    world.of("B").imports[1].share = true;
    world.wire();
    let (mut a, mut b) = (world.peer("A"), world.peer("B"));
    world.tell(&mut a, "SUB svc 1\nSUB shared 2");
    let forged = "NATS/1.0\r\nX: y\r\nNats-Request-Info: {\"acc\":\"ROOT\"}\r\n\r\n";
    let told = |peer: &Peer| {
        let heard = peer.heard();
        let lines = heard.split("\r\n").filter_map(|line| line.strip_prefix("Nats-Request-Info: "));
        (heard.starts_with("HMSG stored "), lines.collect::<Vec<_>>().join("|"))
    };
    for (account, subject, info) in [
        ("B", "svc", r#"{"acc":"B"}"#),
        ("B", "shared", r#"{"acc":"B","server":"N","kind":"JetStream"}"#),
        ("C", "svc", r#"{"acc":"C","svc":"B"}"#),
    ] {
        deliver(&mut world, account, subject, forged);
        assert_eq!(told(&a), (true, info.to_owned()), "{account} {subject}");
    }
    // Nor by an answer that goes on as a request.
    world.service(("C", "asked"), ("B", ""), Service::default());
    world.wire();
    let mut c = world.peer("C");
    world.tell(&mut c, "SUB asked 1");
    world.tell(&mut b, "PUB asked svc 0\n");
    let reply = c.heard().split(' ').nth(3).unwrap().to_owned();
    let (header, all) = (forged.len(), forged.len() + 1);
    world.tell(&mut c, &format!("HPUB {reply} {header} {all}\n{}x", forged.replace("\r\n", "\n")));
    let heard = a.heard();
    assert!(heard.contains("X: y") && !heard.contains("ROOT"), "{heard}");
}

/// Counts what it receives.
#[derive(Default)]
struct Counter(std::sync::atomic::AtomicUsize);

impl crate::service::Service for Counter {
    fn receive(&self, _: &str, _: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        true
    }
}

#[test]
fn streams_capture_what_is_imported_and_the_server_takes_its_own_only() {
    let mut world = World::new(&["A", "B"]);
    world.stream(("A", "$KV.x.>"), ("B", ""));
    world.wire();
    let [stream, server] = [(); 2].map(|()| Arc::new(Counter::default()));
    let account = world.account("B").clone();
    account.subscribe_stream(b"$KV.x.>", stream.clone());
    account.subscribe_service(b"$KV.>", server.clone());
    let (mut a, mut b) = (world.peer("A"), world.peer("B"));
    let count = |counter: &Counter| counter.0.load(std::sync::atomic::Ordering::Relaxed);
    world.tell(&mut a, "PUB $KV.x.k 0\n");
    assert_eq!((count(&stream), count(&server)), (1, 0));
    world.tell(&mut b, "PUB $KV.x.k 0\n");
    assert_eq!((count(&stream), count(&server)), (2, 1));
}

#[test]
fn what_came_as_a_request_is_not_exported_as_a_stream() {
    let mut world = World::new(&["A", "B", "C"]);
    world.service(("A", "x"), ("B", ""), Service::default());
    world.stream(("A", "x"), ("C", ""));
    world.wire();
    let (mut a, mut b, mut c) = (world.peer("A"), world.peer("B"), world.peer("C"));
    world.tell(&mut c, "SUB x 1");
    world.tell(&mut b, "PUB x 0\n");
    assert_eq!(c.heard(), "");
    world.tell(&mut a, "PUB x 0\n");
    assert_eq!(c.heard(), "MSG x 1 0\r\n\r\n");
}

#[test]
fn what_does_not_hold_is_told_in_the_words_of_the_reference() {
    let mut world = World::new(&["A", "B", "C"]);
    world.service(("A", "x.*"), ("B", "y.*"), Service::default());
    world.service(("B", "y.*"), ("C", "z.*"), Service::default());
    world.stream(("A", "s.>"), ("B", "t.>"));
    world.stream(("B", "t.>"), ("C", "u.>"));
    assert_eq!(world.faults(), [""; 0]);
    // Streams do not chain, so only two accounts make a cycle.
    world.stream(("C", "u.>"), ("A", "s.>"));
    world.service(("C", "z.1"), ("A", "x.1"), Service::default());
    assert_eq!(
        world.faults(),
        ["Error adding service import \"y.*\": import forms a cycle"],
        "the one that closes it is refused"
    );
    world.of("A").imports.clear();
    world.of("A").exports[0].importers = Importers::Only(vec!["C".into(), "D".into()]);
    world.of("A").exports[1].importers = Importers::Named(2);
    assert_eq!(
        world.faults(),
        [
            "\"D\" account not defined for service export",
            "Error adding stream export \"s.>\": sublist: invalid subject",
            "Error adding service import \"x.*\": service import not authorized",
            "Error adding stream import \"s.>\": stream import not authorized",
        ]
    );
}
