//! Publishing into a stream, with its acknowledgement.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::JetStream;
use super::api::{self, REPEAT_AFTER, Target};
use crate::codec::{Codec, Encode, Json};
use crate::connect::Link;
use crate::core::{add_header, encode, raw_request};
use crate::error::{self, Error, NotFound, StreamError, Timeout};
use crate::otel::{Kind, Span};

/// A stream may be absent for a moment: this many more attempts, this far apart (as nats.go). In a
/// cluster, which may be electing the stream's leader, the attempts go on up to the limit.
const ABSENT_RETRIES: u32 = 2;
const ABSENT_WAIT: Duration = Duration::from_millis(250);

/// "duplicate message id is in process": the cluster has not decided yet about an earlier attempt.
const IN_PROCESS: u32 = 10158;

/// The stream's word that it has the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PubAck {
    /// The stream.
    pub stream: String,
    /// The message's sequence in it.
    pub seq: u64,
    /// The stream had a message with this id already; `seq` is that one's.
    #[serde(default)]
    pub duplicate: bool,
    /// The stream's domain.
    #[serde(default)]
    pub domain: Option<String>,
}

/// A message into a stream, made by [`JetStream::publish`]; await it to send it.
#[must_use = "nothing is sent before it is awaited"]
pub struct StreamPublish<'a, V: ?Sized, C = Json> {
    js: &'a JetStream,
    subject: String,
    value: &'a V,
    options: PublishOptions,
    limit: Option<Duration>,
    codec: PhantomData<C>,
}

/// Headers that say what a stream should check or do.
#[derive(Default)]
pub(crate) struct PublishOptions {
    pub(crate) headers: HeaderMap,
    pub(crate) problem: Option<Error>,
    pub(crate) id: bool,
    /// What a wrong sequence is about.
    pub(crate) expected: Option<u64>,
}

impl PublishOptions {
    pub(crate) fn header(&mut self, name: &str, value: &str) {
        if let Err(error) = add_header(&mut self.headers, name, value) {
            self.problem.get_or_insert(error);
        }
    }
}

impl JetStream {
    /// Publishes a value as JSON and waits until a stream has it.
    ///
    /// # Errors
    /// See [`StreamPublish::send`].
    pub fn publish<'a, V: ?Sized>(
        &'a self,
        subject: impl Into<String>,
        value: &'a V,
    ) -> StreamPublish<'a, V> {
        StreamPublish {
            js: self,
            subject: subject.into(),
            value,
            options: PublishOptions::default(),
            limit: None,
            codec: PhantomData,
        }
    }
}

impl<'a, V: ?Sized, C: Codec> StreamPublish<'a, V, C> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.options.header(name, value.as_ref());
        self
    }

    /// The message's id: a stream that has seen it in its dedup window does not store it again. With
    /// an id, a message whose acknowledgement was lost with the connection is sent again.
    pub fn dedup_id(mut self, id: impl AsRef<str>) -> Self {
        self.options.header("Nats-Msg-Id", id.as_ref());
        self.options.id = true;
        self
    }

    /// Only if this is the last sequence of the stream.
    pub fn expect_last(mut self, seq: u64) -> Self {
        self.options.header("Nats-Expected-Last-Sequence", &seq.to_string());
        self.options.expected = Some(seq);
        self
    }

    /// Only if this is the last sequence of the subject; 0 if it must have none.
    pub fn expect_last_for_subject(mut self, seq: u64) -> Self {
        self.options.header("Nats-Expected-Last-Subject-Sequence", &seq.to_string());
        self.options.expected = Some(seq);
        self
    }

    /// Only into this stream.
    pub fn expect_stream(mut self, stream: impl AsRef<str>) -> Self {
        self.options.header("Nats-Expected-Stream", stream.as_ref());
        self
    }

    /// Removes the message after this time, in whole seconds, at least one (ADR-43). The stream has to
    /// allow it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.header("Nats-TTL", &format!("{}s", ttl.as_secs().max(1)));
        self
    }

    /// Limit of the wait, instead of that of [`JetStream::timeout`].
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How the value becomes a body; JSON otherwise.
    pub fn codec<D: Codec>(self, _codec: D) -> StreamPublish<'a, V, D> {
        StreamPublish {
            js: self.js,
            subject: self.subject,
            value: self.value,
            options: self.options,
            limit: self.limit,
            codec: PhantomData,
        }
    }

    /// Sends it, and waits for the acknowledgement. Awaiting the builder does the same.
    ///
    /// # Errors
    /// `NotFound` if no stream stores the subject; `Conflict` if an expectation failed; `Api` for
    /// other refusals such as a full stream; `JetStreamDisabled`; `Timeout`, after which the message
    /// may or may not be stored; `TooLarge`, `BadSubject`, `PermissionDenied`, `Closed`.
    pub async fn send(self) -> Result<PubAck, StreamError>
    where
        C: Encode<V>,
    {
        let body = encode::<C, V>(self.value)?;
        let limit = self.limit.unwrap_or(self.js.api.limit);
        let (link, started) = (self.js.link(), Instant::now());
        let span = Span::begin(&Kind::Publish, link, &self.subject, body.len());
        let mut options = self.options;
        span.inject(&mut options.headers);
        let acked = publish_once(link, &self.subject, body, options, limit).await;
        link.meters.published(&self.subject, started.elapsed());
        acked.map_err(|error| {
            span.failed(&error);
            error.into()
        })
    }
}

impl<'a, V, C> IntoFuture for StreamPublish<'a, V, C>
where
    V: ?Sized + Sync,
    C: Encode<V>,
{
    type Output = Result<PubAck, StreamError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// Publishes one message and waits for its acknowledgement.
pub(crate) async fn publish_once(
    link: &Link,
    subject: &str,
    body: Bytes,
    options: PublishOptions,
    limit: Duration,
) -> Result<PubAck, Error> {
    if let Some(problem) = options.problem {
        return Err(problem);
    }
    error::check_subject(subject, false)?;
    let headers = (!options.headers.is_empty()).then_some(options.headers);
    let started = Instant::now();
    let mut absent = 0;
    loop {
        let left = limit.saturating_sub(started.elapsed());
        // A message with an id may be sent twice; one without waits for its one answer.
        let answer = if options.id {
            let left = left.min(REPEAT_AFTER);
            api::request_or_loss(link, subject, headers.clone(), body.clone(), left).await
        } else {
            raw_request(link, subject, headers.clone(), body.clone(), left).await
        };
        match answer {
            Ok(answer) => match read_ack(&answer.payload, subject, options.expected) {
                Err(error) if is_in_process(&error) && left > ABSENT_WAIT => {
                    tokio::time::sleep(ABSENT_WAIT).await;
                }
                result => return result,
            },
            Err(Error::Offline(_)) if options.id && started.elapsed() < limit => {}
            Err(Error::Timeout(_)) if options.id && left > REPEAT_AFTER => {}
            Err(Error::NoResponders(_))
                if (absent < ABSENT_RETRIES || elects(link)) && left > ABSENT_WAIT =>
            {
                absent += 1;
                tokio::time::sleep(ABSENT_WAIT).await;
            }
            Err(Error::NoResponders(_)) => return Err(no_stream(link, subject)),
            Err(Error::Timeout(_)) => {
                return Err(Timeout { what: "publish to a stream".into(), after: limit }.into());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether an earlier attempt of the same message is still being decided about.
pub(crate) fn is_in_process(error: &Error) -> bool {
    matches!(error, Error::Api(refusal) if refusal.err_code == IN_PROCESS)
}

/// Whether the server is in a cluster, where a stream without a leader looks like no stream.
fn elects(link: &Link) -> bool {
    let info = link.client().ok().and_then(async_nats::Client::try_server_info);
    info.is_some_and(|info| info.cluster.is_some())
}

/// Nobody took the message: no stream stores the subject, or there is no JetStream at all.
pub(crate) fn no_stream(link: &Link, subject: &str) -> Error {
    let info = link.client().ok().and_then(async_nats::Client::try_server_info);
    if info.is_some_and(|info| !info.jetstream) {
        return api::nobody(link);
    }
    NotFound { kind: "stream for subject".into(), name: subject.to_owned(), err_code: 0 }.into()
}

pub(crate) fn read_ack(body: &[u8], subject: &str, expected: Option<u64>) -> Result<PubAck, Error> {
    let mut target = Target::of("publish to", "subject", subject);
    if let Some(expected) = expected {
        target = target.expecting(subject, expected);
    }
    api::read(body, subject, &target)
}
