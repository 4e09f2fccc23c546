//! Publish into a stream, pull from it, get from it: streams and consumers with a host that writes what
//! leaves into a buffer and whose disk is always done at once.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use natterjack_jetstream::{
    AccountLimits, ApiRequest, ClientInfo, Delivered, Host, Inbound, JetStream, Now, Options,
    Outgoing, StreamCell,
};
use natterjack_sim::SimDisk;
use natterjack_store::{DiskRequest, DiskResult};
use natterjack_workload::{Round, Workload, divan};

const SECOND: u64 = 1_000_000_000;
/// Publishes that arrive in one read buffer.
const BATCH: usize = 256;
/// Messages asked for by one pull request.
const PULL: usize = 500;
/// Messages of a stream that is consumed: then a new consumer begins at its first.
const STORED: usize = 20 * PULL;

const WORKLOADS: &[Workload] = &[
    Workload::new("publish/memory-128", || publish("memory", 128, "")),
    Workload::new("publish/memory-1024", || publish("memory", 1024, "")),
    Workload::new("publish/file-128", || publish("file", 128, "")),
    Workload::new("publish/file-128-history-of-one", || {
        publish("file", 128, r#","max_msgs_per_subject":1"#)
    }),
    Workload::new("consume/ack-none", || consume("none")),
    Workload::new("consume/ack-explicit", || consume("explicit")),
    Workload::new("fetch/one-at-a-time", fetch),
    Workload::new("get/direct-last", direct_get),
];

/// Takes what leaves.
#[derive(Default)]
struct Sink {
    /// The replies of deliveries, one after the other, with their ends.
    replies: Vec<u8>,
    ends: Vec<usize>,
    /// What was written, as a target's outbox would have it.
    out: Vec<u8>,
    deliveries: usize,
    disk: VecDeque<(u64, DiskRequest)>,
    random: u64,
}

impl Sink {
    fn clear(&mut self) {
        self.replies.clear();
        self.ends.clear();
        self.out.clear();
        self.deliveries = 0;
    }
}

impl Host for Sink {
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
        if let Some(reply) = out.reply {
            self.replies.extend_from_slice(reply);
            self.ends.push(self.replies.len());
        }
        self.out.extend_from_slice(out.headers);
        self.out.extend_from_slice(out.payload);
        self.deliveries += 1;
        Delivered::Yes
    }

    fn has_interest(&mut self, _: &str, _: &[u8]) -> bool {
        true
    }

    fn is_subscribed(&mut self, _: &str, _: &[u8], _: Option<&[u8]>) -> bool {
        true
    }

    fn disk(&mut self, owner: u64, request: DiskRequest) {
        self.disk.push_back((owner, request));
    }

    fn wake_at(&mut self, _: u64, _: u64) {}

    fn subscribe(&mut self, _: &str, _: &[u8], _: &Arc<StreamCell>) {}

    fn unsubscribe(&mut self, _: &str, _: &[u8], _: u64) {}

    fn watch_interest(&mut self, _: &str, _: &[u8], _: u64, _: bool) {}

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        self.random ^ (self.random >> 29)
    }
}

struct World {
    engine: JetStream,
    host: Sink,
    now: Now,
    client: ClientInfo,
}

impl World {
    /// An engine with the stream S on `s.>`.
    fn new(storage: &str, fields: &str) -> Self {
        let engine = JetStream::new(Options::default());
        engine.set_account("$G", Some(AccountLimits::default()));
        let now = Now { mono_ns: SECOND, unix_ns: 1_700_000_000 * SECOND as i64 };
        let client = ClientInfo { acc: "$G".into(), ..ClientInfo::default() };
        let mut host = Sink::default();
        engine.recover(&SimDisk::new(1), now, &mut host).expect("an empty disk");
        let mut world = World { engine, host, now, client };
        let config = format!(r#"{{"name":"S","subjects":["s.>"],"storage":"{storage}"{fields}}}"#);
        world.must("STREAM.CREATE.S", &config);
        world
    }

    fn stream(&self) -> Arc<StreamCell> {
        self.engine.stream("$G", "S").expect("it was created")
    }

    /// A new buffer is read a little later.
    fn later(&mut self) {
        self.now.mono_ns += 100_000;
        self.now.unix_ns += 100_000;
    }

    fn disk(&mut self) {
        while let Some((owner, request)) = self.host.disk.pop_front() {
            assert!(!request.is_read(), "what was just written is read from memory");
            let host = &mut self.host;
            self.engine.completed(host, self.now, owner, request.id, DiskResult::Done);
        }
    }

    fn request(&mut self, subject: &[u8], payload: &[u8]) {
        let request = ApiRequest {
            account: "$G",
            subject,
            reply: Some(b"_INBOX.0123456789.1"),
            headers: b"",
            payload,
            client: &self.client,
        };
        assert!(self.engine.api(&mut self.host, self.now, &request), "somebody serves it");
        self.disk();
    }

    /// A request of the API that succeeds.
    fn must(&mut self, endpoint: &str, body: &str) {
        self.host.clear();
        self.request(format!("$JS.API.{endpoint}").as_bytes(), body.as_bytes());
        let answer = String::from_utf8_lossy(&self.host.out);
        assert!(answer.contains(r#""type""#) && !answer.contains(r#""error""#), "{answer}");
        self.host.clear();
    }

    /// One read buffer of publishes, each answered.
    fn publish(&mut self, stream: &StreamCell, subjects: &[Vec<u8>], payload: &[u8]) {
        for subject in subjects {
            let reply = Some(&b"_INBOX.0123456789.1"[..]);
            let msg = Inbound { subject, reply, headers: b"", payload };
            stream.publish(&mut self.host, self.now, &msg);
        }
        stream.settle(&mut self.host, self.now);
        self.disk();
        self.later();
    }

    fn consumer(&mut self, ack: &str) {
        let config = format!(
            r#"{{"stream_name":"S","config":{{"name":"c","ack_policy":"{ack}","mem_storage":true,
            "max_ack_pending":-1,"inactive_threshold":3600000000000}}}}"#
        );
        self.must("CONSUMER.CREATE.S.c", &config);
    }

    /// Acknowledges all that was delivered, as they come in one read buffer.
    fn acknowledge(&mut self, stream: &StreamCell) {
        let replies = std::mem::take(&mut self.host.replies);
        let ends = std::mem::take(&mut self.host.ends);
        let mut begin = 0;
        for end in &ends {
            let subject = &replies[begin..*end];
            let host = &mut self.host;
            let taken =
                self.engine.take_ack(host, self.now, None, ("$G", subject), None, (b"", b"+ACK"));
            assert!(taken.is_some(), "the consumer takes it");
            begin = *end;
        }
        stream.settle(&mut self.host, self.now);
        (self.host.replies, self.host.ends) = (replies, ends);
    }
}

fn subjects(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("s.{number:03}").into_bytes()).collect()
}

fn publish(storage: &str, size: usize, fields: &str) -> Round {
    let mut world = World::new(storage, fields);
    let stream = world.stream();
    let (subjects, payload) = (subjects(BATCH), vec![b'x'; size]);
    Round::new(BATCH, move || {
        world.publish(&stream, &subjects, &payload);
        assert_eq!(world.host.deliveries, BATCH, "each is answered");
        world.host.clear();
    })
}

/// A stream in memory with messages.
fn stored() -> (World, Arc<StreamCell>) {
    let mut world = World::new("memory", "");
    let stream = world.stream();
    let subjects = subjects(PULL);
    for _ in 0..STORED / PULL {
        world.publish(&stream, &subjects, &[b'x'; 128]);
    }
    world.host.clear();
    (world, stream)
}

/// Pull requests over all that is stored, and again with a new consumer.
fn consume(ack: &'static str) -> Round {
    let (mut world, stream) = stored();
    let mut left = 0;
    Round::new(PULL, move || {
        if left == 0 {
            world.consumer(ack);
            left = STORED;
        }
        let body = format!(r#"{{"batch":{PULL},"expires":30000000000}}"#);
        world.request(b"$JS.API.CONSUMER.MSG.NEXT.S.c", body.as_bytes());
        assert_eq!(world.host.deliveries, PULL, "as many as were asked for");
        if ack != "none" {
            world.acknowledge(&stream);
        }
        world.host.clear();
        world.later();
        left -= PULL;
        if left == 0 {
            world.must("CONSUMER.DELETE.S.c", "");
        }
    })
}

/// Pull requests for one message each, each acknowledged.
fn fetch() -> Round {
    let (mut world, stream) = stored();
    let mut left = 0;
    Round::new(1, move || {
        if left == 0 {
            world.consumer("explicit");
            left = STORED;
        }
        world.request(b"$JS.API.CONSUMER.MSG.NEXT.S.c", br#"{"batch":1,"expires":30000000000}"#);
        assert_eq!(world.host.deliveries, 1, "the one that was asked for");
        world.acknowledge(&stream);
        world.host.clear();
        world.later();
        left -= 1;
        if left == 0 {
            world.must("CONSUMER.DELETE.S.c", "");
        }
    })
}

/// Gets by subject, as a Key/Value bucket's.
fn direct_get() -> Round {
    let mut world = World::new("memory", r#","allow_direct":true,"max_msgs_per_subject":1"#);
    let stream = world.stream();
    let subjects = subjects(BATCH);
    world.publish(&stream, &subjects, &[b'x'; 128]);
    world.host.clear();
    let asked: Vec<Vec<u8>> =
        subjects.iter().map(|subject| [b"$JS.API.DIRECT.GET.S.", &subject[..]].concat()).collect();
    Round::new(BATCH, move || {
        for subject in &asked {
            world.request(subject, b"");
        }
        assert_eq!(world.host.deliveries, BATCH, "each is answered");
        black_box(&world.host.out);
        world.host.clear();
        world.later();
    })
}

#[divan::bench(crate = divan, args = WORKLOADS)]
fn time(bencher: divan::Bencher<'_, '_>, workload: &Workload) {
    workload.time(bencher);
}

fn main() {
    natterjack_workload::main(WORKLOADS);
}
