//! Publishing many messages without waiting for each: up to a number of them are under way.
//!
//! Each message has an id, so that one whose acknowledgement was lost can be sent again without being
//! stored twice. What is sent again may come into the stream after messages that were sent later; the
//! acknowledgements are still handed out in the order of sending.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_nats::message::OutboundMessage;
use async_nats::{Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::JetStream;
use super::api::REPEAT_AFTER;
use super::publish::{PubAck, PublishOptions, is_in_process, no_stream, read_ack};
use crate::codec::{Encode, Json};
use crate::connect::Link;
use crate::core::{BOUNDED, Reader, encode, inbox_reader, new_inbox, send};
use crate::error::{self, Error, StreamError, Timeout};
use crate::event::ConnState;
use crate::otel::{Kind, Span};
use crate::signal::raised;

/// How often to look for those.
const LOOK: Duration = Duration::from_millis(100);

/// Options of a [`Publisher`].
#[must_use = "nothing happens before `start`"]
#[derive(Debug, Clone)]
pub struct PublisherBuilder {
    js: JetStream,
    max_in_flight: usize,
    limit: Duration,
}

impl JetStream {
    /// A publisher that keeps several messages under way.
    pub fn publisher(&self) -> PublisherBuilder {
        PublisherBuilder { js: self.clone(), max_in_flight: 256, limit: self.api.limit }
    }
}

impl PublisherBuilder {
    /// Messages that may be under way; default 256.
    pub fn max_in_flight(mut self, messages: usize) -> Self {
        self.max_in_flight = messages.clamp(1, 65_536);
        self
    }

    /// Limit of the wait for each acknowledgement, sending again included.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes it ready.
    ///
    /// # Errors
    /// `Timeout`, `Closed`.
    pub async fn start(self) -> Result<Publisher, StreamError> {
        let link = self.js.link();
        link.connected("publisher", self.limit).await?;
        let id = new_inbox();
        let prefix = format!("{}.{id}", link.options.inbox_prefix);
        let reader = inbox_reader(link, format!("{prefix}.*"), BOUNDED).await?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            prefix,
            id,
            limit: self.limit,
            pending: Mutex::default(),
            permits: Arc::new(Semaphore::new(self.max_in_flight)),
        });
        tokio::spawn(collect(link.clone(), shared.clone(), reader, stopped));
        Ok(Publisher { js: self.js, shared, _stop: stop, next: 0 })
    }
}

/// Publishes into streams with several messages under way.
///
/// Dropping it gives up on what is not acknowledged yet; await the receipts, or [`finish`](Self::finish).
pub struct Publisher {
    js: JetStream,
    shared: Arc<Shared>,
    /// Ends the collecting task.
    _stop: watch::Sender<bool>,
    next: u64,
}

struct Shared {
    /// Acknowledgements come to `<prefix>.<number>`.
    prefix: String,
    id: String,
    limit: Duration,
    pending: Mutex<BTreeMap<u64, Pending>>,
    permits: Arc<Semaphore>,
}

struct Pending {
    message: OutboundMessage,
    started: Instant,
    sent: Instant,
    /// Nobody took it at the last attempt.
    absent: bool,
    /// The cluster had not decided about an earlier attempt yet.
    undecided: bool,
    tell: oneshot::Sender<Result<PubAck, Error>>,
    /// Until it is acknowledged or given up.
    span: Span,
    _permit: OwnedSemaphorePermit,
}

impl Pending {
    fn end(self, link: &Link, result: Result<PubAck, Error>) {
        link.meters.published(&self.message.subject, self.started.elapsed());
        if let Err(error) = &result {
            self.span.failed(error);
        }
        // Nobody has to wait for it.
        let _ = self.tell.send(result);
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, BTreeMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The acknowledgement of one message, to be awaited.
#[derive(Debug)]
pub struct Receipt {
    told: oneshot::Receiver<Result<PubAck, Error>>,
}

impl Future for Receipt {
    type Output = Result<PubAck, StreamError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.told).poll(cx).map(|told| match told {
            Ok(result) => result.map_err(Into::into),
            // The publisher was dropped.
            Err(_) => Err(error::Closed { reason: crate::CloseReason::Requested }.into()),
        })
    }
}

impl Publisher {
    /// Sends a value as JSON once fewer than `max_in_flight` messages are under way.
    ///
    /// # Errors
    /// As for publishing; the stream's answer comes with the receipt.
    pub async fn publish<V: ?Sized>(
        &mut self,
        subject: &str,
        value: &V,
    ) -> Result<Receipt, StreamError>
    where
        Json: Encode<V>,
    {
        let body = encode::<Json, V>(value)?;
        self.publish_bytes(subject, body, None).await
    }

    /// Sends a body, with an id of the program's own if there is one.
    ///
    /// # Errors
    /// See [`publish`](Self::publish).
    pub async fn publish_bytes(
        &mut self,
        subject: &str,
        body: impl Into<Bytes>,
        id: Option<&str>,
    ) -> Result<Receipt, StreamError> {
        error::check_subject(subject, false)?;
        let number = self.next;
        let mut options = PublishOptions::default();
        match id {
            Some(id) => options.header("Nats-Msg-Id", id),
            None => options.header("Nats-Msg-Id", &format!("{}-{number}", self.shared.id)),
        }
        if let Some(problem) = options.problem {
            return Err(problem.into());
        }
        // The semaphore is never closed.
        let Ok(permit) = self.shared.permits.clone().acquire_owned().await else {
            return Err(error::Closed { reason: crate::CloseReason::Requested }.into());
        };
        self.next += 1;
        let body = body.into();
        let span = Span::begin(&Kind::Publish, self.js.link(), subject, body.len());
        span.inject(&mut options.headers);
        let message = OutboundMessage {
            subject: subject.into(),
            reply: Some(format!("{}.{number}", self.shared.prefix).into()),
            payload: body,
            headers: Some(options.headers),
        };
        let (tell, told) = oneshot::channel();
        let now = Instant::now();
        let pending = Pending {
            message: message.clone(),
            started: now,
            sent: now,
            absent: false,
            undecided: false,
            tell,
            span,
            _permit: permit,
        };
        self.shared.pending().insert(number, pending);
        let link = self.js.link();
        if let Err(error) = send(link, message, self.shared.limit).await {
            self.shared.pending().remove(&number);
            return Err(error.into());
        }
        Ok(Receipt { told })
    }

    /// Publishes all values, and returns their acknowledgements in the same order.
    ///
    /// # Errors
    /// The first that stopped the sending; refusals by the stream are in the list.
    pub async fn publish_all<'v, V: ?Sized + 'v>(
        &mut self,
        subject: &str,
        values: impl IntoIterator<Item = &'v V>,
    ) -> Result<Vec<Result<PubAck, StreamError>>, StreamError>
    where
        Json: Encode<V>,
    {
        let mut receipts = Vec::new();
        for value in values {
            receipts.push(self.publish(subject, value).await?);
        }
        let mut acks = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            acks.push(receipt.await);
        }
        Ok(acks)
    }

    /// Messages that are not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.pending().len()
    }

    /// Waits until each message is acknowledged or given up.
    pub async fn finish(self) {
        while self.in_flight() > 0 && self.js.link().check_open().is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// Hands out acknowledgements, sends again what has none, and gives up on what is too old.
async fn collect(
    link: Arc<Link>,
    shared: Arc<Shared>,
    mut reader: Reader,
    mut stopped: watch::Receiver<bool>,
) {
    let mut state = link.watch_state();
    let mut stop = link.stop();
    let mut generation = link.generation();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = reader.next() => match message {
                Some(message) => settle(&link, &shared, &message),
                None => break,
            },
            changed = state.changed() => {
                let up = *state.borrow_and_update() == ConnState::Connected;
                if changed.is_err() {
                    break;
                }
                if up && link.generation() != generation {
                    generation = link.generation();
                    resend(&link, &shared, |_| true).await;
                }
            }
            _ = look.tick() => {
                give_up(&link, &shared);
                resend(&link, &shared, |pending| {
                    pending.absent || pending.undecided || pending.sent.elapsed() > REPEAT_AFTER
                })
                .await;
            }
            () = raised(&mut stop) => break,
            // The publisher is gone when its end of the channel is.
            changed = stopped.changed() => if changed.is_err() { break },
        }
    }
    shared.pending().clear();
}

fn settle(link: &Link, shared: &Shared, message: &Message) {
    let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
    let Some(number) = number else { return };
    let mut pending = shared.pending();
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        if let Some(entry) = pending.get_mut(&number) {
            entry.absent = true;
        }
        return;
    }
    let Some(entry) = pending.get_mut(&number) else { return };
    let result = read_ack(&message.payload, &entry.message.subject, None);
    if result.as_ref().is_err_and(is_in_process) {
        entry.undecided = true;
        return;
    }
    let Some(entry) = pending.remove(&number) else { return };
    drop(pending);
    if let Err(error) = &result {
        link.note_error(&error.to_string());
    }
    entry.end(link, result);
}

fn give_up(link: &Link, shared: &Shared) {
    let mut pending = shared.pending();
    let old: Vec<u64> = pending
        .iter()
        .filter(|(_, entry)| entry.started.elapsed() >= shared.limit)
        .map(|(number, _)| *number)
        .collect();
    for number in old {
        let Some(entry) = pending.remove(&number) else { continue };
        let error = if entry.absent {
            no_stream(link, &entry.message.subject)
        } else {
            Timeout { what: "publish to a stream".into(), after: shared.limit }.into()
        };
        entry.end(link, Err(error));
    }
}

async fn resend(link: &Link, shared: &Shared, due: impl Fn(&Pending) -> bool) {
    let messages: Vec<OutboundMessage> = {
        let mut pending = shared.pending();
        let due = pending.values_mut().filter(|entry| due(entry));
        due.map(|entry| {
            entry.sent = Instant::now();
            entry.absent = false;
            entry.undecided = false;
            entry.message.clone()
        })
        .collect()
    };
    for message in messages {
        // What cannot be sent now is due again later.
        let _ = send(link, message, LOOK).await;
    }
}
