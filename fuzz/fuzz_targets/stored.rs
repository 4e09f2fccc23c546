//! Files of a store: never a panic, whatever they hold; what is served fits together, and the store goes
//! on from there.
//!
//! The input changes the files of a small store that is otherwise whole: catalog, segments, sidecars,
//! table, journal, and the notes of consumers in the segments. Checksums do not count here (`cfg(fuzzing)`).

#![no_main]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};

use libfuzzer_sys::fuzz_target;
use natterjack_jetstream::{
    AccountLimits, ApiRequest, ClientInfo, Delivered, Host, Inbound, JetStream, Now, Options,
    Outgoing, StreamCell,
};
use natterjack_sim::SimDisk;
use natterjack_store::commit::{Journal, JournalOptions, commit};
use natterjack_store::{Disk, DiskOp, DiskRequest, RequestId, directory};

const NOW: Now = Now { mono_ns: 1_000_000_000, unix_ns: 1_700_000_000_000_000_000 };

#[derive(Default)]
struct World {
    requests: VecDeque<(u64, DiskRequest)>,
    listeners: Vec<(String, Arc<StreamCell>)>,
    sent: Vec<(String, String)>,
    random: u64,
}

impl Host for World {
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
        let reply = String::from_utf8_lossy(out.reply.unwrap_or_default()).into_owned();
        self.sent.push((reply, String::from_utf8_lossy(out.payload).into_owned()));
        Delivered::Yes
    }

    fn has_interest(&mut self, _: &str, _: &[u8], _: Option<&[u8]>) -> bool {
        true
    }

    fn disk(&mut self, owner: u64, request: DiskRequest) {
        self.requests.push_back((owner, request));
    }

    fn wake_at(&mut self, _: u64, _: u64) {}

    fn subscribe(&mut self, _: &str, subject: &[u8], stream: &Arc<StreamCell>) {
        let subject = String::from_utf8_lossy(subject).into_owned();
        self.listeners.push((subject, stream.clone()));
    }

    fn unsubscribe(&mut self, _: &str, subject: &[u8], id: u64) {
        self.listeners.retain(|(known, cell)| known.as_bytes() != subject || cell.id() != id);
    }

    fn watch_interest(&mut self, _: &str, _: &[u8], _: u64, _: bool) {}

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        self.random
    }
}

struct Server {
    engine: JetStream,
    world: World,
}

impl Server {
    fn start(disk: &SimDisk) -> Option<Self> {
        directory::open(disk).ok()?;
        Journal::open(disk, JournalOptions::default(), 3).ok()?;
        let engine = JetStream::new(Options::default());
        let mut world = World::default();
        engine.recover(disk, NOW, &mut world).ok()?;
        engine.set_account("$G", Some(AccountLimits::default()));
        let mut server = Server { engine, world };
        server.settle(disk);
        Some(server)
    }

    fn settle(&mut self, disk: &SimDisk) {
        // A store that never comes to rest is one that the fuzzer reports as a hang.
        while let Some((owner, request)) = self.world.requests.pop_front() {
            let result = request.run(disk);
            self.engine.completed(&mut self.world, NOW, owner, request.id, result);
        }
    }

    fn api(&mut self, disk: &SimDisk, call: &str, body: &str) {
        let (subject, client) = (format!("$JS.API.{call}"), ClientInfo::default());
        let request = ApiRequest {
            account: "$G",
            subject: subject.as_bytes(),
            reply: Some(b"answer"),
            headers: b"",
            payload: body.as_bytes(),
            client: &client,
        };
        self.engine.api(&mut self.world, NOW, &request);
        self.settle(disk);
    }

    fn publish(&mut self, disk: &SimDisk, subject: &str, payload: &[u8]) {
        let to = self.world.listeners.iter().filter(|(own, _)| *own == subject);
        let to: Vec<Arc<StreamCell>> = to.map(|(_, cell)| cell.clone()).collect();
        for cell in to {
            let message =
                Inbound { subject: subject.as_bytes(), reply: Some(b"ack"), headers: b"", payload };
            cell.publish(&mut self.world, NOW, &message);
            cell.settle(&mut self.world, NOW);
        }
        self.settle(disk);
    }

    fn ack_all(&mut self, disk: &SimDisk) {
        for (reply, _) in std::mem::take(&mut self.world.sent) {
            if reply.starts_with("$JS.ACK.") {
                self.engine.ack(&mut self.world, NOW, "$G", reply.as_bytes(), Some(b"a"), b"+ACK");
                self.settle(disk);
            }
        }
    }
}

/// A store with all kinds of files, and their names.
fn whole() -> &'static (SimDisk, Vec<String>) {
    static WHOLE: OnceLock<(SimDisk, Vec<String>)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let disk = SimDisk::new(1);
        let mut server = Server::start(&disk).expect("an empty disk");
        server.api(&disk, "STREAM.CREATE.S", r#"{"name":"S","subjects":["s"],"allow_msg_ttl":true}"#);
        server.api(
            &disk,
            "STREAM.CREATE.K",
            r#"{"name":"K","subjects":["k"],"max_msgs_per_subject":2,"retention":"workqueue"}"#,
        );
        for stream in ["S", "K"] {
            let body = format!(
                r#"{{"stream_name":"{stream}","config":{{"durable_name":"c","ack_policy":"explicit"}}}}"#
            );
            server.api(&disk, &format!("CONSUMER.DURABLE.CREATE.{stream}.c"), &body);
        }
        for number in 0..20_u8 {
            server.publish(&disk, "s", &[number; 40]);
            server.publish(&disk, "k", &[number; 20]);
        }
        server.api(&disk, "CONSUMER.MSG.NEXT.S.c", "7");
        server.api(&disk, "CONSUMER.MSG.NEXT.K.c", "1");
        server.ack_all(&disk);
        server.api(&disk, "STREAM.MSG.DELETE.S", r#"{"seq":12}"#);
        // So much that an orderly end writes what stands beside the segments.
        for _ in 0..3 {
            server.publish(&disk, "s", &[7; 100_000]);
        }
        server.engine.shutdown(&mut server.world, NOW);
        server.settle(&disk);
        server.publish(&disk, "s", b"behind the checkpoint");
        journal(&disk);
        let mut paths = disk.paths();
        paths.sort();
        (disk, paths)
    })
}

/// A journal with a record.
fn journal(disk: &SimDisk) {
    let options = JournalOptions { file_bytes: 32 << 10, ..JournalOptions::default() };
    let (journal, _) = Journal::open(disk, options, 3).expect("a sound disk");
    let journal = Mutex::new(journal);
    let path = disk.paths().into_iter().find(|path| path.ends_with(".seg"));
    let path: Arc<str> = path.expect("there is a stream").into();
    let data = disk.read_at(&path, 160, 200).expect("a sound disk");
    let ops = vec![DiskOp::Write { path: path.clone(), offset: 160, data }, DiskOp::Sync(path)];
    let request = DiskRequest { id: RequestId(1), ops };
    let weight = Journal::weight(&request);
    // It is made when it was asked for often enough.
    for _ in 0..100 {
        let (has_room, work) = {
            let mut journal = journal.lock().expect("nothing panics");
            (journal.has_room(weight), journal.work())
        };
        if let Some(work) = work {
            work.run(disk, &journal).expect("a sound disk");
        }
        if has_room {
            commit(disk, &journal, &[&request]);
            return;
        }
    }
    panic!("there is no journal");
}

fuzz_target!(|data: &[u8]| {
    let (whole, paths) = whole();
    let disk = whole.copy();
    // A file, a place, a length, and bytes for there; or where it is cut off.
    let mut rest = data;
    while let Some(([file, high, low, len], bytes)) = rest.split_first_chunk() {
        let path = &paths[usize::from(*file) % paths.len()];
        let size = disk.len(path).unwrap_or(0);
        // Near the beginning or the end, where everything but payloads is.
        let at = u64::from(u16::from_be_bytes([*high & 0x3f, *low]));
        let at = if high & 0x40 == 0 { at } else { size.saturating_sub(at) };
        if high & 0x80 != 0 && *len == 255 {
            let _ = disk.truncate(path, at.min(size));
        }
        let (bytes, after) = bytes.split_at(usize::from(*len % 16).min(bytes.len()));
        let _ = disk.write_at(path, at.min(size), bytes);
        rest = after;
    }
    let Some(mut server) = Server::start(&disk) else { return };
    for call in ["STREAM.INFO.S", "STREAM.INFO.K", "CONSUMER.INFO.S.c", "CONSUMER.INFO.K.c"] {
        server.api(&disk, call, "");
    }
    for seq in [1, 5, 12, 20, 22, 24] {
        server.api(&disk, "STREAM.MSG.GET.S", &format!("{{\"seq\":{seq}}}"));
    }
    server.api(&disk, "STREAM.MSG.GET.K", r#"{"last_by_subj":"k"}"#);
    server.api(&disk, "CONSUMER.MSG.NEXT.S.c", "5");
    server.api(&disk, "CONSUMER.MSG.NEXT.K.c", "5");
    server.ack_all(&disk);
    server.publish(&disk, "s", b"new");
    server.publish(&disk, "k", b"new");
    for id in 0..8 {
        server.engine.tick(&mut server.world, NOW, id);
        server.settle(&disk);
    }
    server.engine.shutdown(&mut server.world, NOW);
    server.settle(&disk);
    // What it wrote itself it reads again.
    assert!(Server::start(&disk).is_some(), "a store does not open after its own end");
});
