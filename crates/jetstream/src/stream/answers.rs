//! Answers that wait until what they promise is durable, in the order of admission.
//!
//! Everything a publisher or an acknowledging client hears passes here: PubAcks, duplicates,
//! refusals, empty answers to acks and the API's answers to purge and delete. An entry costs no
//! allocation of its own; its bytes live in one buffer.

use std::collections::VecDeque;

use natterjack_store::{LogPos, Refused};

use crate::error::ApiError;
use crate::host::{Host, Outgoing};
use crate::json::write_u64;

/// What follows the sequence of a duplicate; the space is the reference's.
const DUPLICATE: &[u8] = b",\"duplicate\": true}";
/// Bytes of buffer that are kept while nothing waits.
const KEPT: usize = 1 << 16;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Ack,
    Duplicate,
    /// As an ack; what follows the sequence is stored after the reply subject.
    Tailed,
    /// The payload is stored after the reply subject.
    Stored,
    /// The same, and it promises that the message is stored.
    Told,
    /// A message that is published again: so many bytes of the payload are its headers.
    Message(u32),
    /// What it was to tell of is gone.
    Nothing,
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
    /// Reply subjects and payloads in the order of the queue, from `taken` on.
    bytes: Vec<u8>,
    taken: usize,
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

    /// Bytes of their subjects and payloads.
    pub fn bytes(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A PubAck for `seq`.
    pub fn ack(&mut self, pos: LogPos, reply: &[u8], seq: u64) {
        self.push(pos, Kind::Ack, seq, reply, &[]);
    }

    /// The PubAck of a batch of `count` messages that ends with `seq`.
    pub(super) fn batch_ack(
        &mut self,
        pos: LogPos,
        reply: &[u8],
        seq: u64,
        batch: &[u8],
        count: u64,
    ) {
        self.push(pos, Kind::Tailed, seq, reply, &batch_tail(batch, count));
    }

    /// The PubAck of a batch whose only message was stored before.
    pub(super) fn batch_duplicate(
        &mut self,
        pos: LogPos,
        reply: &[u8],
        seq: u64,
        batch: &[u8],
        count: u64,
    ) {
        let tail = [b",\"duplicate\": true".to_vec(), batch_tail(batch, count)].concat();
        self.push(pos, Kind::Tailed, seq, reply, &tail);
    }

    /// An answer that is complete already and tells of the message `seq`, or of none with 0.
    pub(super) fn told(&mut self, pos: LogPos, reply: &[u8], seq: u64, payload: &[u8]) {
        self.push(pos, Kind::Told, seq, reply, payload);
    }

    /// The PubAck of a counter's message: what it adds up to.
    pub(super) fn counted(&mut self, pos: LogPos, reply: &[u8], seq: u64, total: &str) {
        let tail = format!(",\"val\":\"{total}\"}}");
        self.push(pos, Kind::Tailed, seq, reply, tail.as_bytes());
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

    /// A stored message that is published again on `subject`.
    pub(super) fn republish(
        &mut self,
        pos: LogPos,
        seq: u64,
        subject: &[u8],
        headers: &[u8],
        payload: &[u8],
    ) {
        let kind = Kind::Message(headers.len() as u32);
        self.push(pos, kind, seq, subject, headers);
        self.bytes.extend_from_slice(payload);
        if let Some(entry) = self.queue.back_mut() {
            entry.payload += payload.len() as u32;
        }
    }

    fn push(&mut self, pos: LogPos, kind: Kind, seq: u64, reply: &[u8], payload: &[u8]) {
        self.bytes.extend_from_slice(reply);
        self.bytes.extend_from_slice(payload);
        self.queue.push_back(Entry {
            pos,
            seq,
            kind,
            reply: reply.len() as u32,
            payload: payload.len() as u32,
        });
    }

    /// Settles what depends on positions that will never become durable. Acks of the messages in
    /// `gone` become `error`; everything else was appended again and waits for `end`.
    pub fn refuse(&mut self, refused: &Refused, end: LogPos, error: &ApiError) {
        let waiting = refused.after..=refused.upto;
        if !self.queue.iter().any(|entry| waiting.contains(&entry.pos)) {
            return;
        }
        let payload = self.error_payload(error);
        let old = std::mem::take(&mut self.bytes);
        let mut rest = &old[self.taken..];
        self.taken = 0;
        for entry in &mut self.queue {
            let (reply, tail) = rest.split_at(entry.reply as usize);
            let (body, tail) = tail.split_at(entry.payload as usize);
            rest = tail;
            let hit = entry.pos > refused.after && entry.pos <= refused.upto;
            let gone =
                refused.seqs.is_some_and(|gone| (gone.first..=gone.last).contains(&entry.seq));
            self.bytes.extend_from_slice(reply);
            if hit && gone && matches!(entry.kind, Kind::Message(_)) {
                (entry.kind, entry.payload, entry.pos) = (Kind::Nothing, 0, refused.after);
                continue;
            }
            if hit && gone && !matches!(entry.kind, Kind::Stored) {
                entry.kind = Kind::Stored;
                entry.payload = payload.len() as u32;
                entry.pos = refused.after;
                self.bytes.extend_from_slice(&payload);
                continue;
            }
            self.bytes.extend_from_slice(body);
            if hit {
                entry.pos = end;
            }
        }
    }

    /// Sends what depends on nothing above `durable`.
    pub fn release(&mut self, durable: LogPos, account: &str, host: &mut dyn Host) {
        while self.queue.front().is_some_and(|entry| entry.pos <= durable) {
            let Some(entry) = self.queue.pop_front() else { break };
            let reply = self.taken..self.taken + entry.reply as usize;
            let stored = reply.end..reply.end + entry.payload as usize;
            self.taken = stored.end;
            let out = &mut self.scratch;
            out.clear();
            let mut headers: &[u8] = &[];
            let payload: &[u8] = match entry.kind {
                Kind::Nothing => continue,
                Kind::Stored | Kind::Told => &self.bytes[stored],
                Kind::Message(len) => {
                    let (head, body) = self.bytes[stored].split_at(len as usize);
                    headers = head;
                    body
                }
                Kind::Tailed => {
                    out.extend_from_slice(&self.ack_head);
                    write_u64(out, entry.seq);
                    out.extend_from_slice(&self.bytes[stored]);
                    out
                }
                Kind::Ack | Kind::Duplicate => {
                    out.extend_from_slice(&self.ack_head);
                    write_u64(out, entry.seq);
                    let duplicate = matches!(entry.kind, Kind::Duplicate);
                    out.extend_from_slice(if duplicate { DUPLICATE } else { b"}" });
                    out
                }
            };
            let subject = &self.bytes[reply];
            host.deliver(&Outgoing {
                account,
                route: subject,
                subject,
                reply: None,
                headers,
                payload,
            });
        }
        self.reclaim();
    }

    /// Gives room back: all of it when nothing waits, the front when it is most of the buffer.
    fn reclaim(&mut self) {
        if self.queue.is_empty() {
            self.bytes.clear();
            self.taken = 0;
            if self.bytes.capacity() > KEPT {
                self.bytes = Vec::new();
                self.queue = VecDeque::new();
            }
        } else if self.taken > KEPT && self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}

/// `,"batch":"id","count":3}`
fn batch_tail(batch: &[u8], count: u64) -> Vec<u8> {
    let mut tail = b",\"batch\":".to_vec();
    crate::json::write_string(&mut tail, &String::from_utf8_lossy(batch));
    tail.extend_from_slice(b",\"count\":");
    write_u64(&mut tail, count);
    tail.push(b'}');
    tail
}

#[cfg(test)]
mod tests {
    use natterjack_store::{DiskError, DiskErrorKind, SeqRange};

    use super::*;
    use crate::host::Delivered;

    #[derive(Default)]
    struct Sent(Vec<(String, String)>);

    impl Host for Sent {
        fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.0.push((text(out.route), text(out.payload)));
            Delivered::Yes
        }
        fn has_interest(&mut self, _: &str, _: &[u8]) -> bool {
            true
        }
        fn is_subscribed(&mut self, _: &str, _: &[u8], _: Option<&[u8]>) -> bool {
            true
        }
        fn disk(&mut self, _: u64, _: natterjack_store::DiskRequest) {}
        fn wake_at(&mut self, _: u64, _: u64) {}
        fn subscribe(&mut self, _: &str, _: &[u8], _: &std::sync::Arc<crate::StreamCell>) {}
        fn unsubscribe(&mut self, _: &str, _: &[u8], _: u64) {}
        fn watch_interest(&mut self, _: &str, _: &[u8], _: u64, _: bool) {}
        fn random(&mut self) -> u64 {
            0
        }
    }

    fn released(answers: &mut Answers, durable: u64) -> Vec<(String, String)> {
        let mut sent = Sent::default();
        answers.release(LogPos(durable), "$G", &mut sent);
        sent.0
    }

    fn row(reply: &str, payload: &str) -> (String, String) {
        (reply.to_owned(), payload.to_owned())
    }

    #[test]
    fn answers_leave_in_order_once_their_position_is_durable() {
        let mut answers = Answers::new("S", Some("hub"));
        answers.ack(LogPos(10), b"a", 1);
        answers.duplicate(LogPos(10), b"b", 1);
        answers.error(LogPos(20), b"c", &ApiError::StreamSealed);
        answers.payload(LogPos(30), b"d", b"");
        assert_eq!(released(&mut answers, 9), []);
        assert_eq!(
            released(&mut answers, 10),
            [
                row("a", r#"{"stream":"S","domain":"hub","seq":1}"#),
                row("b", r#"{"stream":"S","domain":"hub","seq":1,"duplicate": true}"#),
            ]
        );
        let error = r#"{"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"},"stream":"S","domain":"hub","seq":0}"#;
        assert_eq!(released(&mut answers, 30), [row("c", error), row("d", "")]);
        assert!(answers.is_empty());
    }

    #[test]
    fn what_never_becomes_durable_is_refused_and_the_rest_waits_for_its_second_try() {
        let mut answers = Answers::new("S", None);
        answers.ack(LogPos(10), b"a", 1);
        answers.ack(LogPos(20), b"b", 2);
        answers.payload(LogPos(30), b"c", b"{}");
        let error = DiskError {
            kind: DiskErrorKind::Other,
            op: "sync",
            path: "1/1.log".into(),
            message: "failed".into(),
        };
        let refused = Refused {
            after: LogPos(10),
            upto: LogPos(30),
            seqs: Some(SeqRange { first: 2, last: 2 }),
            error,
        };
        let shown = ApiError::StreamStoreFailed { err: "x".into() };
        answers.refuse(&refused, LogPos(50), &shown);
        let lost =
            r#"{"error":{"code":503,"err_code":10077,"description":"x"},"stream":"S","seq":0}"#;
        assert_eq!(
            released(&mut answers, 40),
            [row("a", r#"{"stream":"S","seq":1}"#), row("b", lost)]
        );
        assert_eq!(released(&mut answers, 50), [row("c", "{}")]);
    }
}
