//! Asking for an answer.

use std::fmt;
use std::future::Future as _;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Message, Request, RequestErrorKind, StatusCode};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::message::Msg;
use super::outbox::{self, header_bytes};
use super::publish::{add_header, encode};
use super::queue::{self, Overflow, Queue, Reader, Room};
use crate::Connector;
use crate::codec::{Codec, Decode, Decoder, Encode, Json};
use crate::connect::{Backoff, Link, Offline};
use crate::error::{self, Error, NoResponders, Refused, RequestError, Timeout, TooLarge};
use crate::event::{ConnState, Operation};
use crate::otel::{Kind, Span};
use crate::service::{ERROR, ERROR_CODE};

/// A random token for a subject of one's own.
pub(crate) fn new_inbox() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random: u128 = rand::random();
    (0..21)
        .map(|_| {
            let digit = usize::try_from(random % 62).unwrap_or(0);
            random /= 62;
            char::from(ALPHABET[digit])
        })
        .collect()
}

/// When to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// Only when nobody listens.
    NoResponders,
    /// Only when no answer came in time.
    Timeout,
    /// In both cases.
    Both,
}

/// How often to ask again, and when.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    times: u32,
    on: RetryOn,
    backoff: Backoff,
}

impl Retry {
    /// Asks up to `times` times again, in both cases, at once doubling from 50 ms to 2 s.
    #[must_use]
    pub const fn times(times: u32) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2));
        Self { times, on: RetryOn::Both, backoff }
    }

    /// In which cases.
    #[must_use]
    pub const fn on(mut self, on: RetryOn) -> Self {
        self.on = on;
        self
    }

    /// The waits in between.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    fn covers(&self, error: &Error) -> bool {
        match error {
            Error::NoResponders(_) => self.on != RetryOn::Timeout,
            Error::Timeout(_) => self.on != RetryOn::NoResponders,
            _ => false,
        }
    }
}

/// A question, made by [`Connector::ask`].
#[must_use = "nothing is asked before `send`"]
pub struct Ask<'a, C = Json> {
    connector: &'a Connector,
    subject: String,
    headers: HeaderMap,
    problem: Option<Error>,
    limit: Option<Duration>,
    retry: Retry,
    codec: PhantomData<C>,
}

impl Connector {
    /// Asks with a JSON value and waits for a JSON answer.
    ///
    /// # Errors
    /// See [`Ask::send`].
    pub async fn request<Q: ?Sized, R>(
        &self,
        subject: &str,
        question: &Q,
    ) -> Result<R, RequestError>
    where
        Json: Encode<Q> + Decode<R>,
    {
        self.ask(subject).send(question).await
    }

    /// A question to `subject`, with options.
    pub fn ask(&self, subject: impl Into<String>) -> Ask<'_> {
        Ask {
            connector: self,
            subject: subject.into(),
            headers: HeaderMap::new(),
            problem: None,
            limit: None,
            retry: Retry::times(0),
            codec: PhantomData,
        }
    }
}

impl<'a, C: Codec> Ask<'a, C> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if let Err(error) = add_header(&mut self.headers, name, value.as_ref()) {
            self.problem.get_or_insert(error);
        }
        self
    }

    /// Limit of the wait for each answer, instead of the `request_timeout` option.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Asks again; default is not to. Nothing else than "no responders" and "no answer in time" is
    /// ever asked again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How values become bodies and back; JSON otherwise.
    pub fn codec<D: Codec>(self, _codec: D) -> Ask<'a, D> {
        Ask {
            connector: self.connector,
            subject: self.subject,
            headers: self.headers,
            problem: self.problem,
            limit: self.limit,
            retry: self.retry,
            codec: PhantomData,
        }
    }

    /// Asks, and waits for the answer's value.
    ///
    /// # Errors
    /// `NoResponders`, `Timeout`, `PermissionDenied`, `TooLarge`, `BadSubject`; `Refused` if a service
    /// answers with an error; `Decode` if the answer is no `R`; `Offline` and `Closed`.
    pub async fn send<Q: ?Sized, R>(self, question: &Q) -> Result<R, RequestError>
    where
        C: Encode<Q> + Decode<R>,
    {
        let link = self.connector.link();
        let (subject, answer) = self.answer(question).await?;
        match refusal(&subject, &answer) {
            Some(refused) => Err(refused.into()),
            None => Ok(Msg::decode(answer, Decoder::of::<C>(), link)?.into_value()),
        }
    }

    /// As [`send`](Self::send), and returns the whole message, also of a service that answers with an
    /// error if that has a body that decodes.
    ///
    /// # Errors
    /// See [`send`](Self::send).
    pub async fn send_msg<Q: ?Sized, R>(self, question: &Q) -> Result<Msg<R>, RequestError>
    where
        C: Encode<Q> + Decode<R>,
    {
        let link = self.connector.link();
        let (subject, answer) = self.answer(question).await?;
        read(&subject, answer, Decoder::of::<C>(), link)
    }

    /// Asks, and waits for the answer as it is; with the subject that was asked on.
    async fn answer<Q: ?Sized>(self, question: &Q) -> Result<(String, Message), Error>
    where
        C: Encode<Q>,
    {
        let body = encode::<C, Q>(question)?;
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        error::check_subject(&self.subject, false)?;
        let link = self.connector.link();
        let limit = self.limit.unwrap_or(link.options.request_timeout);
        let span = Span::begin(&Kind::Request, link, &self.subject, body.len());
        let mut headers = self.headers;
        span.inject(&mut headers);
        let headers = (!headers.is_empty()).then_some(headers);
        let started = Instant::now();
        let mut tried = 0;
        let answer = loop {
            match raw_request(link, &self.subject, headers.clone(), body.clone(), limit).await {
                Err(error) if tried < self.retry.times && self.retry.covers(&error) => {
                    tokio::time::sleep(self.retry.backoff.wait(tried, rand::random())).await;
                    tried += 1;
                }
                answer => break answer,
            }
        };
        link.meters.asked(&self.subject, started.elapsed());
        match &answer {
            Err(error) => span.failed(error),
            Ok(answer) => refusal(&self.subject, answer).iter().for_each(|why| span.failed(why)),
        }
        Ok((self.subject, answer?))
    }

    /// Several answers to one question.
    pub fn many(self, until: Until) -> Many<'a, C> {
        Many { ask: self, until }
    }
}

/// The error that a service answers with, if it is one.
fn refusal(subject: &str, answer: &Message) -> Option<Refused> {
    let headers = answer.headers.as_ref()?;
    let description = headers.get(ERROR)?.as_str().to_owned();
    let code = headers.get(ERROR_CODE).and_then(|code| code.as_str().parse().ok()).unwrap_or(0);
    Some(Refused { subject: subject.to_owned(), code, description })
}

/// An answer with its value. One that does not decode and is a service's error is that error.
fn read<R>(
    subject: &str,
    answer: Message,
    decoder: Decoder<R>,
    link: &Arc<Link>,
) -> Result<Msg<R>, RequestError> {
    let refused = refusal(subject, &answer);
    Msg::decode(answer, decoder, link).map_err(|error| match refused {
        Some(refused) => refused.into(),
        None => error.into(),
    })
}

/// Sends a request and waits for the one answer. The caller has checked the subject; those of the
/// JetStream API may end in a filter with wildcards.
pub(crate) async fn raw_request(
    link: &Link,
    subject: &str,
    headers: Option<HeaderMap>,
    body: Bytes,
    limit: Duration,
) -> Result<Message, Error> {
    let started = Instant::now();
    link.check_open()?;
    if link.options.while_disconnected == Offline::Fail
        && !matches!(link.state(), ConnState::Connected | ConnState::Draining)
    {
        return Err(link.offline());
    }
    // Not sent while there is no connection: an answer after the limit would be lost anyway, and the
    // question would be put when nobody waits any more.
    link.connected("request", limit).await?;
    let client = link.client()?;
    let size = body.len() + headers.as_ref().map_or(0, header_bytes);
    if size > client.max_payload() {
        return Err(TooLarge { size: size as u64, limit: client.max_payload() as u64 }.into());
    }
    let sent = body.len();
    let mut request =
        Request::new().payload(body).timeout(Some(limit.saturating_sub(started.elapsed())));
    if let Some(headers) = headers {
        request = request.headers(headers);
    }
    let mark = link.violations.mark();
    let timed_out = || Error::from(Timeout { what: "request".into(), after: limit });
    let answer = async {
        tokio::select! {
            answer = client.send_request(subject.to_owned(), request) => answer.map_err(|error| {
                match error.kind() {
                    RequestErrorKind::NoResponders => {
                        NoResponders { subject: subject.to_owned() }.into()
                    }
                    RequestErrorKind::TimedOut => timed_out(),
                    _ => link.check_open().err().unwrap_or_else(|| link.offline()),
                }
            }),
            denied = link.violations.wait(mark, Operation::Publish, subject) => Err(denied.into()),
        }
    };
    // The outer limit covers the command queue of async-nats, which its own does not.
    link.meters.sent(subject, sent);
    match tokio::time::timeout(limit.saturating_sub(started.elapsed()), answer).await {
        Ok(answer) => {
            if let Ok(answer) = &answer {
                link.meters.received(&answer.subject, answer.payload.len());
            }
            answer
        }
        Err(_) => Err(timed_out()),
    }
}

/// When no more answers are waited for. The request timeout limits each in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After this many.
    Count(usize),
    /// When none has come for this long.
    Idle(Duration),
    /// At an answer with an empty body, which is not passed on.
    Sentinel,
}

/// A question with several answers.
#[must_use = "nothing is asked before `stream`"]
pub struct Many<'a, C = Json> {
    ask: Ask<'a, C>,
    until: Until,
}

impl<C: Codec> Many<'_, C> {
    /// Asks, and returns the answers as they come.
    ///
    /// # Errors
    /// As for publishing. That nobody listens shows as an answer stream that ends with
    /// `NoResponders`.
    pub async fn stream<Q: ?Sized, R>(self, question: &Q) -> Result<Replies<R>, RequestError>
    where
        C: Encode<Q> + Decode<R>,
    {
        let body = encode::<C, Q>(question)?;
        if let Some(problem) = self.ask.problem {
            return Err(problem.into());
        }
        error::check_subject(&self.ask.subject, false)?;
        let link = self.ask.connector.link();
        let limit = self.ask.limit.unwrap_or(link.options.request_timeout);
        link.connected("request", limit).await?;
        let inbox = format!("{}.{}", link.options.inbox_prefix, new_inbox());
        let options = &link.options;
        let (messages, bytes) = (options.subscription_capacity, options.subscription_bytes.bytes());
        let reader = inbox_reader(link, inbox.clone(), Room { messages, bytes }).await?;
        let mut headers = self.ask.headers;
        let span = Span::begin(&Kind::Request, link, &self.ask.subject, body.len());
        span.inject(&mut headers);
        let message = OutboundMessage {
            subject: self.ask.subject.as_str().into(),
            reply: Some(inbox.into()),
            payload: body,
            headers: (!headers.is_empty()).then_some(headers),
        };
        outbox::send(link, message, limit).await.inspect_err(|error| span.failed(error))?;
        let deadline = tokio::time::Instant::now() + limit;
        Ok(Replies {
            reader,
            subject: self.ask.subject,
            decoder: Decoder::of::<C>(),
            until: self.until,
            limit,
            seen: 0,
            done: false,
            span,
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
        })
    }
}

/// Room for messages whose number the protocol bounds: as many as were asked for, or as flow control
/// lets through. What programs set for their subscriptions must not make these lose any.
pub(crate) const BOUNDED: Room = Room { messages: 1 << 20, bytes: u64::MAX };

/// A queue for messages to a subject of one's own.
pub(crate) async fn inbox_reader(
    link: &Arc<Link>,
    inbox: String,
    room: Room,
) -> Result<Reader, Error> {
    let subscriber = match link.client()?.subscribe(inbox.clone()).await {
        Ok(subscriber) => subscriber,
        Err(_) => {
            link.check_open()?;
            return Err(link.offline());
        }
    };
    let queue = Queue::new(inbox, None, room, Overflow::DropNewest, None, true);
    let reader = Reader { queue: queue.clone(), link: link.clone(), _keep: None };
    tokio::spawn(queue::pump(link.clone(), queue, subscriber));
    Ok(reader)
}

/// Answers as they come.
pub struct Replies<R> {
    reader: Reader,
    subject: String,
    decoder: Decoder<R>,
    until: Until,
    limit: Duration,
    seen: usize,
    done: bool,
    span: Span,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl<R> Replies<R> {
    /// The next answer; `None` when the condition is met or the time is up.
    pub async fn next(&mut self) -> Option<Result<Msg<R>, RequestError>> {
        StreamExt::next(self).await
    }

    fn accept(&mut self, message: Message) -> Option<Result<Msg<R>, RequestError>> {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            self.done = true;
            let nobody = NoResponders { subject: self.subject.clone() };
            self.span.failed(&nobody);
            return Some(Err(nobody.into()));
        }
        if self.until == Until::Sentinel && message.payload.is_empty() {
            self.done = true;
            return None;
        }
        self.seen += 1;
        self.done = self.until == Until::Count(self.seen);
        let wait = match self.until {
            Until::Idle(idle) => idle,
            _ => self.limit,
        };
        self.sleep.as_mut().reset(tokio::time::Instant::now() + wait);
        Some(read(&self.subject, message, self.decoder, &self.reader.link))
    }
}

impl<R> Stream for Replies<R> {
    type Item = Result<Msg<R>, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done || self.until == Until::Count(0) {
            return Poll::Ready(None);
        }
        match self.reader.queue.poll_next(cx) {
            Poll::Ready(Some(message)) => Poll::Ready(self.accept(message)),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                std::task::ready!(self.sleep.as_mut().poll(cx));
                self.done = true;
                Poll::Ready(None)
            }
        }
    }
}

impl<R> fmt::Debug for Replies<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("subject", &self.subject).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::new_inbox;

    #[test]
    fn inbox_tokens_are_distinct_and_plain() {
        let tokens: std::collections::HashSet<String> = (0..1000).map(|_| new_inbox()).collect();
        assert_eq!(tokens.len(), 1000);
        assert!(
            tokens.iter().all(|t| t.len() == 21 && t.bytes().all(|b| b.is_ascii_alphanumeric()))
        );
    }
}
