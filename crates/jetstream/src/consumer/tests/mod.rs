//! A consumer on a memory log, with a recording host and time moved by hand. What leaves is compared
//! as lines: `inbox <- s.a 1.3.2+4 "x"` is a message shown on `s.a`, delivered for the 1st time,
//! stream sequence 3, consumer sequence 2, 4 pending behind it; a status is its header block with
//! `|` for line ends.

mod acks;
mod configs;
mod files;
mod pins;
mod pulls;
mod pushes;
mod recovery;
mod starts;

use std::collections::BTreeSet;
use std::sync::Arc;

use natterjack_store::{DiskRequest, Limits as LogLimits, Log, NewMessage, Purge};

use super::*;
use crate::ack_subject::{AckToken, parse};
use crate::ctx::{AckReplies, Scope};
use crate::host::{Delivered, Host, Outgoing};
use crate::json::decode;
use crate::stream::StreamCell;

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000 * MS;

/// A message as the host saw it.
#[derive(Debug, Clone)]
struct Sent {
    line: String,
    ack: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    sent: Vec<Sent>,
    /// Subjects with a plain subscriber, and `subject group` with a member of a group.
    interest: BTreeSet<String>,
    /// Subjects whose receivers are full.
    full: BTreeSet<&'static str>,
    random: u64,
}

fn key(subject: &[u8], queue: Option<&[u8]>) -> String {
    let mut key = String::from_utf8(subject.to_vec()).unwrap();
    if let Some(queue) = queue {
        key.push(' ');
        key.push_str(std::str::from_utf8(queue).unwrap());
    }
    key
}

impl Recorder {
    /// Somebody subscribes to this.
    pub(crate) fn listen(&mut self, subject: &str) {
        self.interest.insert(subject.to_owned());
    }

    /// How often something like this was sent.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.sent.iter().filter(|sent| sent.line.contains(text)).count()
    }

    /// Whether anybody receives this, plainly or as the member of a group.
    fn listens(&self, subject: &str) -> bool {
        self.interest.iter().any(|own| own.split(' ').next() == Some(subject))
    }
}

impl Host for Recorder {
    fn deliver(&mut self, out: &Outgoing<'_>) -> Delivered {
        let route = key(out.route, None);
        let event = route.starts_with("$JS.EVENT.");
        if !event && !self.listens(&route) {
            return Delivered::No;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "|");
        let reply = out.reply.map(text);
        let ack = reply.clone().filter(|reply| reply.starts_with("$JS.ACK."));
        let line = match out.reply.and_then(parse) {
            Some(ack) => {
                let AckToken { deliveries, stream_seq, consumer_seq, pending, .. } = ack.token;
                let at = format!("{deliveries}.{stream_seq}.{consumer_seq}+{pending}");
                let headers = if out.headers.is_empty() {
                    String::new()
                } else {
                    format!(" [{}]", text(out.headers))
                };
                format!("{route} <- {} {at}{headers} {:?}", text(out.subject), text(out.payload))
            }
            None if event => {
                // The id and the time, which come before, differ from run to run.
                let json = text(out.payload);
                let (head, fields) = json.split_once(r#","stream":"S","consumer":"c","#).unwrap();
                let keys: Vec<&str> = head.split(['{', ',']).skip(1).map(|f| &f[..5]).collect();
                assert_eq!(keys[..3], [r#""type"#, r#""id":"#, r#""time"#]);
                format!("{route} {{{fields}")
            }
            None => {
                let reply = reply.map(|reply| format!(" reply {reply}")).unwrap_or_default();
                format!("{route} <- {}{reply}", text(out.headers))
            }
        };
        self.sent.push(Sent { line, ack });
        if self.full.contains(route.as_str()) { Delivered::Congested } else { Delivered::Yes }
    }

    fn is_congested(&mut self, _: &str, route: &[u8]) -> bool {
        self.full.contains(key(route, None).as_str())
    }

    fn has_interest(&mut self, _: &str, subject: &[u8]) -> bool {
        subject.starts_with(b"$JS.EVENT.") || self.listens(&key(subject, None))
    }

    fn is_subscribed(&mut self, _: &str, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.interest.contains(&key(subject, queue))
    }

    fn disk(&mut self, _: u64, _: DiskRequest) {}
    fn wake_at(&mut self, _: u64, _: u64) {}
    fn subscribe(&mut self, _: &str, _: &[u8], _: &Arc<StreamCell>) {}
    fn unsubscribe(&mut self, _: &str, _: &[u8], _: u64) {}
    fn watch_interest(&mut self, _: &str, _: &[u8], _: u64, _: bool) {}

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random
    }
}

/// Everything around one consumer.
pub(super) struct Rig {
    host: Recorder,
    log: Log,
    now: Now,
    scope: Scope,
    replies: AckReplies,
    consumer: Option<Consumer>,
    /// Ack subjects of the messages delivered so far, in order.
    acks: Vec<String>,
    pumps: usize,
}

impl Rig {
    fn new() -> Self {
        Self {
            host: Recorder { interest: BTreeSet::from(["in".to_owned()]), ..Recorder::default() },
            log: Log::memory(1, LogLimits::default()),
            now: Now { mono_ns: 50 * SECOND, unix_ns: 1_700_000_000_000_000_000 },
            scope: Scope {
                account: "$G".into(),
                stream: "S".into(),
                stream_id: 1,
                domain: None,
                server: "srv".into(),
                memory: false,
            },
            replies: AckReplies::default(),
            consumer: None,
            acks: Vec::new(),
            pumps: 0,
        }
    }

    /// A rig with messages "1", "2", … on the subjects, one each.
    fn with(subjects: &[&str]) -> Self {
        let mut rig = Self::new();
        for subject in subjects {
            rig.publish(subject);
        }
        rig
    }

    fn publish(&mut self, subject: &str) {
        let body = (self.log.state().last_seq + 1).to_string();
        self.publish_with(subject, "", &body);
    }

    fn publish_with(&mut self, subject: &str, headers: &str, body: &str) {
        self.log.append(NewMessage {
            subject: subject.as_bytes(),
            headers: headers.as_bytes(),
            payload: body.as_bytes(),
            time: self.now.unix_ns,
            flags: 0,
        });
        self.pump();
    }

    fn call<R>(&mut self, f: impl FnOnce(&mut Consumer, &mut Ctx<'_>) -> R) -> R {
        let mut consumer = self.consumer.take().expect("the test made a consumer");
        let mut ctx = Ctx {
            host: &mut self.host,
            log: &mut self.log,
            now: self.now,
            scope: &self.scope,
            replies: &mut self.replies,
            burst: 2_000,
        };
        let result = f(&mut consumer, &mut ctx);
        self.consumer = Some(consumer);
        result
    }

    fn try_create(&mut self, config: &str) -> Result<(), ApiError> {
        let mut config: Config = decode(config.as_bytes(), true).unwrap();
        let subjects = ["s.>".to_owned()];
        let limits = Limits { stream_subjects: &subjects, ..Limits::default() };
        fill_defaults(&mut config, &limits, false)?;
        check(&config, &limits)?;
        let mut ctx = Ctx {
            host: &mut self.host,
            log: &mut self.log,
            now: self.now,
            scope: &self.scope,
            replies: &mut self.replies,
            burst: 2_000,
        };
        self.consumer = Some(Consumer::new(&mut ctx, "c", config));
        self.pump();
        Ok(())
    }

    fn create(&mut self, config: &str) {
        self.try_create(config).unwrap();
    }

    /// An explicit-ack durable with further fields.
    fn durable(&mut self, more: &str) {
        let comma = if more.is_empty() { "" } else { "," };
        self.create(&format!(
            r#"{{"durable_name":"c","name":"c","ack_policy":"explicit"{comma}{more}}}"#
        ));
    }

    fn update(&mut self, config: &str) -> Result<(), ApiError> {
        let mut config: Config = decode(config.as_bytes(), true).unwrap();
        fill_defaults(&mut config, &Limits::default(), false)?;
        check(&config, &Limits::default())?;
        self.call(|consumer, ctx| consumer.update(ctx, config))
    }

    fn pump(&mut self) {
        if self.consumer.is_some() {
            loop {
                self.pumps += 1;
                if !self.call(|consumer, ctx| consumer.pump(ctx)) {
                    break;
                }
            }
        }
    }

    fn pull(&mut self, body: &str) {
        self.pull_to("in", body);
    }

    fn pull_to(&mut self, inbox: &str, body: &str) {
        self.call(|consumer, ctx| consumer.pull(ctx, inbox.as_bytes(), body.as_bytes()));
        self.pump();
    }

    /// Acks the `nth` delivery (from 1) with a reply; the answers to acks are lines `ack`.
    fn ack(&mut self, nth: usize, body: &str) -> bool {
        self.collect();
        let subject = self.acks[nth - 1].clone();
        self.ack_on(&subject, body)
    }

    fn ack_on(&mut self, subject: &str, body: &str) -> bool {
        let token = parse(subject.as_bytes()).unwrap().token;
        let taken =
            self.call(|consumer, ctx| consumer.ack(ctx, &token, body.as_bytes(), Some(b"in")));
        let sent = &mut self.host.sent;
        self.replies.drain(|subject| {
            let line = format!("{} <- ok", String::from_utf8_lossy(subject));
            sent.push(Sent { line, ack: None });
        });
        self.pump();
        taken
    }

    /// Lets time pass: every deadline on the way is served when it comes.
    fn pass(&mut self, ns: u64) {
        let end = self.now.mono_ns + ns;
        for step in 0.. {
            assert!(step < 10_000, "deadlines do not move");
            let next = self.call(|consumer, _| consumer.next_deadline());
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.set_clock(next.max(self.now.mono_ns));
            self.call(|consumer, ctx| consumer.tick(ctx));
            self.pump();
            if next == self.call(|consumer, _| consumer.next_deadline()).unwrap_or(0) {
                // The deadline of inactivity stays until the stream removes the consumer.
                break;
            }
        }
        self.set_clock(end);
    }

    fn set_clock(&mut self, mono_ns: u64) {
        self.now.unix_ns += (mono_ns - self.now.mono_ns) as i64;
        self.now.mono_ns = mono_ns;
    }

    fn listen(&mut self, subject: &str, on: bool) {
        if on {
            self.host.interest.insert(subject.to_owned());
        } else {
            self.host.interest.remove(subject);
        }
        if self.consumer.is_some() {
            self.call(|consumer, ctx| consumer.interest_changed(ctx));
            self.pump();
        }
    }

    fn delete(&mut self, seq: u64) {
        assert!(self.log.remove(seq, false).is_some());
        self.call(|consumer, ctx| consumer.removed(ctx, &Removed::of([(seq, seq)])));
        self.pump();
    }

    fn purge(&mut self, purge: &Purge<'_>) {
        self.log.purge(purge);
        let subjects: Vec<Box<[u8]>> = purge.filter.into_iter().map(Into::into).collect();
        self.call(|consumer, ctx| consumer.purged(ctx, &subjects));
        self.pump();
    }

    fn collect(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for sent in self.host.sent.iter_mut() {
            self.acks.extend(sent.ack.take());
            lines.push(sent.line.clone());
        }
        lines
    }

    /// What was sent since the last check.
    #[track_caller]
    fn sent(&mut self, expected: &[&str]) {
        let lines = self.collect();
        self.host.sent.clear();
        assert_eq!(lines, expected);
    }

    fn info(&mut self) -> ConsumerInfo {
        self.call(|consumer, ctx| consumer.info(ctx, Some((5, "2.15.1"))))
    }

    /// `delivered floor` as `consumer/stream` pairs, then ack pending, redelivered, waiting, pending.
    #[track_caller]
    fn state(&mut self, expected: &str) {
        let info = self.info();
        let pair = |at: &Position| format!("{}/{}", at.consumer_seq, at.stream_seq);
        let text = format!(
            "{} {} {} {} {} {}",
            pair(&info.delivered),
            pair(&info.ack_floor),
            info.num_ack_pending,
            info.num_redelivered,
            info.num_waiting,
            info.num_pending
        );
        assert_eq!(text, expected);
    }
}
