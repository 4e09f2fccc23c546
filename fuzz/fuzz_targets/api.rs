//! Requests to the JetStream API, publishes with headers and acks: never a panic, each answer is JSON.
//!
//! The input is lines: a subject, a blank, a body. `=` in front makes it a publish whose headers stand
//! before a tab, `+` an ack.

#![no_main]

use std::collections::VecDeque;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use natterjack_jetstream::{
    AccountLimits, ApiRequest, ClientInfo, Delivered, Host, Inbound, JetStream, Now, Options,
    Outgoing, StreamCell,
};
use natterjack_sim::SimDisk;
use natterjack_store::{DiskRequest, directory};

#[derive(Default)]
struct World {
    requests: VecDeque<(u64, DiskRequest)>,
    listeners: Vec<(String, Arc<StreamCell>)>,
    random: u64,
}

impl Host for World {
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
        // Stored messages come with headers or with where their ack goes.
        let is_stored = out.reply.is_some() || !out.headers.is_empty();
        if out.route == b"answer" && !is_stored && !out.payload.is_empty() {
            serde_json::from_slice::<serde_json::Value>(out.payload).expect("an answer is JSON");
        }
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

fuzz_target!(|data: &[u8]| {
    let disk = SimDisk::new(1);
    directory::open(&disk).expect("an empty disk");
    let engine = JetStream::new(Options::default());
    let mut world = World::default();
    let mut now = Now { mono_ns: 1_000_000_000, unix_ns: 1_700_000_000_000_000_000 };
    engine.recover(&disk, now, &mut world).expect("an empty disk");
    let limits = AccountLimits { max_memory: Some(1 << 20), ..AccountLimits::default() };
    engine.set_account("$G", Some(limits));
    for line in data.split(|byte| *byte == b'\n').take(40) {
        now.mono_ns += 700_000_000;
        now.unix_ns += 700_000_000;
        let mut parts = line.splitn(2, |byte| *byte == b' ');
        let (subject, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match subject.split_first() {
            Some((b'=', subject)) => {
                let mut parts = body.splitn(2, |byte| *byte == b'\t');
                let (headers, payload) =
                    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                let block = match headers {
                    b"" => Vec::new(),
                    _ => [b"NATS/1.0\r\n", headers, b"\r\n\r\n"].concat(),
                };
                let to = world.listeners.iter().filter(|(own, _)| own.as_bytes() == subject);
                let to: Vec<Arc<StreamCell>> = to.map(|(_, cell)| cell.clone()).collect();
                for cell in to {
                    let reply = Some(&b"ack"[..]);
                    let message = Inbound { subject, reply, headers: &block, payload };
                    cell.publish(&mut world, now, &message);
                    cell.settle(&mut world, now);
                }
            }
            Some((b'+', subject)) => {
                engine.ack(&mut world, now, "$G", subject, Some(b"acked"), body);
            }
            _ => {
                let subject = [b"$JS.API.", subject].concat();
                let client = ClientInfo::default();
                let request = ApiRequest {
                    account: "$G",
                    subject: &subject,
                    reply: Some(b"answer"),
                    headers: b"",
                    payload: body,
                    client: &client,
                };
                engine.api(&mut world, now, &request);
            }
        }
        while let Some((owner, request)) = world.requests.pop_front() {
            let result = request.run(&disk);
            engine.completed(&mut world, now, owner, request.id, result);
        }
        for owner in 0..4 {
            engine.tick(&mut world, now, owner);
        }
    }
});
