//! Sending messages.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;

use super::{outbox, wait};
use crate::Connector;
use crate::codec::{Codec, Encode, Json};
use crate::connect::{Link, violation};
use crate::error::{self, BadOption, Error, PublishError};
use crate::event::Operation;
use crate::otel::{Kind, Span};

/// A message to a subject, made by [`Connector::to`].
#[must_use = "nothing is sent before `send`"]
pub struct Publish<'a, C = Json> {
    connector: &'a Connector,
    subject: String,
    reply: Option<String>,
    headers: HeaderMap,
    problem: Option<Error>,
    limit: Option<Duration>,
    confirmed: bool,
    codec: PhantomData<C>,
}

pub(crate) fn encode<C: Encode<T>, T: ?Sized>(value: &T) -> Result<Bytes, Error> {
    C::encode(value)
        .map_err(|error| error::Encode { codec: <C as Codec>::NAME, error: error.into() }.into())
}

/// Adds a header after checking what the wire cannot carry (ADR-4).
pub(crate) fn add_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Error> {
    let bad = |why: &str| BadOption { option: format!("header `{name}`"), why: why.to_owned() };
    if name.is_empty() || name.contains(|c: char| !c.is_ascii_graphic() || c == ':') {
        return Err(bad("its name must be printable ASCII without colons").into());
    }
    let value: HeaderValue =
        value.parse().map_err(|_| bad("its value must not contain line breaks"))?;
    headers.append(name, value);
    Ok(())
}

impl Connector {
    /// Publishes a value as JSON.
    ///
    /// It is sent at most once, and nobody says whether it was received or even allowed; use
    /// [`to`](Self::to) with [`confirmed`](Publish::confirmed) to know the latter.
    ///
    /// # Errors
    /// See [`Publish::send`].
    pub async fn publish<V: ?Sized>(&self, subject: &str, value: &V) -> Result<(), PublishError>
    where
        Json: Encode<V>,
    {
        self.to(subject).send(value).await
    }

    /// A message to `subject`, with options.
    pub fn to(&self, subject: impl Into<String>) -> Publish<'_> {
        Publish {
            connector: self,
            subject: subject.into(),
            reply: None,
            headers: HeaderMap::new(),
            problem: None,
            limit: None,
            confirmed: false,
            codec: PhantomData,
        }
    }
}

impl<'a, C: Codec> Publish<'a, C> {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if let Err(error) = add_header(&mut self.headers, name, value.as_ref()) {
            self.problem.get_or_insert(error);
        }
        self
    }

    /// Where an answer is expected.
    pub fn reply(mut self, subject: impl Into<String>) -> Self {
        self.reply = Some(subject.into());
        self
    }

    /// How the value becomes a body; JSON otherwise.
    pub fn codec<D: Codec>(self, _codec: D) -> Publish<'a, D> {
        Publish {
            connector: self.connector,
            subject: self.subject,
            reply: self.reply,
            headers: self.headers,
            problem: self.problem,
            limit: self.limit,
            confirmed: self.confirmed,
            codec: PhantomData,
        }
    }

    /// Limit of waiting, instead of the `publish_timeout` option.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Waits until the server has seen the message, and returns `PermissionDenied` if it refused it.
    /// Costs round trips; says nothing about receivers.
    pub fn confirmed(mut self) -> Self {
        self.confirmed = true;
        self
    }

    /// Sends a value.
    ///
    /// # Errors
    /// `BadSubject`, `TooLarge`, `Encode`; `Closed`; `Offline` or `Backpressure` while there is no
    /// connection, by the `while_disconnected` option; `Timeout` if the connection takes nothing;
    /// `PermissionDenied` only if [`confirmed`](Self::confirmed).
    pub async fn send<V: ?Sized>(self, value: &V) -> Result<(), PublishError>
    where
        C: Encode<V>,
    {
        let body = encode::<C, V>(value)?;
        self.send_bytes(body).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// See [`send`](Self::send).
    pub async fn send_bytes(self, body: impl Into<Bytes>) -> Result<(), PublishError> {
        let body = body.into();
        if let Some(problem) = self.problem {
            return Err(problem.into());
        }
        error::check_subject(&self.subject, false)?;
        if let Some(reply) = &self.reply {
            error::check_subject(reply, false)?;
        }
        let link = self.connector.link();
        let limit = self.limit.unwrap_or(link.options.publish_timeout);
        let span = Span::begin(&Kind::Publish, link, &self.subject, body.len());
        let mut headers = self.headers;
        span.inject(&mut headers);
        let message = OutboundMessage {
            subject: self.subject.as_str().into(),
            reply: self.reply.map(Into::into),
            payload: body,
            headers: (!headers.is_empty()).then_some(headers),
        };
        let started = Instant::now();
        let sent = send_confirmed(link, message, self.confirmed, limit).await;
        link.meters.published(&self.subject, started.elapsed());
        sent.map_err(|error| {
            span.failed(&error);
            error.into()
        })
    }
}

/// Sends a message, and asks whether the server took it if that is wanted.
async fn send_confirmed(
    link: &Link,
    message: OutboundMessage,
    confirmed: bool,
    limit: Duration,
) -> Result<(), Error> {
    let (started, mark) = (Instant::now(), link.violations.mark());
    let subject = confirmed.then(|| message.subject.to_string());
    outbox::send(link, message, limit).await?;
    if let Some(subject) = subject {
        wait::barrier(link, limit.saturating_sub(started.elapsed())).await?;
        if let Some(denied) = violation(link, mark, Operation::Publish, &subject).await {
            return Err(denied.into());
        }
    }
    Ok(())
}
