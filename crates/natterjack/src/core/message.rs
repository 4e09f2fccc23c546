//! A message that was received, with its decoded value.

use std::sync::Arc;

use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Message};
use bytes::Bytes;

use super::outbox;
use crate::codec::{Decoder, Encode, Json};
use crate::connect::Link;
use crate::error::{Decode, Error, PublishError};

/// A received message and its value.
#[derive(Clone)]
pub struct Msg<T> {
    /// The subject it was published to.
    pub subject: String,
    /// Its headers; empty if it has none.
    pub headers: HeaderMap,
    /// Where an answer is expected, if one is.
    pub reply: Option<String>,
    /// The body as it came.
    pub payload: Bytes,
    value: T,
    link: Arc<Link>,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Msg<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Msg")
            .field("subject", &self.subject)
            .field("reply", &self.reply)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

pub(crate) fn decode_failed(
    subject: &str,
    codec: &'static str,
    error: crate::codec::CodecError,
    raw: Bytes,
) -> Decode {
    Decode { subject: subject.to_owned(), codec, error: error.into(), raw }
}

impl<T> Msg<T> {
    pub(crate) fn decode(
        message: Message,
        decoder: Decoder<T>,
        link: &Arc<Link>,
    ) -> Result<Self, Decode> {
        let value = (decoder.decode)(&message.payload).map_err(|error| {
            decode_failed(&message.subject, decoder.name, error, message.payload.clone())
        })?;
        Ok(Self {
            subject: message.subject.into_string(),
            headers: message.headers.unwrap_or_default(),
            reply: message.reply.map(async_nats::Subject::into_string),
            payload: message.payload,
            value,
            link: link.clone(),
        })
    }

    /// The same message with another value.
    pub(crate) fn read<V>(self, decoder: Decoder<V>) -> Result<Msg<V>, Decode> {
        let value = (decoder.decode)(&self.payload).map_err(|error| {
            decode_failed(&self.subject, decoder.name, error, self.payload.clone())
        })?;
        let Self { subject, headers, reply, payload, link, .. } = self;
        Ok(Msg { subject, headers, reply, payload, value, link })
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value, by itself.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// The value of a header; the first if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// The `traceparent` header (W3C trace context), if there is one.
    #[must_use]
    pub fn trace_parent(&self) -> Option<&str> {
        self.header("traceparent")
    }

    /// Answers with a value as JSON. Does nothing if no answer is expected.
    ///
    /// # Errors
    /// As for publishing.
    pub async fn respond<V: ?Sized>(&self, value: &V) -> Result<(), PublishError>
    where
        Json: Encode<V>,
    {
        let body = super::publish::encode::<Json, V>(value)?;
        self.respond_bytes(body).await
    }

    /// Answers with bytes. Does nothing if no answer is expected.
    ///
    /// # Errors
    /// As for publishing.
    pub async fn respond_bytes(&self, body: impl Into<Bytes>) -> Result<(), PublishError> {
        self.respond_with(HeaderMap::new(), body).await
    }

    /// Answers with headers and bytes. Does nothing if no answer is expected.
    ///
    /// # Errors
    /// As for publishing.
    pub async fn respond_with(
        &self,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<(), PublishError> {
        let Some(reply) = &self.reply else { return Ok(()) };
        let message = OutboundMessage {
            subject: reply.as_str().into(),
            reply: None,
            payload: body.into(),
            headers: (!headers.is_empty()).then_some(headers),
        };
        outbox::send(&self.link, message, self.link.options.publish_timeout)
            .await
            .map_err(Error::into)
    }
}
