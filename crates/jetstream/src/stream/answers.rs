//! Answers that wait until what they promise is durable, in the order of admission.
//!
//! Everything a publisher or an acknowledging client hears passes here: PubAcks, duplicates,
//! refusals, empty answers to acks and the API's answers to purge and delete. An entry costs no
//! allocation of its own; its bytes live in one buffer.

use std::collections::VecDeque;

use natterjack_store::LogPos;

use crate::error::ApiError;
use crate::host::{Host, Outgoing};
use crate::json::write_u64;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Ack,
    Duplicate,
    /// The payload is stored after the reply subject.
    Stored,
}

#[derive(Debug)]
struct Entry {
    pos: LogPos,
    seq: u64,
    kind: Kind,
    reply: u32,
    payload: u32,
}

/// The queue of one stream.
#[derive(Debug, Default)]
pub struct Answers {
    queue: VecDeque<Entry>,
    bytes: VecDeque<u8>,
    /// `{"stream":"S","domain":"hub","seq":`
    ack_head: Vec<u8>,
    /// `,"stream":"S","domain":"hub","seq":0}`
    error_tail: Vec<u8>,
    scratch: Vec<u8>,
}

impl Answers {
    /// A queue for the stream of this name in this domain.
    pub fn new(stream: &str, domain: Option<&str>) -> Self {
        let mut names = Vec::new();
        names.extend_from_slice(b"\"stream\":");
        crate::json::write_string(&mut names, stream);
        if let Some(domain) = domain {
            names.extend_from_slice(b",\"domain\":");
            crate::json::write_string(&mut names, domain);
        }
        names.extend_from_slice(b",\"seq\":");
        Self {
            ack_head: [b"{", &names[..]].concat(),
            error_tail: [b",", &names[..], b"0}"].concat(),
            ..Self::default()
        }
    }

    /// How many answers wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A PubAck for `seq`.
    pub fn ack(&mut self, pos: LogPos, reply: &[u8], seq: u64) {
        self.push(pos, Kind::Ack, seq, reply, &[]);
    }

    /// A PubAck for a message that was stored before.
    pub fn duplicate(&mut self, pos: LogPos, reply: &[u8], seq: u64) {
        self.push(pos, Kind::Duplicate, seq, reply, &[]);
    }

    /// A refusal of a publish.
    pub fn error(&mut self, pos: LogPos, reply: &[u8], error: &ApiError) {
        let payload = self.error_payload(error);
        self.push(pos, Kind::Stored, 0, reply, &payload);
    }

    /// The PubAck that carries `error`.
    pub fn error_payload(&self, error: &ApiError) -> Vec<u8> {
        let mut payload = b"{\"error\":".to_vec();
        // Serializing into a Vec cannot fail.
        let _ = serde_json::to_writer(&mut payload, error);
        payload.extend_from_slice(&self.error_tail);
        payload
    }

    /// An answer that is complete already; empty for acks of consumers.
    pub fn payload(&mut self, pos: LogPos, reply: &[u8], payload: &[u8]) {
        self.push(pos, Kind::Stored, 0, reply, payload);
    }

    fn push(&mut self, pos: LogPos, kind: Kind, seq: u64, reply: &[u8], payload: &[u8]) {
        debug_assert!(self.queue.back().is_none_or(|last| last.pos <= pos));
        self.bytes.extend(reply);
        self.bytes.extend(payload);
        self.queue.push_back(Entry {
            pos,
            seq,
            kind,
            reply: reply.len() as u32,
            payload: payload.len() as u32,
        });
    }

    /// Sends what depends on nothing above `durable`.
    pub fn release(&mut self, durable: LogPos, account: &str, host: &mut dyn Host) {
        while self.queue.front().is_some_and(|entry| entry.pos <= durable) {
            let Some(entry) = self.queue.pop_front() else { break };
            let out = &mut self.scratch;
            out.clear();
            out.extend(self.bytes.drain(..entry.reply as usize));
            let subject = out.len();
            match entry.kind {
                Kind::Ack => {
                    out.extend_from_slice(&self.ack_head);
                    write_u64(out, entry.seq);
                    out.push(b'}');
                }
                Kind::Duplicate => {
                    out.extend_from_slice(&self.ack_head);
                    write_u64(out, entry.seq);
                    out.extend_from_slice(b",\"duplicate\": true}");
                }
                Kind::Stored => out.extend(self.bytes.drain(..entry.payload as usize)),
            }
            let (subject, payload) = out.split_at(subject);
            host.deliver(&Outgoing {
                account,
                route: subject,
                queue: None,
                subject,
                reply: None,
                headers: &[],
                payload,
            });
        }
        if self.queue.is_empty() && self.bytes.capacity() > 1 << 16 {
            self.bytes = VecDeque::new();
            self.queue = VecDeque::new();
        }
    }
}
