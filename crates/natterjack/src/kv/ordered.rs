//! One ordered consumer, supervised: what it delivers is complete and in order, whatever happens to the
//! server.
//!
//! The consumer is an ephemeral push consumer without acknowledgements (ADR-17), under one name for its
//! whole life, so that what was left behind by an interruption is found and removed. It is made anew
//! after a reconnect, after missing heartbeats, and when a sequence is missing; then it continues after
//! the last message that was handed out. Nothing is handed out twice.
//!
//! Between two calls nothing runs here: a watch that nobody reads costs nothing but the queue that fills,
//! and flow control bounds that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Message;
use async_nats::message::OutboundMessage;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::watch::WatchFrom;
use crate::connect::{Backoff, Link};
use crate::core::{BOUNDED, Reader, inbox_reader, new_inbox, send};
use crate::error::Error;
use crate::event::{ConnState, Event};
use crate::jetstream::{JetStream, Meta, Target, nanos, stream_info};
use crate::signal::reached;

const HEARTBEAT: Duration = Duration::from_secs(5);

/// Heartbeats that may be missing.
const MISSING: u32 = 3;

/// The server removes the consumer when its inbox has been gone for this long.
const INACTIVE: Duration = Duration::from_secs(60);

/// Waits between attempts to make the consumer anew (spec/ux.md A.4: 1 s to 30 s; the first is at once).
const AGAIN: Backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30));

pub(crate) struct Ordered {
    js: JetStream,
    stream: String,
    /// What it is called in errors: its kind, and its name without what the kind puts before it.
    shown: (&'static str, String),
    filters: Vec<String>,
    headers_only: bool,
    from: WatchFrom,
    name: String,
    current: Option<Current>,
    /// The last stream sequence that was handed out (or passed over).
    last_seq: u64,
    /// When the stream was created: another one has other sequences.
    created: Option<String>,
    ready: bool,
    failures: u32,
}

/// The consumer as it exists now.
struct Current {
    reader: Reader,
    generation: u64,
    /// The sequence of its last delivery.
    consumer_seq: u64,
    heard: Instant,
}

#[allow(clippy::large_enum_variant, reason = "nearly all are messages")]
pub(crate) enum Item {
    Message(Message, Meta),
    /// All that was there at the beginning has been handed out.
    Ready,
    /// It was interrupted; so many messages are to come that were stored meanwhile.
    Resumed(u64),
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    num_pending: u64,
}

/// What a message from the consumer calls for.
#[allow(clippy::large_enum_variant, reason = "nearly all are messages")]
enum Step {
    Nothing,
    Deliver(Message, Meta),
    Ready,
    Anew(&'static str),
}

impl Ordered {
    pub(crate) fn new(
        js: JetStream,
        stream: String,
        shown: (&'static str, String),
        filters: Vec<String>,
        headers_only: bool,
        from: WatchFrom,
    ) -> Self {
        Self {
            js,
            stream,
            shown,
            filters,
            headers_only,
            from,
            name: format!("natterjack-{}", new_inbox()),
            current: None,
            last_seq: 0,
            created: None,
            ready: false,
            failures: 0,
        }
    }

    fn link(&self) -> &Arc<Link> {
        self.js.link()
    }

    /// Makes the consumer for the first time.
    ///
    /// # Errors
    /// `NotFound` for the bucket, and what else the server says.
    pub(crate) async fn start(&mut self) -> Result<Vec<Item>, Error> {
        let pending = self.establish().await?;
        Ok(self.ready_if(pending == 0).into_iter().collect())
    }

    fn ready_if(&mut self, now: bool) -> Option<Item> {
        (now && !std::mem::replace(&mut self.ready, true)).then_some(Item::Ready)
    }

    /// The next items; `None` when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<Vec<Item>> {
        loop {
            if self.current.is_none() {
                match self.resume().await {
                    Some(items) if items.is_empty() => continue,
                    other => return other,
                }
            }
            let link = self.link().clone();
            let mut state = link.watch_state();
            state.mark_unchanged();
            let Some(current) = &mut self.current else { continue };
            if link.generation() != current.generation {
                self.drop_current("the connection was lost");
                continue;
            }
            let deadline = current.heard + HEARTBEAT * MISSING;
            let message = tokio::select! {
                // What has come counts, however late it is asked for.
                biased;
                message = current.reader.next() => message,
                _ = state.changed() => continue,
                () = tokio::time::sleep_until(deadline.into()) => {
                    self.drop_current("heartbeats are missing");
                    continue;
                }
            };
            let Some(message) = message else {
                if !matches!(link.state(), ConnState::Connected | ConnState::Reconnecting { .. }) {
                    return None;
                }
                self.drop_current("its subscription ended");
                continue;
            };
            match self.accept(message).await {
                Step::Nothing => {}
                Step::Ready => {
                    if let Some(item) = self.ready_if(true) {
                        return Some(vec![item]);
                    }
                }
                Step::Anew(why) => self.drop_current(why),
                Step::Deliver(message, meta) => {
                    let last = meta.pending == 0;
                    let mut items = Vec::new();
                    if meta.stream_seq > self.last_seq {
                        self.last_seq = meta.stream_seq;
                        items.push(Item::Message(message, meta));
                    }
                    items.extend(self.ready_if(last));
                    if !items.is_empty() {
                        return Some(items);
                    }
                }
            }
        }
    }

    fn drop_current(&mut self, why: &str) {
        if self.current.take().is_some() {
            self.link().emit(Event::ConsumerRecreated {
                stream: self.stream.clone(),
                last_seq: self.last_seq,
                reason: why.to_owned(),
            });
        }
    }

    /// Makes the consumer anew, when there is a connection. `None` when there will be none.
    async fn resume(&mut self) -> Option<Vec<Item>> {
        let link = self.link().clone();
        let mut state = link.watch_state();
        reached(&mut state, |s| {
            !matches!(s, ConnState::Connecting | ConnState::Reconnecting { .. })
        })
        .await;
        if link.state() != ConnState::Connected {
            return None;
        }
        match self.establish().await {
            Ok(pending) => {
                self.failures = 0;
                let mut items = vec![Item::Resumed(pending)];
                items.extend(self.ready_if(pending == 0));
                Some(items)
            }
            Err(error) => {
                link.note_error(&error.to_string());
                if self.failures == 0 {
                    link.emit(Event::Background { error });
                }
                let wait = AGAIN.wait(self.failures, rand::random());
                self.failures = self.failures.saturating_add(1);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = reached(&mut state, |s| *s != ConnState::Connected) => {}
                }
                Some(vec![])
            }
        }
    }

    /// Creates the consumer; the number of messages that it has to deliver.
    async fn establish(&mut self) -> Result<u64, Error> {
        let link = self.link().clone();
        link.connected("watch", self.js.api.limit).await?;
        let again = self.created.is_some();
        let (kind, name) = (self.shown.0, self.shown.1.as_str());
        let info = stream_info(&self.js, &self.stream, kind, name).await?;
        if again {
            self.remove().await;
            if self.created.as_ref() != Some(&info.created) {
                // The bucket was made anew, and its revisions begin anew.
                self.last_seq = 0;
                if self.from != WatchFrom::Latest {
                    self.from = WatchFrom::History;
                }
            }
        } else if self.from == WatchFrom::New {
            self.last_seq = info.last_seq;
        }
        self.created = Some(info.created);
        let inbox = format!("{}.{}", link.options.inbox_prefix, new_inbox());
        let generation = link.generation();
        let reader = inbox_reader(&link, inbox.clone(), BOUNDED).await?;
        let pending = self.create(&inbox).await?;
        self.current = Some(Current { reader, generation, consumer_seq: 0, heard: Instant::now() });
        Ok(pending)
    }

    async fn create(&self, inbox: &str) -> Result<u64, Error> {
        let mut config = json!({
            "name": self.name, "deliver_subject": inbox, "ack_policy": "none", "max_deliver": 1,
            "ack_wait": nanos(Duration::from_secs(79_200)), "replay_policy": "instant",
            "flow_control": true, "idle_heartbeat": nanos(HEARTBEAT), "mem_storage": true,
            "num_replicas": 1, "inactive_threshold": nanos(INACTIVE),
        });
        // Where nothing has come yet it begins where it was told to, also after a restart.
        let started = self.last_seq > 0;
        let (policy, start) = match self.from {
            // Until all latest values are there, only they are wanted; passed ones are skipped.
            WatchFrom::Latest if !self.ready => ("last_per_subject", None),
            WatchFrom::Revision(first) if !started => ("by_start_sequence", Some(first.max(1))),
            WatchFrom::History if !started => ("all", None),
            _ => ("by_start_sequence", Some(self.last_seq + 1)),
        };
        config["deliver_policy"] = policy.into();
        if let Some(start) = start {
            config["opt_start_seq"] = start.into();
        }
        if self.headers_only {
            config["headers_only"] = true.into();
        }
        let mut call = format!("CONSUMER.CREATE.{}.{}", self.stream, self.name);
        match self.filters.as_slice() {
            [one] => {
                config["filter_subject"] = one.as_str().into();
                call = format!("{call}.{one}");
            }
            several => config["filter_subjects"] = several.into(),
        }
        let body = json!({ "stream_name": self.stream, "config": config });
        let target = Target::of("watch", self.shown.0, &self.shown.1);
        let answer: Created = self.js.api.call(self.link(), &call, Some(&body), &target).await?;
        Ok(answer.num_pending)
    }

    /// Ends it, and removes the consumer.
    pub(crate) async fn end(mut self) {
        self.current = None;
        if self.link().state() == ConnState::Connected {
            self.remove().await;
        }
        // Nothing is left to do for the drop.
        self.created = None;
    }

    /// Removes the consumer, if the server still has it.
    async fn remove(&self) {
        let target = Target::of("delete", "consumer", &self.name);
        let call = format!("CONSUMER.DELETE.{}.{}", self.stream, self.name);
        // What cannot be removed is removed by the server when it is inactive.
        let _: Result<Value, _> = self.js.api.call(self.link(), &call, None, &target).await;
    }

    async fn accept(&mut self, message: Message) -> Step {
        let link = self.link().clone();
        let Some(current) = &mut self.current else { return Step::Nothing };
        current.heard = Instant::now();
        if let Some(status) = message.status {
            return match status.as_u16() {
                100 => control(&link, current, &message).await,
                _ => Step::Anew("the server ended it"),
            };
        }
        let meta = match message.reply.as_ref().map(|reply| Meta::parse(reply)) {
            Some(Ok(meta)) => meta,
            // Somebody else wrote to the inbox.
            Some(Err(_)) | None => return Step::Nothing,
        };
        if meta.consumer_seq != current.consumer_seq + 1 {
            return Step::Anew("a message is missing");
        }
        current.consumer_seq = meta.consumer_seq;
        Step::Deliver(message, meta)
    }
}

/// Heartbeats and flow control.
async fn control(link: &Link, current: &Current, message: &Message) -> Step {
    let header = |name: &str| {
        message.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str())
    };
    // Flow control is answered when it is reached, that is after all before it was read.
    let answer = match &message.reply {
        Some(reply) => Some(reply.as_str()),
        None => header("Nats-Consumer-Stalled"),
    };
    if let Some(subject) = answer {
        let message = OutboundMessage {
            subject: subject.into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: None,
        };
        // An answer that is lost is asked for again with the next heartbeat.
        let _ = send(link, message, link.options.publish_timeout).await;
        return Step::Nothing;
    }
    match header("Nats-Last-Consumer").and_then(|number| number.parse::<u64>().ok()) {
        Some(last) if last > current.consumer_seq => Step::Anew("a message is missing"),
        // The server is idle: all there is has been delivered, even if what was counted as pending
        // has been removed meanwhile.
        Some(_) => Step::Ready,
        None => Step::Nothing,
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        if self.created.is_none() || self.link().state() != ConnState::Connected {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (js, stream, name) = (self.js.clone(), self.stream.clone(), self.name.clone());
        runtime.spawn(async move {
            let target = Target::of("delete", "consumer", &name);
            let call = format!("CONSUMER.DELETE.{stream}.{name}");
            let _: Result<Value, _> = js.api.call(js.link(), &call, None, &target).await;
        });
    }
}
