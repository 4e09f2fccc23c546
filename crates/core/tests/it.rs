//! Sessions, accounts and batches together, without a socket or a clock: operations in, bytes out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use natterjack_core::account::{Account, InterestWatcher};
use natterjack_core::batch::Batch;
use natterjack_core::budget::Budget;
use natterjack_core::client::Client;
use natterjack_core::outbox::Wire;
use natterjack_core::permissions::{Permissions, PermissionsSpec, SubjectRules};
use natterjack_core::service::{Message, Origin, Service};
use natterjack_core::session::{Flow, Session, SessionLimits};
use natterjack_core::trace::Standing;
use natterjack_proto::error::ClosedReason;
use natterjack_proto::parser::{Limits, Op, Parser, Publish, Step};

struct Deaf;

impl InterestWatcher for Deaf {
    fn changed(&self, _: &Arc<str>, _: &[u8]) {}
}

#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Vec<u8>>>, Arc<AtomicBool>);

impl Wire for Socket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.1.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.0.lock().unwrap().extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn spawn_writer(&self) {}

    fn shut(&self) {}
}

/// A connection: what it sends is performed at once, what it received is read as text.
struct Peer {
    session: Session,
    socket: Socket,
    parser: Parser,
}

/// An account with a batch.
struct World {
    account: Arc<Account>,
    batch: Batch,
    cids: u64,
}

impl World {
    fn new() -> Self {
        World { account: Account::new("$G", 7, Arc::new(Deaf)), batch: Batch::new(42), cids: 0 }
    }

    fn peer(&mut self, connect: &str) -> Peer {
        self.restricted(connect, None)
    }

    fn restricted(&mut self, connect: &str, permissions: Option<Permissions>) -> Peer {
        self.cids += 1;
        let socket = Socket::default();
        let budget = Arc::new(Budget::new(1 << 30));
        let client = Client::new(self.cids, Box::new(socket.clone()), 1 << 20, budget);
        let limits = SessionLimits {
            max_subscriptions: Some(3),
            max_subject_tokens: Some(4),
            headers: true,
        };
        let mut session = Session::new(client, limits);
        session.bind(self.account.clone(), permissions.map(Arc::new));
        let parser = Parser::new(Limits { max_control_line: 4096, max_payload: 1 << 20 });
        let mut peer = Peer { session, socket, parser };
        if !connect.is_empty() {
            assert_eq!(self.tell(&mut peer, &format!("CONNECT {connect}\r\n")), "");
        }
        peer
    }

    /// Performs `text` and returns what the peer received since the last call.
    fn tell(&mut self, peer: &mut Peer, text: &str) -> String {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let Step::Op { op, consumed } = peer.parser.next(rest).unwrap() else {
                panic!("incomplete: {text:?}")
            };
            match peer.session.handle(&op, &mut self.batch) {
                Flow::Login(connect) if peer.session.apply(&connect).is_ok() => {
                    peer.session.accepted(&mut self.batch);
                }
                Flow::Close(reason) => return format!("closed: {}", reason.as_str()),
                _ => {}
            }
            rest = &rest[consumed..];
        }
        self.batch.flush();
        peer.heard()
    }
}

impl Peer {
    fn heard(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.socket.0.lock().unwrap())).unwrap()
    }
}

const QUIET: &str = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;

#[track_caller]
fn check(connect: &str, rows: &[(&str, &str)]) {
    let mut world = World::new();
    let mut peer = world.peer(connect);
    for (send, expected) in rows {
        assert_eq!(world.tell(&mut peer, send), *expected, "after {send:?}");
    }
}

#[test]
fn the_defaults_before_connect_are_verbose_and_pedantic() {
    check(
        "",
        &[
            ("SUB foo 1\r\n", "+OK\r\n"),
            ("PUB foo 2\r\nhi\r\n", "+OK\r\nMSG foo 1 2\r\nhi\r\n"),
            ("PUB foo.* 1\r\nx\r\n", "-ERR 'Invalid Publish Subject'\r\n+OK\r\n"),
            ("PING\r\n", "PONG\r\n"),
            ("UNSUB 1\r\n", "+OK\r\n"),
            ("PUB foo 2\r\nhi\r\n", "+OK\r\n"),
        ],
    );
}

#[test]
fn an_auto_unsubscribe_counts_from_the_creation_and_frees_the_sid() {
    check(
        QUIET,
        &[
            ("SUB foo 1\r\nPUB foo 1\r\na\r\n", "MSG foo 1 1\r\na\r\n"),
            ("UNSUB 1 2\r\nPUB foo 1\r\nb\r\nPUB foo 1\r\nc\r\n", "MSG foo 1 1\r\nb\r\n"),
            ("SUB foo 1\r\nPUB foo 1\r\nd\r\n", "MSG foo 1 1\r\nd\r\n"),
            ("UNSUB 1 1\r\nPUB foo 1\r\ne\r\n", ""),
        ],
    );
}

#[test]
fn a_requester_without_responders_is_told_at_once() {
    check(
        QUIET,
        &[
            (
                "SUB inbox.* 9\r\nPUB nobody inbox.1 1\r\nx\r\n",
                "HMSG inbox.1 9 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n",
            ),
            ("PUB nobody elsewhere 1\r\nx\r\n", ""),
        ],
    );
}

#[test]
fn limits_and_reserved_names_are_refused_and_the_connection_stays() {
    check(
        QUIET,
        &[
            ("SUB a..b 1\r\n", "-ERR 'Invalid Subject'\r\n"),
            (
                "SUB a.b.c.d.e 1\r\n",
                "-ERR 'Permissions Violation for Subscription to \"a.b.c.d.e\", too many tokens'\r\n",
            ),
            ("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n", ""),
            ("SUB d 4\r\n", "-ERR 'maximum subscriptions exceeded'\r\n"),
            ("PUB $GR.x 1\r\nx\r\n", "-ERR 'Permissions Violation for Publish to \"$GR.x\"'\r\n"),
            (
                "PUB a $JS.ACK.x 1\r\nx\r\n",
                "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\r\n",
            ),
            ("PING\r\n", "PONG\r\n"),
        ],
    );
}

#[test]
fn one_member_of_each_queue_group_gets_a_message_and_all_get_some() {
    let mut world = World::new();
    let mut members: Vec<Peer> = (0..4).map(|_| world.peer(QUIET)).collect();
    for member in &mut members {
        world.tell(member, "SUB q.* g 1\r\n");
    }
    let mut publisher = world.peer(QUIET);
    for _ in 0..400 {
        world.tell(&mut publisher, "PUB q.a 1\r\nx\r\n");
    }
    let counts: Vec<usize> =
        members.iter().map(|member| member.heard().matches("MSG").count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 400);
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

/// The control line of the message before is repeated only where it is the same.
#[test]
fn messages_that_are_alike_and_others_are_encoded_in_one_batch() {
    let mut world = World::new();
    let (mut one, mut two) = (world.peer(QUIET), world.peer(QUIET));
    world.tell(&mut one, "SUB a.* 1\r\nSUB a.b 23\r\n");
    world.tell(&mut two, "SUB a.> 1\r\nSUB a.b workers 9\r\n");
    let mut publisher = world.peer(QUIET);
    let mut expected = (String::new(), String::new());
    let mut sent = String::new();
    let messages = [
        ("a.b", "", "hello"),
        ("a.b", "", "world"),
        ("a.b", "", "longer than that"),
        ("a.b", "", "1"),
        ("a.b", "r", "1"),
        ("a.b", "", "2"),
        ("a.c", "", "3"),
        ("a.d", "", "4"),
        ("a.d", "", "5"),
        ("a.b", "", "6"),
        ("a.c", "", ""),
    ];
    // More than once, so that the matches come from the cache.
    for (subject, reply, payload) in [messages; 4].concat() {
        let size = payload.len();
        let reply = if reply.is_empty() { String::new() } else { format!("{reply} ") };
        sent.push_str(&format!("PUB {subject} {reply}{size}\r\n{payload}\r\n"));
        let sids = if subject == "a.b" { (vec![1, 23], vec![1, 9]) } else { (vec![1], vec![1]) };
        for (sids, expected) in [(sids.0, &mut expected.0), (sids.1, &mut expected.1)] {
            for sid in sids {
                expected.push_str(&format!("MSG {subject} {sid} {reply}{size}\r\n{payload}\r\n"));
            }
        }
    }
    assert_eq!(world.tell(&mut publisher, &sent), "");
    // Of one message the order of its copies for one client is free.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.split("MSG ").map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&one.heard()), sorted(&expected.0));
    assert_eq!(sorted(&two.heard()), sorted(&expected.1));
}

#[test]
fn reports_about_traced_messages_do_not_pile_up() {
    let mut world = World::new();
    let mut readers: Vec<Peer> = (0..100).map(|_| world.peer(QUIET)).collect();
    readers.iter_mut().for_each(|reader| drop(world.tell(reader, "SUB a 1\r\n")));
    let mut publisher = world.peer(QUIET);
    let headers = b"NATS/1.0\r\nNats-Trace-Dest: told\r\nNats-Trace-Only: 1\r\n\r\n";
    let publish = Publish { subject: b"a", reply: None, headers, payload: b"", is_hpub: true };
    let mut published = 0;
    while !world.batch.is_large() {
        let flow = publisher.session.publish(&publish, &mut world.batch);
        assert!(matches!(flow, Flow::Continue));
        published += 1;
        assert!(published < 1000, "nobody would be told before the end of the read buffer");
    }
    let reports = world.batch.take_reports();
    assert_eq!((reports.len(), reports[0].events.len()), (published, 101));
    world.batch.flush();
    assert!(!world.batch.is_large() && !world.batch.has_reports());
}

#[test]
fn of_messages_traced_from_outside_a_share_is_reported() {
    let mut world = World::new();
    let mut publisher = world.peer(QUIET);
    world.tell(&mut publisher, "SUB a 1\r\n");
    let publish = |world: &mut World, publisher: &mut Peer| {
        let headers = b"NATS/1.0\r\ntraceparent: 00-a-b-01\r\n\r\n";
        let publish = Publish { subject: b"a", reply: None, headers, payload: b"", is_hpub: true };
        assert!(matches!(publisher.session.publish(&publish, &mut world.batch), Flow::Continue));
        let reports = world.batch.take_reports();
        world.batch.flush();
        let heard = publisher.heard();
        assert!(heard.starts_with("HMSG a 1 "), "{heard}");
        (reports.len(), heard.contains("Nats-Trace-Dest: trace disabled\r\n\r\n"))
    };
    assert_eq!(publish(&mut world, &mut publisher), (0, false));
    world.account.set_standing_trace(Standing::new("told", 100));
    assert_eq!(publish(&mut world, &mut publisher), (1, false));
    world.account.set_standing_trace(Standing::new("told", 50));
    let all: Vec<_> = (0..200).map(|_| publish(&mut world, &mut publisher)).collect();
    let reported = all.iter().filter(|(reports, _)| *reports == 1).count();
    assert!((50..150).contains(&reported), "{reported}");
    assert!(all.iter().all(|(reports, is_disabled)| (*reports == 0) == *is_disabled));
    world.account.set_standing_trace(None);
    assert_eq!(publish(&mut world, &mut publisher), (0, false));
}

#[test]
fn a_member_that_cannot_take_a_message_is_passed_over() {
    let mut world = World::new();
    let mut silent = world.peer(r#"{"verbose":false,"echo":false}"#);
    let mut other = world.peer(QUIET);
    world.tell(&mut silent, "SUB q g 1\r\n");
    world.tell(&mut other, "SUB q g 1\r\n");
    for _ in 0..20 {
        assert_eq!(world.tell(&mut silent, "PUB q 1\r\nx\r\n"), "");
    }
    assert_eq!(other.heard().matches("MSG").count(), 20);
}

#[test]
fn headers_are_left_out_for_those_who_do_not_know_them() {
    let mut world = World::new();
    let (mut modern, mut old) = (world.peer(QUIET), world.peer(r#"{"verbose":false}"#));
    world.tell(&mut modern, "SUB foo 1\r\n");
    world.tell(&mut old, "SUB foo 1\r\n");
    let sent = "HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
    assert_eq!(world.tell(&mut modern, sent), "HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    assert_eq!(old.heard(), "MSG foo 1 2\r\nhi\r\n");
    assert_eq!(world.tell(&mut old, sent), "closed: Message Header Violation");
}

#[test]
fn denied_subjects_are_filtered_at_delivery_and_refused_at_publish() {
    let mut world = World::new();
    let rules = |allow: &str, deny: &str| SubjectRules {
        allow: vec![allow.to_owned()],
        deny: vec![deny.to_owned()],
    };
    let spec = PermissionsSpec {
        publish: rules("ok.>", "ok.no"),
        subscribe: rules("ok.>", "ok.no.>"),
        allow_responses: None,
    };
    let mut user = world.restricted(QUIET, Some(Permissions::compile(spec).unwrap()));
    let mut admin = world.peer(QUIET);
    assert_eq!(world.tell(&mut user, "SUB ok.> 1\r\n"), "");
    assert_eq!(
        world.tell(&mut user, "SUB > 2\r\n"),
        "-ERR 'Permissions Violation for Subscription to \">\"'\r\n"
    );
    world.tell(&mut admin, "PUB ok.no.x 1\r\nx\r\nPUB ok.yes 1\r\ny\r\n");
    assert_eq!(user.heard(), "MSG ok.yes 1 1\r\ny\r\n");
    assert_eq!(
        world.tell(&mut user, "PUB ok.no 1\r\nx\r\n"),
        "-ERR 'Permissions Violation for Publish to \"ok.no\"'\r\n"
    );
}

#[test]
fn a_cached_match_ends_with_the_interest_it_found() {
    let mut world = World::new();
    let (mut publisher, mut subscriber) = (world.peer(QUIET), world.peer(QUIET));
    world.tell(&mut subscriber, "SUB foo.a 1\r\n");
    for _ in 0..3 {
        world.tell(&mut publisher, "PUB foo.a 1\r\nx\r\n");
    }
    assert_eq!(subscriber.heard().matches("MSG").count(), 3);
    world.tell(&mut subscriber, "SUB foo.* 2\r\nUNSUB 1\r\n");
    world.tell(&mut publisher, "PUB foo.a 1\r\nx\r\n");
    assert_eq!(subscriber.heard(), "MSG foo.a 2 1\r\nx\r\n");
    world.tell(&mut subscriber, "SUB > 3\r\nUNSUB 2\r\n");
    world.tell(&mut publisher, "PUB foo.a 1\r\nx\r\n");
    assert_eq!(subscriber.heard(), "MSG foo.a 3 1\r\nx\r\n");
    subscriber.session.leave();
    world.tell(&mut publisher, "PUB foo.a 1\r\nx\r\n");
    assert_eq!(subscriber.heard(), "");
    assert_eq!(world.account.subscription_count(), 0);
}

#[test]
fn a_sid_that_is_used_again_is_not_ended_with_its_predecessor() {
    let mut world = World::new();
    let (mut publisher, mut subscriber) = (world.peer(QUIET), world.peer(QUIET));
    world.tell(&mut subscriber, "SUB foo 1\r\nUNSUB 1 1\r\n");
    // The last delivery is counted by one worker, and ends the subscription with that one's flush.
    let mut elsewhere = std::mem::replace(&mut world.batch, Batch::new(7));
    let publish = Op::Pub(Publish {
        subject: b"foo",
        reply: None,
        headers: &[],
        payload: b"x",
        is_hpub: false,
    });
    publisher.session.handle(&publish, &mut elsewhere);
    world.tell(&mut subscriber, "UNSUB 1\r\nSUB foo 1\r\n");
    elsewhere.flush();
    assert_eq!(subscriber.heard(), "MSG foo 1 1\r\nx\r\n");
    assert_eq!(subscriber.session.client().subscription_count(), 1);
    subscriber.session.leave();
    assert_eq!(world.account.subscription_count(), 0);
}

#[test]
fn what_a_broken_socket_did_not_take_reaches_nobody_else() {
    let mut world = World::new();
    let mut publisher = world.peer(QUIET);
    let (mut broken, mut whole) = (world.peer(QUIET), world.peer(QUIET));
    world.tell(&mut broken, "SUB secret 1\r\n");
    world.tell(&mut whole, "SUB public 1\r\n");
    broken.socket.1.store(true, Ordering::Relaxed);
    assert_eq!(world.tell(&mut publisher, "PUB secret 6\r\nhidden\r\n"), "");
    assert_eq!(broken.session.client().closed(), Some(ClosedReason::WriteError));
    for _ in 0..3 {
        world.tell(&mut publisher, "PUB public 1\r\nx\r\n");
        assert_eq!(whole.heard(), "MSG public 1 1\r\nx\r\n");
    }
}

/// Publishes into the next service while it is being called itself.
struct Relay {
    account: Arc<Account>,
    to: &'static [u8],
}

impl Service for Relay {
    fn receive(&self, _: &str, message: &Message<'_>, _: Origin<'_>, batch: &mut Batch) -> bool {
        let mut matches = natterjack_core::account::Matches::default();
        self.account.find(self.to, &mut matches);
        let next = Message { subject: self.to, ..*message };
        self.account.route(&matches, self.to, &next, Origin::Internal, batch);
        true
    }
}

#[test]
fn a_service_that_publishes_to_a_service_is_not_called_within_the_call() {
    let mut world = World::new();
    let account = world.account.clone();
    for (from, to) in [(&b"one"[..], &b"two"[..]), (b"two", b"three")] {
        account.subscribe_service(from, Arc::new(Relay { account: account.clone(), to }));
    }
    let mut peer = world.peer(QUIET);
    assert_eq!(
        world.tell(&mut peer, "SUB three 1\r\nPUB one 1\r\nx\r\n"),
        "MSG three 1 1\r\nx\r\n"
    );
}
