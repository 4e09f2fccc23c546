//! Deliver: a read buffer of publishes goes through parser, session, sublist and batch into outboxes whose
//! sockets take everything.

use std::io::{self, IoSlice};
use std::sync::Arc;

use natterjack_core::account::{Account, InterestWatcher};
use natterjack_core::batch::Batch;
use natterjack_core::budget::Budget;
use natterjack_core::client::Client;
use natterjack_core::outbox::Wire;
use natterjack_core::session::{Flow, Session, SessionLimits};
use natterjack_proto::connect::Connect;
use natterjack_proto::parser::{Limits, Parser, Step};
use natterjack_workload::{Round, Workload, divan};

/// A read buffer of the server.
const BUFFER: usize = 64 * 1024;
const HEADERS: &str = "NATS/1.0\r\nNats-Msg-Id: 0123456789\r\n\r\n";

const WORKLOADS: &[Workload] = &[
    Workload::new("deliver/nobody-16", || deliver(&[], &publishes(16))),
    Workload::new("deliver/nobody-128", || deliver(&[], &publishes(128))),
    Workload::new("deliver/one-16", || deliver(&["SUB bench.subject 1\r\n"], &publishes(16))),
    Workload::new("deliver/one-128", || deliver(&["SUB bench.subject 1\r\n"], &publishes(128))),
    Workload::new("deliver/one-1024", || deliver(&["SUB bench.subject 1\r\n"], &publishes(1024))),
    Workload::new("deliver/one-with-headers-128", || {
        let (headers, all) = (HEADERS.len(), HEADERS.len() + 128);
        let publish = format!("HPUB bench.subject {headers} {all}\r\n{HEADERS}{:128}\r\n", "");
        deliver(&["SUB bench.subject 1\r\n"], &repeat(&publish))
    }),
    Workload::new("deliver/eight-128", || {
        deliver(&["SUB bench.subject 1\r\n"; 8], &publishes(128))
    }),
    Workload::new("deliver/queue-of-four-128", || {
        deliver(&["SUB bench.subject workers 1\r\n"; 4], &publishes(128))
    }),
    Workload::new("deliver/wildcard-200-subjects-128", || {
        let publish = |number| format!("PUB a0.k{number:03}.c 128\r\n{:128}\r\n", "");
        deliver(&["SUB a0.*.> 1\r\n"], &fill(publish, 200))
    }),
    Workload::new("deliver/one-shot-subjects-16", || {
        // Each subject is published to once in a long while, as inboxes are: no cache knows it.
        let publish = |number| format!("PUB _INBOX.0123456789.{number} 16\r\n{:16}\r\n", "");
        deliver(&["SUB _INBOX.0123456789.* 1\r\n"], &fill(publish, usize::MAX))
    }),
    Workload::new("deliver/request-16", || {
        let publish = format!("PUB bench.subject _INBOX.0123456789.1 16\r\n{:16}\r\n", "");
        deliver(&["SUB bench.subject 1\r\n"], &repeat(&publish))
    }),
    Workload::new("subscribe/and-unsubscribe", || {
        let text = |number| format!("SUB bench.{number} {number}\r\nUNSUB {number}\r\n");
        deliver(&[], &fill(text, usize::MAX))
    }),
];

struct Nobody;

impl InterestWatcher for Nobody {
    fn changed(&self, _: &Arc<str>, _: &[u8]) {}
}

/// A socket that takes everything.
struct Sink;

impl Wire for Sink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn spawn_writer(&self) {}

    fn shut(&self) {}
}

struct Peer {
    session: Session,
    parser: Parser,
}

impl Peer {
    fn new(cid: u64, account: &Arc<Account>) -> Self {
        let budget = Arc::new(Budget::new(1 << 40));
        let client = Client::new(cid, Box::new(Sink), 64 << 20, budget);
        let limits =
            SessionLimits { max_subscriptions: None, max_subject_tokens: None, headers: true };
        let mut session = Session::new(client, limits);
        let connect = br#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        let connect = Connect::parse(connect).expect("a right CONNECT");
        assert!(session.apply(&connect).is_ok(), "it asks for nothing special");
        session.bind(account.clone(), None);
        Peer { session, parser: Parser::new(Limits::default()) }
    }

    /// Performs one read buffer as a connection's task does; returns how many operations it held.
    fn read(&mut self, mut bytes: &[u8], batch: &mut Batch) -> usize {
        let mut operations = 0;
        while !bytes.is_empty() {
            let consumed = self.step(bytes, batch);
            bytes = &bytes[consumed..];
            operations += 1;
            if batch.is_large() {
                batch.flush();
            }
        }
        self.session.end_batch();
        batch.flush();
        operations
    }

    /// Performs one operation, a publish the short way as a connection does; the bytes it took.
    fn step(&mut self, bytes: &[u8], batch: &mut Batch) -> usize {
        if let Some((publish, consumed)) = self.parser.next_publish(bytes)
            && let Flow::Continue = self.session.publish(&publish, batch)
        {
            return consumed;
        }
        let Ok(Step::Op { op, consumed }) = self.parser.next(bytes) else {
            panic!("only whole and right operations")
        };
        let flow = self.session.handle(&op, batch);
        assert!(matches!(flow, Flow::Continue | Flow::FirstPing), "nothing to object to");
        consumed
    }
}

fn publishes(size: usize) -> Vec<u8> {
    repeat(&format!("PUB bench.subject {size}\r\n{:size$}\r\n", ""))
}

fn repeat(operation: &str) -> Vec<u8> {
    operation.repeat(BUFFER / operation.len()).into_bytes()
}

/// One read buffer of operations that differ by a number below `numbers`.
fn fill(operation: impl Fn(usize) -> String, numbers: usize) -> Vec<u8> {
    let mut buffer = String::new();
    for number in 0.. {
        let next = operation(number % numbers);
        if buffer.len() + next.len() > BUFFER {
            break;
        }
        buffer.push_str(&next);
    }
    buffer.into_bytes()
}

/// One publisher performs `buffer` again and again, beside a subscriber for each of `subscribers`.
fn deliver(subscribers: &[&str], buffer: &[u8]) -> Round {
    let account = Account::new("$G", 1, Arc::new(Nobody));
    let mut batch = Batch::new(1);
    let mut peers = Vec::new();
    for (cid, subscribe) in (2..).zip(subscribers) {
        let mut peer = Peer::new(cid, &account);
        peer.read(subscribe.as_bytes(), &mut batch);
        peers.push(peer);
    }
    let mut publisher = Peer::new(1, &account);
    let operations = publisher.read(buffer, &mut batch);
    let buffer = buffer.to_vec();
    Round::new(operations, move || {
        publisher.read(&buffer, &mut batch);
        assert!(peers.iter().all(|peer| peer.session.client().closed().is_none()));
    })
}

#[divan::bench(crate = divan, args = WORKLOADS)]
fn time(bencher: divan::Bencher<'_, '_>, workload: &Workload) {
    workload.time(bencher);
}

fn main() {
    natterjack_workload::main(WORKLOADS);
}
