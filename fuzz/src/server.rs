//! JetStream's engine with a host that remembers what was sent, on a disk in memory: what the server
//! does around it, in one thread and at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Poll, Waker};

use natterjack_jetstream::{
    AccountLimits, ApiRequest, ClientInfo, Delivered, Host, Inbound, JetStream, Now, Options,
    Outgoing, Restore, Snapshot, Step, StreamCell,
};
use natterjack_store::commit::{Journal, JournalOptions};
use natterjack_store::{Damage, Disk as _, DiskRequest, directory};

use crate::disk::MemDisk;

/// When every target begins.
pub const NOW: Now = Now { mono_ns: 1_000_000_000, unix_ns: 1_700_000_000_000_000_000 };

/// The only account.
const ACCOUNT: &str = "$G";

/// More is not remembered of what one request sends.
const SENT_MAX: usize = 1000;

/// A message that left.
#[derive(Debug)]
pub struct Sent {
    /// Where it goes.
    pub route: Vec<u8>,
    /// Where its ack goes, if it is a delivery.
    pub reply: Vec<u8>,
    /// Its headers; stored messages of direct gets have some.
    pub headers: Vec<u8>,
    /// Its payload.
    pub payload: Vec<u8>,
}

#[derive(Default)]
struct World {
    requests: VecDeque<(u64, DiskRequest)>,
    listeners: Vec<(Vec<u8>, Arc<StreamCell>)>,
    sent: Vec<Sent>,
    wakes: BTreeMap<u64, u64>,
    snapshots: Vec<Snapshot>,
    restores: Vec<Restore>,
    damage: usize,
    advisories: bool,
    random: u64,
}

impl Host for World {
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
        if self.sent.len() < SENT_MAX {
            self.sent.push(Sent {
                route: out.route.to_vec(),
                reply: out.reply.unwrap_or_default().to_vec(),
                headers: out.headers.to_vec(),
                payload: out.payload.to_vec(),
            });
        }
        Delivered::Yes
    }

    fn has_interest(&mut self, _: &str, subject: &[u8]) -> bool {
        self.advisories || !subject.starts_with(b"$JS.EVENT.")
    }

    fn is_subscribed(&mut self, _: &str, _: &[u8], _: Option<&[u8]>) -> bool {
        true
    }

    fn disk(&mut self, owner: u64, request: DiskRequest) {
        self.requests.push_back((owner, request));
    }

    fn wake_at(&mut self, owner: u64, mono_ns: u64) {
        self.wakes.insert(owner, mono_ns);
    }

    fn subscribe(&mut self, _: &str, subject: &[u8], stream: &Arc<StreamCell>) {
        self.listeners.push((subject.to_vec(), stream.clone()));
    }

    fn unsubscribe(&mut self, _: &str, subject: &[u8], id: u64) {
        self.listeners.retain(|(known, cell)| known != subject || cell.id() != id);
    }

    fn watch_interest(&mut self, _: &str, _: &[u8], _: u64, _: bool) {}

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        self.random ^ (self.random >> 29)
    }

    fn send_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshots.push(snapshot);
    }

    fn take_restore(&mut self, restore: Restore) {
        self.restores.push(restore);
    }

    fn damaged(&mut self, _: &str, _: &str, _: &Damage) {
        self.damage += 1;
    }
}

/// A server without sockets.
pub struct Server {
    /// The engine.
    pub engine: JetStream,
    /// Its disk.
    pub disk: MemDisk,
    /// The time.
    pub now: Now,
    /// The last archive that a snapshot gave.
    pub archive: Vec<u8>,
    world: World,
}

impl Server {
    /// Starts on a disk; `None` if that cannot be done, which is said in the log.
    pub fn start(disk: MemDisk, limits: AccountLimits, now: Now) -> Option<Self> {
        directory::open(&disk).ok()?;
        if disk.list("journal").is_ok() {
            Journal::open(&disk, JournalOptions::default(), 3).ok()?;
        }
        let engine = JetStream::new(Options::default());
        let mut world = World::default();
        engine.recover(&disk, now, &mut world).ok()?;
        engine.set_account(ACCOUNT, Some(limits));
        let mut server = Server { engine, disk, now, archive: Vec::new(), world };
        server.settle();
        Some(server)
    }

    /// Lets the disk do what it was asked for, until all is done. A store that never comes to rest is
    /// one that the fuzzer reports as a hang.
    pub fn settle(&mut self) {
        while let Some((owner, request)) = self.world.requests.pop_front() {
            let result = request.run(&self.disk);
            self.engine.completed(&mut self.world, self.now, owner, request.id, result);
        }
    }

    /// A request to the API, answered to `answer`.
    pub fn api(&mut self, call: &[u8], headers: &[u8], body: &[u8]) {
        let subject = [b"$JS.API.", call].concat();
        static CLIENT: ClientInfo = ClientInfo::nobody();
        let request = ApiRequest {
            account: ACCOUNT,
            subject: &subject,
            reply: Some(b"answer"),
            headers,
            payload: body,
            client: &CLIENT,
        };
        self.engine.api(&mut self.world, self.now, &request);
        self.settle();
        while let Some(snapshot) = self.world.snapshots.pop() {
            self.send(snapshot);
        }
        while let Some(restore) = self.world.restores.pop() {
            self.take(restore);
        }
    }

    /// Takes what a snapshot sends.
    fn send(&mut self, mut snapshot: Snapshot) {
        self.archive.clear();
        let error = loop {
            match snapshot.next_chunk(&mut self.world, self.now, Waker::noop()) {
                Poll::Ready(Ok(Some(chunk))) => self.archive.extend_from_slice(&chunk),
                Poll::Ready(Ok(None)) => break None,
                Poll::Ready(Err(error)) => break Some(error),
                Poll::Pending => self.settle(),
            }
        };
        self.archive.extend_from_slice(&snapshot.rest());
        snapshot.ended(&mut self.world, self.now, error.as_deref());
    }

    /// Feeds a restore with the last archive.
    fn take(&mut self, mut restore: Restore) {
        let waker = Waker::noop();
        let archive = std::mem::take(&mut self.archive);
        let mut outcome = Ok(());
        for part in archive.chunks(200) {
            restore.push(part);
            while outcome.is_ok() {
                let (host, now) = (&mut self.world, self.now);
                match self.engine.restore_step(host, now, &mut restore, waker, 1 << 20) {
                    Ok(Step::Idle) => break,
                    Ok(Step::More) => {}
                    Ok(Step::Waits) => self.settle(),
                    Err(error) => outcome = Err(error),
                }
            }
        }
        self.archive = archive;
        if outcome.is_ok() {
            outcome = self.engine.complete_restore(&mut self.world, self.now, &mut restore);
        }
        while outcome.is_ok() {
            match self.engine.is_restored(&mut self.world, self.now, &mut restore, waker) {
                Ok(true) => break,
                Ok(false) => self.settle(),
                Err(error) => outcome = Err(error),
            }
        }
        let (host, now) = (&mut self.world, self.now);
        let published = match outcome {
            Ok(()) => self.engine.publish_restored(host, now, restore, b"answer", |_| {}),
            Err(error) => Err((Box::new(restore), error)),
        };
        if let Err((mut restore, error)) = published {
            self.engine.refuse_restored(&mut self.world, now, &restore, b"answer", &error);
            self.engine.abandon_restore(&mut self.world, now, &mut restore, false);
        }
        self.settle();
    }

    /// The answer to a request, alone.
    pub fn ask(&mut self, call: &str, body: &str) -> Vec<u8> {
        self.world.sent.clear();
        self.api(call.as_bytes(), b"", body.as_bytes());
        let sent = self.world.sent.drain(..).filter(|sent| sent.route == b"answer");
        sent.last().map(|sent| sent.payload).unwrap_or_default()
    }

    /// Somebody listens to advisories, which are much of the work.
    pub fn hear_advisories(&mut self) {
        self.world.advisories = true;
    }

    /// Publishes to the streams that listen there.
    pub fn publish(&mut self, subject: &[u8], headers: &[u8], payload: &[u8]) {
        let hears = |own: &[u8]| natterjack_subject::matches(own, subject);
        let to = self.world.listeners.iter().filter(|(own, _)| hears(own));
        let to: Vec<Arc<StreamCell>> = to.map(|(_, cell)| cell.clone()).collect();
        for cell in to {
            let message = Inbound { subject, reply: Some(b"ack"), headers, payload };
            cell.publish(&mut self.world, self.now, &message);
            cell.settle(&mut self.world, self.now);
        }
        self.settle();
    }

    /// An ack, confirmed to `acked`.
    pub fn ack(&mut self, subject: &[u8], body: &[u8]) {
        self.engine.ack(&mut self.world, self.now, ACCOUNT, subject, Some(b"acked"), body);
        self.settle();
    }

    /// Acks all deliveries that nobody took.
    pub fn ack_all(&mut self) {
        for sent in self.take_sent() {
            if sent.reply.starts_with(b"$JS.ACK.") {
                self.ack(&sent.reply, b"+ACK");
            }
        }
    }

    /// What was sent since this was asked last.
    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.world.sent)
    }

    /// How often damage was told of.
    pub fn damage(&self) -> usize {
        self.world.damage
    }

    /// Time goes on, and timers fire.
    pub fn sleep(&mut self, nanos: u64) {
        self.now.mono_ns += nanos;
        self.now.unix_ns += nanos as i64;
        let mut fired = 0;
        while let Some((&owner, _)) =
            self.world.wakes.iter().find(|(_, due)| **due <= self.now.mono_ns)
        {
            self.world.wakes.remove(&owner);
            self.engine.tick(&mut self.world, self.now, owner);
            self.settle();
            fired += 1;
            assert!(fired < 1000, "a timer is due again and again");
        }
    }

    /// An orderly end; the disk stays.
    pub fn shutdown(mut self) -> MemDisk {
        self.engine.shutdown(&mut self.world, self.now);
        self.settle();
        self.disk
    }
}
